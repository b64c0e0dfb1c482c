"""Keys of a sweep: a setting's result depends on all that decides it, and on nothing else."""

from typing import Any

import pytest

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.sweep import SweepSection
from topicflow.tasks.sweeps import recipes
from topicflow.tasks.topics.recipes import CorpusKeys

CORPUS = CorpusKeys("documents", "embeddings", "counts", "encoder")
DRAWS = {"cluster": {"method": "kmeans"}}
"""A method that draws random numbers."""


def key(
    seed: int = 1, seeds: int = 3, corpus: CorpusKeys = CORPUS, draw: int | None = None, **sections: Any
) -> str:
    """Return the key of a setting's result, or of its figures on a draw."""
    config = TopicModelConfig(**{"load": {"path": "a"}, **sections})
    if draw is None:
        return recipes.setting(config, corpus, seed, seeds).key
    return recipes.drawn(config, corpus, seed, draw).key


@pytest.mark.parametrize("draw", [None, 2])
@pytest.mark.parametrize(
    "changed",
    [
        {"neighbors": {"n_neighbors": 20}},
        {"reduce": {"steps": 3}},
        {"cluster": {"min_cluster_size": 20}},
        {"label": {"spread": 0.5}},
        {"count": {"token_pattern": r"\w+"}},
        {"evaluate": {"sample": 100}},
        {"corpus": CorpusKeys("others", "embeddings", "counts", "encoder")},
        {"corpus": CorpusKeys("documents", "others", "counts", "encoder")},
        {"corpus": CorpusKeys("documents", "embeddings", "others", "encoder")},
        {"seed": 2},
    ],
    ids=str,
)
def test_what_decides_a_setting_is_in_its_key(changed: dict[str, Any], draw: int | None) -> None:
    assert key(draw=draw, **changed) != key(draw=draw)


@pytest.mark.parametrize("draw", [None, 2])
@pytest.mark.parametrize(
    "changed",
    [
        {"runtime": {"n_threads": 3, "store": "elsewhere", "n_workers": 2}},
        {"name": "other"},
        {"report": {"max_points": 5000}},
        {"sweep": {"draws": 1}},
    ],
    ids=str,
)
def test_what_decides_nothing_is_not(changed: dict[str, Any], draw: int | None) -> None:
    assert key(draw=draw, **changed) == key(draw=draw)


def test_the_number_of_seeds_counts_only_where_a_method_draws() -> None:
    assert key(seeds=3) == key(seeds=5)
    assert key(seeds=3, **DRAWS) != key(seeds=5, **DRAWS)
    config = TopicModelConfig(load={"path": "a"}, **DRAWS)
    assert [len(recipes.fits_of(config, CORPUS, 1, seeds)) for seeds in (1, 3)] == [1, 3]


def test_another_draw_has_another_key() -> None:
    assert key(draw=1) != key(draw=2)
    assert recipes.draw("e", 1).key != recipes.draw("e", 2).key != recipes.draw("f", 2).key


def test_a_table_depends_on_its_settings_and_on_what_was_skipped() -> None:
    values = [{"cluster.min_cluster_size": 5}]
    base = recipes.sweep(SweepSection(), {1: "a"}, values, []).key
    assert recipes.sweep(SweepSection(draws=1, max_settings=7), {1: "a"}, values, []).key == base
    others = [
        recipes.sweep(SweepSection(), {1: "b"}, values, []),
        recipes.sweep(SweepSection(), {2: "a"}, values, []),
        recipes.sweep(SweepSection(), {1: "a"}, [{"cluster.min_cluster_size": 6}], []),
        recipes.sweep(SweepSection(), {1: "a"}, values, ["too large"]),
    ]
    assert len({base, *(each.key for each in others)}) == 5
