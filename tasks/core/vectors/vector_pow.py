"""Powers: x^b of float32 in arithmetic that compilers vectorise; a call to `pow` would keep a loop scalar."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_INT, _FLOAT = ir.IntType(32), ir.FloatType()
_BIAS = 127


@intrinsic  # type: ignore[untyped-decorator]
def _exponent(typing_context: Any, x: Any) -> Any:  # noqa: ANN401, ARG001
    """Return the exponent of a positive float32, as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001
        bits = builder.bitcast(arguments[0], _INT)
        return builder.sitofp(builder.sub(builder.lshr(bits, _INT(23)), _INT(_BIAS)), _FLOAT)

    return types.float32(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _mantissa(typing_context: Any, x: Any) -> Any:  # noqa: ANN401, ARG001
    """Return the mantissa of a positive float32, in [1, 2)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001
        bits = builder.bitcast(arguments[0], _INT)
        return builder.bitcast(builder.or_(builder.and_(bits, _INT(0x7FFFFF)), _INT(_BIAS << 23)), _FLOAT)

    return types.float32(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _power_of_two(typing_context: Any, whole: Any) -> Any:  # noqa: ANN401, ARG001
    """Return 2 to a whole float32 in [-126, 127]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401, ARG001
        exponent = builder.add(builder.fptosi(arguments[0], _INT), _INT(_BIAS))
        return builder.bitcast(builder.shl(exponent, _INT(23)), _FLOAT)

    return types.float32(types.float32), generate


@njit(inline="always", fastmath=True, error_model="numpy")  # type: ignore[untyped-decorator]
def power(x: np.float32, b: np.float32) -> np.float32:
    """Return x^b for x >= 0 and 0 < b <= 1, to 1 in 100,000; 0^b is below 1e-26 for b >= .7.

    Notes
    -----
    Polynomials of degree six for log2 of the mantissa and of degree five for 2 to the power of the fraction.
    """
    m = _mantissa(x) - np.float32(1.0)
    log = np.float32(-0.02579235)
    log = log * m + np.float32(0.12147295)
    log = log * m + np.float32(-0.27734165)
    log = log * m + np.float32(0.45715812)
    log = log * m + np.float32(-0.71803359)
    log = log * m + np.float32(1.44253478)
    exponent = b * (_exponent(x) + log * m)
    whole = np.floor(exponent)
    r = exponent - whole
    fraction = np.float32(0.0018854)
    fraction = fraction * r + np.float32(0.0089729)
    fraction = fraction * r + np.float32(0.0558366)
    fraction = fraction * r + np.float32(0.24015244)
    fraction = fraction * r + np.float32(0.69315254)
    result: np.float32 = _power_of_two(whole) * (fraction * r + np.float32(1.0))
    return result
