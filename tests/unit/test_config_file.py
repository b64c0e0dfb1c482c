"""A run from Prefect's form that names a config file instead of filling in the fields."""

from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid

from topicflow.configs.flows.config_file import ConfigFile
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.paths import WORK_FOLDER
from topicflow.flows.running.frame import recorded
from topicflow.flows.topic_model import topic_model
from topicflow.tasks.errors import ConfigError

SEEN: list[TopicModelConfig] = []


@recorded
def flow(config: TopicModelConfig) -> dict[str, Any]:
    SEEN.append(config)
    return {"name": config.name, "state": "completed"}


def test_a_file_is_read_with_its_paths_and_the_values_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/reviews.toml").write_text('name = "named"\n[load]\npath = "../d.csv"\n')
    monkeypatch.setenv(WORK_FOLDER, str(tmp_path))
    named = ConfigFile(file="configs/reviews.toml", set=("seed=7",))
    assert named.name == "reviews"
    assert flow(named)["name"] == "named"  # type: ignore[arg-type]
    read = SEEN.pop()
    assert (read.seed, read.load.path) == (7, str(tmp_path / "d.csv"))
    assert (read.runtime.store, read.runtime.runs) == (str(tmp_path / "store"), str(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("none.toml", (), "none.toml: no such config file"),
        ("a.toml", ("seed=many",), "seed: "),
        ("a.toml", ("sed=1",), "did you mean 'seed'"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, values: tuple[str, ...], message: str
) -> None:
    (tmp_path / "a.toml").write_text('[load]\npath = "d.csv"\n')
    monkeypatch.setenv(WORK_FOLDER, str(tmp_path))
    with pytest.raises(ConfigError, match=message) as refused:
        flow(ConfigFile(file=file, set=values))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_prefect_takes_either() -> None:
    schema = topic_model.parameters.model_dump()
    tabs = [each["$ref"].rpartition("/")[2] for each in schema["properties"]["config"]["anyOf"]]
    assert tabs == ["ConfigFile", "TopicModelConfig"]
    for given, fits in (
        ({"file": "a.toml"}, True), ({"file": "a.toml", "set": ["seed=1"]}, True), ({"load": {"path": "a"}}, True),
        ({"file": ""}, False), ({}, False), ({"file": "a.toml", "load": {"path": "a"}}, False),
    ):  # fmt: skip
        assert is_valid({"config": given}, schema) is fits, given


def test_what_a_choice_needs_is_not_optional() -> None:
    schema = topic_model.parameters.model_dump()["definitions"]["TopicModelConfig"]["properties"]
    needed = {tab["title"]: tab.get("required", []) for tab in schema["embed"]["anyOf"]}
    assert {"url", "model"} <= set(needed["api"])
