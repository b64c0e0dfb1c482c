"""Keys: every field of a stage's section changes its key, no field of `runtime` does; stored values are read back."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes
from pydantic import BaseModel, ValidationError

from tests.fakes import save_documents
from tests.record_stage_code import all_versions
from topicflow.configs.fields.chat import HOW_A_CHAT_IS_ASKED
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.cluster import GraphCluster, HdbscanCluster, KMeansCluster
from topicflow.configs.sections.count import CountConfig
from topicflow.configs.sections.deduplicate import (
    AnyDeduplicate,
    BothDeduplicate,
    EmbeddingDeduplicate,
    MinhashDeduplicate,
    VectorMatchConfig,
    WordMatchConfig,
)
from topicflow.configs.sections.embed import (
    HOW_ASKED,
    ApiEmbed,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.configs.sections.evaluate import EvaluateConfig
from topicflow.configs.sections.index import IndexConfig
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.load import LoadConfig, SplitConfig
from topicflow.configs.sections.names import HOW_NAMES_ARE_ASKED, NamesConfig
from topicflow.configs.sections.neighbors import NeighborsConfig
from topicflow.configs.sections.reduce import (
    DiffusionReduce,
    MapConfig,
    NoReduce,
    ParallelUmapReduce,
    PcaReduce,
    UmapReduce,
)
from topicflow.configs.sections.report import ReportConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.shaping import SeededTopics, TreeConfig, ZeroShotTopics
from topicflow.configs.sections.slices import GroupsConfig, PeriodsConfig, SharesConfig
from topicflow.configs.sections.tuning import SplitExamples, SyntheticExamples
from topicflow.flows.planning.plan import chain_recipes
from topicflow.flows.planning.stages import STAGES
from topicflow.tasks.chats.answer_recipe import ASKED_WITH
from topicflow.tasks.documents import recipes as documents_recipes
from topicflow.tasks.duplicates import recipes as duplicates
from topicflow.tasks.encoding import recipes as encoding_recipes
from topicflow.tasks.given import recipes as given_recipes
from topicflow.tasks.naming import recipes as naming_recipes
from topicflow.tasks.periods import recipes as periods_recipes
from topicflow.tasks.report import recipes as report_recipes
from topicflow.tasks.search import recipes as search_recipes
from topicflow.tasks.shares import recipes as shares_recipes
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics import recipes as topics
from topicflow.tasks.tree import recipes as tree_recipes
from topicflow.tasks.tuning import recipes as tuning_recipes

SECTIONS: dict[str, list[BaseModel]] = {
    "load": [
        LoadConfig(path="a.csv"),
        LoadConfig(query="select 1", connection_env="DB"),
        LoadConfig(path="a.csv", split=SplitConfig()),
    ],
    "embed": [
        SentenceTransformersEmbed(),
        StaticEmbed(method="static"),
        ApiEmbed(method="api", url="http://localhost/v1", model="m"),
        PrecomputedEmbed(method="precomputed", column="v"),
        ImagesEmbed(method="images", model="clip"),
    ],
    "deduplicate": [
        EmbeddingDeduplicate(), MinhashDeduplicate(method="minhash"), BothDeduplicate(method="both"),
    ],
    "similar_vectors": [VectorMatchConfig()],
    "similar_texts": [WordMatchConfig()],
    "neighbors": [NeighborsConfig()],
    "reduce": [
        DiffusionReduce(), ParallelUmapReduce(method="parallel_umap"), UmapReduce(method="umap"),
        PcaReduce(method="pca"), NoReduce(method="none"),
    ],
    "map": [MapConfig()],
    "cluster": [GraphCluster(), HdbscanCluster(method="hdbscan"), KMeansCluster(method="kmeans")],
    "count": [CountConfig()],
    "label": [LabelConfig(), LabelConfig(representation="mmr")],
    "names": [NamesConfig(url="http://localhost/v1", model="m")],
    "topics": [ZeroShotTopics(names=("a", "b"))],
    "seeded": [SeededTopics(method="seeded", names=("a", "b"))],
    "tree": [TreeConfig()],
    "evaluate": [EvaluateConfig()],
    "periods": [PeriodsConfig()],
    "groups": [GroupsConfig(columns=("a",))],
    "shares": [SharesConfig()],
    "report": [ReportConfig()],
    "index": [IndexConfig()],
    "synthetic": [
        SyntheticExamples(method="synthetic"),
        SyntheticExamples(method="synthetic", server={"url": "http://localhost/v1", "model": "m"}),
    ],
}  # fmt: skip


def of_seeds(config: SeededTopics) -> Recipe:
    """Return the recipe of the keywords of a corpus with seeds, which depends on every field of the section."""
    pulled = given_recipes.pull(config, "d", "e", "encoder")
    return topics.label(LabelConfig(), "d", "e", "l", "c", "encoder", (pulled.key, config.word_weight))


RECIPES: dict[str, Callable[[Any], Recipe]] = {
    "load": lambda c: documents_recipes.load(c, "source"),
    "embed": lambda c: encoding_recipes.embed(c, "texts", "encoder"),
    "deduplicate": lambda c: grouped(c, "d"),
    "similar_vectors": lambda c: duplicates.similar_vectors(c, "e", None, 1),
    "similar_texts": lambda c: duplicates.similar_texts(c, "t", None, 1),
    "neighbors": lambda c: topics.neighbors(c, "e"),
    "reduce": lambda c: topics.reduce(c, "e", "n", 1),
    "map": lambda c: topics.reduce(topics.map_reduce(c), "e", "n", 1),
    "cluster": lambda c: topics.cluster(c, "e", "n", "r", 1),
    "count": lambda c: topics.count(c, "texts"),
    "label": lambda c: topics.label(c, "d", "e", "l", "c", "encoder"),
    "names": lambda c: naming_recipes.name(c, "t"),
    "topics": lambda c: given_recipes.given(c, {"labels": "l"}, "encoder", 10),
    "seeded": of_seeds,
    "tree": lambda c: tree_recipes.tree(c, LabelConfig(), {"topics": "t"}),
    "evaluate": lambda c: topics.evaluate(c, {"topics": "t"}, CountConfig(), 1),
    "periods": lambda c: periods_recipes.periods(c, LabelConfig(), {"labels": "l"}),
    "groups": lambda c: periods_recipes.groups(c, LabelConfig(), {"labels": "l"}),
    "shares": lambda c: shares_recipes.shares(c, {"labels": "l"}),
    "report": lambda c: report_recipes.report(c, "name", {"topics": "t"}),
    "index": lambda c: search_recipes.index(c, {"embeddings": "e"}, "space", 1),
    "synthetic": lambda c: tuning_recipes.synthetic(c, SplitExamples(), ("d", "e"), "", 1),
}


def grouped(config: AnyDeduplicate, documents: str) -> Recipe:
    """Return the recipe of the duplicates, based on the recipes of the pairs that its method uses."""
    pairs = {}
    if not isinstance(config, MinhashDeduplicate):
        pairs["similar_vectors"] = duplicates.similar_vectors(config, "e", None, 1).key
    if not isinstance(config, EmbeddingDeduplicate):
        pairs["similar_texts"] = duplicates.similar_texts(config, "t", None, 1).key
    return duplicates.deduplicate(config, documents, pairs)


BESIDE_ANOTHER = {"keep_column", "topics", "about"}
"""Fields that have a value only beside a certain one of another field; compared below, and in test_sizes.py."""

CHOSEN_BY = {"threshold", "jaccard_threshold"}
"""Fields that choose among the pairs that were found: of the key of the duplicates, not of that of the pairs."""

BY_CONTENT = {"path", "connection_env", "query", "root", "allow_outside_root", "topics", "adapter", "run"}
"""Fields that say where the input is: its content is part of the key."""

OF_THE_ENCODER = {"task", "dim"}
"""Fields of sentence-transformers that the encoder's key contains (test_model_settings.py, test_architectures.py)."""


