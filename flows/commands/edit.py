"""Command of edits: edit. It writes the file of a config's edits; the next run or update applies them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions, print_json
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.configs.flows.topic_sections import TopicSections
    from topicflow.tasks.edits.edits_file import Edit
    from topicflow.tasks.edits.run_topics import RunTopics

app = typer.Typer()

USAGE = {
    "merge": "merge TOPIC TOPIC…",
    "rename": 'rename TOPIC "NAME"',
    "delete": "delete TOPIC… [--to outliers|next]",
    "split": "split TOPIC --into N",
    "move": "move DOC_ID… TOPIC",
    "pin": "pin TOPIC",
    "list": "list",
    "undo": "undo N",
}
"""How each action is typed."""


@app.command(context_settings={"ignore_unknown_options": True})
@grouped
def edit(
    options: FlowOptions,
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="merge, rename, delete, split, move, pin, list or undo.")
    ],
    rest: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="Topics by their number in the last run; documents; a name; an edit's number.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="delete: its documents become outliers, or go to their next topic (next)."),
    ] = None,
    into: Annotated[int | None, typer.Option("--into", help="split: number of parts.")] = None,
) -> None:
    """Change topics by hand: merge, rename, delete, split or pin topics, move documents; every later run applies it."""
    from topicflow.configs.sections.shaping import EDITS_FILE
    from topicflow.flows.screen.terminal import near
    from topicflow.tasks.edits.change_file import change_file, text_of
    from topicflow.tasks.edits.edits_file import parse_edits, with_edit, without_edit

    if action not in USAGE:
        raise ConfigError(f"edit: no action {action!r}; there are {', '.join(USAGE)}")
    config = read_either(options)
    path = Path(config.edits.path or options.config.absolute().parent / EDITS_FILE)
    words = rest or []
    if action == "list":
        _list(config, parse_edits(text_of(path), str(path)), as_json=options.as_json)
        return
    if action == "undo":
        number = _number(action, words[0] if len(words) == 1 else "")
        gone: list[Edit] = []

        def without(text: str) -> str:
            left = without_edit(text, number, str(path))
            gone[:] = parse_edits(text, str(path))[number - 1 : number]
            return left

        change_file(path, without)
        said = f"undone: {gone[0]}"
    else:
        run = last_run(config)
        made = made_edit(run, action, words, to, into)
        change_file(path, lambda text: with_edit(text, made, str(path)))
        said = f"{made}\n{_shown(run, made)}"
    if options.as_json:
        print_json([each.model_dump(mode="json") for each in parse_edits(text_of(path), str(path))])
        return
    print(said)
    command = "update" if config.flow == "update_topics" else "run"
    print(f"wrote {near(path)}; now: topicflow {command} {options.config}")


def read_either(options: FlowOptions) -> TopicSections:
    """Return the config of a topic model or of updates, whichever the file is; the one that has runs if it is both.

    Raises
    ------
    ConfigError
        If the file is neither; the message is about a topic model's, or about updates if it names them.
    """
    from topicflow.configs.flows.topic_model import TopicModelConfig
    from topicflow.configs.flows.update_topics import UpdateTopicsConfig
    from topicflow.tasks.runs.resolve import latest_run

    found: list[TopicSections] = []
    problems: list[ConfigError] = []
    for model in (TopicModelConfig, UpdateTopicsConfig):
        try:
            found.append(options.read(model))
        except ConfigError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    for config in found:
        record = latest_run(Path(config.runtime.runs) / config.name)
        if record is not None and record.get("flow", config.flow) == config.flow:
            return config
    return found[0]


def last_run(config: TopicSections) -> RunTopics:
    """Return the topics of the published run of a config; raise ConfigError if there is none."""
    from topicflow.tasks.edits.run_topics import RunTopics
    from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve

    return RunTopics.of(resolve(Path(config.runtime.runs), f"{config.name}/latest", flow=TOPIC_FLOWS))


def made_edit(run: RunTopics, action: str, words: Sequence[str], to: str | None, into: int | None) -> Edit:
    """Return the edit that a person typed, with its topics as the run has them.

    Raises
    ------
    ConfigError
        If arguments are missing or too many, or the run has no such topic or document.
    """
    from topicflow.configs.read import parse_config
    from topicflow.tasks.edits.edits_file import Edit
    from topicflow.tasks.edits.wanted import described_topics

    values: dict[str, object] = {"action": action, "run": run.run}
    numbers = list(words)
    if action == "rename":
        numbers, name = numbers[:1], " ".join(numbers[1:])
        values["name"] = name
    elif action == "move":
        numbers, documents = numbers[-1:], numbers[:-1]
        values["documents"] = documents
        if absent := run.absent(documents):
            raise ConfigError(
                f"edit: no document {absent[0]!r} in {run.run}; its documents.parquet has all ids"
            )
    if not numbers or (action == "merge" and len(set(numbers)) < 2) or (action == "split" and into is None):
        raise ConfigError(f"edit: expected {USAGE[action]}")
    topics = described_topics(run, [_number(action, word) for word in dict.fromkeys(numbers)])
    values["topics"] = topics
    values |= {name: value for name, value in (("to", to), ("into", into)) if value is not None}
    if action == "pin" and topics[0].id is not None:
        values["name"] = run.name(topics[0].id)
    try:
        return parse_config(values, Edit, "edit")
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _number(action: str, word: str) -> int:
    if not word.isdecimal():
        what = f"found {word!r}" if word else "found nothing"
        raise ConfigError(f"edit: expected {USAGE[action]}, {what}")
    return int(word)


def _shown(run: RunTopics, made: Edit) -> str:
    """Return a line for each topic of an edit: its number, size, name and keywords."""
    lines = []
    for topic in made.topics:
        row = run.topics.row(run.ids.index(int(topic.id or 0)), named=True)
        lines.append(f"  {topic.id}: {row['size']:,} documents, {', '.join(topic.keywords)}")
    return "\n".join(lines)


def _list(config: TopicSections, edits: Sequence[Edit], *, as_json: bool) -> None:
    """Print the edits with their numbers, and what became of them in the last run."""
    if as_json:
        print_json([each.model_dump(mode="json") for each in edits])
        return
    from topicflow.tasks.edits.wanted import completed

    if not edits:
        print("no edits")
    problems = last_problems(config)
    for number, each in enumerate(edits, 1):
        of_other = f" (for {each.series})" if each.series not in {None, config.name} else ""
        words = "; ".join(", ".join(topic.keywords[:4]) for topic in each.topics)
        print(f"{number:>3}  {each}{of_other}  [{words}]")
        if problem := problems.get(completed(each, Path(config.runtime.runs)).digest):
            print(f"     in the last run: {problem}")


def last_problems(config: TopicSections) -> dict[str, str]:
    """Return why edits did not apply in the published run of a config, by the edit's digest."""
    from topicflow.tasks.edits.wanted import problems_of
    from topicflow.tasks.runs.resolve import latest_run

    record = latest_run(Path(config.runtime.runs) / config.name)
    return {} if record is None else problems_of(record)
