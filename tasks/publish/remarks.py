"""Remarks: a run's figures -> sentences that a person should read before the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.sections.cluster import ClassesCluster, ClusterConfig, KMeansCluster
from topicflow.tasks.documents.texts import shown_rows
from topicflow.tasks.log import LOG

CROWD = 0.5
"""Share of all documents above which one topic is worth a remark."""

MANY_COPIES = 0.1
"""Minimum share of documents that are copies of a few texts for a remark."""

WHOLE_TEXTS = {
    "topic_model": "set load.split to model passages",
    "build_index": "set load.split to find passages",
    "deduplicate": 'set deduplicate.method = "both" to compare the words of whole texts',
}
"""What a user can do about long texts in each flow; a model with a longer input helps in all flows."""


def loss_figures(source: Mapping[str, Any], embedding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the counts of what is not in a run's vectors: rows without text, and texts cut at `max_tokens`."""
    figures = {"n_empty": source.get("n_empty")}
    if embedding.get("n_cut") is not None:
        figures |= {"n_cut": embedding["n_cut"], "max_tokens": embedding["max_tokens"]}
    return {name: value for name, value in figures.items() if value is not None}


def losses(
    flow: str, source: Mapping[str, Any], embedding: Mapping[str, Any], n_embedded: int = 0
) -> list[str]:
    """Return remarks on the parts of the input that a run did not read.

    Parameters
    ----------
    flow : str
        The flow of the run.
    source, embedding : mapping
        What the stages `load` and `embed` recorded; empty if nothing was embedded.
    n_embedded : int
        Number of embedded documents or passages.
    """
    found = []
    if n_empty := source.get("n_empty"):
        rows = source.get("empty_rows", [])
        which = f" ({shown_rows(n_empty, rows)}, counted from 0)" if rows else ""
        found.append(f"{_of(n_empty, source.get('n_input_rows'), 'row')} without text: left out{which}.")
    if n_cleaned := source.get("n_cleaned_away"):
        found.append(f"{_of(n_cleaned, n_empty, 'row')} of these had text only before load.clean removed it.")
    if n_dates := source.get("n_implausible_dates"):
        found.append(
            f"{_of(n_dates, source.get('n_documents'), 'date')} stand for no date, such as "
            f"{source['implausible_date']}: left out of the charts."
        )
    if n_replaced := source.get("n_replaced"):
        found.append(
            f"{_of(n_replaced, None, 'text')} with bytes that are not UTF-8: U+FFFD stands for them."
        )
    if n_cut := embedding.get("n_cut"):
        unit = "passage" if source.get("has_passages") else "document"
        way = WHOLE_TEXTS.get(flow, "take an encoder that reads more")
        read = f"the {embedding['max_tokens']:,} tokens that the encoder reads"
        verb, rest = ("is", "the rest of it") if n_cut == 1 else ("are", "the rest of them")
        found.append(
            f"{_of(n_cut, n_embedded, unit)} {verb} longer than {read}; {rest} is not in the vectors. "
            f"To use all of the text, {way}."
        )
    return found


def _of(n: int, whole: int | None, unit: str) -> str:
    """Return a count with its unit: 3 of 150 rows, 1 row."""
    units = f"{unit}s" if n != 1 or whole else unit
    return f"{n:,} of {whole:,} {units}" if whole else f"{n:,} {units}"


