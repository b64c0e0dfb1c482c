"""Edits file: topics_edits.toml -> the edits in it, checked; and the same file with an edit more or less.

    [[edit]]
    action = "merge"
    run = "reviews/20261129-031331-8c1f02aa"
    topics = [
        { id = 3, keywords = ["battery", "charger"], documents = ["r1003", "r1007"] },
        { id = 17, keywords = ["power", "cable"], documents = ["r1011"] },
    ]

An edit names a topic by documents of it and by its keywords, so that it finds the topic again in later runs.
"""

from __future__ import annotations

import re
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from topicflow.configs.read import parse_config
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifacts import canonical_json, digest
from topicflow.tasks.store.durable import fsync

NEEDS: Mapping[str, tuple[str, ...]] = {
    "merge": (),
    "rename": ("name",),
    "delete": (),
    "split": ("into",),
    "move": ("documents",),
    "pin": (),
}
"""Keys that an action must have beside its topics."""

MAY_HAVE: Mapping[str, tuple[str, ...]] = {"delete": ("to",), "pin": ("name",)}
"""Keys that only these actions may have, beside those that they must have."""

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*edit[ \t]*\]\]", re.MULTILINE)

MAX_NAME = 200
"""Characters of a name."""


def is_name(text: str) -> bool:
    """Return whether a text, in one line, can be a topic's name."""
    name = " ".join(text.split())
    return bool(name) and len(name) <= MAX_NAME and name.isprintable()


def checked_name(text: str) -> str:
    """Return a name in one line without spaces around it; raise ValueError if it is empty, too long, or unprintable."""
    if not is_name(text):
        msg = f"a name has 1 to {MAX_NAME} characters and no control characters"
        raise ValueError(msg)
    return " ".join(text.split())


