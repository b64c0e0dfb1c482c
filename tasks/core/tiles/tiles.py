"""Tiles: the instructions of AMX for products of bfloat16 and of int8, by their LLVM names.

A tile has sixteen rows of 64 bytes: 32 bfloat16 or 64 int8 of the left side, sixteen float32 or int32 of sums, or, on
the right side, sixteen columns of two neighbouring bfloat16 or four int8. Tiles 0 to 3 are sums, 4 and 5 left sides, 6
and 7 right sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from topicflow.tasks.core.registers.registers import called, generated

ROWS, WIDTH, TILE = 16, 32, 1024
"""Rows of a tile, bfloat16 in a row of it, and its bytes."""

_LONG, _NUMBER, _NOTHING = ir.IntType(64), ir.IntType(8), ir.VoidType()
_ADDRESS = _NUMBER.as_pointer()
_DONE = ir.Constant(ir.IntType(32), 0)


def _shapes() -> NDArray[np.uint8]:
    """Return what `ldtilecfg` reads: eight tiles of sixteen rows of 64 bytes."""
    shapes = np.zeros(64, np.uint8)
    shapes[0] = 1
    shapes[16:32:2] = 64
    shapes[48:56] = ROWS
    return shapes


SHAPES = _shapes()


def _clear(builder: ir.IRBuilder, *numbers: int) -> None:
    for number in numbers:
        called(builder, "llvm.x86.tilezero", _NOTHING, [_NUMBER(number)])


def _load(builder: ir.IRBuilder, number: int, address: ir.Value, stride: ir.Value) -> None:
    place = builder.inttoptr(address, _ADDRESS)
    called(builder, "llvm.x86.tileloadd64", _NOTHING, [_NUMBER(number), place, stride])


def _store(builder: ir.IRBuilder, number: int, address: ir.Value, stride: ir.Value) -> None:
    place = builder.inttoptr(address, _ADDRESS)
    called(builder, "llvm.x86.tilestored64", _NOTHING, [_NUMBER(number), place, stride])


def _multiply(builder: ir.IRBuilder, sums: int, left: int, right: int, name: str = "tdpbf16ps") -> None:
    numbers = [_NUMBER(number) for number in (sums, left, right)]
    called(builder, f"llvm.x86.{name}", _NOTHING, numbers)


@intrinsic  # type: ignore[untyped-decorator]
def start_tiles(_typing: Any, shapes: Any) -> Any:  # noqa: ANN401
    """Give this thread's tiles their shapes, from the address of `SHAPES`."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        called(builder, "llvm.x86.ldtilecfg", _NOTHING, [builder.inttoptr(values[0], _ADDRESS)])
        return _DONE

    return generated(types.int32, (shapes,), generate)


@intrinsic  # type: ignore[untyped-decorator]
def end_tiles(_typing: Any) -> Any:  # noqa: ANN401
    """Give up this thread's tiles, so that the system need not keep them."""

    def generate(builder: ir.IRBuilder, _values: Any) -> ir.Value:  # noqa: ANN401
        called(builder, "llvm.x86.tilerelease", _NOTHING, [])
        return _DONE

    return generated(types.int32, (), generate)


@intrinsic  # type: ignore[untyped-decorator]
def clear_sums(_typing: Any) -> Any:  # noqa: ANN401
    """Set the four sums to zero."""

    def generate(builder: ir.IRBuilder, _values: Any) -> ir.Value:  # noqa: ANN401
        _clear(builder, 0, 1, 2, 3)
        return _DONE

    return generated(types.int32, (), generate)


def _four_products(instruction: str) -> Any:  # noqa: ANN401
    """Return what adds the products of two left and two right tiles, which lie next to each other, to the four sums."""

    @intrinsic  # type: ignore[untyped-decorator]
    def add_products(_typing: Any, left: Any, below: Any, right: Any) -> Any:  # noqa: ANN401
        def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
            dense = _LONG(64)
            _load(builder, 4, values[0], dense)
            _load(builder, 6, values[2], dense)
            _load(builder, 7, builder.add(values[2], _LONG(TILE)), dense)
            _load(builder, 5, values[1], dense)
            for numbers in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7)):
                _multiply(builder, *numbers, instruction)
            return _DONE

        return generated(types.int32, (left, below, right), generate)

    return add_products


add_four_products = _four_products("tdpbf16ps")
"""The same for bfloat16, by the addresses of the left tile, of the one below it, and of the right ones."""

add_four_code_products = _four_products("tdpbssd")
"""The same for int8; the sums are exact int32."""


@intrinsic  # type: ignore[untyped-decorator]
def store_four_sums(_typing: Any, target: Any) -> Any:  # noqa: ANN401
    """Write the four sums as 32 rows of 32 float32."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        for number, offset in enumerate((0, 64, 2 * TILE, 2 * TILE + 64)):
            _store(builder, number, builder.add(values[0], _LONG(offset)), _LONG(128))
        return _DONE

    return generated(types.int32, (target,), generate)


@intrinsic  # type: ignore[untyped-decorator]
def add_one_product(_typing: Any, left: Any, stride: Any, right: Any) -> Any:  # noqa: ANN401
    """Add the product of a left tile, its rows `stride` bytes apart, and a right tile to the first sum."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        _load(builder, 4, values[0], values[1])
        _load(builder, 6, values[2], _LONG(64))
        _multiply(builder, 0, 4, 6)
        return _DONE

    return generated(types.int32, (left, stride, right), generate)


@intrinsic  # type: ignore[untyped-decorator]
def store_one_sum(_typing: Any, target: Any, stride: Any) -> Any:  # noqa: ANN401
    """Write the first sum as sixteen rows of sixteen float32, `stride` bytes apart."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        _store(builder, 0, *values)
        return _DONE

    return generated(types.int32, (target, stride), generate)


@intrinsic  # type: ignore[untyped-decorator]
def add_two_products(_typing: Any, left: Any, right: Any) -> Any:  # noqa: ANN401
    """Add the products of a left tile and two right tiles, which lie next to each other, to the first two sums."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        _load(builder, 4, values[0], _LONG(64))
        _load(builder, 6, values[1], _LONG(64))
        _load(builder, 7, builder.add(values[1], _LONG(TILE)), _LONG(64))
        _multiply(builder, 0, 4, 6)
        _multiply(builder, 1, 4, 7)
        return _DONE

    return generated(types.int32, (left, right), generate)


@intrinsic  # type: ignore[untyped-decorator]
def store_two_sums(_typing: Any, target: Any) -> Any:  # noqa: ANN401
    """Write the first two sums as sixteen rows of 32 float32."""

    def generate(builder: ir.IRBuilder, values: Any) -> ir.Value:  # noqa: ANN401
        for number, offset in enumerate((0, 64)):
            _store(builder, number, builder.add(values[0], _LONG(offset)), _LONG(128))
        return _DONE

    return generated(types.int32, (target,), generate)
