"""Waiting: what a person sees while a run prepares, compiles and embeds, and in its table."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import HashEncoder
from topicflow.flows.screen.runs import print_run
from topicflow.tasks.encoding.embed import PIECE_TEXTS, embed_missing
from topicflow.tasks.encoding.vector_store import VectorStore, text_digests
from topicflow.tasks.execution import compiled, progress
from topicflow.tasks.execution.progress import Progress, display, duration, waiting
from topicflow.tasks.store.artifact_store import ArtifactStore


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as standard error."""
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))


def shown() -> list[dict[str, Any]]:
    assert progress._bars is not None
    return [
        {"stage": task.description, "done": task.completed, **task.fields} for task in progress._bars.tasks
    ]


@pytest.mark.usefixtures("screen")
def test_the_screen_says_that_a_run_prepares_until_a_stage_begins() -> None:
    with display("preparing"):
        assert [line["stage"] for line in shown()] == ["preparing"]
        with display("again"), waiting("load"):
            assert [line["stage"] for line in shown()] == ["load"]
        assert shown() == []
    assert progress._bars is None


@pytest.mark.usefixtures("screen")
def test_compiling_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "is_compiled", lambda stage: stage != "reduce")
    with display():
        with waiting("reduce"):
            assert [line["amount"] for line in shown()] == ["the first run compiles, once on this machine"]
        with waiting("embed"):
            assert [line["amount"] for line in shown()] == [""]


def test_kernels_are_found_where_numba_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "tasks/execution/compiled.py"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert compiled.is_compiled("embed")
    assert not compiled.is_compiled("cluster")
    own = tmp_path / "tasks/core/clusters/__pycache__"
    own.mkdir(parents=True)
    (own / "spanning_kernels.merge-1.py311.nbi").write_bytes(b"")
    assert compiled.is_compiled("cluster")
    assert not compiled.is_compiled("count")
    (tmp_path / "cache/words_0a1b").mkdir(parents=True)
    (tmp_path / "cache/words_0a1b/word_kernels.scan-1.py311.nbi").write_bytes(b"")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    assert compiled.is_compiled("count")
    assert not compiled.is_compiled("cluster")  # with a folder of its own numba reads no other


@pytest.mark.usefixtures("screen")
def test_a_stage_shows_its_amount_at_once_and_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with display(), waiting("embed"):
        counted = Progress("embed", 1_000, "documents")
        assert [(line["amount"], line["left"]) for line in shown()] == [("0 of 1,000 documents", "")]
        now = 110.0
        counted.advance(250)
        assert [(line["done"], line["left"]) for line in shown()] == [(250, "about 30 s left")]
        counted.reach(1_000)
        assert [line["left"] for line in shown()] == [""]


def test_a_log_has_an_estimate_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counted = Progress("embed", 4_000, "documents")
    now = 120.0
    monkeypatch.setattr(Progress, "_send_to_prefect", lambda _: None)
    with caplog.at_level("INFO", "topicflow"):
        monkeypatch.setattr(progress.LOG, "propagate", True)
        counted.reach(1_000)
    assert caplog.messages == ["embed      1,000 of 4,000 documents, 50 per second, about 60 s left"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (7200, "2.0 h")]
)
def test_durations_are_said_in_one_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_chunk_reports_its_pieces_and_has_the_same_vectors(tmp_path: Path) -> None:
    texts = pl.Series([f"text {i}" for i in range(2 * PIECE_TEXTS + 5)])
    done: list[int] = []
    encoder = HashEncoder()
    vectors = VectorStore(ArtifactStore(tmp_path), encoder.key)
    assert embed_missing(texts, vectors, encoder, 1024, done.append) == len(texts)
    assert done == [PIECE_TEXTS, PIECE_TEXTS, 5]
    found = np.empty((len(texts), vectors.dim), np.float32)
    vectors.gather(vectors.locate(text_digests(texts)), found)
    np.testing.assert_array_equal(found, encoder.encode(texts.to_list())[0])


def test_the_table_shows_names_and_the_other_keywords(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"topic": [0, 1], "size": [12, 9], "name": ["ink, printer", "Lenses"],
            "keywords": [["ink", "printer", "paper"], ["lens", "zoom"]]}  # fmt: skip
    pl.DataFrame(rows).write_parquet(tmp_path / "topics.parquet")
    record = {
        "name": "a",
        "run_id": "b",
        "folder": str(tmp_path),
        "n_topics": 2,
        "n_documents": 21,
        "metrics": {},
    }
    print_run(record, tmp_path)
    lines = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()
    ]
    assert [line for line in lines if line] == [
        ["0", "12", "ink, printer", "paper"],
        ["1", "9", "Lenses", "lens, zoom"],
    ]
