"""Grouped options: the fields of a dataclass become options of a command, in its place, with their defaults."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from topicflow.flows.commands.grouped import grouped

Words = Annotated[list[str] | None, typer.Option("--word", help="A word.")]


@dataclass(frozen=True)
class Group:
    """Options of a test."""

    file: Annotated[str, typer.Argument(metavar="FILE")]
    words: Words = None
    as_json: Annotated[bool, typer.Option("--json")] = False


def command(group: Group, number: Annotated[int, typer.Option("--number")] = 3) -> None:
    """Print what was given."""
    print(group, number)


def said(*words: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(grouped(command))
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.output.strip()


@pytest.mark.parametrize(
    ("words", "group", "number"),
    [
        (["a.toml"], Group("a.toml"), 3),
        (["a.toml", "--json", "--number", "5"], Group("a.toml", as_json=True), 5),
        (["--word", "x", "a.toml", "--word", "y"], Group("a.toml", words=["x", "y"]), 3),
    ],
)
def test_a_group_has_the_values_of_its_options(words: list[str], group: Group, number: int) -> None:
    code, output = said(*words)
    if group.words is None:  # typer gives an empty list or None, by its version
        output = output.replace("words=[]", "words=None")
    assert (code, output) == (0, f"{group} {number}")


def test_a_missing_argument_of_a_group_is_a_wrong_command() -> None:
    assert said()[0] == 2


def test_the_help_has_the_options_of_the_group_and_of_the_command() -> None:
    code, output = said("--help")
    assert code == 0
    assert "Print what was given." in output
    assert [name for name in ("FILE", "--word", "--json", "--number") if name not in output] == []
    assert "group" not in output.lower()
