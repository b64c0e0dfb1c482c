"""Changes: a run and the run of its name before it -> which topics are new, gone, grown, shrunk, split or merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from topicflow.tasks.core.clusters.matching import BORN, CONTINUED, DIED, MERGED, SPLIT, topic_events
from topicflow.tasks.errors import PipelineError
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.compare import GROWN, SHRUNK, MatchedRuns, growth, match_runs
from topicflow.tasks.runs.history import RunRecord, flow_of, is_completed, newest

NEW, GONE = "new", "gone"

MAX_SHOWN = 200
"""Changes in a run's record, the largest topics first; the counts are of all."""

WORDS: Mapping[str, str] = {BORN: NEW, DIED: GONE}


def changes_since(runs: Path, record: RunRecord, folder: Path, *, lasting: bool = False) -> dict[str, Any]:
    """Return the entry `changes` of a run's record; empty if there is no run before it, or it cannot be read.

    Parameters
    ----------
    runs : Path
        The folder of runs; the newest completed run of the same name that is no trial is the one before.
    record : dict
        The record of the run, which is not in `runs` yet.
    folder : Path
        The folder with the run's documents, topics and model.
    lasting : bool
        True if topics keep their ids from run to run, as in updates; otherwise they are matched.
    """
    try:
        before = newest(runs, record["name"], _has_topics)
        if before is None:
            return {}
        if _stages(before) == _stages(record):
            found: dict[str, Any] = {"counts": {}, "topics": [], "n_same": record["n_topics"]}
        else:
            matched = match_runs(before, {**record, "folder": str(folder)})
            found = changed_topics(_by_ids(matched) if lasting else matched)
    except (PipelineError, OSError, pl.exceptions.PolarsError) as error:
        LOG.info("the report does not compare with the run before: %s", error)
        return {}
    return {"changes": {"before": before["run_id"], **found}}


def _has_topics(record: RunRecord) -> bool:
    is_trial = bool(record.get("tried"))
    return is_completed(record) and not is_trial and flow_of(record) in ("topic_model", "update_topics")


def _by_ids(matched: MatchedRuns) -> MatchedRuns:
    """Return the runs with topics matched by their ids."""
    place = {topic: row for row, topic in enumerate(matched.topics[0]["topic"])}
    old_of = np.array([place.get(topic, -1) for topic in matched.topics[1]["topic"]], np.int64)
    return replace(matched, matching=replace(matched.matching, old_of=old_of))


def changed_topics(matched: MatchedRuns) -> dict[str, Any]:
    """Return how many topics changed in which way (`counts`), the changed ones (`topics`), and `n_same`.

    A topic of `topics` has `change`, `name`, `topic` (None if it is gone), `size`, `size_before` and `other`: the name
    of the topic that it was split from or that it was merged into.
    """
    old, new = (table.select("topic", "name", "size").to_dicts() for table in matched.topics)
    events = topic_events(matched.matching)
    entries = (
        _entry(each.event, old[each.old] if each.old >= 0 else {}, new[each.new] if each.new >= 0 else {})
        for each in events
    )
    found = [entry for entry in entries if entry["change"] != CONTINUED]
    found.sort(key=lambda entry: -max(entry["size"] or 0, entry["size_before"] or 0))
    order = (NEW, GONE, SPLIT, MERGED, GROWN, SHRUNK)
    counts = {change: n for change in order if (n := sum(entry["change"] == change for entry in found))}
    return {"counts": counts, "topics": found[:MAX_SHOWN], "n_same": len(events) - len(found)}


def _entry(event: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of an event; `before` and `now` are the rows of its old and its new topic, empty for none."""
    change, other = WORDS.get(event, event), dict[str, Any]()
    if event == CONTINUED:
        change = growth(before["size"], now["size"]) or CONTINUED
    elif event == SPLIT:
        before, other = {}, before
    elif event == MERGED:
        now, other = {}, now
    return {
        "change": change,
        "topic": now.get("topic"),
        "name": (now or before)["name"],
        "size": now.get("size"),
        "size_before": before.get("size"),
        "other": other.get("name"),
    }


def _stages(record: RunRecord) -> Sequence[tuple[str, str]]:
    """Return the keys of the artifacts that decide the topics of a run's documents."""
    deciding = ("load", "keep", "cluster", "given", "edit", "label", "label_edited", "name", "state")
    return [(each["stage"], each["key"]) for each in record.get("stages", []) if each["stage"] in deciding]
