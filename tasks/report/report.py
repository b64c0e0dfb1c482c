"""Report: documents, layout (n_docs, 2), labels (n_docs,), topics, metrics -> one HTML file that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.duplicates.report_duplicates import duplicate_block
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.states import cached
from topicflow.tasks.report import recipes
from topicflow.tasks.report.report_page import build_page
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore

MAX_SIMILAR = 60
"""Topics on the similarity map: more than 60 × 60 cells cannot be distinguished on half a page."""

MAX_LINES = 10
"""Topics in the chart over time: more than ten lines cannot be followed."""

MAX_BINS = 60
"""Maximum number of steps on the time axis; the finest unit with at most this many steps is used."""

MAX_TEXT_BYTES = 32_000_000
"""Maximum bytes of all texts on the map; longer texts are cut, so that the page opens in seconds (100,000 points of 300
ASCII characters are 30 MB)."""

MIN_TEXT = 20
"""Minimum characters of a text, for any byte limit: a million points are then at most 60 MB."""

PART_ROWS = 50_000
"""Documents read at a time."""

TIME_STEPS: Mapping[str, int] = {
    "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "6h": 21_600, "1d": 86_400, "1w": 604_800, "1mo": 2_629_746,
    "1q": 7_889_238, "1y": 31_556_952, "5y": 157_784_760, "25y": 788_923_800, "100y": 3_155_695_200,
}  # fmt: skip
"""Steps of the time axis in the notation of polars, with their mean length in seconds."""

METRICS: Mapping[str, tuple[str, str, str, tuple[float, float] | None]] = {
    "n_documents": ("Documents", "Documents in the model, without empty ones.", "", None),
    "n_topics": ("Topics", "Number of topics; outliers are not a topic.", "", None),
    "outlier_share": (
        "Outliers", "Share of documents without a topic.", "Up to a third is usual with HDBSCAN.", (0, 1),
    ),
    "stability": (
        "Stability", "How often documents keep their topic when a tenth of all documents is left out.",
        "Nearer 1 is better.", (0, 1),
    ),
    "median_topic_size": ("Median topic size", "Documents in the topic of median size.", "", None),
    "largest_topic_share": (
        "Largest topic", "Share of all documents in the largest topic.",
        "Above 0.5, one topic contains most documents.", (0, 1),
    ),
    "npmi": (
        "Coherence, NPMI", "Whether a topic's keywords occur together in documents more often than by chance.",
        "0 is chance; above 0.1 is good.", (-1, 1),
    ),
    "c_v": (
        "Coherence, C_v", "The same by another measure, which agrees best with people's ratings.",
        "Above 0.5 is good.", (0, 1),
    ),
    "diversity": (
        "Diversity", "Share of distinct words among the keywords of all topics.",
        "Near 1, topics share few keywords.", (0, 1),
    ),
    "trustworthiness": (
        "Trustworthiness", "Whether neighbours after the reduction are neighbours in the embeddings too.",
        "Above 0.9 the reduction is reliable.", (0, 1),
    ),
    "dbcv": (
        "Cluster validity, DBCV", "Whether documents are dense inside topics and sparse between them.",
        "Above 0 the topics are separate; 1 is best.", (-1, 1),
    ),
    "n_labelled": ("Labelled documents", "Documents with a known label; the next metrics use only these.", "", None),
    "nmi": (
        "NMI", "Information shared by topics and known labels; outliers count as one group.",
        "1 is the same grouping.", (0, 1),
    ),
    "ari": (
        "ARI", "Pairs of documents on which topics and known labels agree, compared with chance.",
        "0 is chance, 1 the same.", (-1, 1),
    ),
    "purity": (
        "Purity", "Share of documents whose label is the most frequent one in their topic.", "Nearer 1 is better.",
        (0, 1),
    ),
    "nmi_clustered": ("NMI, without outliers", "NMI over documents that have a topic.", "Nearer 1 is better.", (0, 1)),
    "ari_clustered": ("ARI, without outliers", "ARI over documents that have a topic.", "Nearer 1 is better.", (-1, 1)),
    "purity_clustered": (
        "Purity, without outliers", "Purity over documents that have a topic.", "Nearer 1 is better.", (0, 1),
    ),
}  # fmt: skip
"""The name, meaning, good values and bounds (if any) of each metric."""


def sample_rows(labels: NDArray[np.int32], max_points: int) -> NDArray[np.int64]:
    """Return the rows of at most `max_points` documents, ascending, in proportion to the topics' sizes.

    Parameters
    ----------
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    max_points : int
        Maximum number of rows; every topic gets at least one, so the result is larger if there are more topics.

    Notes
    -----
    Deterministic: every k-th document of a topic, in order. Small topics get a few more points than their share (a
    quarter of the points is distributed evenly), or they would vanish from the map. O(n_docs log n_docs).
    """
    if len(labels) <= max_points:
        return np.arange(len(labels), dtype=np.int64)
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, max_points)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    order = np.argsort(codes, kind="stable")
    within = [
        ((np.arange(q) + 0.5) * size / q).astype(np.int64) for q, size in zip(quotas, sizes, strict=True)
    ]
    picked = np.concatenate([start + rows for start, rows in zip(starts, within, strict=True)])
    return np.sort(order[picked]).astype(np.int64)


def _quotas(sizes: NDArray[np.int64], max_points: int) -> NDArray[np.int64]:
    """Return how many points each group gets: a small minimum, the rest in proportion; the sum is `max_points`."""
    floor = np.minimum(sizes, max(1, max_points // (4 * len(sizes))))
    left = max_points - int(floor.sum())
    rest = sizes - floor
    if left <= 0:
        return floor
    exact = rest * (left / rest.sum())
    quotas = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")[: left - int(quotas.sum())]
    quotas[largest] += 1
    return np.asarray(floor + quotas)


def topic_similarity(centroids: NDArray[np.float32], sizes: Sequence[int]) -> dict[str, Any] | None:
    """Return the cosine similarity of the largest topics, similar ones next to each other; None for fewer than two.

    Parameters
    ----------
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic, not necessarily of unit length.
    sizes : sequence of int
        Documents of each topic.

    Returns
    -------
    dict or None
        `topics`, the topic numbers in the order of the axes, and `values`, rows of cosines with three digits.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    if len(centroids) < 2:
        return None
    largest = np.sort(np.argsort(-np.asarray(sizes), kind="stable")[:MAX_SIMILAR])
    vectors = np.asarray(centroids, dtype=np.float64)[largest]
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    order = leaves_list(linkage(vectors, "average"))
    cosines = np.clip(vectors[order] @ vectors[order].T, -1.0, 1.0)
    return {"topics": largest[order].tolist(), "values": np.round(cosines, 3).tolist()}


