"""Dumps of Stack Exchange (Posts.xml, Comments.xml): XML with a `row` for each post -> one lazy table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as ET

import polars as pl

from topicflow.tasks.documents.formats.spooled import spooled_frames
from topicflow.tasks.documents.formats.streams import open_bytes
from topicflow.tasks.errors import DataError, first_line

_PART_ROWS = 5_000

_NUMBERS = ("Score", "ViewCount", "AnswerCount", "CommentCount", "FavoriteCount", "Count")
"""Attributes that are numbers; ids are texts."""


def scan_post_files(paths: list[Path], scratch: Path, limit: int | None = None) -> pl.LazyFrame:
    """Return the table of the rows of dumps, in which each attribute is a column; memory is one part.

    Raises
    ------
    DataError
        If a file is no XML, or has no rows.
    """
    frames, names = [], dict[str, None]()
    rows = islice((row for path in paths for row in _rows(path)), limit)
    while part := list(islice(rows, _PART_ROWS)):
        own = dict.fromkeys(name for row in part for name in row)
        names |= own
        frame = pl.DataFrame(part, schema=dict.fromkeys(own, pl.String))
        frames.append(spooled_frames([frame], frame.schema, scratch))
    if not frames:
        msg = f"load: {paths[0]}: no element <row …>; expected a dump of Stack Exchange such as Posts.xml"
        raise DataError(msg)
    table = pl.concat(frames, how="diagonal")
    return table.with_columns(pl.col(name).cast(pl.Int64, strict=False) for name in _NUMBERS if name in names)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with open_bytes(path) as file:
        try:
            root = None
            for event, element in ET.iterparse(file, events=("start", "end")):  # noqa: S314  (expat bounds entities)
                root = element if root is None else root
                if event == "end" and element.tag == "row":
                    yield dict(element.attrib)
                    root.clear()
        except ET.ParseError as error:
            msg = f"load: {path}: no XML ({first_line(error)}); download it again"
            raise DataError(msg) from None
