"""Calls: what `import topicflow as tf` offers to run: each call is a command of the command line.

A call has the same store, the same keys and the same errors as its command: `tf.run("reviews.toml")` after
`topicflow run reviews.toml` computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.flows.deduplicate import DeduplicateConfig, with_against
from topicflow.configs.flows.sweep import SweepConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.flows.update_topics import UpdateTopicsConfig
from topicflow.flows.python.configs import Columns, read_config
from topicflow.flows.python.quiet import Start, run_quietly
from topicflow.flows.python.result import Run
from topicflow.flows.running.start import start_flow, start_topic_model
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.resolve import resolve, run_at

Source = Any
"""The path of a TOML config or of a file of documents; a polars, pandas or arrow table; or a list of texts."""

Names = str | list[str] | tuple[str, ...] | None


def run(
    source: Source,
    *,
    text: Names = None,
    id: str | None = None,  # noqa: A002  (the column's name for a person)
    time: str | None = None,
    label: str | Mapping[str, Any] | None = None,
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401  (values of a config)
) -> Run:
    """Return the run of a topic model, computing only what the store lacks: `topicflow run`.

    Parameters
    ----------
    source : str, Path, table, or sequence of str
        A TOML config; or documents: a file, a polars, pandas or arrow table with one row a document, or a list of
        texts. Documents get the config that `topicflow init` would write for them. A table in memory is written once
        as Parquet to the folder `store-inputs` beside the store, under the digest of its content.
    text : str or sequence of str, optional
        Column with the texts, or several that are joined. If not set: the config's, or the one that `init` would take.
    id, time, label : str, optional
        Columns of unique ids, of dates or times, and of known classes. `label` may also be the section of that name.
    verbose : bool
        Whether the lines of the stages are written to standard error.
    **keys
        Keys of the config: `name="reviews"`, `cluster={"min_cluster_size": 20}`, or
        `**{"cluster.min_cluster_size": 20}`; None removes a key. `store` and `runs` are folders, relative to the
        working folder.

    Returns
    -------
    Run
        The result; it also describes a run that its gates held back.

    Raises
    ------
    PipelineError
        ConfigError, DataError, StageError or ArtifactError; the message is one line: what was found and what to do.

    Examples
    --------
    >>> run = tf.run("reviews.csv", cluster={"min_cluster_size": 8})  # doctest: +SKIP
    >>> run.topics  # doctest: +SKIP
    """
    columns = Columns(text, id, time, label if isinstance(label, str) else None)
    if isinstance(label, Mapping):
        keys["label"] = label
    config = read_config("run", source, TopicModelConfig, columns, keys)
    return _result(config, verbose=verbose, start=start_topic_model)


def update(
    source: Source,
    *,
    text: Names = None,
    id: str | None = None,  # noqa: A002
    time: str | None = None,
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401
) -> Run:
    """Return the run that assigns new documents to the topics of the last run of its name: `topicflow update`.

    The parameters are those of `run`. If no document is new, the result is the last run, with the state `unchanged`.
    """
    config = read_config("update", source, UpdateTopicsConfig, Columns(text, id, time), keys)
    return _result(config, verbose=verbose)


def dedup(
    source: Source,
    *,
    text: Names = None,
    id: str | None = None,  # noqa: A002
    time: str | None = None,
    against: str | Path | Mapping[str, Any] | None = None,
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401
) -> Run:
    """Return the run that finds near-duplicates and keeps one of each: `topicflow dedup`.

    The parameters are those of `run`; `against` is the path of another corpus, read in the same way, or a section.
    `documents` of the result has kept, kept_id and similarity of each document; `table("kept")` has the kept rows.
    """
    if isinstance(against, Mapping):
        keys["against"] = against
    config = read_config("dedup", source, DeduplicateConfig, Columns(text, id, time), keys)
    if isinstance(against, str | Path):
        config = with_against(config, str(Path(against).absolute()))
    return _result(config, verbose=verbose)


def index(
    source: Source,
    *,
    text: Names = None,
    id: str | None = None,  # noqa: A002
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401
) -> Run:
    """Return the run that makes or updates an index: `topicflow index`; `search_index()` of the result opens it.

    The parameters are those of `run`.
    """
    return _result(read_config("index", source, BuildIndexConfig, Columns(text, id), keys), verbose=verbose)


def classify(
    source: Source,
    *,
    text: Names = None,
    id: str | None = None,  # noqa: A002
    label: str | None = None,
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401
) -> Run:
    """Return the run that learns classes from few labels and predicts all documents: `topicflow classify`.

    The parameters are those of `run`; `label` is a column that has the class of some documents and null for the
    others. `table("predictions")` of the result has a row a document: class, probability, margin.
    """
    config = read_config("classify", source, TrainClassifierConfig, Columns(text, id, None, label), keys)
    return _result(config, verbose=verbose)


def sweep(
    source: Source,
    *,
    vary: Mapping[str, Any] | None = None,
    text: Names = None,
    id: str | None = None,  # noqa: A002
    time: str | None = None,
    label: str | Mapping[str, Any] | None = None,
    verbose: bool = False,
    **keys: Any,  # noqa: ANN401
) -> Run:
    """Return the run that fits a topic model with many settings and recommends one: `topicflow sweep`.

    The parameters are those of `run`. `vary` maps keys to their values, `{"cluster.min_cluster_size": [10, 20, 50]}`,
    or to text as after `--vary`, `"10..100:5"`. `table("sweep")` of the result has a row a setting.
    """
    from topicflow.tasks.sweeps.settings import grid_of

    if isinstance(label, Mapping):
        keys["label"] = label
    if vary is not None:
        keys["sweep.vary"] = dict(vary)
    columns = Columns(text, id, time, label if isinstance(label, str) else None)
    config = read_config("sweep", source, SweepConfig, columns, keys)
    grid_of(config)
    return _result(config, verbose=verbose)


def open_run(wanted: str | Path | None = None, runs: str | Path = "runs") -> Run:
    """Return a past run.

    Parameters
    ----------
    wanted : str or Path, optional
        A run's name (its published run), id, beginning of an id, or folder; the newest published run if None.
    runs : str or Path
        The folder of runs.

    Raises
    ------
    ConfigError
        If there is no such run, several fit, or it did not complete; the message is one line.
    """
    return Run(resolve(Path(runs), None if wanted is None else str(wanted)))


def _result(config: FlowConfig, *, verbose: bool, start: Start = start_flow) -> Run:
    """Return the run of a config; without new documents the run that stays the latest."""
    record = run_quietly(config, verbose=verbose, start=start)
    run_id = record["latest"] if record.get("state") == "unchanged" else record["run_id"]
    folder = Path(config.runtime.runs) / record["name"] / run_id
    if (found := run_at(folder)) is None:
        msg = f"{folder}: the run was deleted"
        raise ConfigError(msg)
    return Run({**found, "state": record["state"]})
