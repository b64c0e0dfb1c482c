"""Config: each error line as a user sees it, overrides, the round trip, the schema, the shipped files."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runs import complete
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import RetentionConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.configs.paths import WORK_FOLDER, absolute_paths, in_work_folder
from topicflow.configs.read import apply_override, dump_config, explain, load_config, parse_config
from topicflow.configs.sections.cluster import KMeansCluster
from topicflow.configs.sections.reduce import DiffusionReduce, PcaReduce
from topicflow.tasks.errors import ConfigError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
LOAD: dict[str, Any] = {"path": "a.csv"}


def parse(**sections: Any) -> TopicModelConfig:
    return parse_config({"load": LOAD, **sections}, TopicModelConfig, "c.toml")


def overridden(*overrides: str, **sections: Any) -> dict[str, Any]:
    values = copy.deepcopy({"load": LOAD, **sections})
    for override in overrides:
        apply_override(values, override)
    return values


# --- error lines ---


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"clutser": {}}, "unknown key 'clutser'; did you mean 'cluster'?"),
        ({"min_cluster_size": 5}, "unknown key 'min_cluster_size'; did you mean cluster.min_cluster_size?"),
        ({"cluster": {"ngram_range": [1, 2]}}, "unknown key 'cluster.ngram_range'; did you mean count.ngram_range?"),
        (
            {"neighbors": {"k": 3}},
            "unknown key 'neighbors.k'; known here: n_neighbors, method, fit_limit",
        ),
        (
            {"cluster": {"min_cluster_sise": 3}},
            "unknown key 'cluster.min_cluster_sise'; did you mean 'min_cluster_size'?",
        ),
        (
            {"cluster": {"method": "kmeans", "n_cluster": 3}},
            "unknown key 'cluster.n_cluster'; did you mean 'n_clusters'?",
        ),
        (
            {"reduce": {"method": "none", "steps": 3}},
            "unknown key 'reduce.steps' for this method; it needs reduce.method = \"diffusion\"",
        ),
        (
            {"load": {"path": "a", "split": {"max_word": 30}}},
            "unknown key 'load.split.max_word'; did you mean 'max_words'?",
        ),
        (
            {"cluster": {"method": "hdbscn"}},
            "cluster.method: found 'hdbscn', expected one of 'graph', 'hdbscan', 'kmeans', 'classes'",
        ),
        (
            {"reduce": {"method": "tsne"}},
            "reduce.method: found 'tsne', expected one of 'diffusion', 'parallel_umap', 'umap', 'pca', 'none'",
        ),
        (
            {"reduce": {"n_components": 1}},
            "reduce.n_components: input should be greater than or equal to 16, found 1",
        ),
        (
            {"cluster": {"max_outlier_share": 1.01}},
            "cluster.max_outlier_share: input should be less than or equal to 1, found 1.01",
        ),
        (
            {"cluster": {"epsilon": 0.5}},
            "unknown key 'cluster.epsilon' for this method; it needs cluster.method = \"hdbscan\"",
        ),
        (
            {"reduce": {"min_dist": 0.5}},
            (
                "unknown key 'reduce.min_dist' for this method; it needs reduce.method = \"parallel_umap\" or "
                "reduce.method = \"umap\""
            ),
        ),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, found -1"),
        ({"seed": 1.5}, "seed: input should be a valid integer, got a number with a fractional part, found 1.5"),
        ({"name": "a b"}, "name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$', found 'a b'"),
        (
            {"name": "latest"},
            (
                "name: latest is the name of the newest published run in each series; choose another name, "
                "found 'latest'"
            ),
        ),
        (
            {"embed": {"precision": "float8"}},
            (
                "embed.precision: input should be 'auto', 'float32', 'float16', 'bfloat16', 'int16' or 'int8', "
                "found 'float8'"
            ),
        ),
        ({"cluster": 3}, "cluster: expected a section, found 3"),
        ({"neighbors": "exact"}, "neighbors: expected a section, found 'exact'"),
        ({"load": {}}, "load: set either path or query"),
        ({"load": {"path": "a", "query": "select 1"}}, "load: set either path or query"),
        (
            {"load": {"query": "select 1"}},
            "load: query needs connection_env, the name of the environment variable with the connection URL",
        ),
        ({"load": {"path": "a", "text_column": 3}}, "load.text_column: expected text or a list of texts, found 3"),
        ({"load": {"path": "a", "text_column": []}}, "load.text_column: name at least one text column, found []"),
        (
            {"load": {"path": "a", "text_column": ["t", 1]}},
            "load.text_column.1: input should be a valid string, found 1",
        ),
        (
            {"load": {"path": "a", "split": {"max_words": 30, "overlap_words": 30}}},
            "load.split: overlap_words=30 must be smaller than max_words=30",
        ),
        (
            {"count": {"ngram_range": [3, 2]}},
            "count.ngram_range: ngram_range=[3, 2] must be [shortest, longest] within 1 and 5, found [3, 2]",
        ),
        (
            {"embed": {"method": "precomputed"}},
            "embed: set either path (a .npy file) or column (of the documents)",
        ),
        (
            {"embed": {"method": "precomputed", "path": "a.npy", "column": "v"}},
            "embed: set either path (a .npy file) or column (of the documents)",
        ),
        (
            {"embed": {"method": "precomputed", "path": "a.npy"}, "label": {"representation": "keybert"}},
            (
                "label.representation='keybert' embeds words and needs an encoder; "
                "embed.method='precomputed' has none: use 'ctfidf'"
            ),
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_file_key_and_what_to_do(sections: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole text is compared)
        parse(**sections)
    assert str(error.value) == f"c.toml: {line}"


@pytest.mark.parametrize("flow", ["topic_model", "update_topics"])
@pytest.mark.parametrize(
    "embed", [{"method": "images", "model": "m"}, {"method": "precomputed", "column": "v"}]
)
def test_words_are_embedded_by_an_encoder_of_texts_in_every_flow_of_topics(
    flow: str, embed: dict[str, Any]
) -> None:
    values = {"load": LOAD, "embed": embed, "label": {"representation": "keybert"}}
    with pytest.raises(ValueError, match=f"needs an encoder; embed.method='{embed['method']}' has none"):
        parse_config(values, FLOWS[flow], "c.toml")
    values["label"] = {"representation": "ctfidf"}
    assert parse_config(values, FLOWS[flow], "c.toml").flow == flow


def test_several_problems_are_a_line_each() -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse(seed=-1, cluster={"min_cluster_sise": 3})
    assert [line.split(":")[1] for line in str(error.value).splitlines()] == [
        " seed",
        " unknown key 'cluster.min_cluster_sise'; did you mean 'min_cluster_size'?",
    ]


def test_a_missing_section_is_named() -> None:
    with pytest.raises(ValueError, match=r"^c.toml: load: missing$"):
        parse_config({}, TopicModelConfig, "c.toml")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such config file"),
        (b"seed = ", "not valid TOML: Invalid value (at end of document)"),
        (b"name = '\xff'", "not UTF-8 text (invalid start byte at byte 8)"),
    ],
)
def test_a_file_that_is_not_a_config_says_why(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        load_config(path)
    assert str(error.value) == f"{path}: {reason}"


def test_a_folder_is_not_a_config(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a directory"):
        load_config(tmp_path)


# --- overrides ---


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("cluster.min_cluster_size=50", 50),
        ("cluster.epsilon=0.5", 0.5),
        ("cluster.selection=leaf", "leaf"),
        ('cluster.selection="leaf"', "leaf"),
        ("label.bm25_weighting=true", True),
        ('load.text_column=["title", "body"]', ["title", "body"]),
        ("load.split.max_words=50", 50),
        ("load.path=/data/a=b.csv", "/data/a=b.csv"),
    ],
)
def test_an_override_sets_one_value_of_its_type(override: str, value: Any) -> None:
    node: Any = overridden(override)
    for part in override.partition("=")[0].split("."):
        node = node[part]
    assert node == value
    assert type(node) is type(value)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed", "--set seed: expected key=value, such as cluster.min_cluster_size=50"),
        ("=3", "--set =3: expected key=value, such as cluster.min_cluster_size=50"),
        ("seed.start=3", "--set seed.start=3: seed is a value, not a section"),
    ],
)
def test_an_override_of_another_form_is_refused(override: str, line: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        overridden(override, seed=1)
    assert str(error.value) == line


def test_another_method_drops_the_fields_it_does_not_have_and_keeps_those_it_shares() -> None:
    section = {"n_components": 7, "min_dist": 0.2, "init": "pca"}
    values = overridden("reduce.method=pca", reduce=section)
    assert parse_config(values, TopicModelConfig, "").reduce == PcaReduce(method="pca", n_components=7)
    values = overridden("cluster.method=kmeans", cluster={"min_cluster_size": 20})
    assert parse_config(values, TopicModelConfig, "").cluster == KMeansCluster(method="kmeans")


@pytest.mark.parametrize(
    "overrides",
    [("cluster.method=hdbscan",), ("cluster.min_cluster_size=20", "cluster.method=hdbscan")],
)
def test_naming_a_method_loses_no_value_that_it_has(overrides: tuple[str, ...]) -> None:
    values = overridden(*overrides, cluster={"min_cluster_size": 20})
    assert values["cluster"]["min_cluster_size"] == 20


def test_a_wrong_method_changes_nothing_else() -> None:
    assert overridden("neighbors.n_neighbors=30", "neighbors.method=exact")["neighbors"] == {
        "n_neighbors": 30,
        "method": "exact",
    }


# --- round trip, shipped files ---


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_each_shipped_config_loads_and_survives_being_written(path: Path, tmp_path: Path) -> None:
    model = next((model for flow, model in FLOWS.items() if path.stem.startswith(flow)), TopicModelConfig)
    config = in_work_folder(load_config(path, model=model))
    (tmp_path / "config.toml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.toml", model=model) == config


def test_there_are_shipped_configs() -> None:
    assert "quickstart.toml" in {path.name for path in CONFIGS}


def test_every_kind_of_value_survives_being_written(tmp_path: Path) -> None:
    config = parse(
        load={"query": "select 'é\\'", "connection_env": "DB", "text_column": ["a", "b"], "text_separator": "\r\n\t",
              "columns": [], "limit": 5, "split": {"max_words": 50}},
        embed={"method": "precomputed", "column": "v"}, reduce={"method": "none"},
        cluster={"method": "hdbscan", "implementation": "fast", "epsilon": 1e-9, "max_outlier_share": 0.0},
        count={"stop_words": ["english", "german"], "ngram_range": [1, 3], "token_pattern": r'(?u)"\w+"'},
    )  # fmt: skip
    config = in_work_folder(config)
    (tmp_path / "config.toml").write_text(dump_config(config), encoding="utf-8")
    assert load_config(tmp_path / "config.toml") == config


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse().seed = 3  # type: ignore[misc]


def test_a_section_without_a_method_has_the_default_one() -> None:
    assert parse(reduce={"n_components": 32}).reduce == DiffusionReduce(n_components=32)


@pytest.mark.parametrize(
    ("sections", "methods"),
    [
        ({}, ("diffusion", "graph")),
        ({"cluster": {"min_cluster_size": 9}}, ("diffusion", "graph")),
        ({"cluster": {"method": "hdbscan"}}, ("parallel_umap", "hdbscan")),
        ({"cluster": {"method": "kmeans"}, "reduce": {"n_components": 4}}, ("parallel_umap", "kmeans")),
        ({"reduce": {"method": "umap"}, "cluster": {"min_cluster_size": 9}}, ("umap", "hdbscan")),
        ({"reduce": PcaReduce(method="pca")}, ("pca", "hdbscan")),
        ({"reduce": {"method": "none"}}, ("none", "graph")),
    ],
)
def test_of_two_methods_the_one_that_is_not_given_fits_the_other(
    sections: dict[str, Any], methods: tuple[str, str]
) -> None:
    config = parse(**sections)
    assert (config.reduce.method, config.cluster.method) == methods


def test_topics_in_a_graph_need_directions() -> None:
    with pytest.raises(ValueError, match=r"needs reduce.method .*found 'pca'; use cluster.method="):
        parse(reduce={"method": "pca"}, cluster={"method": "graph"})


# --- schema and explain ---


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from nodes(value)


def test_unions_are_given_as_any_of_so_that_the_form_draws_tabs() -> None:
    schema = TopicModelConfig.model_json_schema()
    assert [n for n in nodes(schema) if "oneOf" in n or "discriminator" in n] == []
    for section, titles in {
        "embed": ["sentence-transformers", "static", "api", "precomputed", "images"],
        "reduce": ["diffusion", "parallel_umap", "umap", "pca", "none"],
        "cluster": ["graph", "hdbscan", "kmeans", "classes"],
    }.items():
        assert [variant["title"] for variant in schema["properties"][section]["anyOf"]] == titles


def test_every_field_has_a_description_and_every_section_too() -> None:
    schema = TopicModelConfig.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    assert [s["title"] for s in sections if not s.get("description")] == []
    bare = [
        f"{section['title']}.{name}"
        for section in sections
        for name, field in section["properties"].items()
        if name != "method" and "$ref" not in str(field) and not field.get("description")
    ]
    assert bare == []


def test_explain_lists_every_field() -> None:
    schema = TopicModelConfig.model_json_schema()
    fields = {name for section in [schema, *schema["$defs"].values()] for name in section["properties"]}
    rows = list(explain())
    defaults = {name: default for name, _, default, _ in rows}
    assert defaults["load.text_separator"] == '"\\n\\n"'  # as TOML writes it, on one line
    assert all(default.isprintable() for default in defaults.values())
    assert {key.rsplit(".", 1)[-1] for key, *_ in rows} == fields
    assert [key for key, _, _, description in rows if not description and not key.endswith(".method")] == []
    described = {key: (kind, default) for key, kind, default, _ in rows}
    assert described["cluster.max_outlier_share"] == ("number 0.0..1.0", "None")
    assert described["load.split.max_words"] == ("integer 10..5000", "180")
    assert described["neighbors.method"] == ("'auto' | 'exact' | 'descent' | 'pynndescent'", "auto")


# --- paths ---


def test_paths_in_a_file_are_relative_to_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nightly").mkdir()
    file = tmp_path / "nightly/reviews.toml"
    file.write_text('[load]\npath = "../data/*.csv"\n[runtime]\nruns = "runs"\n')
    monkeypatch.chdir("/")
    config = load_config(file, ["embed.method=precomputed", "embed.path=vectors.npy"])
    assert config.load.path == f"{tmp_path}/data/*.csv"
    assert config.runtime.runs == f"{tmp_path}/nightly/runs"
    assert config.embed.path == f"{tmp_path}/nightly/vectors.npy"
    assert config.runtime.store == "store"  # not set: the folder where the command is started
    assert in_work_folder(config).runtime.store == "/store"


@pytest.mark.parametrize(
    "path", ["s3://b/a.parquet", "docstrings://numpy", "hf://datasets/a/b.csv", "/data/a.csv"]
)
def test_urls_and_absolute_paths_stay(path: str) -> None:
    assert absolute_paths(parse(load={"path": path}), Path("/elsewhere")).load.path == path


def test_a_list_of_paths_and_sections_in_sections_are_placed() -> None:
    labels = {"path": ["a.csv", "/b.csv"]}
    config = TrainClassifierConfig(load={"path": "d.csv"}, labels=labels)
    placed = absolute_paths(config, Path("/here"))
    assert (placed.load.path, placed.labels.path) == ("/here/d.csv", ("/here/a.csv", "/b.csv"))
    images = {"method": "images", "model": "clip"}
    assert absolute_paths(parse(embed=images), Path("/here")).embed.root == "/here"


def test_the_work_folder_is_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORK_FOLDER, str(tmp_path))
    assert in_work_folder(parse()).runtime.store == str(tmp_path / "store")


def test_the_cleaning_works_in_the_work_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` starts its processes in an empty folder: `store` and `runs` are those of the folder where it runs."""
    from topicflow.flows.clean_store import clean_store

    complete(tmp_path / "runs", 1)
    complete(tmp_path / "runs", 2)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv(WORK_FOLDER, str(tmp_path))
    assert clean_store.fn(RetentionConfig(keep_runs=1))["n_runs"] == 1
    monkeypatch.delenv(WORK_FOLDER)
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "some-run")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match="a temporary folder that its worker deletes"):
        clean_store.fn(RetentionConfig(keep_runs=1))


