"""Help: every way to ask for it answers the same."""

import pytest
import typer
from typer.testing import CliRunner

from topicflow.flows.commands import topics
from topicflow.flows.commands.cli import OF_TOPICS, _app
from topicflow.flows.commands.every_command import app


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


def test_the_commands_of_topic_models_start_without_the_others_and_look_the_same() -> None:
    assert set(OF_TOPICS) == set(typer.main.get_command(topics.app).commands)
    for command in OF_TOPICS:
        few = CliRunner().invoke(_app([command]), [command, "-h"], prog_name="topicflow")
        every = CliRunner().invoke(app, [command, "-h"], prog_name="topicflow")
        assert (few.exit_code, few.output) == (0, every.output)
    assert _app(["runn"]) is _app([]) is _app(["-h"]) is app
