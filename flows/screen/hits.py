"""Hits: found documents -> lines of text, with what a search knows about each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topicflow.tasks.search.results import Hit
    from topicflow.tasks.search.scoring.highlights import Highlight


def hit_lines(hits: list[Hit]) -> Iterator[str]:
    """Yield the lines of found documents: score and document, then the places in the rankings if they are known."""
    for hit in hits:
        yield f"{hit.score:.3f}  {hit_line(hit)}"
        if hit.ranks is not None:
            places = (f"{name} {place.rank:,} ({place.score:.3f})" for name, place in hit.ranks.items())
            yield f"       {', '.join(places)}"


def hit_line(hit: Hit, width: int = 100) -> str:
    """Return a document in one line: id, topic if known, the beginning of its text or the sentence that matches."""
    if hit.highlight is None:
        text = " ".join(hit.text.split())
        shown = text if len(text) <= width else f"{text[: width - 1]}…"
    else:
        shown = marked(hit.highlight)
    topic = f"  [{hit.topic_name or 'no topic'}]" if hit.topic is not None else ""
    return f"{hit.doc_id}{topic}  {shown}"


def marked(highlight: Highlight) -> str:
    """Return a sentence with its words of the query in brackets."""
    pieces, end = [], 0
    for start, stop in highlight.places:
        pieces += [highlight.sentence[end:start], "[", highlight.sentence[start:stop], "]"]
        end = stop
    return "".join([*pieces, highlight.sentence[end:]])
