"""Recipes: config and input keys -> the recipe of each stage, which is the dependency graph of a topic model.

The stages use these to find and save their artifacts; `plan` uses the same ones to say what a run would do. It
imports no numeric library, so that a plan answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as package_version
from typing import Any

from pydantic import BaseModel

from configs import models as m
from tasks.store import Recipe

VERSIONS: Mapping[str, int] = {
    "load": 1,
    "embed": 1,
    "neighbors": 3,
    "reduce": 3,
    "cluster": 3,
    "count": 1,
    "label": 2,
    "evaluate": 1,
    "report": 2,
}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


STAGES = ("load", "embed", "neighbors", "reduce", "map", "cluster", "count", "label", "evaluate", "report")
"""The steps of a topic model, in order; `map` is the reduce stage in two dimensions."""


def map_reduce(config: m.MapConfig) -> m.ParallelUmapReduce:
    """Return the reduction that draws the two-dimensional map."""
    return m.ParallelUmapReduce(n_components=2, min_dist=config.min_dist, n_epochs=config.n_epochs)


def load(config: m.LoadConfig, source: str) -> Recipe:
    """Return the recipe of the source record that names the documents of a `source` fingerprint.

    The path is not part of it: the same bytes elsewhere are the same documents.
    """
    fields = _fields(config, leave_out={"path", "connection_env"})
    return Recipe(
        stage="load", kind="sources", version=VERSIONS["load"], config=fields, identity={"source": source}
    )


def documents(config: m.LoadConfig) -> Recipe:
    """Return the recipe under which the documents are written; their key is their content, set by `load`."""
    fields = _fields(config, leave_out={"path", "connection_env"})
    return Recipe(stage="load", kind="documents", version=VERSIONS["load"], config=fields)


def embed(
    config: m.SentenceTransformersEmbed | m.StaticEmbed | m.PrecomputedEmbed, texts: str, encoder: str
) -> Recipe:
    """Return the recipe of the embeddings of the texts with digest `texts` by the encoder with key `encoder`.

    For precomputed vectors `texts` is the documents' key and `encoder` the digest of the vectors, which stands
    for their path. Versions of torch and the like are left out: a text's vector is kept once it is there.
    """
    return Recipe(
        stage="embed",
        kind="embeddings",
        version=VERSIONS["embed"],
        config=_fields(config, leave_out={"path"}),
        inputs={"texts": texts},
        identity={"encoder": encoder},
    )


def neighbors(config: m.NeighborsConfig, embeddings: str, seed: int) -> Recipe:
    """Return the recipe of the neighbour graph."""
    return _stage(
        "neighbors", "neighbors", config, {"embeddings": embeddings}, ("numpy", "numba", "pynndescent"), seed
    )


def reduce(
    config: m.ParallelUmapReduce | m.UmapReduce | m.PcaReduce | m.NoReduce,
    embeddings: str,
    neighbors: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the reduced vectors."""
    inputs = (
        {"embeddings": embeddings, "neighbors": neighbors}
        if config.method in {"parallel_umap", "umap"}
        else {"embeddings": embeddings}
    )
    return _stage("reduce", "reduced", config, inputs, ("numpy", "umap-learn", "numba"), seed)


def cluster(
    config: m.HdbscanCluster | m.KMeansCluster,
    embeddings: str,
    neighbors: str,
    reduced: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the labels; the neighbours' say which documents are fitted and where others belong."""
    libraries = ("hdbscan", "fast_hdbscan", "scikit-learn", "numba")
    return _stage(
        "cluster",
        "labels",
        config,
        {"embeddings": embeddings, "neighbors": neighbors, "reduced": reduced},
        libraries,
        seed,
    )


def count(config: m.CountConfig, texts: str) -> Recipe:
    """Return the recipe of the word counts."""
    return _stage("count", "counts", config, {"texts": texts}, ("scikit-learn",))


def label(
    config: m.LabelConfig, documents: str, embeddings: str, labels: str, counts: str, encoder: str
) -> Recipe:
    """Return the recipe of the topics; `encoder` matters only to representations that embed words."""
    recipe = _stage(
        "label",
        "topics",
        config,
        {"documents": documents, "embeddings": embeddings, "labels": labels, "counts": counts},
        ("bertopic", "scikit-learn"),
    )
    if config.representation == "ctfidf":
        return recipe
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, "encoder": encoder}})


def evaluate(
    config: m.EvaluateConfig, inputs: Mapping[str, str], counting: m.CountConfig, seed: int
) -> Recipe:
    """Return the recipe of the metrics; coherence reads words as `counting` does."""
    recipe = _stage("evaluate", "metrics", config, inputs, ("numpy", "scikit-learn", "scipy", "numba"), seed)
    return Recipe(**{**vars(recipe), "config": {**recipe.config, "token_pattern": counting.token_pattern}})


def report(config: m.ReportConfig, name: str, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the report's page; a run adds its own timings to it."""
    return _stage(
        "report", "reports", config.model_copy(update={"title": config.title or name}), inputs, ("plotly",)
    )


def _stage(
    stage: str,
    kind: str,
    config: BaseModel,
    inputs: Mapping[str, str],
    libraries: tuple[str, ...],
    seed: int | None = None,
) -> Recipe:
    identity = {name: package_version(name) for name in libraries}
    return Recipe(stage, kind, VERSIONS[stage], _fields(config), dict(inputs), identity, seed)


def _fields(config: BaseModel, leave_out: set[str] | None = None) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=leave_out)
