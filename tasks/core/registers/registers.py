"""Registers: sixteen float32 as one value in compiled code, with the operations of a wide register.

Numba has no such type, and LLVM takes half of the width that these processors have. Addresses are integers; nothing is
checked. Functions import this module when they run, because importing numba takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

LANES = 16
"""float32 in a register."""

_SHORT, _INT, _LONG, _FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


class _HalfType(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat16, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _HalfType)

    def __hash__(self) -> int:
        return hash(_HalfType)


_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_SHORTS, _HALVES = ir.VectorType(_SHORT, LANES), ir.VectorType(_HalfType(), LANES)


class FloatsType(types.Type):  # type: ignore[misc]
    """Numba's type of a register of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name="Floats16")


@register_model(FloatsType)
class _FloatsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:  # noqa: ANN401
        super().__init__(manager, kind, _FLOATS)


floats = FloatsType()
Generate = Callable[[ir.IRBuilder, Any], ir.Value]


def generated(result: Any, arguments: tuple[Any, ...], generate: Generate) -> tuple[Any, Any]:  # noqa: ANN401
    """Return what an intrinsic returns: its signature, and the code from a builder and the arguments' values."""

    def code(_context: Any, builder: ir.IRBuilder, _signature: Any, values: Any) -> ir.Value:  # noqa: ANN401
        return generate(builder, values)

    return result(*arguments), code


def called(builder: ir.IRBuilder, name: str, result: ir.Type, values: list[ir.Value]) -> ir.Value:
    """Call one of LLVM's own functions."""
    known = builder.module.globals.get(name)
    kinds = [value.type for value in values]
    return builder.call(
        known or ir.Function(builder.module, ir.FunctionType(result, kinds), name), list(values)
    )


def writes(arguments: tuple[Any, ...], write: Callable[[ir.IRBuilder, Any], object]) -> tuple[Any, Any]:
    """Return what an intrinsic returns that only writes, or asks for memory: it gives the number 0."""

    def code(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        write(builder, values)
        return _INT(0)

    return generated(types.int32, arguments, code)


def place_of(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type) -> ir.Value:
    """Return an address as a pointer to a kind of value."""
    return builder.inttoptr(address, kind.as_pointer())


def _filled(value: int) -> ir.Value:
    return ir.Constant(_INTS, [value] * LANES)


def in_all_lanes(builder: ir.IRBuilder, value: ir.Value, kind: ir.Type) -> ir.Value:
    """Return a register with one value in all lanes."""
    empty = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(empty, value, _INT(0)), empty, _filled(0))


def _shuffled(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: list[int]) -> ir.Value:
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


