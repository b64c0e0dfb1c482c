"""Settings of a sweep: how values are written, which combinations there are, what is refused and what is skipped."""

from typing import Any

import pytest

from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import dump_config, parse_config
from topicflow.configs.vary import values_of
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.sweeps.left_out import left_out
from topicflow.tasks.sweeps.settings import grid_of, without_misfits


def config_of(vary: dict[str, Any], **sections: Any) -> SweepConfig:
    """Return the config of a sweep."""
    values = {"load": {"path": "/a.csv"}, "sweep": {"vary": vary}, **sections}
    return parse_config(values, SweepConfig, "c.toml")


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("10,20,50", [10, 20, 50]),
        ("10..100:5", [10, 18, 32, 56, 100]),
        ("0.1..0.9:3", [0.1, 0.3, 0.9]),
        ("0..1:5:linear", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("2..10:3:linear", [2, 6, 10]),
        ("5, 2..8:3", [5, 2, 4, 8]),
        ("2..4:9", [2, 3, 4]),  # whole numbers that are equal are one value
        ("eom,leaf", ["eom", "leaf"]),
        ("unset,20", [None, 20]),
        ("true,false", [True, False]),
        (7, [7]),
        ([3, "unset", 0.5], [3, None, 0.5]),
    ],
)
def test_values_are_read_as_they_are_written(written: Any, values: list[Any]) -> None:
    found = values_of("a.b", written)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0..1:3", "values at equal ratios begin above 0; write 0..1:3:linear for equal steps"),
        ("9..3:4", "expected a smaller number first and 2 to 1000 values"),
        ("1..3:1", "2 to 1000 values"),
        ("1..3", "expected FROM..TO:N, such as 10..100:5, or 0..1:5:linear"),
        ("1,,3", "a value is missing"),
    ],
)
def test_a_wrong_range_is_refused_in_one_line(written: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^--vary cluster\.min_cluster_size") as refused:
        grid_of(config_of({"cluster.min_cluster_size": written}))
    assert said in str(refused.value)


def test_a_grid_has_every_combination_and_each_is_a_topic_model() -> None:
    grid = grid_of(config_of({"cluster.min_cluster_size": "10,20", "label.spread": [0.0, 1.0]}, seed=7))
    found = [(each.config.cluster.min_cluster_size, each.config.label.spread) for each in grid.settings]  # type: ignore[union-attr]
    assert found == [(10, 0.0), (10, 1.0), (20, 0.0), (20, 1.0)]
    assert [each.number for each in grid.settings] == [1, 2, 3, 4]
    assert {type(each.config) for each in grid.settings} == {TopicModelConfig}
    assert {each.config.seed for each in grid.settings} == {7}
    assert str(grid.settings[2]) == "cluster.min_cluster_size=20 label.spread=0.0"


def test_a_key_that_a_method_lacks_is_left_out_and_equal_settings_are_one() -> None:
    vary = {
        "cluster.method": "graph,kmeans",
        "cluster.n_clusters": "5,9",
        "cluster.min_cluster_size": "10,20",
    }
    grid = grid_of(config_of(vary))
    assert [str(each) for each in grid.settings] == [
        "cluster.method=graph cluster.min_cluster_size=10",
        "cluster.method=graph cluster.min_cluster_size=20",
        "cluster.method=kmeans cluster.n_clusters=5",
        "cluster.method=kmeans cluster.n_clusters=9",
    ]
    assert grid.skipped == ()


def test_what_does_not_fit_together_is_skipped_with_the_reason() -> None:
    grid = grid_of(config_of({"cluster.method": "graph,hdbscan", "reduce.method": "diffusion,umap"}))
    assert len(grid.settings) == 3
    (skipped,) = grid.skipped
    assert skipped.values == {"cluster.method": "graph", "reduce.method": "umap"}
    assert skipped.reason.startswith('cluster.method="graph" needs reduce.method')


def test_another_method_has_its_own_defaults() -> None:
    reduce = {"method": "diffusion", "n_components": 32, "steps": 3}
    grid = grid_of(config_of({"reduce.method": "diffusion,pca"}, reduce=reduce, cluster={"method": "kmeans"}))
    assert [each.config.reduce.model_dump() for each in grid.settings] == [
        reduce,
        {"method": "pca", "n_components": 32},
    ]
    plain = grid_of(config_of({"reduce.method": "diffusion,pca"}, cluster={"method": "kmeans"}))
    assert plain.settings[1].config.reduce.n_components == 5  # type: ignore[union-attr]


def test_a_key_can_be_left_out() -> None:
    grid = grid_of(config_of({"cluster.n_topics": "unset,20"}, cluster={"n_topics": 9}))
    assert [each.config.cluster.n_topics for each in grid.settings] == [None, 20]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({}, "sweep: nothing is varied; give --vary KEY=VALUES"),
        ({"cluster.n_clusters": "5,9"}, 'for this method; it needs cluster.method = "kmeans"'),
        ({"cluster.min_clster_size": "5"}, "did you mean 'min_cluster_size'?"),
        ({"cluster.min_cluster_size": "1,5"}, "cluster.min_cluster_size: input should be greater than or"),
        ({"cluster.method": "graph,dbscan"}, "cluster.method: found 'dbscan'"),
        ({"label.spread": "0..2:900:linear"}, "900 settings exceed sweep.max_settings=500"),
    ],
)  # fmt: skip
def test_what_fits_no_setting_is_refused_in_one_line(vary: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        grid_of(config_of(vary))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_only_keys_of_four_sections_can_be_varied() -> None:
    with pytest.raises(
        ValueError, match=r"^c\.toml: sweep\.vary: load\.path cannot be varied; expected a key of nei"
    ):
        config_of({"load.path": "a,b"})


def test_settings_that_need_more_documents_are_skipped() -> None:
    grid = without_misfits(grid_of(config_of({"cluster.min_cluster_size": "10,500"})), 312)
    assert [str(each) for each in grid.settings] == ["cluster.min_cluster_size=10"]
    assert [each.reason for each in grid.skipped] == [
        "cluster: min_cluster_size=500 exceeds n_docs=312; set it to 312 or less"
    ]


def test_one_file_serves_a_sweep_and_a_topic_model() -> None:
    values = {
        "name": "reviews",
        "load": {"path": "/a.csv"},
        "sweep": {"vary": {"cluster": {"min_cluster_size": [5, 9]}}},
    }
    sweep, model = (
        parse_config(values, SweepConfig, "c.toml"),
        parse_config(values, TopicModelConfig, "c.toml"),
    )
    assert (sweep.name, model.name) == ("reviews-sweep", "reviews")
    assert sweep.sweep == model.sweep
    assert sweep.sweep.vary == {"cluster.min_cluster_size": [5, 9]}
    import tomllib

    assert parse_config(tomllib.loads(dump_config(sweep)), SweepConfig, "c.toml") == sweep


def test_given_topics_are_left_out_in_one_sentence() -> None:
    vary = {"cluster.min_cluster_size": [5, 10]}
    assert left_out(config_of(vary)) == []
    (said,) = left_out(config_of(vary, topics={"names": ["a"]}))
    assert said.startswith("[topics] left out: a sweep compares the clusters that its settings find.")
    assert "--from-sweep` applies them" in said
