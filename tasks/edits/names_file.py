"""Names file: runs/<name>/topic_names.toml -> the names that a person gave topics, by their id; and these as edits.

    [names]
    17 = "Immigration"

In a series of updates ids are permanent. In a series of topic models a number is that of the last run when the line
was written: the edit for a line is in the record of the run that applied it first, and later runs take it from there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from topicflow.tasks.edits.edits_file import Edit, NamedTopic, is_name
from topicflow.tasks.edits.run_topics import RunTopics
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.resolve import latest_run

FILE = "topic_names.toml"


def read_names(series: Path) -> dict[int, str]:
    """Return the names that a person gave in the folder of a series, by topic id; none without the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or contains anything but names by topic id.
    """
    path = series / FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as a TOML file: {error}"
        raise ConfigError(msg) from None
    named = values.get("names", {})
    wrong = [key for key in values if key != "names"]
    wrong += [
        key for key, name in (named.items() if isinstance(named, dict) else ()) if not _is_name(key, name)
    ]
    if wrong or not isinstance(named, dict):
        found = f"found {wrong[0]!r}" if wrong else "found no table [names]"
        msg = f'{path}: {found}; expected lines like 17 = "Immigration" below [names], the topic\'s id and its name'
        raise ConfigError(msg)
    return {int(key): " ".join(name.split()) for key, name in named.items()}


def _is_name(key: str, name: object) -> bool:
    if not key.isdecimal() or not isinstance(name, str):
        return False
    return not name.strip() or is_name(name)


def edits_of_names(series: Path) -> list[Edit]:
    """Return an edit that renames a topic for each line of a series of topic models; a line with "" gives none.

    Raises
    ------
    ConfigError
        If the file is wrong.
    """
    given = {number: name for number, name in read_names(series).items() if name}
    if not given:
        return []
    record = latest_run(series)
    known = {} if record is None else _known(record)
    run = None if record is None else RunTopics.of(record)
    return [
        known.get((number, name)) or _edit_of(run, series.name, number, name)
        for number, name in given.items()
    ]


def _known(record: Mapping[str, Any]) -> dict[tuple[int, str], Edit]:
    """Return the edits of names that a run applied, by line and name."""
    found = {}
    for each in record.get("edits", []):
        asked = dict(each["asked"])
        if (line := asked.pop("line", None)) is not None:
            found[int(line), str(asked["name"])] = Edit.model_validate(asked).model_copy(
                update={"line": line}
            )
    return found


def _edit_of(run: RunTopics | None, series: str, number: int, name: str) -> Edit:
    """Return the edit for a line; its topic has documents and keywords if the last run has it."""
    topic = NamedTopic(id=number) if run is None or number not in run.ids else run.named(number)
    of = series if run is None else run.run
    return Edit(action="rename", run=of, topics=(topic,), name=name).model_copy(update={"line": number})
