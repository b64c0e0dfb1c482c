"""The walkthrough with a language model and in a browser: names, a tree, edits, a rerun, a given topic, tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.chat_server import ChatServer
from tests.commands import Outcome
from tests.integration.test_report_browser import CHROMIUM, DRIVER, open_browser, problems, visit, wait_for
from tests.reviews import write_inputs

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.timeout(300),
]

CONFIG = """name = "story"
[load]
path = "reviews.csv"
text_column = ["title", "body"]
id_column = "review_id"
[cluster]
min_cluster_size = 8
[tree]
about = 3
[names]
url = "{url}"
model = "tiny"
corpus = "product reviews"
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    found = open_browser(tmp_path / "browser")
    yield found
    found.quit()


def states(outcome: Outcome) -> dict[str, str]:
    assert outcome.code == 0, outcome.err
    return {stage["stage"]: stage["state"] for stage in outcome.record["stages"]}


def test_from_a_first_look_to_topics_that_are_kept(
    topicflow: Callable[..., Outcome], tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    latest = tmp_path / "runs/story/latest"
    with ChatServer() as server:
        (tmp_path / "story.toml").write_text(CONFIG.format(url=server.url))
        assert states(topicflow("run", "story.toml", "--json"))["name"] == "computed"
        named = pl.read_parquet(latest / "topics.parquet")
        assert set(named["named_by"]) == {"model"}
        assert topicflow("edit", "story.toml", "merge", 0, 1).code == 0
        assert topicflow("edit", "story.toml", "rename", 2, "Hardware & <b>more</b>").code == 0
        steps = json.loads(topicflow("plan", "story.toml", "--json").out)
        computed = [step["stage"] for step in steps if step["state"] == "compute"]
        assert computed == ["edit", "label_edited", "rename", "tree", "name", "evaluate", "report"]
        asked = len(server.prompts)
        again = states(topicflow("run", "story.toml", "--json"))
        assert [stage for stage, state in again.items() if state == "computed"] == computed
        further = [prompt for prompt in server.prompts[asked:] if prompt.startswith("You name topics")]
        assert (
            len(further) < named.height / 2
        )  # the merged topic, and those it was a contrast or part of the group of
    topics = pl.read_parquet(latest / "topics.parquet")
    assert topics.height == named.height - 1
    assert topics["size"].max() == named["size"].head(2).sum()
    assert "Hardware & <b>more</b>" in topics["name"].to_list()
    tree = pl.read_parquet(latest / "topics_tree.parquet")
    assert tree.filter(pl.col("layer") == 0).height == topics.height

    visit(browser, latest / "report.html")
    wait_for(browser, "return document.querySelectorAll('#tree-section [role=treeitem]').length > 2")
    for _ in range(4):  # what is inside a group is drawn when it is opened
        browser.execute_script(
            "document.querySelectorAll('#tree [aria-expanded=false] > .line .twist').forEach((each) => each.click())"
        )
    shown = browser.execute_script("return document.querySelector('#tree-section').textContent")
    assert "Hardware & <b>more</b>" in shown
    assert problems(browser) == []

    for name in ("topic.csv", "topic.xlsx"):
        assert topicflow("documents", "story", "--topic", 0, "--output", name).code == 0
        assert (tmp_path / name).stat().st_size > 100
    table = pl.read_csv(tmp_path / "topic.csv")
    assert (table.height, set(table["topic_name"])) == (topics["size"][0], {topics["name"][0]})
    assert topicflow("export", "story", "--output", "for-anna").code == 0
    assert {path.name for path in (tmp_path / "for-anna").iterdir()} >= {
        "documents.csv", "topics.csv", "topics_tree.csv", "story.xlsx"
    }  # fmt: skip
