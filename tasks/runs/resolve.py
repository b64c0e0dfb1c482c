"""Resolve: a user's name for a run -> the run's record. One rule for every command and config.

| name | meaning |
|---|---|
| `reviews`, `reviews/latest` | the run that `latest` points at: the last that its gates did not hold back |
| `20261128-171421-8c1f02aa`, with or without `reviews/` before it | that run, in any state |
| `20261128-17`, `reviews/20261128` | the only run whose id begins like this |
| `runs/reviews/latest`, `/archive/reviews/20261128-…` | the run in that folder |
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.history import (
    LATEST,
    RunRecord,
    flow_of,
    is_completed,
    is_published,
    newest,
    read_run,
    readable,
    run_folders,
)

TOPIC_FLOWS = ("topic_model", "update_topics")
"""Flows whose runs have documents with topics and places on a map."""

COMMANDS = {
    "topic_model": "run", "update_topics": "update", "build_index": "index", "deduplicate": "dedup",
    "train_classifier": "classify", "tune_embeddings": "tune",
    "sweep": "sweep",
}  # fmt: skip
"""The command that makes runs of each flow."""

SHOWN_IDS = 3
"""Ids in the message if the beginning of an id fits several runs."""


def resolve(
    runs: Path,
    wanted: str | None = None,
    *,
    flow: str | Collection[str] | None = None,
    published: bool = True,
    where: str | None = None,
) -> RunRecord:
    """Return the record of the run that a user names.

    Parameters
    ----------
    runs : Path
        The folder of runs.
    wanted : str, optional
        A name of the run, as in the table above; the newest run if None.
    flow : str or collection of str, optional
        The flow, or flows, to which the run must belong; any if None.
    published : bool
        True if the run's results are used: a name then means its published run, and a run that is named by its id must
        have completed. False if the run is only shown: the newest run may then have any state, and so may the newest
        of a name without a published run.
    where : str, optional
        Beginning of messages; the folder of runs if None.

    Raises
    ------
    ConfigError
        If there is no such run, several runs fit, or the run belongs to another flow or did not complete.
    ArtifactError
        If its record, or a record on which the answer depends, cannot be read.
    """
    flows = None if flow is None else (flow,) if isinstance(flow, str) else tuple(flow)
    said = where or str(runs)
    if wanted is None:
        return _newest_of_all(runs, flows, said, published=published)
    record = _named(runs, wanted, said, published=published)
    if record is None:
        found = run_folders(runs)
        hint = f"; the newest is {found[0].parent.name}/{found[0].name}" if found else "; it contains no runs"
        raise ConfigError(f"{said}: no run {wanted}{hint}")
    called = f"{record['name']}/{record['run_id']}"
    if flows is not None and flow_of(record) not in flows:
        raise ConfigError(
            f"{said}: {called} is a run of {flow_of(record)}, expected one of {' or '.join(flows)}"
        )
    if published and not is_completed(record):
        raise ConfigError(f"{said}: {called} {_why_not(record)}; name a run that completed")
    return record


def latest_run(series: Path) -> RunRecord | None:
    """Return the record of the published run of a series, None if it has none.

    It is the run that `latest` points at; if that link is missing, the newest published run.
    """
    record = read_run((series / LATEST).resolve()) if (series / LATEST).exists() else None
    if record is not None and is_completed(readable(record)):
        return readable(record)
    return newest(series.parent, series.name, is_published)


def published_metrics(runs: Path, name: str) -> dict[str, Any] | None:
    """Return the metrics of the published run of a name, None if there is none."""
    record = latest_run(runs / name)
    return None if record is None else record["metrics"]


def run_at(folder: Path) -> RunRecord | None:
    """Return the record of a run by its folder, or by the folder of its series; None if it is neither."""
    folder = folder.resolve()
    if (found := read_run(folder)) is not None:
        return readable(found)
    return latest_run(folder) if _is_series(folder) else None


def newer_runs(record: RunRecord) -> list[str]:
    """Return why each later run of a series is not the published one, newest first: failed, or held back by a gate."""
    folder = Path(record["folder"])
    later = [
        path for path in run_folders(folder.parent.parent, folder.parent.name) if path.name > folder.name
    ]
    found = [(path.name, read_run(path)) for path in later]
    return [f"{run_id} {_why_not(each)}" for run_id, each in found if isinstance(each, dict)]


def _newest_of_all(runs: Path, flows: tuple[str, ...] | None, said: str, *, published: bool) -> RunRecord:
    if published:
        series = sorted({folder.parent for folder in run_folders(runs)})
        last = [record for each in series if (record := latest_run(each)) is not None]
        fitting = [record for record in last if flows is None or flow_of(record) in flows]
        record = max(fitting, key=lambda record: str(record["run_id"]), default=None)
    else:
        record = newest(runs, None, lambda record: flows is None or flow_of(record) in flows)
    if record is None:
        what = " published" * published + " run" + (f" of {' or '.join(flows)}" if flows else "")
        command = COMMANDS[flows[0] if flows else "topic_model"]
        raise ConfigError(
            f"{said}: no{what}; make one with `topicflow {command} CONFIG`, or name another folder with --runs"
        )
    return record


def _named(runs: Path, wanted: str, said: str, *, published: bool) -> RunRecord | None:
    """Return the run with a name, None if there is none."""
    series, _, run = wanted.rpartition("/")
    if series and run == LATEST and _is_series(runs / series):
        return _of_series(runs / series, said, published=published)
    if found := _with_id(runs, series or None, run):
        return _only(found, wanted, said)
    if wanted and _is_series(runs / wanted):
        return _of_series(runs / wanted, said, published=published)
    if Path(wanted).is_dir() and (record := run_at(Path(wanted))) is not None:
        return record
    begun = [path for path in run_folders(runs, series or None) if run and path.name.startswith(run)]
    return _only(begun, wanted, said) if begun else None


def _is_series(folder: Path) -> bool:
    """Return whether a folder contains runs."""
    return any(read_run(path) is not None for path in run_folders(folder.parent, folder.name))


def _with_id(runs: Path, series: str | None, run_id: str) -> list[Path]:
    """Return the folders of the runs with that id."""
    return [path for path in run_folders(runs, series) if path.name == run_id and read_run(path) is not None]


def _only(folders: list[Path], wanted: str, said: str) -> RunRecord | None:
    """Return the only run in these folders; raise ConfigError if there are several."""
    if len(folders) > 1:
        some = ", ".join(f"{path.parent.name}/{path.name}" for path in folders[:SHOWN_IDS])
        more = f" and {len(folders) - SHOWN_IDS:,} more" if len(folders) > SHOWN_IDS else ""
        raise ConfigError(
            f"{said}: {wanted} is the beginning of {len(folders):,} runs ({some}{more}); write more of it"
        )
    found = read_run(folders[0])
    return None if found is None else readable(found)


def _of_series(series: Path, said: str, *, published: bool) -> RunRecord:
    """Return the published run of a series; if it has none and is only shown, the newest."""
    if (record := latest_run(series)) is not None:
        return record
    last = newest(series.parent, series.name, lambda _: True)
    if last is not None and not published:
        return last
    why = f"; the newest, {last['run_id']}, {_why_not(last)}" if last else ""
    raise ConfigError(f"{said}: {series.name} has no published run{why}")


def _why_not(record: RunRecord) -> str:
    """Return a short reason why a run is not the published one."""
    if not is_completed(record):
        error = record.get("error")
        return f"{record.get('state')} ({error})" if error else f"is {record.get('state')}"
    if record.get("tried"):
        return "is a trial with --set"
    if not is_published(record):
        return "was held back by its gates"
    return "completed"
