"""Distinct: candidates near an item -> those that are copies neither of the item nor of each other.

Copies of one text are no neighbours of use: five copies of an odd text would make each other look ordinary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def distinct_places(cosines: FloatArray, among: FloatArray, k: int, copy: float) -> NDArray[np.int64]:
    """Return the places of the first `k` candidates that are copies neither of the asked document nor of each other.

    Parameters
    ----------
    cosines : ndarray of shape (n,), float32
        Cosines of the candidates to the asked document, descending.
    among : ndarray of shape (n, n), float32
        Cosines of the candidates to each other.
    k : int
    copy : float
        Minimum cosine of copies, inclusive.
    """
    left = cosines < copy
    chosen: list[int] = []
    while len(chosen) < k and left.any():
        place = int(left.argmax())
        chosen.append(place)
        left &= among[place] < copy
        left[place] = False  # the last digit of a cosine with itself may be below
    return np.array(chosen, np.int64)
