"""Sums: blocks of exact products of integers by VNNI, whose instructions add products of two int16 or of four bytes.

Both read 32 bits of the left side and 32 bits of each of sixteen columns at a time, a group: two int16, or four bytes,
which are unsigned on the left. The sums of a block stay in registers until all groups are added.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from topicflow.tasks.core.registers.registers import (
    called,
    floats,
    folded,
    generated,
    in_all_lanes,
    place_of,
    writes,
)

binding.initialize_native_asmparser()  # the instructions are given by name

ROWS, LANES = 12, 16
"""Rows of a block, and columns of a panel; a block has the columns of two panels: its sums fill 24 registers."""

PANEL_BYTES = 4 * LANES
"""Bytes of a panel's columns in one group."""

SUM_BYTES = 4 * ROWS * 2 * LANES
"""Bytes of a block's sums."""

_INT, _LONG, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_INT, LANES), ir.VectorType(_FLOAT, LANES)
_SHORTS, _BYTES = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(8), LANES)

_STEP = ir.FunctionType(_INTS, [_INTS, _INTS, _INTS])


def _step(
    builder: ir.IRBuilder, instruction: str, sums: ir.Value, left: ir.Value, right: ir.Value
) -> ir.Value:
    """Return sums to which an instruction has added the products of two registers."""
    return builder.asm(_STEP, f"{instruction} $3, $2, $0", "=v,0,v,v", [sums, left, right], False)


def _read(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, offset: int = 0) -> ir.Value:
    """Return what is at an address, which need not be aligned."""
    return builder.load(place_of(builder, builder.add(address, _LONG(offset)), kind), align=1)


def _write_sums(builder: ir.IRBuilder, instruction: str, values: Any) -> None:  # noqa: ANN401
    """Write a block's sums: a loop over the groups, whose sums are 24 values of the loop."""
    left, stride, right, gap, n, first, out = values
    before = builder.block
    loop, after = builder.append_basic_block("groups"), builder.append_basic_block("summed")
    begin = [_read(builder, first, _INTS, 64 * half) for half in range(2)]
    rows = [builder.add(left, builder.mul(stride, _LONG(row))) for row in range(ROWS)]
    builder.branch(loop)
    builder.position_at_end(loop)
    group = builder.phi(_LONG)
    sums = [builder.phi(_INTS) for _ in range(2 * ROWS)]
    panel = builder.add(right, builder.mul(group, _LONG(PANEL_BYTES)))
    columns = [_read(builder, place, _INTS) for place in (panel, builder.add(panel, gap))]
    offset = builder.mul(group, _LONG(4))
    added = list[ir.Value]()
    for row in range(ROWS):
        value = in_all_lanes(builder, _read(builder, builder.add(rows[row], offset), _INT), _INTS)
        for half in range(2):
            added.append(_step(builder, instruction, sums[len(added)], value, columns[half]))
    following = builder.add(group, _LONG(1))
    builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
    group.add_incoming(_LONG(0), before)
    group.add_incoming(following, loop)
    for number, (kept, new) in enumerate(zip(sums, added, strict=True)):
        kept.add_incoming(begin[number % 2], before)
        kept.add_incoming(new, loop)
    builder.position_at_end(after)
    for number, new in enumerate(added):
        place = builder.add(out, _LONG(64 * number))
        builder.store(new, place_of(builder, place, _INTS), align=4)


def _block_sums(instruction: str) -> Any:  # noqa: ANN401
    """Return what writes the sums of a block, by one instruction.

    LLVM has functions for these instructions, but makes two of `vpdpwssd` for some Xeons, which takes twice as long
    (findings/llvm_splits_vpdpwssd.sh).
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def sums(_typing: Any, left: Any, stride: Any, right: Any, gap: Any, n: Any, first: Any, out: Any) -> Any:  # noqa: ANN401
        kinds = (left, stride, right, gap, n, first, out)
        return writes(kinds, lambda b, v: _write_sums(b, instruction, v))

    return sums


sum_words = _block_sums("vpdpwssd")
"""Write the sums of `ROWS` rows of int16, `stride` bytes apart, and the columns of two panels of int16.