def topics_over_time(
    times: pl.Series, labels: NDArray[np.int32], sizes: Sequence[int]
) -> dict[str, Any] | None:
    """Return the counts of the largest topics in each time step; None if there are fewer than two different times.

    Parameters
    ----------
    times : pl.Series
        Timestamp of each document, Datetime, null if unknown; times with a zone are converted to UTC.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    sizes : sequence of int
        Documents of each topic.

    Returns
    -------
    dict or None
        `step` (a polars duration), `starts` (ISO times), `totals` (documents of each step, with or without a topic),
        `topics` (numbers, largest first), `counts` (one list for each topic), and `n_undated`.
    """
    moments = times.cast(pl.Datetime("us", getattr(times.dtype, "time_zone", None)))
    if getattr(times.dtype, "time_zone", None):
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    table = pl.DataFrame({"time": moments, "topic": labels}).drop_nulls("time")
    if table.is_empty() or table["time"].n_unique() < 2:
        return None
    step, bins = _time_axis(table["time"])
    shown = np.argsort(-np.asarray(sizes), kind="stable")[:MAX_LINES].tolist()
    counted = (
        table.select(pl.col("time").dt.truncate(step).alias("bin"), "topic").group_by("bin", "topic").len()
    )
    counted = counted.join(bins, on="bin")
    totals = np.zeros(bins.height, np.int64)
    np.add.at(totals, counted["place"].to_numpy(), counted["len"].to_numpy())
    counts = np.zeros((len(shown), bins.height), np.int64)
    for k, topic in enumerate(shown):
        own = counted.filter(pl.col("topic") == topic)
        counts[k, own["place"].to_numpy()] = own["len"].to_numpy()
    return {
        "step": step,
        "starts": bins["bin"].dt.strftime("%Y-%m-%dT%H:%M:%S").to_list(),
        "totals": totals.tolist(),
        "topics": shown,
        "counts": counts.tolist(),
        "n_undated": len(times) - table.height,
    }


