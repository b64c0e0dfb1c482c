"""Load from an object store: a real S3 server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents.load import load
from topicflow.tasks.documents.sources import find_documents
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

TABLE = pl.DataFrame({"id": ["a", "b", "c"], "text": ["one", "two", "three"]})


@pytest.fixture
def bucket(s3: Any, tmp_path: Path) -> Any:
    """A bucket with one corpus in several formats."""
    s3.create_bucket(Bucket="corpus")
    TABLE.write_parquet(tmp_path / "x.parquet")
    TABLE[:2].write_parquet(tmp_path / "p1.parquet")
    TABLE[2:].write_parquet(tmp_path / "p2.parquet")
    TABLE.write_csv(tmp_path / "x.csv")
    TABLE.write_ndjson(tmp_path / "x.jsonl")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all")
    for name in ("x.parquet", "x.csv", "x.jsonl", "bad.parquet"):
        s3.upload_file(str(tmp_path / name), "corpus", f"docs/{name}")
    for name in ("p1.parquet", "p2.parquet"):
        s3.upload_file(str(tmp_path / name), "corpus", f"parts/{name}")
    return s3


def refused(store: ArtifactStore, path: str) -> DataError:
    with pytest.raises(DataError) as caught:
        load.fn(Context(store), LoadConfig(path=path))
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", ["docs/x.parquet", "parts/*.parquet", "docs/x.csv", "docs/x.jsonl"])
def test_the_same_documents_as_from_a_local_file(
    store: ArtifactStore, bucket: Any, tmp_path: Path, name: str
) -> None:
    local = load.fn(Context(store), LoadConfig(path=str(tmp_path / "x.parquet"), id_column="id"))
    config = LoadConfig(path=f"s3://corpus/{name}", id_column="id")
    assert load.fn(Context(store), config) == local
    assert find_documents(store, config) is None  # read again in each run


def test_a_folder_name_adds_no_column(store: ArtifactStore, bucket: Any, tmp_path: Path) -> None:
    bucket.upload_file(str(tmp_path / "x.parquet"), "corpus", "hive/year=2024/x.parquet")
    ref = load.fn(Context(store), LoadConfig(path="s3://corpus/hive/", format="parquet"))
    assert store.meta(ref)["columns"] == ["id", "text"]


def test_changed_objects_are_seen(store: ArtifactStore, bucket: Any, tmp_path: Path) -> None:
    config = LoadConfig(path="s3://corpus/docs/x.parquet")
    first = load.fn(Context(store), config)
    TABLE[:1].write_parquet(tmp_path / "x.parquet")
    bucket.upload_file(str(tmp_path / "x.parquet"), "corpus", "docs/x.parquet")
    second = load.fn(Context(store), config)
    assert (first.rows, second.rows) == (3, 1)


@pytest.mark.parametrize(
    "path", ["s3://corpus/nope.parquet", "s3://corpus/nope.csv", "s3://nobucket/x.parquet"]
)
def test_missing_objects_are_one_line_and_not_tried_again(
    store: ArtifactStore, bucket: Any, path: str
) -> None:
    assert refused(store, path).__cause__ is None


def test_a_glob_without_a_match_and_a_bad_file_are_one_line(store: ArtifactStore, bucket: Any) -> None:
    assert "no file matches" in str(refused(store, "s3://corpus/nope/*.parquet"))
    assert "cannot be read" in str(refused(store, "s3://corpus/docs/bad.parquet"))


def test_a_server_that_is_gone_is_one_line_and_tried_again(
    store: ArtifactStore, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")  # the specific variable wins
    error = refused(store, "s3://corpus/docs/x.parquet")
    assert isinstance(error.__cause__, OSError)
    assert not isinstance(error.__cause__, FileNotFoundError)
