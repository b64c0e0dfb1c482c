"""Residual: unit vectors (n, dim) float32 -> unit vectors (n, dim) float32, moved by a trained residual head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

BLOCK_ROWS = 4096
"""Rows moved at a time."""


@dataclass(frozen=True)
class ResidualHead:
    """x + gate * (weight x + bias), then scaled to length 1.

    Attributes
    ----------
    weight : ndarray of shape (dim, dim), float32
        Applied to column vectors: `weight @ x`.
    bias : ndarray of shape (dim,), float32
        Added to the product.
    gate : float
        Factor of the sum that is added to the vector; 0 leaves every vector unchanged.
    """

    weight: FloatArray
    bias: FloatArray
    gate: float

    @property
    def dim(self) -> int:
        """Width of the vectors before and after."""
        return len(self.bias)

    def apply(self, vectors: FloatArray) -> FloatArray:
        """Return the moved unit vectors (n, dim) float32.

        Parameters
        ----------
        vectors : ndarray of shape (n, dim), float32
            Unit vectors.

        Notes
        -----
        O(n dim²) time. A row's bits depend neither on the other rows nor on its place among them; products of a BLAS
        do on some processors, where rows at different places take different kernels. A vector that would become zero
        stays unchanged; no trained head does that.
        """
        from topicflow.tasks.core.learning.residual_kernels import add_products

        moved = np.empty((len(vectors), self.dim), np.float32)
        matrix = np.ascontiguousarray(self.weight.T) * np.float32(self.gate)
        shift = self.bias * np.float32(self.gate)
        for start in range(0, len(vectors), BLOCK_ROWS):
            part = np.ascontiguousarray(vectors[start : start + BLOCK_ROWS], np.float32)
            out = part + shift
            add_products(part, matrix, out)
            norms = np.linalg.norm(out, axis=1, keepdims=True)
            moved[start : start + len(part)] = np.where(norms > 1e-12, out / np.maximum(norms, 1e-12), part)
        return moved