@intrinsic  # type: ignore[untyped-decorator]
def load(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Return the sixteen float32 at an address."""
    return generated(floats, (address,), lambda b, v: b.load(place_of(b, v[0], _FLOATS), align=4))


@intrinsic  # type: ignore[untyped-decorator]
def store(_typing: Any, address: Any, x: Any) -> Any:  # noqa: ANN401
    """Write a register to an address."""
    return writes((address, x), lambda b, v: b.store(v[1], place_of(b, v[0], _FLOATS), align=4))


@intrinsic  # type: ignore[untyped-decorator]
def store_halves(_typing: Any, address: Any, x: Any) -> Any:  # noqa: ANN401
    """Write a register to an address as sixteen bfloat16, rounded to the nearest."""

    def write(builder: ir.IRBuilder, values: Any) -> None:  # noqa: ANN401
        halves = builder.bitcast(builder.fptrunc(values[1], _HALVES), _SHORTS)
        builder.store(halves, place_of(builder, values[0], _SHORTS), align=2)

    return writes((address, x), write)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def address(array: NDArray[Any]) -> Any:  # noqa: ANN401
    """Return the address of an array's first value, signed: numba makes a float of a signed and an unsigned one."""
    return np.int64(array.ctypes.data)


def _fetches(address: Any, closeness: int) -> tuple[Any, Any]:  # noqa: ANN401
    """Return what asks for the cache line at an address: 3 into the first cache, 2 into the second."""

    def write(builder: ir.IRBuilder, values: Any) -> None:  # noqa: ANN401
        place = place_of(builder, values[0], ir.IntType(8))
        called(builder, "llvm.prefetch.p0", ir.VoidType(), [place, _INT(0), _INT(closeness), _INT(1)])

    return writes((address,), write)


@intrinsic  # type: ignore[untyped-decorator]
def fetch(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Ask for the cache line at an address, which arrives while the code goes on; no address is an error."""
    return _fetches(address, 3)


@intrinsic  # type: ignore[untyped-decorator]
def fetch_later(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Ask for the cache line at an address, into the second cache, which takes more of them at a time."""
    return _fetches(address, 2)


@intrinsic  # type: ignore[untyped-decorator]
def number_at(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Return the unsigned number of four bytes at an address."""
    return generated(
        types.int64, (address,), lambda b, v: b.zext(b.load(place_of(b, v[0], _INT), align=1), _LONG)
    )


@intrinsic  # type: ignore[untyped-decorator]
def move(_typing: Any, target: Any, source: Any, _n_bytes: Any) -> Any:  # noqa: ANN401
    """Copy bytes from one address to another; the two ranges may overlap."""

    def write(builder: ir.IRBuilder, values: Any) -> None:  # noqa: ANN401
        places = [place_of(builder, place, ir.IntType(8)) for place in values[:2]]
        called(builder, "llvm.memmove.p0.p0.i64", ir.VoidType(), [*places, values[2], ir.IntType(1)(0)])

    return writes((target, source, types.int64), write)


@intrinsic  # type: ignore[untyped-decorator]
def larger(_typing: Any, address: Any, _bar: Any) -> Any:  # noqa: ANN401
    """Return which of the 32 int32 at an address are larger than an int32, one bit for each."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        bars = in_all_lanes(builder, values[1], _INTS)
        low, high = (
            builder.bitcast(
                builder.icmp_signed(
                    ">",
                    builder.load(place_of(builder, builder.add(values[0], _LONG(offset)), _INTS), align=4),
                    bars,
                ),
                _SHORT,
            )
            for offset in (0, 64)
        )
        return builder.or_(builder.zext(low, _LONG), builder.shl(builder.zext(high, _LONG), _LONG(LANES)))

    return generated(types.int64, (address, types.int32), generate)


@intrinsic  # type: ignore[untyped-decorator]
def flagged(_typing: Any, address: Any, _flag: Any) -> Any:  # noqa: ANN401
    """Return which of the 32 bytes at an address have a flag, a byte with one bit, as one bit for each."""
    byte = ir.IntType(8)
    kind = ir.VectorType(byte, 32)

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        empty = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(empty, values[1], _INT(0))
        flags = builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INT, 32), [0] * 32))
        common = builder.and_(builder.load(place_of(builder, values[0], kind), align=1), flags)
        found = builder.icmp_unsigned("!=", common, ir.Constant(kind, [0] * 32))
        return builder.zext(builder.bitcast(found, _INT), _LONG)

    return generated(types.int64, (address, types.uint8), generate)


@intrinsic  # type: ignore[untyped-decorator]
def first_bit(_typing: Any, _bits: Any) -> Any:  # noqa: ANN401
    """Return the number of the lowest bit that is set."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return generated(types.int64, (types.int64,), generate)


@intrinsic  # type: ignore[untyped-decorator]
def spread(_typing: Any, _value: Any) -> Any:  # noqa: ANN401
    """Return a register with one float32 in all lanes."""
    return generated(floats, (types.float32,), lambda b, v: in_all_lanes(b, v[0], _FLOATS))


@intrinsic  # type: ignore[untyped-decorator]
def add(_typing: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return x + y."""
    return generated(floats, (x, y), lambda b, v: b.fadd(*v))


