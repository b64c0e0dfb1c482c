"""Recipes: config and input keys -> the recipe of each stage, which is the dependency graph of a topic model.

The stages use these to find and save their artifacts; `plan` uses the same ones to say what a run would do. It
imports no numeric library, so that a plan answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version as package_version
from typing import Any

from pydantic import BaseModel

from configs import duplicates as d
from configs import models as m
from configs import tuning as t
from configs import update as u
from configs.classify import LabelsConfig, PredictConfig, TrainClassifierConfig
from configs.gates import GatesConfig
from configs.index import IndexConfig
from tasks.classifier_files import classifier_key
from tasks.store import Recipe, canonical_json, digest

VERSIONS: Mapping[str, int] = {
    "load": 1,
    "embed": 1,
    "neighbors": 4,
    "reduce": 4,
    "cluster": 5,
    "count": 1,
    "label": 2,
    "evaluate": 1,
    "pair": 1,
    "shingle": 1,
    "deduplicate": 1,
    "report": 5,
    "arrive": 1,
    "assign": 2,
    "drift": 1,
    "gather": 1,
    "match": 1,
    "overview": 2,
    "gate": 1,
    "index": 1,
    "annotate": 1,
    "contest": 1,
    "train": 1,
    "predict": 1,
    "examples": 1,
    "tune": 1,
    "judge": 2,
}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


STAGES = ("load", "embed", "neighbors", "reduce", "map", "cluster", "count", "label", "evaluate", "report")
"""The steps of a topic model, in order; `map` is the reduce stage in two dimensions."""


def stages_of(config: m.TopicModelConfig) -> tuple[str, ...]:
    """Return the steps of a topic model with this config: with `deduplicate` only its kept documents are modelled."""
    section = config.deduplicate
    found = () if section is None else (*searches(section), "deduplicate", "keep")
    return ("load", *found, *STAGES[1:], *(() if config.gates is None else ("gate",)))


def searches(config: d.AnyDeduplicate) -> tuple[str, ...]:
    """Return the steps that find similar pairs; `embed_all` is the embed stage on what duplicates are still among."""
    by_vectors = () if config.method == "minhash" else ("embed_all", "pair")
    return by_vectors if config.method == "embedding" else (*by_vectors, "shingle")


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
    config: m.SentenceTransformersEmbed | m.StaticEmbed | m.PrecomputedEmbed | m.ImagesEmbed,
    texts: str,
    encoder: str,
    adapter: str | None = None,
) -> Recipe:
    """Return the recipe of the embeddings of the texts with digest `texts` by the encoder with key `encoder`.

    An adapter counts by its artifact's key, whatever name the config gives it.

    For precomputed vectors `texts` is the documents' key and `encoder` the digest of the vectors, which stands
    for their path. Versions of torch and the like are left out: a text's vector is kept once it is there.
    """
    return Recipe(
        stage="embed",
        kind="embeddings",
        version=VERSIONS["embed"],
        config=_fields(config, leave_out={"path", "root", "adapter"}),
        inputs={"texts": texts},
        identity={"encoder": encoder} if adapter is None else {"encoder": encoder, "adapter": adapter},
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
    config: m.HdbscanCluster | m.KMeansCluster | m.ClassesCluster,
    embeddings: str,
    neighbors: str,
    reduced: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the labels; the neighbours' say which documents are fitted and where others belong.

    A classifier's classes come of the embeddings alone, and its content stands for its path.
    """
    if isinstance(config, m.ClassesCluster):
        fields = _fields(config, leave_out={"classifier"})
        identity = {"classifier": classifier_key(config.classifier)}
        return Recipe("cluster", "labels", VERSIONS["cluster"], fields, {"embeddings": embeddings}, identity)
    libraries = ("hdbscan", "scikit-learn", "numba")
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


def tally_part(config: m.CountConfig, texts: str, rows: tuple[int, int]) -> Recipe:
    """Return the recipe of a part of the word counts, of the documents from one row to another."""
    whole = count(config, texts)
    return Recipe(**{**vars(whole), "kind": "tally-parts", "config": {**whole.config, "rows": list(rows)}})


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


