"""A small story for tests of updates: planted documents that come day by day, the config that tells them, and a run
without Prefect."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl

from tests.fakes import TOPIC_WORDS, Corpus, planted_corpus
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.commands.edit import made_edit
from topicflow.flows.running.direct import directly
from topicflow.flows.work.topic_model import topic_model
from topicflow.flows.work.update_topics import update_topics
from topicflow.tasks.edits.edits_file import with_edit
from topicflow.tasks.edits.run_topics import RunTopics
from topicflow.tasks.runs.resolve import latest_run

N_FIRST = 120
"""Documents of the first day's run."""


def story(corpus: Corpus | None = None) -> pl.DataFrame:
    """Return planted documents with ids, times and vectors, one an hour."""
    corpus = corpus or planted_corpus(n_per_topic=60, n_noise=0, seed=3)
    hours = pl.Series("time", np.arange(len(corpus.texts), dtype=np.int64) * 3_600_000_000).cast(
        pl.Datetime("us")
    )
    return pl.DataFrame(
        {
            "id": [f"d{i}" for i in range(len(corpus.texts))],
            "text": corpus.texts,
            "time": hours.dt.offset_by("54y"),  # 2024-01-01
            "truth": corpus.truth.tolist(),
            "vector": pl.Series(corpus.embeddings.tolist(), dtype=pl.List(pl.Float32)),
        }
    )


def new_topic(n: int, axis: int, start: int) -> pl.DataFrame:
    """Return documents of a topic that the planted ones do not have, numbered and dated from `start` on."""
    rng = np.random.default_rng(axis)
    vectors = np.eye(16)[axis] + 0.1 * rng.normal(size=(n, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hours = pl.Series("time", np.arange(start, start + n, dtype=np.int64) * 3_600_000_000).cast(
        pl.Datetime("us")
    )
    return pl.DataFrame(
        {
            "id": [f"d{i}" for i in range(start, start + n)],
            "text": [
                f"rocket orbit moon d{i} {' '.join(TOPIC_WORDS[0][:1])}" for i in range(start, start + n)
            ],
            "time": hours.dt.offset_by("54y"),
            "truth": [3] * n,
            "vector": pl.Series(vectors.astype(np.float32).tolist(), dtype=pl.List(pl.Float32)),
        }
    )


def config_of(folder: Path, table: pl.DataFrame, **changes: Any) -> UpdateTopicsConfig:
    """Return the config for a table, written beside the runs; sections are changed by name."""
    path = folder / "documents.parquet"
    table.write_parquet(path)
    values: dict[str, Any] = {
        "name": "story",
        "load": {"path": str(path), "id_column": "id", "timestamp_column": "time"},
        "new_documents": {"watermark": "time"},
        "embed": {"method": "precomputed", "column": "vector"},
        "reduce": {"method": "pca", "n_components": 4},
        "map": {"n_epochs": 5},
        "cluster": {"min_cluster_size": 20},
        "drift": {"min_documents": 10},
        "evaluate": {"sample": 50},
        "runtime": {"store": str(folder / "store"), "runs": str(folder / "runs")},
    }
    for section, value in changes.items():
        values[section] = (
            {**values[section], **value} if isinstance(value, dict) and section in values else value
        )
    return UpdateTopicsConfig.model_validate(values)


def documents_of(folder: Path, record: dict[str, Any]) -> pl.DataFrame:
    """Return the documents of a run."""
    return pl.read_parquet(folder / "runs" / record["name"] / record["run_id"] / "documents.parquet")


class EditedSeries:
    """A series of updates of the planted story, and the file with edits of its topics."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.edits = folder, folder / "topics_edits.toml"
        self.edits.write_text("")

    def edit(self, action: str, *words: object, **more: Any) -> None:
        """Add an edit of the last run's topics, as the command `edit` does."""
        record = latest_run(self.folder / "runs/story")
        assert record is not None
        made = made_edit(
            RunTopics.of(record), action, list(map(str, words)), more.get("to"), more.get("into")
        )
        self.edits.write_text(with_edit(self.edits.read_text(), made, "edits"))


def tell(config: UpdateTopicsConfig, events: list[Any] | None = None) -> dict[str, Any]:
    """Return the record of a run of the flow's line without Prefect; what would be its events is put into `events`."""
    emit = mock.patch("topicflow.tasks.publish.announce.emit", (events if events is not None else []).append)
    with directly(), emit:
        return update_topics(config)


def run_once(config: UpdateTopicsConfig, **sections: Any) -> dict[str, Any]:
    """Return the record of a topic model of a series' config, as `topicflow run` with the same file.

    `sections` are in the place of those of the config.
    """
    values = {**config.model_dump(mode="json", exclude_none=True), **sections}
    with directly():
        return topic_model(TopicModelConfig.model_validate(values))