`(left, stride, right, gap, n, first, out)`: addresses of the rows and of the first panel, the bytes to the second
one, the groups, at least one, and the addresses of 32 int32 from which each row's sums start, and of the
sums (12, 32) int32.
"""

sum_bytes = _block_sums("vpdpbusd")
"""The same for rows of unsigned bytes and panels of int8."""


@intrinsic  # type: ignore[untyped-decorator]
def load_sums(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Return the sixteen int32 at an address as float32."""
    return generated(floats, (address,), lambda b, v: b.sitofp(_read(b, v[0], _INTS), _FLOATS))


def _stores(arguments: tuple[Any, ...], kind: ir.Type) -> tuple[Any, Any]:
    """Return what writes a register to an address as whole numbers of a kind, rounded to the nearest."""

    def write(builder: ir.IRBuilder, values: Any) -> None:  # noqa: ANN401
        whole = builder.fptosi(called(builder, "llvm.rint.v16f32", _FLOATS, [values[1]]), _INTS)
        builder.store(builder.trunc(whole, kind), place_of(builder, values[0], kind), align=1)

    return writes(arguments, write)


@intrinsic  # type: ignore[untyped-decorator]
def store_words(_typing: Any, address: Any, x: Any) -> Any:  # noqa: ANN401
    """Write a register to an address as sixteen int16, rounded to the nearest."""
    return _stores((address, x), _SHORTS)


@intrinsic  # type: ignore[untyped-decorator]
def store_bytes(_typing: Any, address: Any, x: Any) -> Any:  # noqa: ANN401
    """Write a register to an address as sixteen unsigned bytes, rounded to the nearest."""
    return _stores((address, x), _BYTES)


@intrinsic  # type: ignore[untyped-decorator]
def absolute(_typing: Any, x: Any) -> Any:  # noqa: ANN401
    """Return the absolute values."""
    return generated(floats, (x,), lambda b, v: called(b, "llvm.fabs.v16f32", _FLOATS, v))


@intrinsic  # type: ignore[untyped-decorator]
def store_float(_typing: Any, address: Any, _value: Any) -> Any:  # noqa: ANN401
    """Write a float32 to an address."""
    return writes((address, types.float32), lambda b, v: b.store(v[1], place_of(b, v[0], _FLOAT), align=4))


@intrinsic  # type: ignore[untyped-decorator]
def float_at(_typing: Any, address: Any) -> Any:  # noqa: ANN401
    """Return the float32 at an address."""
    return generated(types.float32, (address,), lambda b, v: _read(b, v[0], _FLOAT))


@intrinsic  # type: ignore[untyped-decorator]
def code_product(_typing: Any, left: Any, right: Any, _n: Any) -> Any:  # noqa: ANN401
    """Return the product of two codes, rows of 64 n int8 at addresses; n is at least one.

    The instruction takes one side as unsigned: 128 is added to it, and 128 times the other side is summed as well.
    """

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        left, right, n = values
        before = builder.block
        loop, after = builder.append_basic_block("bytes"), builder.append_basic_block("summed")
        middle = ir.Constant(_INTS, [-0x7F7F7F80] * LANES)  # 128 in each byte
        builder.branch(loop)
        builder.position_at_end(loop)
        at, sums, shift = builder.phi(_LONG), builder.phi(_INTS), builder.phi(_INTS)
        offset = builder.mul(at, _LONG(64))
        one, other = (_read(builder, builder.add(side, offset), _INTS) for side in (left, right))
        new_sums = _step(builder, "vpdpbusd", sums, builder.xor(one, middle), other)
        new_shift = _step(builder, "vpdpbusd", shift, middle, other)
        following = builder.add(at, _LONG(1))
        builder.cbranch(builder.icmp_signed("<", following, n), loop, after)
        for found, new in ((at, following), (sums, new_sums), (shift, new_shift)):
            found.add_incoming(ir.Constant(new.type, None), before)
            found.add_incoming(new, loop)
        builder.position_at_end(after)
        return folded(builder, builder.sub(new_sums, new_shift), builder.add)

    return generated(types.int32, (left, right, types.int64), generate)
