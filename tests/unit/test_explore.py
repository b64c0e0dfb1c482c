"""Explore: the command line is the atlas's, and missing parts are a one-line error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.explore import atlas_command, explore_run


def write_run(folder: Path, *columns: str) -> dict[str, str]:
    pl.DataFrame({name: [1.0] for name in columns}).write_parquet(folder / "documents.parquet")
    return {"folder": str(folder)}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int = 0) -> Path:
    """Put a program on PATH that records its arguments."""
    program = folder / "embedding-atlas"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{folder}/arguments"\nexit {exit_code}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "arguments"


PLACES = ["--text", "text", "--x", "x", "--y", "y"]


def test_the_command_names_text_and_places(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    documents = tmp_path / "a folder" / "documents.parquet"
    write_run(documents.parent, "text", "x", "y")
    assert atlas_command("atlas", documents) == ["atlas", str(documents), *PLACES]


def test_topic_names_colour_the_map_if_the_run_has_them(tmp_path: Path) -> None:
    write_run(tmp_path, "text", "x", "y", "topic_name")
    command = atlas_command("atlas", tmp_path / "documents.parquet")
    assert command[2:9] == [*PLACES, "--state"]
    charts = json.loads(command[9])["charts"]
    place = {"x": "x", "y": "y", "text": "text", "category": "topic_name"}
    assert (charts["map"]["type"], charts["map"]["data"]) == ("embedding", place)
    assert charts["topics"]["data"] == {"field": "topic_name"}


def test_the_atlas_is_started_on_the_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = install(tmp_path, monkeypatch)
    explore_run(write_run(tmp_path, "doc_id", "text", "x", "y"))
    assert arguments.read_text().split("\n")[:2] == [str(tmp_path / "documents.parquet"), "--text"]


def test_missing_parts_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="only a completed run"):
        explore_run({"folder": str(tmp_path)})
    with pytest.raises(ConfigError, match="lacks the columns x, y;"):
        explore_run(write_run(tmp_path, "text"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ConfigError, match=r"pip install 'topicflow\[explore\]'$"):
        explore_run(write_run(tmp_path, "text", "x", "y"))


def test_a_failing_atlas_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, exit_code=3)
    with pytest.raises(ConfigError, match="exit status 3"):
        explore_run(write_run(tmp_path, "text", "x", "y"))
