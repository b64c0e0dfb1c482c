"""Help: every way to ask for it answers the same."""

import pytest
from typer.testing import CliRunner

from topicflow.flows.commands.cli import app


@pytest.mark.parametrize("words", [["help"], ["-h"]])
def test_help_of_all_commands(words: list[str]) -> None:
    whole = CliRunner().invoke(app, ["--help"], prog_name="topicflow")
    asked = CliRunner().invoke(app, words, prog_name="topicflow")
    assert (asked.exit_code, asked.output) == (0, whole.output)
    assert "documents" in asked.output


@pytest.mark.parametrize("words", [["help", "store", "gc"], ["store", "gc", "-h"]])
def test_help_of_one_command(words: list[str]) -> None:
    asked = CliRunner().invoke(app, words, prog_name="topicflow")
    assert asked.exit_code == 0
    assert asked.output.startswith("Usage: topicflow store gc ")


def test_help_of_no_command() -> None:
    asked = CliRunner().invoke(app, ["help", "runn"], prog_name="topicflow")
    assert asked.exit_code == 2
    assert "No such command 'runn'" in asked.output
