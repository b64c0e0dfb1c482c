"""Torch layout: fuzzy graph and start -> positions (n, n_components) float32 by the moves of `layout`, on any device.

Points move all at once, each after its first active neighbour, then after its second, and so on: a turn touches no
point twice, so that no sum depends on an order, and a device gives the same bits again. Devices round differently.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from tasks.core.layout import LEAST, LIMIT, NEAR, NEGATIVE_SAMPLES, FloatArray, curve_parameters

if TYPE_CHECKING:
    from torch import Tensor

_WORD = 0xFFFFFFFF
"""Bits that a hash keeps; products of two such numbers wrap around in int64 and leave these right."""


def torch_layout(
    graph: csr_matrix, start: FloatArray, min_dist: float, n_epochs: int, seed: int, device: str
) -> FloatArray:
    """Return the layout (n, n_components) float32 of a fuzzy graph from a start; arguments as of `parallel_layout`.

    Parameters
    ----------
    device : str
        A torch device.

    Notes
    -----
    The points that push are drawn from all points by a hash of seed, epoch and edge, not from pools. An epoch takes as
    many turns as the most active point has neighbours, each a dozen operations on ever fewer points; memory is 40 bytes
    an edge beside the positions.

    References
    ----------
    McInnes, Healy, Melville: UMAP (arXiv:1802.03426), algorithm 5. The hash is Wellons' lowbias32.
    """
    import torch

    if not graph.nnz:
        return np.ascontiguousarray(start, np.float32).copy()
    a, b = curve_parameters(min_dist)
    rows = torch.from_numpy(np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))).to(device)
    columns = torch.from_numpy(graph.indices.astype(np.int64)).to(device)
    rates = torch.from_numpy((graph.data / graph.data.max()).astype(np.float32)).to(device)
    positions = torch.from_numpy(np.array(start, np.float32)).to(device)
    for epoch in range(n_epochs):
        edges, bounds = _turns(rows, rates, epoch)
        pushing = _drawn(edges, len(positions), epoch, seed)
        old, step = positions.clone(), 1.0 - epoch / n_epochs
        for first, last in pairwise(bounds):
            moved, towards = rows[edges[first:last]], columns[edges[first:last]]
            at = positions[moved]
            at = at + step * _pull(at - old[towards], a, b)
            others = pushing[first:last]
            gaps = at[:, None] - old[others]
            push = _push(gaps, a, b) * (others != moved[:, None])[:, :, None]
            positions[moved] = at + step * push.sum(dim=1)
    result: FloatArray = positions.cpu().numpy()
    return result


def _turns(rows: Tensor, rates: Tensor, epoch: int) -> tuple[Tensor, list[int]]:
    """Return an epoch's active edges, turn by turn, and where each turn begins and the last ends.

    In turn t each point that has so many goes after the t-th of its active edges.
    """
    import torch

    active = torch.nonzero((rates * (epoch + 1)).int() != (rates * epoch).int())[:, 0]
    own = rows[active]
    first = torch.searchsorted(own, own)  # ascending, as rows of the graph are
    turn = torch.arange(len(own), device=own.device) - first
    order = torch.argsort(turn, stable=True)
    ends = torch.cumsum(torch.bincount(turn), dim=0) if len(turn) else turn
    return active[order], [0, *ends.tolist()]


def _drawn(edges: Tensor, n: int, epoch: int, seed: int) -> Tensor:
    """Return the points (n_edges, NEGATIVE_SAMPLES) that push: a hash of seed, epoch, edge and number."""
    import torch

    salt = int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    numbers = torch.arange(NEGATIVE_SAMPLES, device=edges.device)
    counters = (edges[:, None] * NEGATIVE_SAMPLES + numbers) & _WORD
    drawn: Tensor = (_mixed(_mixed(counters) ^ salt) * n) >> 32
    return drawn


def _mixed(x: Any) -> Any:  # noqa: ANN401  (a Tensor; in tests a number)
    """Return 32 well mixed bits of 32, in int64."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _WORD
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _WORD
    return x ^ (x >> 16)


def _pull(gaps: Tensor, a: float, b: float) -> Tensor:
    """Return the moves (m, dim) towards neighbours by the gradient of log(1 / (1 + a d^2b)); equal points stay."""
    squared = (gaps * gaps).sum(dim=-1, keepdim=True) + float(LEAST)
    raised = a * squared**b
    return (gaps * (-2.0 * b * raised / (squared * (raised + 1.0)))).clamp(-float(LIMIT), float(LIMIT))


def _push(gaps: Tensor, a: float, b: float) -> Tensor:
    """Return the moves (m, n, dim) away from others by the gradient of log(1 - 1 / (1 + a d^2b))."""
    squared = (gaps * gaps).sum(dim=-1, keepdim=True)
    factor = 2.0 * b / ((float(NEAR) + squared) * (a * squared**b + 1.0))
    return (gaps * factor).clamp(-float(LIMIT), float(LIMIT))
