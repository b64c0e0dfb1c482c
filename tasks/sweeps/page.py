"""Page: a sweep's table, its recommendation, a map and the documents -> one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.stage import stage
from topicflow.tasks.report.figures import METRICS
from topicflow.tasks.report.points import pack, shorten, take_texts
from topicflow.tasks.report.report_page import filled_page, policy, read_part
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.sweeps.figures import WEIGHTS

PAGE_FILES = ("sweep_page.html", "sweep_page.css", "sweep_page.js")
"""Files next to this one that make up the page, beside the report's style."""

MAX_POINTS = 4000
"""Documents on the maps."""

MAX_LABELS = 2_000_000
"""Maximum number of labels on the page: with many settings the maps have fewer documents."""

MIN_POINTS = 200
MAX_TEXT = 200
MAX_TEXT_BYTES = 2_000_000

LABELS: Mapping[str, str] = {
    **{name: entry[0] for name, entry in METRICS.items()},
    "setting": "Setting",
    "agreement": "Agreement over seeds",
    "steadiness": "Steadiness",
    "detail": "Detail",
    "entropy": "Bits of a topic",
    "coverage": "Documents with a topic",
    "seconds": "Seconds",
    "score": "Score",
    "pareto": "Pareto front",
}
"""The name of each column on the page; a varied key is its own name."""

SHOWN_FIGURES = (
    "n_topics", "outlier_share", "largest_topic_share", "dbcv", "npmi", "diversity", "stability", "agreement", "nmi",
    "ari",
)  # fmt: skip

RULE = (
    "The score is the weighted mean of what is judged ({weights}), each from 0 for the worst setting to 1 for the "
    "best. The best settings are fitted again on draws of 90 % of the documents, and the best mean score there is "
    "recommended: clear if it is the best on every draw, likely on four of five, otherwise open."
)


@dataclass(frozen=True)
class Compared:
    """The artifacts that the page shows; the fields are the recipe's inputs."""

    documents: ArtifactRef
    layout: ArtifactRef
    sweep: ArtifactRef
    confirmed: ArtifactRef


@stage("page")
def page(context: Context, compared: Compared, name: str) -> ArtifactRef:
    """Return the page of a sweep, writing it on a miss."""
    store = context.store
    recipe = recipes.page(name, {field: ref.key for field, ref in vars(compared).items()})
    if found := store.find(recipe):
        return found
    with store.writing(recipe) as writer:
        text = build_page(name, page_blocks(store, compared))
        writer.path("sweep.html").write_text(text, encoding="utf-8")
        writer.rows = compared.documents.rows
    return store.committed(recipe, writer)


def page_blocks(store: ArtifactStore, compared: Compared) -> dict[str, Any]:
    """Return the data of the page by element id."""
    table = scored_settings(store, compared.sweep, compared.confirmed)
    stages = store.json(compared.sweep, "stages")
    settings = table["setting"].to_list()
    n_docs = compared.documents.rows
    rows = shown_rows(n_docs, len(settings))
    keys = [name for name in table.columns if "." in name]
    figures = [name for name in SHOWN_FIGURES if name in table.columns]
    chosen = store.json(compared.confirmed, "recommendation")
    labels, topics = {}, {}
    wide = table.height > 0 and int(table["n_topics"].cast(pl.Int64).max() or 0) > np.iinfo(np.int16).max  # type: ignore[arg-type]
    for setting in settings:
        own = {stage: ArtifactRef(stage=stage, **ref) for stage, ref in stages[str(setting)].items()}
        found = np.asarray(store.array(own["cluster"], "labels"))[rows]
        labels[setting] = pack(found.astype(np.int32 if wide else np.int16))
        named = store.table(own["label"], "topics").sort("topic").select("name", "size").collect()
        topics[setting] = [list(each) for each in named.iter_rows()]
    layout = np.asarray(store.array(compared.layout, "reduced"))[rows].astype(np.float32)
    sweep = {
        "n_documents": n_docs,
        "keys": keys,
        "figures": figures,
        "labels": dict(LABELS),
        "rows": table.select("setting", *keys, *figures, "score", "pareto").to_dicts(),
        "effects": store.table(compared.confirmed, "effects").collect().to_dicts(),
        "skipped": store.json(compared.sweep, "skipped"),
        "recommendation": {**chosen, "finalists": [_without_draws(each) for each in chosen["finalists"]]},
        "rule": rule_of(table.columns),
        "topics": topics,
    }
    texts = shorten(
        take_texts(store.table(compared.documents, "documents"), rows, MAX_TEXT), MAX_TEXT, MAX_TEXT_BYTES
    )
    points = {"x": pack(layout[:, 0]), "y": pack(layout[:, 1]), "labels": labels, "wide": wide}
    return {"sweep": sweep, "points": points, "texts": texts[0]["text"].to_list()}


def _without_draws(finalist: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in finalist.items() if name != "draws"}


def rule_of(columns: list[str]) -> str:
    """Return the rule of the recommendation with the weights of the figures that these columns have."""
    lacking = {"nmi"} - set(columns)
    weights = ", ".join(
        f"{LABELS[name].lower() if name not in {'npmi', 'dbcv', 'nmi'} else name.upper()} {weight:g}"
        for name, weight in WEIGHTS.items()
        if name not in lacking
    )
    return RULE.format(weights=weights)


def scored_settings(store: ArtifactStore, swept: ArtifactRef, confirmed: ArtifactRef) -> pl.DataFrame:
    """Return the settings with their figures and scores."""
    table = store.table(swept, "settings").collect()
    scores = store.table(confirmed, "scores").collect()
    return table.join(scores, on="setting", how="left", maintain_order="left")


def shown_rows(n_docs: int, n_settings: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows of the documents on the maps, ascending: every k-th document."""
    most = max(MIN_POINTS, min(MAX_POINTS, MAX_LABELS // max(1, n_settings)))
    n = min(n_docs, most)
    return ((np.arange(n) + 0.5) * n_docs / max(1, n)).astype(np.int64)


def build_page(title: str, blocks: Mapping[str, Any]) -> str:
    """Return the page as one HTML text that needs no other file."""
    body, style, own = (
        resources.files("topicflow.tasks.sweeps").joinpath(name).read_text(encoding="utf-8").strip()
        for name in PAGE_FILES
    )
    script = f"{read_part('elements.js')}\n{own}"
    parts = {
        "kind": "sweep",
        "policy": policy(script),
        "style": f"{read_part('page.css')}\n{style}",
        "first": script,
    }
    return filled_page(body, title, blocks, parts)
