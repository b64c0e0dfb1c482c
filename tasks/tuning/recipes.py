"""Recipes of tuned embeddings: examples, vectors and settings -> recipes.

The stage and the plan call the same functions. No numeric library is imported here, so that a plan answers quickly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from topicflow.configs.fields.chat import HOW_A_CHAT_IS_ASKED
from topicflow.configs.sections.tuning import (
    AdapterTune,
    ClassExamples,
    FullTune,
    MeasureConfig,
    PairExamples,
    SplitExamples,
    SyntheticExamples,
    TopicExamples,
    TripletExamples,
)
from topicflow.tasks.core.words.segmenters import word_identity
from topicflow.tasks.store.artifacts import Recipe, canonical_json, digest
from topicflow.tasks.store.recipe_parts import fields_of, library_versions

VERSIONS: Mapping[str, int] = {"examples": 1, "synthetic": 1, "tune": 2, "measure": 4}
"""Bump a stage's number when equal inputs and config must give a different artifact."""


def examples(
    config: ClassExamples | TopicExamples | PairExamples | TripletExamples,
    split: SplitExamples,
    documents: str,
    source: str,
    seed: int,
) -> Recipe:
    """Return the recipe of the examples; `source` is the digest of their file or the key of their labels."""
    fields = {**fields_of(config, leave_out={"path", "run"}), "split": fields_of(split)}
    return Recipe(
        stage="examples",
        kind="examples",
        version=VERSIONS["examples"],
        config=fields,
        inputs={"documents": documents},
        identity={"source": source},
        seed=seed,
    )


def synthetic(
    config: SyntheticExamples, split: SplitExamples, inputs: tuple[str, str], separator: str, seed: int
) -> Recipe:
    """Return the recipe of synthetic examples; `inputs` are the keys of the documents and of their untuned vectors."""
    fields = fields_of(config)
    if config.server is not None:
        fields["server"] = fields_of(config.server, leave_out=HOW_A_CHAT_IS_ASKED)
    return Recipe(
        stage="synthetic",
        kind="examples",
        version=VERSIONS["synthetic"],
        config={**fields, "split": fields_of(split), "separator": separator},
        inputs={"documents": inputs[0], "embeddings": inputs[1]},
        identity=word_identity(),
        seed=seed,
    )


def unfinished(recipe: Recipe, answers: Sequence[str]) -> Recipe:
    """Return the recipe of examples of which some are not asked for yet, by the keys of the answers that there are."""
    kept = digest(canonical_json(sorted(answers)))
    return Recipe(**{**vars(recipe), "identity": {**recipe.identity, "answers": kept}})


def tune(config: AdapterTune | FullTune, embeddings: str, examples: str, encoder: str, seed: int) -> Recipe:
    """Return the recipe of the adapter, or of the tuned model, of the encoder with key `encoder`."""
    libraries = (
        ("torch",) if isinstance(config, AdapterTune) else ("torch", "sentence-transformers", "transformers")
    )
    recipe = Recipe(
        stage="tune",
        kind="adapters",
        version=VERSIONS["tune"],
        config=fields_of(config, leave_out={"strength"} if getattr(config, "strength", None) is None else ()),
        inputs={"embeddings": embeddings, "examples": examples},
        identity=library_versions(*libraries),
        seed=seed,
    )
    kind = "adapters" if isinstance(config, AdapterTune) else "models"
    return Recipe(**{**vars(recipe), "kind": kind, "identity": {**recipe.identity, "encoder": encoder}})


def measured_spaces(config: MeasureConfig, examples: str, raw: str, tuned: str, seed: int) -> Recipe:
    """Return the recipe of the metrics of raw and tuned vectors."""
    inputs = {"examples": examples, "raw": raw, "tuned": tuned}
    libraries = ("numpy", "scikit-learn", "torch", "hdbscan", "numba")
    return Recipe(
        stage="measure",
        kind="judgements",
        version=VERSIONS["measure"],
        config=fields_of(config),
        inputs=dict(inputs),
        identity=library_versions(*libraries),
        seed=seed,
    )
