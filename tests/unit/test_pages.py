"""Pages: the first screen, links, valid parts of configs, up-to-date generated pages."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.made_pages import ARCHITECTURE, CONFIGURATION, configuration, with_drawing
from tests.pages import ROOT, Block, Shown, anchors, blocks, commands, links, missing_output, pages
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import ServeConfig
from topicflow.configs.read import parse_config
from topicflow.tasks.edits.edits_file import parse_edits
from topicflow.tasks.given.topics_file import GivenTopic

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"console", "toml", "python", "yaml", "csv", "diff", "mermaid", "text"}
DOCS = sorted((ROOT / "docs").glob("*.md"))


def named(value: object) -> str:
    return (
        value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(getattr(value, "place", value))
    )


# --- the door ---


def test_the_readme_is_short_and_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    first_screen = "\n".join(lines[:45])
    assert "$ make quickstart" in "\n".join(lines[:25])
    assert "$ topicflow init reviews.csv" in first_screen
    assert "$ topicflow run reviews.toml" in first_screen


@pytest.mark.parametrize("page", DOCS, ids=named)
def test_every_page_of_docs_is_in_the_index_and_has_a_title(page: Path) -> None:
    assert page.read_text(encoding="utf-8").startswith("# ")
    if page.name != "index.md":
        assert page.name in {link.partition("#")[0] for link in links(ROOT / "docs" / "index.md")}


# --- links ---


def broken(page: Path, link: str) -> str:
    """Return what is wrong with a link of a page, an empty string if nothing is."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and anchor not in anchors(target):
        return f"{link}: no such heading; there are {', '.join(sorted(anchors(target)))}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    assert [problem for link in links(page) if (problem := broken(page, link))] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The files, `a/b` & more\n[a](page.md#the-files-ab--more) [b](#nowhere) [c](missing.md)\n"
    )
    assert links(page) == ["page.md#the-files-ab--more", "#nowhere", "missing.md"]
    assert broken(page, "page.md#the-files-ab--more") == ""
    assert broken(page, "#nowhere").startswith("#nowhere: no such heading")
    assert broken(page, "missing.md") == "missing.md: no such file"


# --- blocks ---


def test_every_block_has_a_known_language_and_a_reason_that_names_what_there_is() -> None:
    assert {block.place: block.language for block in BLOCKS if block.language not in LANGUAGES} == {}
    reasons = [block.reason for block in BLOCKS if block.reason]
    named_tests = {name for reason in reasons for name in re.findall(r"tests/[\w/]+\.py", reason)}
    assert {name for name in named_tests if not (ROOT / name).exists()} == set()


def test_output_that_a_page_shows_is_compared_with_the_printed_one() -> None:
    shown = Shown(BLOCKS[0], "x", ("load  hit", "run …: 3 topics", "…", "", "gone"))
    assert missing_output(shown, "load  hit  \nrun 17: 3 topics\n") == ["gone"]
    assert missing_output(shown, "gone\nrun 17: 4 topics\nload  hit") == ["run …: 3 topics"]


def _filled(values: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a part of a config with the required keys."""
    if "load" not in model.model_fields:
        return values
    loading = values.get("load", {})
    source = {} if {"path", "query"} & set(loading) else {"path": "reviews.csv", "label_column": "class"}
    return {**values, "load": {**source, **loading}}


def problems(values: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a config as one of each flow; an empty text if it is valid."""
    for flow, model in {**FLOWS, "serve": ServeConfig}.items():
        try:
            parse_config(_filled(values, model), model, flow)
        except ValueError as error:
            yield str(error)
        else:
            yield ""


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=named)
def test_toml_is_valid_in_the_config_of_some_flow(block: Block) -> None:
    values = tomllib.loads(block.text)
    if block.file is not None and block.file.endswith("topic_names.toml"):
        assert set(values) == {"names"}  # no config: the e2e tests read it
        return
    if block.file == "topics.toml":
        assert [GivenTopic.model_validate(each) for each in values["topic"]]
        return
    if block.file is not None and block.file.endswith("topics_edits.toml"):
        edits = parse_edits(block.text, block.place)
        assert len(edits) == len(values["edit"]) > 0  # no config: a file of edits
        return
    found = list(problems(values))
    assert "" in found, "\n".join(found)


def test_toml_of_no_flow_is_found() -> None:
    assert "" not in problems({"cluster": {"min_cluster_sise": 3}})
    assert "" not in problems({"cluster": {}, "index": {}})  # sections of two flows


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=named)
def test_yaml_can_be_read(block: Block) -> None:
    assert yaml.safe_load(block.text)


def test_every_command_of_the_command_line_is_in_some_page() -> None:
    import typer

    from topicflow.flows.commands.every_command import app

    group: Any = typer.main.get_command(app)
    own = {name for name, command in group.commands.items() if not hasattr(command, "commands")}
    own |= {f"{name} {sub}" for name, each in group.commands.items() for sub in getattr(each, "commands", {})}
    shown = {each.command for block in BLOCKS if block.language == "console" for each in commands(block)}
    text = "\n".join([*shown, *(page.read_text(encoding="utf-8") for page in DOCS)])
    assert {name for name in own if f"topicflow {name}" not in text} == set()


# --- made pages ---


def test_the_page_of_the_configuration_is_of_today() -> None:
    same = CONFIGURATION.read_text(encoding="utf-8") == configuration()
    assert same, "the config has changed: run `make config-page` and commit docs/configuration.md"


def test_the_drawing_of_imports_is_of_today() -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    assert with_drawing(page) == page, (
        "imports have changed: run `make config-page`, commit docs/architecture.md"
    )


def test_the_page_has_every_key_of_every_flow() -> None:
    from topicflow.configs.read import explain

    page = configuration()
    keys = {row[0] for model in FLOWS.values() for row in explain(model) if not row[1].startswith("section")}
    assert {key for key in keys if not key.endswith(".method") and f"`{key}`" not in page} == set()
    assert page.count("## load\n") == 1
    assert '`[cluster]` with `method = "graph"` (the default)' in page
