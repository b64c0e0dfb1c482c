"""Cases of the kill campaign: each flow on a small corpus, what was run before, and the command that is killed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from tests.fakes import planted_corpus
from tests.updates import new_topic, story

PLACES = '[runtime]\nstore = "store"\nruns = "runs"\ndevice = "cpu"\n'
"""Relative to the folder of the config: every try of a case is in the same folder."""

PRECOMPUTED = '[embed]\nmethod = "precomputed"\ncolumn = "vector"\n'

TOPICS = """[reduce]
method = "pca"
[map]
n_epochs = 5
[cluster]
min_cluster_size = 5
"""

UPDATES = """[new_documents]
watermark = "time"
[reduce]
method = "pca"
n_components = 4
[map]
n_epochs = 5
[cluster]
min_cluster_size = 20
[drift]
refit_after = 1
[evaluate]
sample = 50
"""


@dataclass(frozen=True)
class KillCase:
    """A flow's command, and what its folder contains before it.

    Attributes
    ----------
    flow : str
        The flow.
    write : callable
        Writes the inputs and configs into a folder.
    before : tuple of str
        Commands that are run before, undisturbed.
    command : str
        The command that is killed, and run again.
    """

    flow: str
    write: Callable[[Path], None]
    before: tuple[str, ...]
    command: str

    @property
    def makes_a_run(self) -> bool:
        """Whether the command publishes a run."""
        return not self.command.startswith("store")


def write_config(folder: Path, name: str, documents: str, stages: str, load: str = "") -> None:
    """Write a config of the series `killed`."""
    loading = f'name = "killed"\n[load]\npath = "{documents}"\nid_column = "id"\n{load}'
    (folder / name).write_text(f"{loading}{stages}{PLACES}", encoding="utf-8")


def documents() -> pl.DataFrame:
    """Return planted documents with ids, vectors, and the labels of every third."""
    corpus = planted_corpus()
    labels = [
        str(topic) if topic >= 0 and row % 3 == 0 else None for row, topic in enumerate(corpus.truth.tolist())
    ]
    vectors = pl.Series(corpus.embeddings.tolist(), dtype=pl.List(pl.Float32))
    ids = [f"d{row}" for row in range(len(corpus.texts))]
    return pl.DataFrame({"id": ids, "text": corpus.texts, "label": labels, "vector": vectors})


def _topics(folder: Path) -> None:
    documents().write_parquet(folder / "documents.parquet")
    static = '[embed]\nmethod = "static"\n'  # an encoder, so that there are chunks of vectors
    write_config(folder, "config.toml", "documents.parquet", static + TOPICS)


def _updates(folder: Path) -> None:
    story().write_parquet(folder / "first.parquet")
    pl.concat([story(), new_topic(40, axis=3, start=180)]).write_parquet(folder / "documents.parquet")
    load = 'timestamp_column = "time"\n'
    for config, table in (("first.toml", "first.parquet"), ("config.toml", "documents.parquet")):
        write_config(folder, config, table, PRECOMPUTED + UPDATES, load)


def _duplicates(folder: Path) -> None:
    table = documents()
    again = table[:20].with_columns(pl.col("text") + " again", pl.format("{}x", "id").alias("id"))
    pl.concat([table, again]).write_parquet(folder / "documents.parquet")
    sections = '[deduplicate]\nmethod = "both"\nshingle_words = 2\nthreshold = 0.995\nfloor = 0.99\n'
    write_config(folder, "config.toml", "documents.parquet", PRECOMPUTED + sections)


def _classes(folder: Path) -> None:
    table = documents()
    table.write_parquet(folder / "documents.parquet")
    known = table.filter(pl.col("label").is_not_null()).select(pl.col("id").alias("doc_id"), "label")
    known.write_csv(folder / "labels.csv")
    labels = '[labels]\npath = "labels.csv"\n[setfit]\nenabled = false\n'
    write_config(folder, "config.toml", "documents.parquet", PRECOMPUTED + labels)


def _tuning(folder: Path) -> None:
    documents().write_parquet(folder / "documents.parquet")
    judge = "[measure]\nneighbors = [5, 20]\n"
    write_config(folder, "config.toml", "documents.parquet", PRECOMPUTED + judge, 'label_column = "label"\n')


def _index(folder: Path) -> None:
    table = documents()
    table[:100].write_parquet(folder / "first.parquet")
    kept = np.delete(np.arange(table.height), [3, 50])  # two are removed, the rest is added
    table[kept].write_parquet(folder / "documents.parquet")
    for config, name in (("first.toml", "first.parquet"), ("config.toml", "documents.parquet")):
        write_config(folder, config, name, f'{PRECOMPUTED}[index]\nmethod = "hnsw"\n')
        with (folder / config).open(
            "a"
        ) as file:  # the section of PLACES; threads decide how a graph is linked
            file.write("n_threads = 1\n")


def _cleaning(folder: Path) -> None:
    documents().write_parquet(folder / "documents.parquet")
    write_config(folder, "config.toml", "documents.parquet", PRECOMPUTED + TOPICS)


CASES = (
    KillCase("topic_model", _topics, (), "run config.toml --json"),
    KillCase("update_topics", _updates, ("update first.toml --json",), "update config.toml --json"),
    KillCase("deduplicate", _duplicates, (), "dedup config.toml --json"),
    KillCase("train_classifier", _classes, (), "classify config.toml --suggest 6 --json"),
    KillCase("tune_embeddings", _tuning, (), "tune config.toml --json"),
    KillCase("build_index", _index, ("index first.toml --json",), "index config.toml --json"),
    KillCase(
        "clean_store",
        _cleaning,
        (
            "run config.toml --json",
            "run config.toml --set cluster.min_cluster_size=6 --json",
            "run config.toml --set cluster.min_cluster_size=7 --json",
        ),
        "store gc --store store --runs runs --min-age-hours 0 --keep-runs 1",
    ),
)
"""All seven flows. `update_topics` refits, `build_index` adds and removes, `clean_store` deletes two runs of three."""
