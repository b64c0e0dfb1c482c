"""Functions: powers of two and GELU of a register, by polynomials."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from topicflow.tasks.core.registers.registers import (
    maximum,
    minimum,
    multiply,
    multiply_add,
    nearest,
    spread,
    subtract,
    times_power_of_two,
)

_LOWEST = np.float32(-126.0)
_EXP2 = np.array([0.9999993, 0.6931218, 0.24024745, 0.05591786, 0.0095701], np.float32)
E0, E1, E2, E3, E4 = _EXP2
"""2^x for x in [-.5, .5], to 3 in a million."""

_END = np.float32(4.3)
_MINUS_END = np.float32(-4.3)
_GELU = np.array(
    [
        3.98802081e-01, -6.61555967e-02, 9.69514945e-03, -1.07138660e-03, 8.71176936e-05, -5.00617091e-06,
        1.90224028e-07, -4.24899683e-09, 4.19744224e-11,
    ],
    np.float32,
)  # fmt: skip
G0, G1, G2, G3, G4, G5, G6, G7, G8 = _GELU
"""(Phi(x) - .5) / x as a polynomial of x^2 for |x| <= 4.3: GELU to 4 in 100,000, a hundredth of bfloat16's rounding."""


@njit(nogil=True)  # type: ignore[untyped-decorator]
def exp2(x: Any) -> Any:  # noqa: ANN401
    """Return 2^x of a register for x <= 126; below -126, and for NaN, it is 2^-126."""
    bounded = maximum(x, spread(_LOWEST))
    whole = nearest(bounded)
    r = subtract(bounded, whole)
    power = multiply_add(spread(E4), r, spread(E3))
    power = multiply_add(power, r, spread(E2))
    power = multiply_add(power, r, spread(E1))
    return times_power_of_two(multiply_add(power, r, spread(E0)), whole)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def gelu(x: Any) -> Any:  # noqa: ANN401
    """Return x Phi(x) of a register, Phi being the normal distribution."""
    y = minimum(maximum(x, spread(_MINUS_END)), spread(_END))
    u = multiply(y, y)
    share = multiply_add(spread(G8), u, spread(G7))
    share = multiply_add(share, u, spread(G6))
    share = multiply_add(share, u, spread(G5))
    share = multiply_add(share, u, spread(G4))
    share = multiply_add(share, u, spread(G3))
    share = multiply_add(share, u, spread(G2))
    share = multiply_add(share, u, spread(G1))
    share = multiply_add(share, u, spread(G0))
    return multiply(x, multiply_add(y, share, spread(np.float32(0.5))))
