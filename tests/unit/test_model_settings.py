"""Model settings: the prompt of a task, the task of a flow, and notes on what a model's files say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import tiny_model
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.deduplicate import DeduplicateConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed, StaticEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.model_files.model_settings import ModelSettings, read_settings, settings_notes

PROMPTS = {"query": "q : ", "document": "doc : ", "Clustering": "sort : ", "Classification": "sort : "}


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "prompted", PROMPTS)


def config_of(folder: Path, **values: Any) -> SentenceTransformersEmbed:
    return SentenceTransformersEmbed(model=str(folder), **values)


def vectors(folder: Path, **values: Any) -> np.ndarray:
    config = config_of(folder, **values)
    return load_encoder.__wrapped__(find_encoder(config, "cpu"), config, 1).encode(["ab cd"])[0]


@pytest.mark.parametrize(
    ("task", "prompt"),
    [("clustering", "sort : "), ("document", "doc : "), ("query", "q : "), ("none", ""), (None, "doc : ")],
)
def test_the_models_prompt_of_a_task_is_used(task: str | None, prompt: str, prompted: Path) -> None:
    found = vectors(prompted, task=task)
    np.testing.assert_allclose(found, vectors(prompted, prompt=prompt), atol=1e-6)
    others = [each for each in ("sort : ", "doc : ", "q : ", "") if each != prompt]
    assert all(np.abs(found - vectors(prompted, prompt=each)).max() > 1e-3 for each in others)


def test_a_prompt_of_the_config_is_preferred_to_a_task(prompted: Path) -> None:
    found = vectors(prompted, task="clustering", prompt="q : ")
    np.testing.assert_array_equal(found, vectors(prompted, prompt="q : "))


def test_vectors_are_shared_by_tasks_with_one_prompt_and_by_no_others(prompted: Path, tiny: Path) -> None:
    def key(folder: Path, **values: Any) -> str:
        return find_encoder(config_of(folder, **values), "cpu").key

    assert (
        key(prompted, task="clustering")
        == key(prompted, task="classification")
        == key(prompted, prompt="sort : ")
    )
    assert key(prompted, task="document") == key(prompted)
    assert len({key(prompted, task=each) for each in ("clustering", "document", "query", "none")}) == 4
    assert key(tiny, task="clustering") == key(tiny)  # a model without prompts


@pytest.mark.parametrize(
    ("config", "task"),
    [
        (TopicModelConfig(load={"path": "a"}), "clustering"),
        (DeduplicateConfig(load={"path": "a"}), "clustering"),
        (TrainClassifierConfig(load={"path": "a", "label_column": "b"}), "classification"),
        (BuildIndexConfig(load={"path": "a"}), "document"),
        (TuneEmbeddingsConfig(load={"path": "a"}, examples={"path": "b"}), "clustering"),
    ],
)
def test_a_flow_sets_the_task_that_a_user_has_not_set(config: Any, task: str) -> None:
    kind, values = type(config), config.model_dump(exclude_unset=True)

    def embed(**given: Any) -> Any:
        return kind(**{**values, "embed": given}).embed

    assert config.embed.task == task
    assert embed(model="m").task == task
    assert embed(model="m", task="query").task == "query"
    assert embed(model="m", prompt="p").task is None
    if task != "classification":  # SetFit, which is on by default, trains an encoder
        assert isinstance(embed(method="static"), StaticEmbed)


@pytest.mark.parametrize(
    ("model", "settings", "values", "note"),
    [
        ("m", ModelSettings({"Clustering": "c: "}), {}, "which is put before each text: 'c: '"),
        ("m", ModelSettings({"query": "q: "}), {}, "has no prompt for clustering (it has: query); no prompt is used"),
        ("m", ModelSettings({"document": "d: "}), {}, "its prompt for documents is used ('d: ')"),
        ("org/e5-base", ModelSettings({}), {}, "are trained with a prompt before each text, and its files have none"),
        ("m", ModelSettings({}, similarity="dot"), {}, "compares vectors by dot; here all vectors have unit length"),
        ("m", ModelSettings({}, pads_left=True), {}, "fills batches on the left"),
        ("m", ModelSettings({}), {}, None),
        ("m", ModelSettings({"Clustering": "c: "}), {"prompt": ""}, None),
        ("org/e5-base", ModelSettings({}), {"prompt": "query: "}, None),
        ("m", ModelSettings({"query": "q: "}), {"task": "document"}, None),
    ],
)  # fmt: skip
def test_notes(model: str, settings: ModelSettings, values: dict[str, Any], note: str | None) -> None:
    config = SentenceTransformersEmbed(model=model, **{"task": "clustering", **values})
    found = settings_notes(config, settings)
    assert (found == []) if note is None else (len(found) == 1 and note in found[0])


def test_settings_are_read_from_the_models_files(prompted: Path, tmp_path: Path) -> None:
    found = read_settings(prompted)
    assert (found.prompts, found.similarity, found.truncate_dim) == (PROMPTS, "cosine", None)
    own = {"prompts": {"query": "", "x": 3}, "truncate_dim": 64, "similarity_fn_name": "dot"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(own))
    (tmp_path / "tokenizer_config.json").write_text('{"padding_side": "left"}')
    assert read_settings(tmp_path) == ModelSettings({}, None, 64, "dot", pads_left=True)
    assert read_settings(tmp_path / "nothing") == ModelSettings({})
