"""Compare page: two runs and what changed between them -> one HTML file without scripts that needs no other file."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.compare import EVENTS, Comparison
from topicflow.tasks.runs.history import RunRecord, called

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8884; }
"""

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
"""

MOST_MOVES = 100
"""Moves between two topics on the page, the largest first."""


def compare_page(first: RunRecord, second: RunRecord, changes: Comparison) -> str:
    """Return the page of two runs; every text of theirs is escaped."""
    title = f"{called(first)} and {called(second)}"
    moved = (
        f"{changes.n_moved:,} of the {changes.n_shared:,} documents of both runs moved to another topic; "
        f"{changes.n_only_first:,} documents are only in the first run, {changes.n_only_second:,} only in the second."
    )
    moves = [(place(one), place(other), n) for one, other, n in changes.moves.head(MOST_MOVES).iter_rows()]
    parts = [
        HEAD.format(title=_text(title), style=STYLE),
        f"<p>Topics: {_text(counted(changes))}.</p>\n<p>{_text(moved)}</p>\n",
        _section("Topics", ("event", "first", "second", "shared documents"), _topics(changes)),
        _section("Moves", ("from", "to", "documents"), moves),
        _section("Metrics", ("", called(first), called(second)), _metrics(first, second)),
        f"<h2>Config</h2>\n<pre>{_text(config_changes(first, second)) or 'the same'}</pre>\n",
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def write_page(page: str, output: Path, *, force: bool = False) -> None:
    """Write the page; raise ConfigError if the file exists already or cannot be written."""
    if output.exists() and not force:
        msg = f"{output} exists already; --force writes over it, --output names another"
        raise ConfigError(msg)
    try:
        output.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        msg = f"{output} cannot be written ({(error.strerror or str(error)).lower()}); name another file with --output"
        raise ConfigError(msg) from None


def counted(changes: Comparison) -> str:
    """Return how many topics had each event."""
    found = changes.events["event"].cast(str)
    counts = {event: int((found == event).sum()) for event in EVENTS}
    return ", ".join(f"{n:,} {event}" for event, n in counts.items() if n) or "none in either run"


def place(topic: int) -> str:
    """Return a document's place: a topic or none."""
    return "no topic" if topic < 0 else f"topic {topic}"


def config_changes(first: RunRecord, second: RunRecord) -> str:
    """Return the lines of the configs that differ, with - and +."""
    before, after = (str(record.get("config", "")).splitlines() for record in (first, second))
    lines = difflib.unified_diff(before, after, n=0, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _topics(changes: Comparison) -> Iterable[tuple[str, str, str, int]]:
    for row in changes.events.iter_rows(named=True):
        yield row["event"], _side(row, "first"), _side(row, "second"), row["n_shared"]


def _side(row: dict[str, Any], side: str) -> str:
    """Return number, name and size of a topic of one run; empty if it has none there."""
    return "" if row[side] is None else f"{row[side]}: {row[f'name_{side}']} ({row[f'size_{side}']:,})"


def _metrics(first: RunRecord, second: RunRecord) -> Iterable[tuple[Any, ...]]:
    both = [record.get("metrics", {}) for record in (first, second)]
    for name in dict.fromkeys([*both[0], *both[1]]):
        yield (name, *(_figure(metrics.get(name)) for metrics in both))


def _figure(value: Any) -> str:  # noqa: ANN401  (a metric of any flow)
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _section(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a heading and a table; numbers are at the right."""
    head = "".join(f'<th scope="col">{_text(each)}</th>' for each in heads)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'
    return f"<h2>{_text(title)}</h2>\n{table}\n"


def _cell(value: Any) -> str:  # noqa: ANN401  (a value of any type)
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{_text(str(value))}</td>"


def _text(value: str) -> str:
    return html.escape(value)