def signatures(n_bits: int, embeddings: str, seed: int) -> Recipe:
    """Return the recipe of the sides of random hyperplanes on which vectors lie; integers, so no library decides."""
    return Recipe(
        "pair", "signatures", VERSIONS["pair"], {"n_bits": n_bits}, {"embeddings": embeddings}, seed=seed
    )


def pair(config: d.VectorMatchConfig, embeddings: str, base: str | None, seed: int) -> Recipe:
    """Return the recipe of the pairs of similar vectors, some of them of the embeddings `base`.

    The threshold is not part of it: it chooses among the pairs.
    """
    fields = config.model_dump(mode="json", include=set(d.VectorMatchConfig.model_fields) - {"threshold"})
    inputs = {"embeddings": embeddings} | ({"against": base} if base else {})
    return Recipe(
        "pair", "pairs", VERSIONS["pair"], fields, inputs, {"numpy": package_version("numpy")}, seed
    )


def shingles(shingle_words: int, n_hashes: int, texts: str, seed: int) -> Recipe:
    """Return the recipe of the shingles of texts and their MinHash signatures."""
    config = {"shingle_words": shingle_words, "n_hashes": n_hashes}
    return Recipe("shingle", "shingles", VERSIONS["shingle"], config, {"texts": texts}, seed=seed)


def shingle(config: d.WordMatchConfig, texts: str, base: str | None, seed: int) -> Recipe:
    """Return the recipe of the pairs of texts with common shingles; the threshold is not part of it."""
    fields = config.model_dump(
        mode="json", include=set(d.WordMatchConfig.model_fields) - {"jaccard_threshold"}
    )
    inputs = {"texts": texts} | ({"against": base} if base else {})
    return Recipe("shingle", "pairs", VERSIONS["shingle"], fields, inputs, seed=seed)


def deduplicate(
    config: d.AnyDeduplicate, documents: str, pairs: Mapping[str, str], base: str | None = None
) -> Recipe:
    """Return the recipe of the groups of duplicates and of what is kept, made of `pairs` by search."""
    thresholds = {name for name in ("threshold", "jaccard_threshold") if name in type(config).model_fields}
    fields = config.model_dump(mode="json", include=set(d.GroupingConfig.model_fields) | thresholds)
    inputs = {"documents": documents, **pairs} | ({"against": base} if base else {})
    return Recipe("deduplicate", "duplicates", VERSIONS["deduplicate"], fields, inputs)


def keep(documents: str, duplicates: str) -> Recipe:
    """Return the recipe of the documents that are kept."""
    inputs = {"documents": documents, "duplicates": duplicates}
    return Recipe("deduplicate", "documents", VERSIONS["deduplicate"], inputs=inputs)


# --- updates ---


def arrive(loading: m.LoadConfig, config: u.ArriveConfig, source: str, state: str) -> Recipe:
    """Return the recipe of what is new in a `source` fingerprint to the state with that key, empty before the first."""
    fields = {**_fields(loading, leave_out={"path", "connection_env"}), "arrive": _fields(config)}
    identity = {"source": source, "load": str(VERSIONS["load"])}  # its documents are made by load's code
    return Recipe("arrive", "arrivals", VERSIONS["arrive"], fields, {"state": state}, identity)


def cells(inputs: Mapping[str, str], seed: int) -> Recipe:
    """Return the recipe of the fitted vectors' cells, by which new documents find their nearest."""
    identity = {name: package_version(name) for name in ("numpy", "numba")}
    return Recipe("assign", "cells", VERSIONS["assign"], {}, dict(inputs), identity, seed)


