"""Lost weights: the loading of a model -> the weights that its files lack, which transformers would fill at random.

transformers only logs such weights. The vectors would be noise, other ones in each process.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence

from topicflow.tasks.errors import ConfigError

UNUSED = ("pooler.",)
"""Beginnings of the names of weights that no vector depends on; many models lack them."""


class _Reports(logging.Handler):
    """Keeps the messages of a logger."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def lost_weights() -> Iterator[list[str]]:
    """Yield a list that has, after the block, the names of weights that models loaded in the block lack.

    transformers prints nothing during the block, and only errors after it.
    """
    from transformers.utils import logging as transformers_logging

    found: list[str] = []
    reports, logger = _Reports(), logging.getLogger("transformers")
    before, logger.handlers = logger.handlers, [reports]
    transformers_logging.set_verbosity_warning()  # type: ignore[no-untyped-call]
    try:
        yield found
    finally:
        logger.handlers = before
        transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        for message in reports.messages:
            found.extend(_missing(message))


def refuse_lost(lost: Sequence[str], where: str) -> None:
    """Raise ConfigError, with `where` as the beginning of its message, if a model lacks weights."""
    if lost:
        msg = (
            f"{where} lacks weights of its model ({len(lost):,}, such as {lost[0]}), so that its numbers would be "
            "random; download the model again, or name another one"
        )
        raise ConfigError(msg)


def _missing(report: str) -> Iterator[str]:
    """Yield the weights that a report of transformers has as missing: lines `name | MISSING | …`."""
    for line in report.split("\nNotes:", maxsplit=1)[0].splitlines():
        name, _, status = line.partition("|")
        if "MISSING" in status and not name.strip().startswith(UNUSED):
            yield name.strip()
