"""Memo: results inside a stage that other settings of one process need again, such as a graph of reduced vectors.

Only a sweep remembers them: elsewhere each stage runs once, and the memory is worth more. Results do not depend on it.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

MOST = 4
"""Results that are kept, the last used ones: settings with the same reduced vectors come one after another."""

_Result = TypeVar("_Result")

_kept: OrderedDict[Hashable, Any] = OrderedDict()
_depth = [0]


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Keep the last results of `remembered` until the outermost block ends."""
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1
        if not _depth[0]:
            _kept.clear()


def remembered(key: Callable[[], Hashable], compute: Callable[[], _Result]) -> _Result:
    """Return the result of `compute`, from an earlier call with an equal key if this process remembers results."""
    if not _depth[0]:
        return compute()
    found = key()
    if found not in _kept:
        _kept[found] = compute()
    _kept.move_to_end(found)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    result: _Result = _kept[found]
    return result
