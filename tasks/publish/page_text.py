"""Page text: a run's record and topics -> the Markdown that Prefect's pages show of it.

The report is a file on the machine of the run, which a page in the browser cannot open: its head is shown instead.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from topicflow.tasks.runs.history import is_held

FIGURES = ("outlier_share", "stability", "npmi", "c_v", "diversity", "nmi", "ari", "purity")
"""The figures of the page, in order; those that a run lacks are left out."""

SHOWN_TOPICS = 30


def report_text(record: Mapping[str, Any], topics: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Return the head of a run's report: what a person should know first, its figures, its largest topics.

    Parameters
    ----------
    record : mapping
        The run's record.
    topics : sequence of mapping
        Topic, size, name and keywords of each topic, largest first.
    folder : Path
        The run's folder, which has the report.
    """
    metrics = record["metrics"]
    figures = [f"{name} {metrics[name]:.3f}" for name in FIGURES if metrics.get(name) is not None]
    parts = [
        f"# {record['n_topics']:,} topics in {record['n_documents']:,} documents",
        held_text(record) if is_held(record) else "",
        _lines(record.get("remarks", ())),
        " · ".join(figures),
        "| topic | size | name | keywords |\n|---|---|---|---|\n"
        + "\n".join(map(_row, topics[:SHOWN_TOPICS])),
        f"and {len(topics) - SHOWN_TOPICS:,} more" if len(topics) > SHOWN_TOPICS else "",
        f"The whole report with its map is a file on {socket.gethostname()}; open it in a browser there:",
        f"```\n{folder / 'report.html'}\n```",
    ]
    return "\n\n".join(part for part in parts if part)


def held_text(record: Mapping[str, Any]) -> str:
    """Return why the gates of a run hold it back, and what that means."""
    return (
        f"**Not published.** Its gates hold {record['name']}/{record['run_id']} back:\n\n"
        f"{_lines(record['gates']['failed'])}\n\nThe run is kept; `latest` stays at the run before."
    )


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_plain(text)}" for text in texts)


def _row(topic: Mapping[str, Any]) -> str:
    words = [_plain(str(topic[name])).replace("|", "\\|") for name in ("name", "keywords")]
    return f"| {topic['topic']} | {topic['size']:,} | {words[0]} | {words[1]} |"


def _plain(text: str) -> str:
    """Return a text in one line that Markdown and HTML show as it is."""
    joined = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_[]#~" else letter for letter in joined)
