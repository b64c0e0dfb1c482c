"""Odd files: what people have, through `init` and `load`, gives the table that it means."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from tests.odd_files import CASES, Case
from topicflow.configs.read import load_config
from topicflow.tasks.documents.first_config import render_config
from topicflow.tasks.documents.guess import guess_config
from topicflow.tasks.documents.load import write_documents
from topicflow.tasks.documents.sources import open_source
from topicflow.tasks.store.artifact_store import ArtifactStore


def made(case: Case, folder: Path) -> Path:
    """Write a case's file, and return the path for a user to give."""
    path = folder / case.name
    case.write(path.parent if "*" in case.name else path)
    return path


@pytest.mark.parametrize("case", CASES, ids=str)
def test_odd_files_give_the_table_that_they_mean(case: Case, tmp_path: Path) -> None:
    path = made(case, tmp_path)
    guess = guess_config(path)
    (tmp_path / "guessed.toml").write_text(render_config(guess), encoding="utf-8")
    config = load_config(tmp_path / "guessed.toml").load
    found = config.model_dump(mode="json")
    assert {key: found[key] for key in case.keys} == dict(case.keys)
    for said in case.says:
        assert any(said in reason for reason in guess.reasons), guess.reasons
    store = ArtifactStore(tmp_path / "store")
    with open_source(config, 3) as source:
        ref = write_documents(store, config, source)
    documents = store.table(ref, "documents").collect()
    assert documents["text"].to_list() == list(case.texts)
    assert (config.id_column is not None) == (case.ids is not None), guess.reasons
    if case.ids is not None:
        assert documents["doc_id"].to_list() == list(case.ids)
    if case.times is not None:
        assert config.timestamp_column is not None, guess.reasons
        times = [None if each is None else dt.datetime.fromisoformat(each) for each in case.times]
        assert documents["timestamp"].to_list() == times
    own = store.table(ref, "columns").collect()
    for name, values in case.columns.items():
        assert own[name].to_list() == list(values)
    if config.id_column is not None and "." not in config.id_column and config.format == "csv":
        assert own.schema[config.id_column] == pl.String