def _texts(value: Any) -> Any:  # noqa: ANN401  (whatever a person wrote)
    """Return the numbers of a list as texts: ids of documents may be written without quotation marks."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(
        str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value
    )


Ids = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class _Table(BaseModel):
    """Base of the tables of a file: frozen; unknown keys are errors. Ids and keywords may be any text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NamedTopic(_Table):
    """A topic as an edit names it: its number in the run of the edit, its first keywords, some of its documents."""

    id: int | None = Field(default=None, ge=0)
    keywords: tuple[str, ...] = ()
    documents: Ids = ()

    @model_validator(mode="before")
    @classmethod
    def _of_number(cls, value: Any) -> Any:  # noqa: ANN401
        return {"id": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @property
    def is_described(self) -> bool:
        """Whether it has more than a number, which means something only in the run of the edit."""
        return bool(self.keywords or self.documents)

    def __str__(self) -> str:
        """Return the number, or what there is instead."""
        if self.id is not None:
            return str(self.id)
        return "(" + ", ".join((self.keywords or self.documents)[:2]) + ")"


class Edit(_Table):
    """One change of topics, as a person asked for it."""

    action: Literal["merge", "rename", "delete", "split", "move", "pin"]
    run: str | None = None
    topics: tuple[NamedTopic, ...] = Field(min_length=1)
    documents: Ids = ()
    name: Annotated[str, AfterValidator(checked_name)] | None = None
    to: Literal["outliers", "next"] = "outliers"
    into: int | None = Field(default=None, ge=2, le=100)
    line: int | None = None
    """The topic's number in topic_names.toml, if the edit stands for a line of it; never in a file of edits."""

    @model_validator(mode="after")
    def _keys_fit_the_action(self) -> Self:
        needed = NEEDS[self.action]
        for key in needed:
            if not getattr(self, key):
                raise ValueError(f"{self.action} needs the key {key}")
        allowed = {"action", "run", "topics", *needed, *MAY_HAVE.get(self.action, ())}
        if foreign := sorted(self.model_fields_set - allowed):
            raise ValueError(f"{self.action} has no key {foreign[0]}; it has {', '.join(sorted(allowed))}")
        if (n := len(self.topics)) != 1 and self.action not in {"merge", "delete"}:
            raise ValueError(f"{self.action} needs one topic, found {n}")
        if self.action == "merge" and n < 2:
            raise ValueError("merge needs two or more topics, found 1")
        return self

    @model_validator(mode="after")
    def _topics_can_be_found(self) -> Self:
        unknown = [topic.id for topic in self.topics if not topic.is_described]
        if None in unknown:
            raise ValueError("a topic needs id, keywords or documents")
        if unknown and self.run is None:
            raise ValueError(
                f"topic {unknown[0]} has only a number; add its keywords or documents, or the run whose number it is"
            )
        return self

    @property
    def series(self) -> str | None:
        """The name of the runs that the edit was made on; None if it names no run."""
        return None if self.run is None else self.run.partition("/")[0]

    @property
    def digest(self) -> str:
        """The digest of everything that decides what the edit does: not of numbers, which change from run to run."""
        values = self.model_dump(
            mode="json", exclude={"run": True, "line": True, "topics": {"__all__": {"id"}}}
        )
        return digest(canonical_json(values), size=8)

    def __str__(self) -> str:
        """Return the edit as a person types it."""
        topics = " ".join(map(str, self.topics))
        if self.action == "move":
            more = f" and {len(self.documents) - 1:,} more" if len(self.documents) > 1 else ""
            return f"move {self.documents[0]}{more} {topics}"
        end = (
            f" {_value(self.name)}"
            if self.action == "rename"
            else f" --into {self.into}"
            if self.into
            else ""
        )
        return f"{self.action} {topics}{end}" + (" --to next" if self.to == "next" else "")


def read_edits(path: Path) -> list[Edit]:
    """Return the edits of a file, in order.

    Raises
    ------
    ConfigError
        If the file cannot be read, or an edit is wrong; one line for each edit that is.
    """
    try:
        return parse_edits(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        msg = (
            f"edits.path: {path}: {(error.strerror or str(error)).lower()}; `topicflow edit` makes the file"
            if isinstance(error, FileNotFoundError)
            else f"{path}: {(error.strerror or str(error)).lower()}"
        )
        raise ConfigError(msg) from None
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
        raise ConfigError(msg) from None


def parse_edits(text: str, source: str) -> list[Edit]:
    """Return the edits of a file's text; raise ConfigError, which names the `source`, if it is not a list of edits."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    listed = values.get("edit", [])
    wrong = [key for key in values if key != "edit"]
    if wrong or not isinstance(listed, list):
        found = f"found the key {wrong[0]!r}" if wrong else "edit is not a list"
        raise ConfigError(f'{source}: {found}; expected tables [[edit]] with action = "merge", topics = […]')
    edits, problems = [], []
    for number, each in enumerate(listed, 1):
        try:
            edits.append(parse_config(each, Edit, f"{source}: edit {number}"))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return edits


def with_edit(text: str, edit: Edit, source: str) -> str:
    """Return the text of a file with one more edit at its end; everything before stays as it is.

    Raises
    ------
    ConfigError
        If the file is not a list of tables [[edit]].
    """
    block = _block(edit)
    joined = f"{text.rstrip()}\n\n{block}" if text.strip() else block
    return _checked(joined, [*parse_edits(text, source), edit], source)


def _block(edit: Edit) -> str:
    """Return an edit as a table of TOML, with a line for each topic."""
    values = edit.model_dump(mode="json", exclude_unset=True)
    topics = [each.model_dump(mode="json", exclude_unset=True) for each in edit.topics]
    lines = [f"{key} = {_value(value)}" for key, value in values.items() if key != "topics"]
    rows = [", ".join(f"{key} = {_value(value)}" for key, value in topic.items()) for topic in topics]
    listed = "\n".join(f"    {{ {row} }}," for row in rows)
    return "\n".join(["[[edit]]", *lines, f"topics = [\n{listed}\n]", ""])


def _value(value: Any) -> str:  # noqa: ANN401  (a text, a number, or a list of texts)
    """Return a value as TOML writes it, in one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return tomli_w.dumps({"v": value}).removeprefix("v = ").rstrip("\n")


def without_edit(text: str, number: int, source: str) -> str:
    """Return the text of a file without the edit with this number, counted from 1, and with everything else.

    Raises
    ------
    ConfigError
        If there is no such edit, or the file is not a list of tables [[edit]].
    """
    edits = parse_edits(text, source)
    if not 1 <= number <= len(edits):
        there = f"edits 1 to {len(edits)}" if edits else "no edits"
        raise ConfigError(f"{source}: no edit {number}; there are {there}")
    starts = [match.start() for match in _HEADER.finditer(text)] + [len(text)]
    kept = [*edits[: number - 1], *edits[number:]]
    if len(starts) <= number:
        raise ConfigError(_by_hand(source))
    shorter = text[: starts[number - 1]] + text[starts[number] :]
    return _checked(shorter.rstrip() + "\n" if shorter.strip() else "", kept, source)


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: a reader, or a kill, finds the old text or the new one.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    target = path.resolve()
    temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        fsync(temporary)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path}: cannot be written ({(error.strerror or str(error)).lower()})") from None


def _checked(text: str, wanted: Sequence[Edit], source: str) -> str:
    """Return a changed text if it has exactly the edits that are wanted."""
    try:
        found = parse_edits(text, source)
    except ConfigError:
        found = None
    if found != list(wanted):
        raise ConfigError(_by_hand(source))
    return text


def _by_hand(source: str) -> str:
    return f"{source}: its edits are not tables [[edit]], which this command needs; change the file by hand"