def _time_axis(times: pl.Series) -> tuple[str, pl.DataFrame]:
    """Return the finest step with at most about MAX_BINS bins, and the table of all bins with their positions.

    No time becomes a Python datetime here: a wrong year in one document (0, 20240) must not stop a report.
    """
    first, last = times.to_physical().min(), times.to_physical().max()
    assert isinstance(first, int)
    assert isinstance(last, int)
    span = (last - first) / 1e6
    step = next((step for step in TIME_STEPS if span / TIME_STEPS[step] < MAX_BINS), "5000y")
    ends = pl.DataFrame({"time": times}).select(pl.col("time").dt.truncate(step))
    bins = ends.select(
        pl.datetime_range(pl.col("time").min(), pl.col("time").max(), interval=step).alias("bin")
    )
    return step, bins.with_row_index("place")


def metric_entries(metrics: Mapping[str, float | int | None]) -> list[dict[str, Any]]:
    """Return the metrics with their explanations, known ones first and in the order of `METRICS`."""
    names = [name for name in METRICS if name in metrics] + [name for name in metrics if name not in METRICS]
    entries = []
    for name in names:
        label, meaning, good, bounds = METRICS.get(name, (name, "", "", None))
        entry = {"key": name, "label": label, "meaning": meaning, "good": good, "bounds": bounds}
        entries.append({**entry, "value": metrics[name]})
    return entries


def topic_entries(
    topics: pl.DataFrame, layout: NDArray[np.float32], labels: NDArray[np.int32], n_examples: int
) -> list[dict[str, Any]]:
    """Return the data of each topic on the page: name, size, keywords, middle on the map, rows of examples."""
    placed = pl.DataFrame({"topic": labels, "x": layout[:, 0], "y": layout[:, 1]})
    middles = {t: [x, y] for t, x, y in placed.group_by("topic").agg(pl.col("x", "y").median()).iter_rows()}
    return [
        {
            "topic": row["topic"],
            "name": row["name"],
            "size": row["size"],
            "keywords": row["keywords"],
            "weights": row["weights"],
            "middle": middles.get(row["topic"]),
            "examples": row["representative_rows"][:n_examples],
        }
        for row in topics.sort("topic").iter_rows(named=True)
    ]


def take_texts(documents: pl.LazyFrame, rows: NDArray[np.int64], max_text: int) -> pl.DataFrame:
    """Return id, cut text, and label and time (if any) of the documents in ascending `rows`.

    Notes
    -----
    One pass, part by part; memory is rows × max_text characters and PART_ROWS documents for any corpus.
    """
    names = documents.collect_schema().names()
    text = pl.col("text")
    cut = pl.when(text.str.len_chars() > max_text).then(text.str.head(max_text) + "…").otherwise(text)
    columns = [pl.col("doc_id").cast(pl.String), cut.alias("text")]
    columns += [pl.col("label").cast(pl.String)] if "label" in names else []
    columns += [pl.col("timestamp").dt.epoch("ms").alias("time")] if "timestamp" in names else []
    selected = documents.select(columns)
    taken, start, low = [selected.limit(0).collect()], 0, 0
    for part in selected.collect_batches(chunk_size=PART_ROWS, maintain_order=True):
        high = int(np.searchsorted(rows, start + part.height))
        taken.append(part[rows[low:high] - start])
        start, low = start + part.height, high
    return pl.concat(taken)


