"""Console of questions around an index: recommendations and new documents -> lines in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from topicflow.tasks.discovery.novelty import Novelty
from topicflow.tasks.discovery.recommend import Recommendation
from topicflow.tasks.search.index import Hit


def print_recommendations(found: Sequence[Recommendation], n_wanted: int) -> None:
    """Print one line a document: score, id, topic, beginning of the text, and the liked document that it is like."""
    for each in found:
        print(f"{each.hit.score:.3f}  {_line(each.hit, 80)}  (like {each.because})")
    if not found:
        print("no document was found that is not seen already")
    elif len(found) < n_wanted:
        print(f"{len(found):,} documents; no others match")


def print_novelties(found: Sequence[Novelty], n_documents: int) -> None:
    """Print one line a document, farthest first, and below it its nearest neighbours in the index."""
    for each in found:
        copies = f", {each.n_copies:,} copies in the index" if each.n_copies else ""
        text = _short(each.text, 80)
        print(f"{each.score:.3f}  {each.doc_id}  {text}  (beyond {each.beyond:.1%} of the index{copies})")
        for hit in each.neighbors:
            print(f"         {hit.score:.3f}  {_line(hit, 90)}")
    if len(found) < n_documents:
        print(f"{len(found):,} of {n_documents:,} new documents; -o FILE writes the scores of all")


def _line(hit: Hit, width: int) -> str:
    topic = f"  [{hit.topic_name or 'no topic'}]" if hit.topic is not None else ""
    return f"{hit.doc_id}{topic}  {_short(hit.text, width)}"


def _short(text: str, width: int) -> str:
    words = " ".join(text.split())
    return words if len(words) <= width else f"{words[: width - 1]}…"
