"""Query encoder: queries of an index in half or integer precision are encoded in float32, on any processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding.encoder_files import EncoderFiles, find_encoder
from topicflow.tasks.encoding.model_files import bert_shape
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.queries import open_queries
from topicflow.tasks.store.artifact_store import ArtifactStore


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("precision", ["int16", "bfloat16", "float16", "float32"])
def test_queries_are_encoded_in_float32_on_any_processor(
    precision: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = SentenceTransformersEmbed(precision=precision)
    for here in (True, has):
        monkeypatch.setattr(bert_shape, "has_vnni", lambda here=here: here)
        monkeypatch.setattr(bert_shape, "has_tiles", lambda here=here: here)
        if here:
            key = find_encoder(embed, "cpu").key  # where the documents were embedded
    space = {"encoder": key, "precision": precision, "adapter": None, "query_prompt": None, "dim": 384}
    loaded: list[EncoderFiles] = []

    def load(files: EncoderFiles, *_: Any) -> Any:
        loaded.append(files)
        return None

    meta = {"space": space, "embed": embed.model_dump(mode="json", exclude_none=True)}
    open_queries(ArtifactStore(tmp_path), meta, "cpu", load=load)
    assert [files.precision for files in loaded] == ["float32"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("has", [True, False])
def test_an_index_in_int8_is_searched_on_any_processor(
    there: bool, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert_shape, "has_tiles", lambda: False)
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: there)
    embed = SentenceTransformersEmbed(precision="int8")
    key = find_encoder(embed, "cpu").key
    monkeypatch.setattr(bert_shape, "has_vnni", lambda: has)
    space = {
        "encoder": key,
        "precision": "int8",
        "adapter": None,
        "query_prompt": None,
        "dim": 384,
        "model": "one",
    }
    loaded: list[EncoderFiles] = []

    def load(files: EncoderFiles, *_: Any) -> Any:
        loaded.append(files)
        return None

    meta = {"space": space, "embed": embed.model_dump(mode="json", exclude_none=True)}
    open_queries(ArtifactStore(tmp_path), meta, "cpu", load=load)
    assert [files.precision for files in loaded] == ["int8" if has == there else "float32"]
    meta["space"] = space | {"encoder": "0" * 32}
    with pytest.raises(ConfigError, match="another space"):
        open_queries(ArtifactStore(tmp_path), meta, "cpu", load=load)
