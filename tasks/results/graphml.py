"""GraphML: nodes and edges as tables -> one file that networkx and Gephi open, written row by row.

Every key has the name of its attribute as its id. Gephi looks at the id first and takes `d3` for the label of a node
and `d7` for that of an edge, as yEd writes them, so that numbered keys would show a column as the label (read in the
source of its importer, not tried).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import polars as pl

NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain in any form."""

RETURN = {"\r": "&#13;"}
"""A carriage return as it is, which a reader would turn into a line feed (findings/networkx_graphml_texts.sh)."""

TYPES: tuple[tuple[tuple[type[pl.DataType], ...], str], ...] = (
    ((pl.Boolean,), "boolean"),
    ((pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16), "int"),
    ((pl.Int64, pl.UInt32, pl.UInt64), "long"),
    ((pl.Float32, pl.Float64, pl.Decimal), "double"),
)
"""Types of GraphML for types of columns; all others are texts."""

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
)  # fmt: skip


def write_graphml(path: Path, nodes: Iterable[pl.DataFrame], edges: Iterable[pl.DataFrame]) -> None:
    """Write an undirected graph.

    Parameters
    ----------
    path : Path
    nodes : iterable of pl.DataFrame
        Tables with `id` and attributes; null, NaN and infinite numbers are left out. Columns may differ.
    edges : iterable of pl.DataFrame
        Tables with `source`, `target` and attributes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    nodes, edges = list(nodes), list(edges)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(HEAD)
        file.writelines(_keys(nodes, "node", ("id",)))
        file.writelines(_keys(edges, "edge", ("source", "target")))
        file.write('<graph edgedefault="undirected">\n')
        for table in nodes:
            file.writelines(_nodes(table))
        for table in edges:
            file.writelines(_edges(table))
        file.write("</graph>\n</graphml>\n")


def plain_text(value: str) -> str:
    """Return a text without the characters that XML cannot contain."""
    return NOT_IN_XML.sub("", value)


def _keys(tables: list[pl.DataFrame], of: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the declaration of each attribute, a text if tables disagree; ids of those of edges begin with `edge:`."""
    known: dict[str, str] = {}
    for table in tables:
        for name, dtype in table.schema.items():
            if name not in names:
                known[name] = _type(dtype) if known.get(name, _type(dtype)) == _type(dtype) else "string"
    for name, kind in known.items():
        title, key = quoteattr(plain_text(name)), quoteattr(_key(name, of))
        yield f'<key id={key} for="{of}" attr.name={title} attr.type="{kind}"/>\n'


def _key(name: str, of: str) -> str:
    return plain_text(name if of == "node" else f"edge:{name}")


def _type(dtype: pl.DataType) -> str:
    return next((name for kinds, name in TYPES if isinstance(dtype, kinds)), "string")


def _nodes(table: pl.DataFrame) -> Iterator[str]:
    for row in table.iter_rows(named=True):
        own = quoteattr(plain_text(row.pop("id")))
        yield f"<node id={own}>{_data(row, 'node')}</node>\n"


def _edges(table: pl.DataFrame) -> Iterator[str]:
    for row in table.iter_rows(named=True):
        ends = [quoteattr(plain_text(row.pop(end))) for end in ("source", "target")]
        yield f"<edge source={ends[0]} target={ends[1]}>{_data(row, 'edge')}</edge>\n"


def _data(row: dict[str, object], of: str) -> str:
    return "".join(
        f"<data key={quoteattr(_key(name, of))}>{escape(plain_text(_text(value)), RETURN)}</data>"
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
