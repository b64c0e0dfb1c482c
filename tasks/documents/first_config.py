"""First config: the guess about a file -> a short commented config of a flow that runs as it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import tomli_w

from topicflow.tasks.documents.guess import Guess
from topicflow.tasks.documents.timestamps import FIRST, FoundOrder
from topicflow.tasks.errors import ConfigError

NEEDS_CLASSES = ("classify", "tune")
"""Commands that learn from classes; for the others a guessed column of classes is only a comment."""

WITH_TOPICS = ("run", "update")

_TOPICS = """
[cluster]
min_cluster_size = "auto"  # smallest topic, in documents; the run says what it chose
# topics = "medium"  # or "few", "many"; or about = 30 instead
"""

SECTIONS: Mapping[str, str] = MappingProxyType({
    "run": _TOPICS,
    "update": f"""
[new_documents]  # known documents are not read again; load.path may be a file that grows, or a glob of files
{{watermark}}{_TOPICS}""",
    "index": """
[index]
lexical = true  # search by words too
# topics = "{name}"  # a run of topics: search then shows them
""",
    "dedup": """
[deduplicate]
method = "both"  # similar meaning, or similar words; or "embedding", "minhash"
keep = "{keep}"  # of each group of near-duplicates
""",
    "classify": """
[setfit]
enabled = true  # false trains only the linear probe: seconds in place of minutes
""",
    "tune": """
[examples]
method = "classes"  # documents of one class are similar

[tune]
method = "adapter"
""",
})  # fmt: skip
"""The sections of each command after `load`."""

SERVE = """# Written by `topicflow init`; start it with: topicflow serve {file}
# Without a server in PREFECT_API_URL, serve starts one at http://127.0.0.1:4200.

[[schedules]]
name = "nightly"
flow = "update_topics"
config = {config}  # relative to this file
cron = "0 3 * * *"  # every night at 3:00; or every_s = 3600
timezone = "UTC"
"""


def series_of(guess: Guess, command: str) -> str:
    """Return the name of a command's runs: each command has runs of its own name."""
    return guess.name if command == "run" else f"{guess.name}-{command}"


def render_config(guess: Guess, command: str = "run") -> str:
    """Return a short commented TOML config that `configs.read.load_config` accepts unchanged.

    Raises
    ------
    ConfigError
        If the command learns from classes and no column has some.
    """
    if command in NEEDS_CLASSES and guess.label_column is None:
        msg = (
            f"init: {command} learns from classes, and no column of {guess.path} has a few values that repeat; "
            "add a column with the class of some documents"
        )
        raise ConfigError(msg)
    lines = [
        "# Written by `topicflow init`; every key: `topicflow config explain`",
        *(f"# {reason}" for reason in reasons_of(guess, command)),
        "",
        f"name = {_toml(series_of(guess, command))}",
        "",
        "[load]",
        *_load_lines(guess, command),
    ]
    time = guess.timestamp_column
    sections = SECTIONS[command].format(
        name=guess.name,
        keep="newest" if time else "first",
        watermark=f"# watermark = {_toml(time)}  # older documents than the newest known one are late\n"
        if time
        else "",
    )
    return "\n".join(lines) + f"\n{sections}"


def reasons_of(guess: Guess, command: str) -> list[str]:
    """Return the reasons that matter to a command: only those of `run` and `update` choose sizes of topics."""
    return [
        reason
        for reason in guess.reasons
        if command in WITH_TOPICS or not reason.startswith("min_cluster_size")
    ]


def render_schedule(file: str, config: str) -> str:
    """Return the file of `serve` that updates the topics of a config every night."""
    return SERVE.format(file=file, config=_toml(config))


def _load_lines(guess: Guess, command: str) -> list[str]:
    """Return the lines of the section `load`."""
    one_text = len(guess.text_columns) == 1
    text = _toml(guess.text_columns[0]) if one_text else f"[{', '.join(map(_toml, guess.text_columns))}]"
    optional = [
        ("id_column", guess.id_column, "unique ids"),
        ("timestamp_column", guess.timestamp_column, "for topics over time"),
    ]
    lines = [
        f"path = {_toml(guess.path)}",
        f"text_column = {text}",
        *(f"{key} = {_toml(column)}  # {why}" for key, column, why in optional if column is not None),
    ]
    if guess.label_column is not None and command in (*WITH_TOPICS, *NEEDS_CLASSES):
        named = f"label_column = {_toml(guess.label_column)}"
        lines.append(
            f"{named}  # the classes"
            if command in NEEDS_CLASSES
            else f"# {named}  # if these are classes: the run measures against them"
        )
    if guess.dates is not None:
        lines.append(_date_order_line(guess.dates))
    lines += [_key_line(key, value) for key, value in guess.keys.items()]
    if guess.is_long and command != "classify":
        lines += ["", "# [load.split]  # split long texts into passages", "# max_words = 180"]
    return lines


def _date_order_line(dates: FoundOrder) -> str:
    """Return the line that sets the order of dates, so that a growing file is always read in the same way."""
    other = "" if dates.is_sure else f'; "dmy" if {dates.example} has the day first'
    return f'date_order = "{dates.order}"  # {FIRST[dates.order]}{other}'


def _key_line(key: str, value: Any) -> str:  # noqa: ANN401  (a literal of LoadConfig)
    why = {
        "clean": "remove this from the texts; the column keeps it",
        "header": "rows of the header; the first names the columns",
        "skip_rows": "lines above the header",
    }.get(key)
    shown = f"[{', '.join(map(_toml, value))}]" if isinstance(value, tuple) else _toml(value)
    return f"{key} = {shown}" + (f"  # {why}" if why else "")


def _toml(value: str | int) -> str:
    """Return a value as TOML on one line, for any characters."""
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")