def shorten(texts: pl.DataFrame, max_text: int, max_bytes: int) -> tuple[pl.DataFrame, int]:
    """Return the texts, cut so that they have about `max_bytes` in total, and the maximum characters of a text.

    Notes
    -----
    If all fit, they stay unchanged. The bytes of a text are assumed to be spread evenly over its characters.
    """
    n_chars, n_bytes = texts["text"].str.len_chars().to_numpy(), texts["text"].str.len_bytes().to_numpy()
    if n_bytes.sum() <= max_bytes:
        return texts, max_text
    width = n_bytes / np.maximum(n_chars, 1)
    lengths = np.arange(1, max_text + 1)
    low = int(
        np.searchsorted([float((width * np.minimum(n_chars, n)).sum()) for n in lengths], max_bytes, "right")
    )
    length = max(low, MIN_TEXT)
    text = pl.col("text")
    cut = pl.when(text.str.len_chars() > length).then(text.str.head(length) + "…").otherwise(text)
    return texts.with_columns(cut), length


def pack(array: NDArray[Any]) -> str:
    """Return the array's bytes, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).decode()


def point_block(
    texts: pl.DataFrame,
    layout: NDArray[np.float32],
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    reassigned: NDArray[np.bool_],
) -> dict[str, Any]:
    """Return the map's points packed for the page; every argument has one row for each point."""
    block = {
        "n": len(labels),
        "x": pack(layout[:, 0].astype(np.float32)),
        "y": pack(layout[:, 1].astype(np.float32)),
        "topic": pack(labels.astype(np.int32)),
        "percent": pack(np.clip(np.rint(probabilities * 100), 0, 100).astype(np.uint8)),
        "reassigned": pack(reassigned.astype(np.uint8)),
    }
    if "label" in texts.columns:
        names = texts["label"].drop_nulls().unique().sort()
        codes = texts["label"].replace_strict(names, np.arange(len(names)), default=-1, return_dtype=pl.Int32)
        block |= {"labels": names.to_list(), "label": pack(codes.to_numpy())}
    if "time" in texts.columns:
        block["time"] = pack(texts["time"].cast(pl.Float64).fill_null(float("nan")).to_numpy())
    return block