@intrinsic  # type: ignore[untyped-decorator]
def subtract(_typing: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return x - y."""
    return generated(floats, (x, y), lambda b, v: b.fsub(*v))


@intrinsic  # type: ignore[untyped-decorator]
def multiply(_typing: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return x y."""
    return generated(floats, (x, y), lambda b, v: b.fmul(*v))


@intrinsic  # type: ignore[untyped-decorator]
def multiply_add(_typing: Any, x: Any, y: Any, z: Any) -> Any:  # noqa: ANN401
    """Return x y + z, rounded once."""
    return generated(floats, (x, y, z), lambda b, v: called(b, "llvm.fma.v16f32", _FLOATS, v))


@intrinsic  # type: ignore[untyped-decorator]
def maximum(_typing: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return the larger value of each lane; y where one is NaN, as the processor's instruction does."""
    return generated(floats, (x, y), lambda b, v: b.select(b.fcmp_ordered(">", *v), *v))


@intrinsic  # type: ignore[untyped-decorator]
def minimum(_typing: Any, x: Any, y: Any) -> Any:  # noqa: ANN401
    """Return the smaller value of each lane; y where one is NaN, as the processor's instruction does."""
    return generated(floats, (x, y), lambda b, v: b.select(b.fcmp_ordered("<", *v), *v))


@intrinsic  # type: ignore[untyped-decorator]
def nearest(_typing: Any, x: Any) -> Any:  # noqa: ANN401
    """Return the nearest whole numbers."""
    return generated(floats, (x,), lambda b, v: called(b, "llvm.rint.v16f32", _FLOATS, v))


@intrinsic  # type: ignore[untyped-decorator]
def times_power_of_two(_typing: Any, x: Any, whole: Any) -> Any:  # noqa: ANN401
    """Return x times 2 to a whole number, for x in [.5, 2] and numbers in [-126, 126]."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        exponent = builder.shl(builder.fptosi(values[1], _INTS), _filled(23))
        return builder.bitcast(builder.add(builder.bitcast(values[0], _INTS), exponent), _FLOATS)

    return generated(floats, (x, whole), generate)


@intrinsic  # type: ignore[untyped-decorator]
def first_lanes(_typing: Any, x: Any, n: Any, y: Any) -> Any:  # noqa: ANN401
    """Return the first n lanes of x and the others of y."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        lanes = ir.Constant(_INTS, list(range(LANES)))
        bound = in_all_lanes(builder, builder.trunc(values[1], _INT), _INTS)
        return builder.select(builder.icmp_signed("<", lanes, bound), values[0], values[2])

    return generated(floats, (x, n, y), generate)


def folded(builder: ir.IRBuilder, x: ir.Value, join: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    """Return the value of all lanes: the halves of a register are joined until one lane is left."""
    for half in (8, 4, 2, 1):
        low, high = (_shuffled(builder, x, x, list(range(start, start + half))) for start in (0, half))
        x = join(low, high)
    return builder.extract_element(x, _INT(0))


@intrinsic  # type: ignore[untyped-decorator]
def total(_typing: Any, x: Any) -> Any:  # noqa: ANN401
    """Return the sum of the lanes."""
    return generated(types.float32, (x,), lambda b, v: folded(b, v[0], b.fadd))


@intrinsic  # type: ignore[untyped-decorator]
def largest(_typing: Any, x: Any) -> Any:  # noqa: ANN401
    """Return the largest lane."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        return folded(
            builder,
            values[0],
            lambda low, high: builder.select(builder.fcmp_ordered(">", low, high), low, high),
        )

    return generated(types.float32, (x,), generate)


@intrinsic  # type: ignore[untyped-decorator]
def transpose(_typing: Any, source: Any, stride: Any, target: Any) -> Any:  # noqa: ANN401
    """Write sixteen rows of sixteen 32-bit values, `stride` bytes apart, as columns, 64 bytes apart."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        first, step, place = values
        addresses = [builder.add(first, builder.mul(step, _LONG(row))) for row in range(LANES)]
        rows = [builder.load(place_of(builder, address, _INTS), align=2) for address in addresses]
        for half in (8, 4, 2, 1):  # exchange the blocks of this size that lie across the diagonal
            upper = [lane if not lane & half else LANES + (lane ^ half) for lane in range(LANES)]
            lower = [lane | half if not lane & half else LANES + lane for lane in range(LANES)]
            for row in range(LANES):
                if not row & half:
                    pair = rows[row], rows[row | half]
                    rows[row], rows[row | half] = (
                        _shuffled(builder, *pair, upper),
                        _shuffled(builder, *pair, lower),
                    )
        for number, row in enumerate(rows):
            builder.store(row, place_of(builder, builder.add(place, _LONG(64 * number)), _INTS), align=4)
        return _INT(0)

    return generated(types.int32, (source, stride, target), generate)


@intrinsic  # type: ignore[untyped-decorator]
def pair_rows(_typing: Any, one: Any, other: Any, target: Any) -> Any:  # noqa: ANN401
    """Write sixteen 16-bit values of two rows in turn."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        low, high = (
            builder.zext(builder.load(place_of(builder, address, _SHORTS), align=2), _INTS)
            for address in values[:2]
        )
        paired = builder.or_(low, builder.shl(high, _filled(16)))
        builder.store(paired, place_of(builder, values[2], _INTS), align=4)
        return _INT(0)

    return generated(types.int32, (one, other, target), generate)


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """Return zeros whose first address is a multiple of 64 bytes: a tile's rows then lie in one cache line each."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    held = np.zeros(n_bytes + 64, np.uint8)
    begin = -held.ctypes.data % 64
    found: NDArray[Any] = held[begin : begin + n_bytes].view(dtype).reshape(shape)
    return found