def assign(inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the labels of new documents; their cells stand for the fit."""
    identity = {name: package_version(name) for name in ("numpy", "numba")}
    return Recipe("assign", "labels", VERSIONS["assign"], {}, dict(inputs), identity)


def lookup_part(stage: str, queries: str, cells: str, rows: tuple[int, int]) -> Recipe:
    """Return the recipe of a part of a stage's lookups, of the vectors from one row to another."""
    inputs = {"embeddings": queries, "cells": cells}
    return Recipe(stage, "lookup-parts", VERSIONS[stage], {"rows": list(rows)}, inputs)


def drift(config: u.DriftConfig, inputs: Mapping[str, str], n_updates: int) -> Recipe:
    """Return the recipe of the drift figures after `n_updates` runs since the fit."""
    fields = {**_fields(config), "n_updates": n_updates}
    return Recipe(
        "drift", "drifts", VERSIONS["drift"], fields, dict(inputs), {"numpy": package_version("numpy")}
    )


def gather(batches: Sequence[str]) -> Recipe:
    """Return the recipe of the documents of several batches as one."""
    inputs = {str(number): key for number, key in enumerate(batches)}
    return Recipe("gather", "documents", VERSIONS["gather"], {}, inputs)


def match(config: u.MatchConfig, inputs: Mapping[str, str]) -> Recipe:
    """Return the recipe of the lineage of a new fit's topics."""
    return _stage("match", "lineages", config, inputs, ("numpy", "scipy"))


def overview(
    evaluating: m.EvaluateConfig,
    counting: m.CountConfig,
    reporting: m.ReportConfig,
    name: str,
    inputs: Mapping[str, str],
    names: str,
) -> Recipe:
    """Return the recipe of metrics and page of all documents so far; `names` is the digest of ids and names."""
    fields = {
        "evaluate": _fields(evaluating),
        "report": _fields(reporting.model_copy(update={"title": reporting.title or name})),
        "token_pattern": counting.token_pattern,
        "lowercase": counting.lowercase,
    }
    identity = {"names": names, **{stage: str(VERSIONS[stage]) for stage in ("evaluate", "report")}}
    identity |= {library: package_version(library) for library in ("numpy", "scikit-learn", "plotly")}
    return Recipe("overview", "overviews", VERSIONS["overview"], fields, dict(inputs), identity)


def gate(config: GatesConfig, measured: Mapping[str, str], before: Mapping[str, Any] | None) -> Recipe:
    """Return the recipe of a run's verdict; whom to tell is no part of it.

    `measured` is the key of its figures by the stage that made them, `before` the figures of the last published run.
    """
    fields = _fields(config, leave_out={"webhook_env", "webhook_block"})
    last = "" if before is None else digest(canonical_json(dict(before)))
    return Recipe("gate", "verdicts", VERSIONS["gate"], fields, {**measured, "before": last})


def state(values: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a state, which is its content."""
    return Recipe("publish", "states", 1, dict(values))


def index(config: IndexConfig, inputs: Mapping[str, str], space: str, seed: int) -> Recipe:
    """Return the recipe of an index; `inputs` are documents, embeddings, and perhaps topics and the index before.

    `space` says what the vectors mean: the encoder's key, or the digest of precomputed ones. A topics' run is known by
    its artifacts and not by its name.
    """
    recipe = _stage(
        "index", "indexes", config, inputs, ("numpy", "numba", "scipy", "usearch"), seed, leave_out={"topics"}
    )
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, "space": space}})


# --- tuning ---


def examples(
    config: t.ClassExamples | t.TopicExamples | t.PairExamples | t.TripletExamples,
    split: t.SplitExamples,
    documents: str,
    source: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the examples; `source` is the digest of the file or the key of the labels they come from."""
    fields = {**_fields(config, leave_out={"path", "run"}), "split": _fields(split)}
    return Recipe(
        stage="examples",
        kind="examples",
        version=VERSIONS["examples"],
        config=fields,
        inputs={"documents": documents},
        identity={"source": source},
        seed=seed,
    )


def tune(
    config: t.AdapterTune | t.FullTune, embeddings: str, examples: str, encoder: str, seed: int
) -> Recipe:
    """Return the recipe of the adapter, or of the tuned model, of the encoder with key `encoder`."""
    libraries = (
        ("torch",)
        if isinstance(config, t.AdapterTune)
        else ("torch", "sentence-transformers", "transformers")
    )
    recipe = _stage(
        "tune", "adapters", config, {"embeddings": embeddings, "examples": examples}, libraries, seed
    )
    kind = "adapters" if isinstance(config, t.AdapterTune) else "models"
    return Recipe(**{**vars(recipe), "kind": kind, "identity": {**recipe.identity, "encoder": encoder}})


def judge(config: t.JudgeConfig, examples: str, raw: str, tuned: str, seed: int) -> Recipe:
    """Return the recipe of the figures of raw beside tuned vectors."""
    inputs = {"examples": examples, "raw": raw, "tuned": tuned}
    libraries = ("numpy", "scikit-learn", "torch", "hdbscan", "numba")
    return _stage("judge", "judgements", config, inputs, libraries, seed)


# --- classifiers --------------------------------------------------------------------------------------------


def annotate(config: LabelsConfig, content: str, space: Mapping[str, Any]) -> Recipe:
    """Return the recipe of labelled texts with vectors of a `space`; their `content` stands for where labels lie."""
    fields = {"multilabel": config.separator is not None}
    identity = {name: str(value) for name, value in space.items()}
    return Recipe("annotate", "annotations", VERSIONS["annotate"], fields, {"content": content}, identity)


def trial(
    config: TrainClassifierConfig, trained: Mapping[str, Any], annotations: str, body: str | None
) -> Recipe:
    """Return the recipe of one training of a comparison, by the encoder with key `body` where it is SetFit's."""
    own = config.compare.model_dump(mode="json", include={"test_share", "max_test"})
    fields = {**_learning(config, body), "compare": own, "trial": dict(trained)}
    return _learned("contest", "trials", fields, annotations, body, config.seed)


def contest(config: TrainClassifierConfig, annotations: str, body: str | None) -> Recipe:
    """Return the recipe of the comparison."""
    fields = {**_learning(config, body), "compare": _fields(config.compare)}
    return _learned("contest", "comparisons", fields, annotations, body, config.seed)


def train(config: TrainClassifierConfig, method: str, annotations: str, body: str | None) -> Recipe:
    """Return the recipe of the classifier that a method trains on all labelled texts."""
    fields = {**_learning(config, body), "method": method}
    return _learned("train", "classifiers", fields, annotations, body, config.seed)


def predict(config: PredictConfig, embeddings: str, annotations: str, classifier: str) -> Recipe:
    """Return the recipe of the predictions; the method is in the classifier."""
    inputs = {"embeddings": embeddings, "annotations": annotations, "classifier": classifier}
    fields = _fields(config, leave_out={"method"})
    return Recipe(
        "predict", "predictions", VERSIONS["predict"], fields, inputs, {"numpy": package_version("numpy")}
    )


def _learning(config: TrainClassifierConfig, body: str | None) -> dict[str, Any]:
    """Return the sections that decide a training; SetFit's where a body is tuned."""
    return {"head": _fields(config.head), "setfit": _fields(config.setfit) if body else None}


def _learned(
    stage: str, kind: str, fields: dict[str, Any], annotations: str, body: str | None, seed: int
) -> Recipe:
    libraries = ("numpy", "scikit-learn", *(("torch", "sentence-transformers") if body else ()))
    identity = {name: package_version(name) for name in libraries} | ({"body": body} if body else {})
    return Recipe(stage, kind, VERSIONS[stage], fields, {"annotations": annotations}, identity, seed)


def _stage(
    stage: str,
    kind: str,
    config: BaseModel,
    inputs: Mapping[str, str],
    libraries: tuple[str, ...],
    seed: int | None = None,
    leave_out: set[str] | None = None,
) -> Recipe:
    identity = {name: package_version(name) for name in libraries}
    return Recipe(stage, kind, VERSIONS[stage], _fields(config, leave_out), dict(inputs), identity, seed)


def _fields(config: BaseModel, leave_out: set[str] | None = None) -> dict[str, Any]:
    return config.model_dump(mode="json", exclude=leave_out)