def report_blocks(
    documents: pl.LazyFrame,
    layout: NDArray[np.float32],
    arrays: Mapping[str, NDArray[Any]],
    topics: pl.DataFrame,
    centroids: NDArray[np.float32],
    metrics: Mapping[str, float | int | None],
    config: ReportConfig,
    title: str,
    duplicates: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the page's data blocks by element id.

    Parameters
    ----------
    documents : pl.LazyFrame
        doc_id, text, and label and timestamp if there are any; n_docs rows.
    layout : ndarray of shape (n_docs, 2), float32
        Positions on the map.
    arrays : mapping of str to ndarray of shape (n_docs,)
        labels int32, probabilities float32, reassigned bool.
    topics : pl.DataFrame
        topic, size, name, keywords, weights, representative_rows.
    centroids : ndarray of shape (n_topics, dim), float32
        Mean embedding of each topic.
    metrics : mapping
        Metrics by name, None if not defined.
    config : ReportConfig
        Settings of the report.
    title : str
        Title.
    duplicates : mapping or None
        The result of `duplicate_block`, if the run left near-duplicates out.
    """
    labels = np.asarray(arrays["labels"])
    entries = topic_entries(topics, layout, labels, config.n_examples)
    sizes = [entry["size"] for entry in entries]
    rows = sample_rows(labels, config.max_points)
    shown = np.array(sorted({row for entry in entries for row in entry["examples"]}), np.int64)
    needed = np.union1d(rows, shown)
    read = take_texts(documents, needed, config.max_text)
    examples = read[np.searchsorted(needed, shown)]
    texts, length = shorten(read[np.searchsorted(needed, rows)], config.max_text, MAX_TEXT_BYTES)
    del read
    summary = {
        "title": title,
        "n_documents": len(labels),
        "n_points": len(rows),
        "n_outliers": int((labels < 0).sum()),
        "n_reassigned": int(np.sum(arrays["reassigned"])),
        "max_text": length,
        "max_similar": MAX_SIMILAR,
        "topics": entries,
        "examples": dict(zip(map(str, shown.tolist()), examples["text"], strict=True)),
        "metrics": metric_entries(metrics),
        "similarity": topic_similarity(centroids, sizes),
        "timeline": _timeline(documents, labels, sizes),
        "duplicates": duplicates,
    }
    points = point_block(
        texts,
        np.asarray(layout[rows]),
        labels[rows],
        arrays["probabilities"][rows],
        arrays["reassigned"][rows],
    )
    return {
        "summary": summary,
        "points": points,
        "texts": {"ids": texts["doc_id"].to_list(), "texts": texts["text"].to_list()},
    }


def _timeline(
    documents: pl.LazyFrame, labels: NDArray[np.int32], sizes: Sequence[int]
) -> dict[str, Any] | None:
    if "timestamp" not in documents.collect_schema().names():
        return None
    return topics_over_time(documents.select("timestamp").collect()["timestamp"], labels, sizes)


def _duplicates(
    store: ArtifactStore, loaded: ArtifactRef | None, duplicates: ArtifactRef | None, max_text: int
) -> dict[str, Any] | None:
    if loaded is None or duplicates is None:
        return None
    documents = store.table(loaded, "documents")
    return duplicate_block(store, duplicates, lambda rows: take_texts(documents, rows, max_text))


@dataclass(frozen=True)
class Shown:
    """The artifacts that a report shows; the fields, except `loaded`, are the recipe's inputs."""

    documents: ArtifactRef
    """The documents of the topics; the kept ones if duplicates were removed."""
    layout: ArtifactRef
    labels: ArtifactRef
    topics: ArtifactRef
    metrics: ArtifactRef
    loaded: ArtifactRef | None = None
    """The documents before duplicates were removed."""
    duplicates: ArtifactRef | None = None
    """The duplicates among the documents `loaded`."""
    names: ArtifactRef | None = None
    """The table of topics with the names of a language model."""

    @property
    def keys(self) -> dict[str, str]:
        """The keys of the recipe's inputs."""
        return {role: ref.key for role, ref in vars(self).items() if role != "loaded" and ref is not None}


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
def report(context: Context, shown: Shown, config: ReportConfig, name: str) -> ArtifactRef:
    """Return the report's artifact, building the page on a miss."""
    store, labels = context.store, shown.labels
    recipe = recipes.report(config, name, shown.keys)
    if found := store.find(recipe):
        return cached(found)
    with store.writing(recipe) as writer:
        title = config.title or name
        blocks = report_blocks(
            store.table(shown.documents, "documents"),
            store.array(shown.layout, "reduced"),
            {array: store.array(labels, array) for array in ("labels", "probabilities", "reassigned")},
            store.table(shown.names or shown.topics, "topics").collect(),
            store.array(shown.topics, "centroids"),
            store.json(shown.metrics, "metrics"),
            config,
            title,
            _duplicates(store, shown.loaded, shown.duplicates, config.max_text),
        )
        writer.path("report.html").write_text(build_page(title, blocks), encoding="utf-8")
        writer.rows = blocks["summary"]["n_points"]
        writer.meta = {"n_points": writer.rows}
    return store.committed(recipe, writer)
