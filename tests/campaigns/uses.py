"""Uses: for each flow, the commands that read its store and its runs, called in this process and without a server."""

from __future__ import annotations

import contextlib
import importlib
import json
import shlex
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

from tests.campaigns import kill_cases
from tests.campaigns.kill_cases import PRECOMPUTED, KillCase
from tests.campaigns.odd_corpora import typed
from tests.campaigns.states import published_files
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.read import load_config
from topicflow.flows.running.direct import directly
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.errors import PipelineError

Answer = tuple[int, str, str]
"""Exit code, what was answered, and the lines of errors."""

COMMANDS = {"run": "topic_model", "update": "update_topics", "dedup": "deduplicate", "classify": "train_classifier",
            "tune": "tune_embeddings", "index": "build_index"}  # fmt: skip
"""The flow of each command that runs one."""


def use(command: str) -> Answer:
    """Return the answer of a command in the working folder; of a flow, its published results without times."""
    load_encoder.cache_clear()
    word, *rest = shlex.split(command)
    if word not in COMMANDS:
        return typed(word, *rest)
    config, overrides = rest[0], [each for each in rest[1:] if "=" in each]
    try:
        record = run_directly(COMMANDS[word], config, overrides)
    except PipelineError as error:
        return 1, "", f"error: {error}"
    except Exception:  # noqa: BLE001  (any other error is a fault of the flow)
        return 1, "", traceback.format_exc()
    return 0, json.dumps(_published_by(record), sort_keys=True), ""


def _published_by(record: dict[str, Any]) -> dict[str, Any]:
    """Return the published files of a record's series, without what depends on how an index was made."""
    found = published_files(Path("runs"), record["name"])
    for metrics in (each for name, each in found.items() if name.endswith("/metrics.json")):
        for name in OF_THE_GRAPH:
            metrics.pop(name, None)
    if record["flow"] == "build_index":
        del found[f"{record['name']}: stages"]  # the key of an index depends on the one that it continues
    return found


def run_directly(flow: str, config: str, overrides: list[str]) -> dict[str, Any]:
    """Return the record of a run of a flow without Prefect."""
    work = getattr(importlib.import_module(f"topicflow.flows.work.{flow}"), flow)
    with directly(), mock.patch("topicflow.tasks.publish.announce.emit"):
        record: dict[str, Any] = work(load_config(Path(config), overrides, FLOWS[flow]))
        return record


OF_THE_GRAPH = ("added", "removed", "recall", "ef")
"""Metrics of an index that are others if it is made again and not continued; its documents are the same."""


@dataclass(frozen=True)
class UsedCase:
    """A flow's folder, and the commands that read it; those that publish a run come last."""

    flow: str
    write: Callable[[Path], None]
    before: tuple[str, ...]
    uses: tuple[str, ...]


def _case(flow: str) -> KillCase:
    return next(case for case in kill_cases.CASES if case.flow == flow)


def _with_topics(write: Callable[[Path], None], sections: str) -> Callable[[Path], None]:
    """Return a writer of a flow's folder and of a topic model that uses its result."""

    def both(folder: Path) -> None:
        write(folder)
        text = f'name = "topics"\n[load]\npath = "documents.parquet"\nid_column = "id"\n{sections}'
        (folder / "topics.toml").write_text(f"{text}{kill_cases.PLACES}", encoding="utf-8")

    return both


def _quick_topics(folder: Path) -> None:
    kill_cases.documents().write_parquet(folder / "documents.parquet")
    kill_cases.write_config(folder, "config.toml", "documents.parquet", PRECOMPUTED + kill_cases.TOPICS)


SHOWN = ("show killed --runs runs", "runs --runs runs")
BY_CLASSES = '[cluster]\nmethod = "classes"\nclassifier = "runs/killed/latest"\n'
GC = "store gc --store store --runs runs --min-age-hours 0 --dry-run"

CASES = (
    UsedCase(
        "topic_model", _quick_topics, ("run config.toml",),
        (*SHOWN, GC, "compare killed killed --runs runs", "plan config.toml",
         "run config.toml cluster.min_cluster_size=7", "run config.toml"),
    ),
    UsedCase(
        "update_topics", _case("update_topics").write, ("update first.toml",),
        (*SHOWN, GC, "update config.toml"),
    ),
    UsedCase(
        "deduplicate", _case("deduplicate").write, ("dedup config.toml",),
        (*SHOWN, "dedup config.toml deduplicate.threshold=0.992", "dedup config.toml"),
    ),
    UsedCase(
        "train_classifier",
        _with_topics(_case("train_classifier").write, PRECOMPUTED + BY_CLASSES),
        ("classify config.toml",),
        (*SHOWN, "run topics.toml", "classify config.toml"),
    ),
    UsedCase(
        "tune_embeddings",
        _with_topics(_case("tune_embeddings").write, PRECOMPUTED + 'adapter = "killed"\n' + kill_cases.TOPICS),
        ("tune config.toml",),
        (*SHOWN, "run topics.toml", "tune config.toml measure.neighbors=[5]", "tune config.toml"),
    ),
    UsedCase(
        "build_index", _case("build_index").write, ("index first.toml",),
        (*SHOWN, "search cat --mode bm25 --json --runs runs", "similar d7 --json --runs runs",
         "outliers --json --runs runs", "index config.toml"),
    ),
)  # fmt: skip
"""All flows that write; `store gc` reads what they wrote."""


def fewer_documents(folder: Path) -> None:
    """Leave ten documents without labels out of a case's input, so that its artifacts have other contents."""
    for path in folder.glob("*.parquet"):
        table = pl.read_parquet(path).with_row_index("at")
        unlabelled = table.filter(pl.col("label").is_null()) if "label" in table.columns else table
        left_out = unlabelled["at"].head(10)
        table.filter(~pl.col("at").is_in(left_out.implode())).drop("at").write_parquet(path)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder."""
    with contextlib.chdir(folder):
        yield