def test_a_folder_that_a_worker_deletes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORK_FOLDER, raising=False)
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "some-run")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="a temporary folder that its worker deletes; give absolute paths"):
        in_work_folder(parse())
    monkeypatch.chdir("/")
    assert in_work_folder(parse()).runtime.runs == "/runs"


def test_sections_keep_their_names_of_0_1_0() -> None:
    old = parse_config({"load": LOAD, "arrive": {"watermark": "day"}}, UpdateTopicsConfig, "c.toml")
    assert old.new_documents.watermark == "day"
    assert "[new_documents]" in dump_config(old)
    values = {"load": LOAD, "judge": {"sample": 50}, "examples": {"method": "classes", "path": "pairs.csv"}}
    assert parse_config(values, TuneEmbeddingsConfig, "c.toml").measure.sample == 50
    with pytest.raises(ValueError, match=r"^c\.toml: unknown key 'judge'; known here"):
        parse_config(
            {"load": LOAD, "judge": {}, "measure": {}, "examples": values["examples"]},
            TuneEmbeddingsConfig,
            "c.toml",
        )


@pytest.mark.parametrize(
    ("name", "content"), [("data.csv", b"text\na cat"), ("data.parquet", b"PAR1\xff\xfe"), ("texts", None)]
)
def test_documents_in_place_of_a_config_say_what_to_do(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=f"; if it holds documents, `topicflow init {path}` writes a config"):
        load_config(path)