def remarks(
    metrics: Mapping[str, Any],
    clustering: ClusterConfig,
    copies: Mapping[str, Any] | None = None,
    choice: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the remarks on a topic model with these metrics and this section `cluster`.

    `copies` is the record of vectors that many documents share, from the artifact of the neighbour graph; `choice` that
    of the smallest topic, from the artifact of the labels, if it was chosen.
    """
    return [
        *_chosen(choice),
        *_crowd(metrics, clustering, choice),
        *_unmet_bound(metrics, clustering, choice),
        *_copied(copies or {}),
    ]


def _chosen(choice: Mapping[str, Any] | None) -> list[str]:
    """Return what "auto" chose, and what other sizes would give."""
    if choice is None:
        return []
    wish = choice["wish"]
    key = f"cluster.about = {wish}" if isinstance(wish, int) else f'cluster.topics = "{wish}"'
    of = " without seeds" if choice.get("unseeded") else ""
    others = "; ".join(f"{each['min_cluster_size']:,} gives {_figures(each)}" for each in choice["others"])
    remark = (
        f'cluster.min_cluster_size = "auto" chose {choice["min_cluster_size"]:,} for {key}{of}: {_figures(choice)}.'
        + (f" Others: {others}." if others else "")
    )
    return [remark]


def _figures(found: Mapping[str, Any]) -> str:
    """Return the figures of a size: 21 topics, 12% outliers, stability 0.95."""
    stability = found["stability"]
    told = "" if stability is None else f", stability {stability:.2f}"
    return f"{_of(found['n_topics'], None, 'topic')}, {found['outlier_share']:.0%} outliers{told}"


def _size(clustering: ClusterConfig, choice: Mapping[str, Any] | None) -> str:
    """Return the smallest topic of a run as a sentence shows it."""
    size = getattr(clustering, "min_cluster_size", None)
    return f"now {size}" if choice is None else f"{choice['min_cluster_size']} was chosen"


def _crowd(
    metrics: Mapping[str, Any], clustering: ClusterConfig, choice: Mapping[str, Any] | None
) -> list[str]:
    share = metrics.get("largest_topic_share")
    if share is None or share <= CROWD or isinstance(clustering, ClassesCluster):
        return []
    if isinstance(clustering, KMeansCluster):
        ways = f"raise cluster.n_clusters (now {clustering.n_clusters})"
    else:
        ways = (
            f'lower cluster.min_cluster_size ({_size(clustering, choice)}) or set cluster.selection = "leaf"'
        )
    remark = (
        f"One topic holds {share:.0%} of all documents. If you expected more topics, {ways}; "
        "if the documents are about one thing, this is the right answer."
    )
    return [remark]


def _unmet_bound(
    metrics: Mapping[str, Any], clustering: ClusterConfig, choice: Mapping[str, Any] | None
) -> list[str]:
    """Return a remark if `max_outlier_share` is not met: there is no topic to which a document could be assigned."""
    bound = getattr(clustering, "max_outlier_share", None)
    if bound is None or metrics.get("n_topics") != 0 or metrics.get("outlier_share", 0.0) <= bound:
        return []
    remark = (
        f"cluster.max_outlier_share = {bound:g} is not met: no topic was found, so that no document has one; "
        f"lower cluster.min_cluster_size ({_size(clustering, choice)})."
    )
    return [remark]


def _copied(copies: Mapping[str, Any]) -> list[str]:
    share, n_vectors = copies.get("share", 0.0), copies.get("n_vectors", 0)
    if share < MANY_COPIES:
        return []
    texts = "one text" if n_vectors == 1 else f"{n_vectors:,} texts"
    remark = (
        f"{share:.0%} of the documents are copies of {texts}. A text counts once when topics are found, and all its "
        "copies are in its topic; the section [deduplicate] keeps one of each."
    )
    return [remark]


def naming_remarks(figures: Mapping[str, Any]) -> list[str]:
    """Return the remarks on names by a language model, from what the stage `name` recorded."""
    n_topics, n_named = figures["n_topics"], figures["n_named"]
    n_groups, n_groups_named = figures.get("n_groups", 0), figures.get("n_groups_named", 0)
    if figures["n_waiting"]:
        groups = f" and {n_groups_named:,} of {n_groups:,} groups of topics" if n_groups else ""
        remark = (
            f"{n_named:,} of {n_topics:,} topics{groups} are named by the model ({figures['waiting_for']}); "
            "run again to go on."
        )
        return [remark]
    found = []
    if n_named < n_topics:
        found.append(_unnamed(n_topics - n_named, n_topics, "topic", "topics.parquet"))
    if n_groups_named < n_groups:
        found.append(_unnamed(n_groups - n_groups_named, n_groups, "group", "topics_tree.parquet"))
    return found


def _unnamed(left: int, n: int, unit: str, table: str) -> str:
    """Return the remark on topics or groups without a usable name."""
    return (
        f"The model gave no usable name for {_of(left, n, unit)}: they keep the names that are made of their keywords; "
        f"the column name_note of {table} says why."
    )


def synthetic_remarks(figures: Mapping[str, Any]) -> list[str]:
    """Return the remarks on made questions, from what the stage `synthetic` recorded."""
    dropped = _of(figures["n_dropped"], figures["n_questions"], "made question")
    remark = (
        f"{dropped} were dropped, because they do not find their document. The run is trained and measured on made "
        "questions only, and its figures say nothing sure about queries of people."
    )
    found = [remark]
    if figures.get("n_waiting"):
        found.append(
            f"The model wrote no questions yet about {_of(figures['n_waiting'], figures['n_drawn'], 'document')} "
            f"({figures['waiting_for']}); run again to go on."
        )
    if figures.get("n_unanswered"):
        found.append(
            f"The model gave no usable question about {_of(figures['n_unanswered'], figures['n_drawn'], 'document')}."
        )
    return found


def by_beginnings(figures: Mapping[str, Any]) -> list[str]:
    """Return the remark on duplicates for which only the beginnings of texts were compared."""
    if not (n := figures.get("n_by_beginning")):
        return []
    remark = (
        f"{_of(n, figures['n_duplicates'], 'duplicate')} known by the first {figures['max_tokens']:,} tokens of long "
        "texts alone: look at the least similar ones before you drop them."
    )
    return [remark]


def say_remarks(record: Mapping[str, Any]) -> None:
    """Log the remarks of a run's record: they appear on the screen, in run.log and in Prefect."""
    for remark in record.get("remarks", []):
        LOG.warning("note: %s", remark)
