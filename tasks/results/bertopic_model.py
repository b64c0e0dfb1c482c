"""BERTopic model: a run's folder -> the BERTopic object that it left, with what its file format does not keep."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.results.tables import read_table
from topicflow.tasks.runs.history import RunRecord, called
from topicflow.tasks.runs.run_files import whole_file

if TYPE_CHECKING:
    from bertopic import BERTopic


def load_bertopic(record: RunRecord) -> BERTopic:
    """Return the BERTopic model of a run.

    Parameters
    ----------
    record : dict
        The record of a topic model or an update.

    Returns
    -------
    BERTopic
        As `BERTopic.load` returns it, with the run's examples as its representative documents: the files of a model
        do not keep them, and `get_representative_docs` of a loaded model would return nothing. The numbers of its
        topics are those of the fit; after a refit of an update `topics` has them as `model_topic`.

    Raises
    ------
    ConfigError
        If the run has no model.
    """
    folder = Path(record["folder"]) / "model"
    if not folder.is_dir():
        msg = f"{called(record)}: no model; only a completed run of a topic model or an update has one"
        raise ConfigError(msg)
    for path in sorted(folder.iterdir()):
        whole_file(Path(record["folder"]), f"model/{path.name}")
    from bertopic import BERTopic

    with _quiet_bertopic():  # it warns of a model without an encoder, which a run with other vectors has
        model = BERTopic.load(str(folder))
    model.representative_docs_ = _examples(record)
    return model


@contextlib.contextmanager
def _quiet_bertopic() -> Iterator[None]:
    logger = logging.getLogger("BERTopic")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _examples(record: RunRecord) -> dict[int, list[str]]:
    """Return the texts of the examples of each topic, by the number that the model gives the topic."""
    topics = read_table(record, "topics").collect()
    number = "model_topic" if "model_topic" in topics.columns else "topic"
    wanted: dict[int, list[str]] = dict(topics.select(number, "representative").iter_rows())
    ids = {each for own in wanted.values() for each in own}
    found: dict[str, Any] = dict(
        read_table(record, "documents")
        .select("doc_id", "text")
        .filter(pl.col("doc_id").is_in(list(ids)))
        .collect()
        .iter_rows()
    )
    return {topic: [found[each] for each in own if each in found] for topic, own in wanted.items()}