def other_values(value: Any) -> Iterator[Any]:
    """Yield values of the kinds in a config; the model says which are valid."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value / 2, value + 1000, (1 + value) / 2, 128)
    yield from (
        "other",
        "exact",
        "pca",
        "leaf",
        "mmr",
        "csv",
        "replace",
        "dmy",
        "float32",
        "keybert",
        "random",
        "fast",
        "components",
        "longest",
        "rebuild",
        "low",
        "http://other/v1",
    )
    yield from (5, 50, 500, 0.5, ("a", "b"), [1, 2], {"max_words": 77, "overlap_words": 7}, None)
    yield from (("title",), ("model",), "both", {"url": "http://other/v1", "model": "m"})
    yield from ("cp1252", ";", "", "excel", ("html",), "month", "Europe/Berlin")


def perturbed(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, BaseModel | None]]:
    """Yield for each field its dotted name and the same section with another valid value for it, None if none fits."""
    given_values = config.model_dump()
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name == "method" and not isinstance(config, NeighborsConfig):
            continue  # another variant of the union; compared below
        found = None
        for other in other_values(value):
            try:
                changed = type(config).model_validate({**given_values, name: other})
            except ValidationError:
                continue
            if getattr(changed, name) != value:
                found = changed
                break
        yield f"{prefix}{name}", found
        if isinstance(value, BaseModel):
            for inner, section in perturbed(value, f"{prefix}{name}."):
                yield inner, section and config.model_copy(update={name: section})


CASES = [
    (stage, type(config).__name__, field, config, changed)
    for stage, configs in SECTIONS.items()
    for config in configs
    for field, changed in perturbed(config)
    if not (stage in {"load", "embed", "index", "topics", "seeded"} and field in BY_CONTENT)
    if not (isinstance(config, SentenceTransformersEmbed) and field in OF_THE_ENCODER)
    if not (isinstance(config, ApiEmbed) and field in HOW_ASKED)
    if not (isinstance(config, NamesConfig) and field in HOW_NAMES_ARE_ASKED)
    if not (isinstance(config, SyntheticExamples) and field.removeprefix("server.") in HOW_A_CHAT_IS_ASKED)
    if not (stage in {"similar_vectors", "similar_texts"} and field in CHOSEN_BY)
    and field not in BESIDE_ANOTHER
]


@pytest.mark.parametrize(
    ("stage", "config", "changed"),
    [pytest.param(s, c, x, id=f"{s}-{kind}-{field}") for s, kind, field, c, x in CASES],
)
def test_every_field_of_a_section_changes_the_key(
    stage: str, config: BaseModel, changed: BaseModel | None
) -> None:
    assert changed is not None, "no valid other value was found: extend other_values"
    assert RECIPES[stage](config).key != RECIPES[stage](changed).key


def test_the_fields_walked_are_all_there_are() -> None:
    walked = {(kind, field.rsplit(".", 1)[-1]) for _, kind, field, _, _ in CASES}
    assert len(CASES) > 60
    assert ("LoadConfig", "max_words") in walked
    for stage, kind, field in [
        ("load", "LoadConfig", "path"),
        ("cluster", "HdbscanCluster", "method"),
    ]:
        assert (kind, field) not in walked, stage


def test_the_column_to_keep_by_changes_the_key() -> None:
    keys = {
        grouped(EmbeddingDeduplicate(keep="column", keep_column=column), "d").key for column in ("a", "b")
    }
    assert len(keys) == 2


def test_how_a_model_is_asked_changes_no_name_and_what_it_is_told_no_answer_of_another_prompt() -> None:
    config = NamesConfig(url="http://localhost/v1", model="m")
    for field, changed in perturbed(config):
        if field in HOW_NAMES_ARE_ASKED and changed is not None:
            assert naming_recipes.name(changed, "t").key == naming_recipes.name(config, "t").key
        if changed is not None:
            same = naming_recipes.answer(changed, [], {}).key == naming_recipes.answer(config, [], {}).key
            assert same == (field not in (*ASKED_WITH, *naming_recipes.ALSO)), field


@pytest.mark.parametrize("field", sorted(CHOSEN_BY))
def test_another_threshold_needs_no_other_search(field: str) -> None:
    config = BothDeduplicate(method="both")
    changed = config.model_copy(update={field: 0.95})
    assert (
        duplicates.similar_vectors(config, "e", None, 1).key
        == duplicates.similar_vectors(changed, "e", None, 1).key
    )
    assert (
        duplicates.similar_texts(config, "t", None, 1).key
        == duplicates.similar_texts(changed, "t", None, 1).key
    )
    assert grouped(config, "d").key != grouped(changed, "d").key


@pytest.mark.parametrize("stage", ["deduplicate", "embed", "reduce", "cluster", "label"])
def test_every_method_has_its_own_key(stage: str) -> None:
    keys = {RECIPES[stage](config).key for config in SECTIONS[stage]}
    assert len(keys) == len(SECTIONS[stage])


def test_every_section_of_a_topic_model_is_walked() -> None:
    elsewhere = {"gates", "sweep", "edits"}  # in test_update_keys.py, test_sweep_keys.py and test_edits.py
    assert set(TopicModelConfig.model_fields) - {"name", "seed", "runtime"} - elsewhere <= set(SECTIONS)


@pytest.mark.parametrize(
    "stage", ["similar_vectors", "similar_texts", "reduce", "map", "cluster", "evaluate"]
)
def test_the_seed_changes_the_key_if_a_stage_draws(stage: str) -> None:
    drawn = {
        "similar_vectors": lambda seed: duplicates.similar_vectors(VectorMatchConfig(), "e", None, seed),
        "similar_texts": lambda seed: duplicates.similar_texts(WordMatchConfig(), "t", None, seed),
        "reduce": lambda seed: topics.reduce(ParallelUmapReduce(method="parallel_umap"), "e", "n", seed),
        "map": lambda seed: topics.reduce(topics.map_reduce(MapConfig()), "e", "n", seed),
        "cluster": lambda seed: topics.cluster(KMeansCluster(method="kmeans"), "e", "n", "r", seed),
        "evaluate": lambda seed: topics.evaluate(EvaluateConfig(), {}, CountConfig(), seed),
    }[stage]
    assert drawn(1).key != drawn(2).key


@pytest.mark.parametrize("stage", sorted(all_versions().keys() & SECTIONS.keys()))
def test_a_bumped_version_changes_the_key(stage: str, bump: Callable[..., None]) -> None:
    config = SECTIONS[stage][0]
    before = RECIPES[stage](config).key
    bump(stage)
    assert RECIPES[stage](config).key != before


# --- the whole chain ---


def chain(store: ArtifactStore, documents: ArtifactRef, config: TopicModelConfig) -> dict[str, str]:
    return {stage: recipe.key for stage, recipe in chain_recipes(store, config, documents).items()}


RUNTIME = [
    {"store": "elsewhere"}, {"runs": "elsewhere"}, {"device": "cuda"}, {"n_threads": 3}, {"chunk_rows": 7},
    {"retries": 0}, {"cache": "elsewhere"}, {"engine": "dask"}, {"address": "tcp://x:1"}, {"n_workers": 3},
]  # fmt: skip


def test_all_fields_of_runtime_are_tried() -> None:
    assert {name for values in RUNTIME for name in values} == set(RuntimeConfig.model_fields)


@pytest.mark.parametrize("runtime", RUNTIME, ids=lambda values: next(iter(values)))
def test_no_field_of_runtime_changes_any_key(
    store: ArtifactStore, runtime: dict[str, Any], tiny: Path
) -> None:
    documents = save_documents(store, ["a b", "c d"])
    config = TopicModelConfig(load={"path": "a"}, embed={"model": str(tiny), "precision": "float32"})
    changed = config.model_copy(update={"runtime": RuntimeConfig(**runtime)})
    assert chain(store, documents, changed) == chain(store, documents, config)


CHANGES = {
    "seed": ({"seed": 1}, {"map", "evaluate", "report"}),
    "prompt": ({"embed": {"prompt": "p: "}}, set(STAGES) - {"load", "count"}),
    "neighbors": ({"neighbors": {"n_neighbors": 9}}, set(STAGES) - {"load", "embed", "count"}),
    "reduce": ({"reduce": {"n_components": 32}}, {"reduce", "cluster", "label", "evaluate", "report"}),
    "map": ({"map": {"min_dist": 0.5}}, {"map", "report"}),
    "cluster": ({"cluster": {"min_cluster_size": 50}}, {"cluster", "label", "evaluate", "report"}),
    "count": ({"count": {"lowercase": False}}, {"count", "label", "evaluate", "report"}),
    "label": ({"label": {"top_n_words": 5}}, {"label", "evaluate", "report"}),
    "evaluate": ({"evaluate": {"sample": 50}}, {"evaluate", "report"}),
    "report": ({"report": {"title": "t"}}, {"report"}),
    "name": ({"name": "other"}, {"report"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_moves_the_stage_and_what_follows_and_nothing_before(
    store: ArtifactStore, name: str, tiny: Path
) -> None:
    changes, moved = CHANGES[name]
    documents = save_documents(store, ["a b", "c d"])
    base: dict[str, Any] = {"load": {"path": "a"}, "embed": {"model": str(tiny)}}
    before = chain(store, documents, TopicModelConfig(**base))
    merged = {**base, **changes}
    merged["embed"] = {**base["embed"], **changes.get("embed", {})}
    after = chain(store, documents, TopicModelConfig(**merged))
    assert {stage for stage in before if before[stage] != after[stage]} == moved


# --- round trips ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
DTYPES = hnp.floating_dtypes() | hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.boolean_dtypes()
ARRAYS = hnp.arrays(dtype=DTYPES, shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
QUIET = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def round_trip(write: Callable[[Any], None], read: Callable[[ArtifactStore, ArtifactRef], Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        recipe = Recipe("count", "numbers", 1)
        with store.writing(recipe) as writer:
            write(writer)
        found = store.find(recipe)
        assert found is not None
        return read(store, found)


@QUIET
@given(ARRAYS, st.booleans())
def test_arrays_of_any_shape_and_type_come_back(array: np.ndarray, transposed: bool) -> None:
    array = array.T if transposed else array
    found = round_trip(lambda w: w.save_array("a", array), lambda s, r: np.array(s.array(r, "a")))
    assert (found.shape, found.dtype) == (array.shape, array.dtype.newbyteorder("="))
    np.testing.assert_array_equal(found, array)


@QUIET
@given(
    dataframes(
        max_cols=3, max_size=6, allow_null=True,
        allowed_dtypes=[pl.Int32, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.List(pl.Float32)],
    )
)  # fmt: skip
def test_tables_come_back(table: pl.DataFrame) -> None:
    found = round_trip(lambda w: w.save_table("t", table), lambda s, r: s.table(r, "t").collect())
    assert_frame_equal(found, table)


@QUIET
@given(JSON)
def test_json_values_come_back(value: Any) -> None:
    assert round_trip(lambda w: w.save_json("j", value), lambda s, r: s.json(r, "j")) == value


def test_a_table_in_parts_comes_back_in_order(store: ArtifactStore) -> None:
    recipe = Recipe("load", "documents", 1)
    with store.writing(recipe) as writer:
        for number in range(12):
            writer.save_table(f"documents/part-{number:05d}", pl.DataFrame({"n": [number]}))
    found = store.table(store.committed(recipe, writer), "documents").collect()
    assert found["n"].to_list() == list(range(12))


@pytest.mark.parametrize(
    ("stage", "key"),
    {
        "similar_vectors": "737001b0f689c910c117bf7beb1424d9",
        "similar_texts": "c07f59dc911858243f893cf73072163e",
        "labelled_texts": "1198e0ea40a9c856cdc13faf8b1887f9",
        "compare_methods": "44b779e22fff2a0c974c7eb0f236013b",
        "measure": "f34fe3d38f40a8489c6cfc6ce9aae69f",
        "new_documents": "617761371e2f8ba18d66196f83961ef4",
        "merge_batches": "af9b2f36fd346492a1c68a32b9e5dc26",
    }.items(),
)
def test_a_stage_with_a_better_name_keeps_its_keys(stage: str, key: str) -> None:
    """The keys were printed by the code before, in which the stages had their names of 0.1.0."""
    assert Recipe(stage, "things", 2, {"a": 1}, {"b": "c"}, {"d": "e"}, 3).key == key
