"""The tree of a report in a real browser: it opens and folds, by mouse and keyboard, and filters the map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from tests.axe import axe_source, serious
from tests.integration.test_report_browser import (
    CHROMIUM,
    DRIVER,
    NAMES,
    OUTPUT,
    RUN,
    open_browser,
    planted,
    plotted,
    problems,
    requests,
    save,
    visit,
    wait_for,
)
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.core.clusters.linkage import Dendrogram
from topicflow.tasks.execution.context import Context
from topicflow.tasks.report.report import Shown, report
from topicflow.tasks.report.report_page import finish_report
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.tree.group_words import TopicCounts
from topicflow.tasks.tree.tree import nodes_table

pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.timeout(300),
]

N, N_TOPICS = 600, 8
HOSTILE_WORD = '<img src=x onerror=alert(1)>"'


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with eight topics in pairs, the pairs in two halves; the first group has a hostile keyword."""
    folder = tmp_path_factory.mktemp("tree")
    content, store = planted(N, N_TOPICS), ArtifactStore(folder / "store")
    merges = np.array([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13]])
    dendrogram = Dendrogram(merges, np.array([0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.9]))
    topics = content["topics"]["topics"].with_columns(pl.col("topic").cast(pl.Int32))
    counts = csr_matrix(np.tile([3, 1], (N_TOPICS, 1)))
    words = TopicCounts(counts, counts, topics["size"].to_numpy(), [HOSTILE_WORD, "word"])
    nodes = nodes_table(topics, dendrogram, [4, 2], words, LabelConfig())
    refs = {kind: save(store, kind, made, N) for kind, made in content.items()}
    refs["tree"] = save(store, "tree", {"nodes": nodes}, N)
    made = report.fn(Context(store), Shown(**refs), config=ReportConfig(), name="Planted")
    path = folder / "report.html"
    text = store.path(made, "report.html").read_text(encoding="utf-8")
    path.write_text(finish_report(text, RUN), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = open_browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.quit()


@pytest.fixture
def browser(opened: Any, page: Path) -> Any:
    visit(opened, page)
    opened.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    return opened


def shown(browser: Any) -> list[str]:
    """Return the nodes of the tree that can be seen, in their order."""
    items = browser.find_elements("css selector", "#tree [role='treeitem']")
    return [item.get_attribute("data-node") for item in items if item.is_displayed()]


def sizes(*topics: int) -> int:
    table = planted(N, N_TOPICS)["topics"]["topics"]
    return int(table.filter(pl.col("topic").is_in(topics))["size"].sum())


def line(browser: Any, node: str, part: str) -> Any:
    return browser.find_element("css selector", f"#tree [data-node='{node}'] > .line {part}")


def test_the_tree_opens_folds_and_filters_the_map(browser: Any) -> None:
    assert browser.find_element("id", "tree-link").is_displayed()
    halves = shown(browser)[1:]
    assert len(halves) == 2  # the root is open, everything below it folded
    line(browser, halves[0], ".twist").click()
    opened = shown(browser)
    assert len(opened) == 5
    line(browser, halves[0], ".twist").click()
    assert shown(browser) == ["g0", *halves]
    script = "return [...nodes.get(arguments[0]).topics]"
    topics = browser.execute_script(script, halves[0])
    line(browser, halves[0], ".text").click()
    wait_for(browser, "return document.getElementById('map').data[0].visible === true")
    assert plotted(browser) == sizes(*topics)
    assert browser.find_element("id", "status").text == f"{sizes(*topics):,} documents"
    rows = browser.find_elements("css selector", "#topic-table tr.chosen")
    assert sorted(int(row.get_attribute("data-topic")) for row in rows) == sorted(topics)
    inside = browser.find_elements("css selector", "#panel .topic-list button")
    assert [button.get_attribute("data-node") for button in inside] == [*opened[2:4], "g0"]
    inside[0].click()  # a group inside the group
    wait_for(browser, f"return state.group.node === '{opened[2]}'")
    browser.find_elements("css selector", "#panel .topic-list button")[0].click()  # a topic inside it
    wait_for(browser, "return state.topic !== null && state.group === null")
    assert plotted(browser) == sizes(browser.execute_script("return state.topic"))
    browser.find_element("id", "clear").click()
    wait_for(browser, "return document.getElementById('map').data[0].visible === false")
    assert plotted(browser) == N
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / "tree.png"))
    assert problems(browser) == []
    assert requests(browser) == []


def test_the_tree_is_used_with_the_keyboard(browser: Any) -> None:
    def press(key: str) -> str:
        browser.switch_to.active_element.send_keys(key)
        return str(browser.execute_script("return document.activeElement.dataset.node"))

    right, left, down, up, enter = "\ue014", "\ue012", "\ue015", "\ue013", "\ue007"
    first, second = shown(browser)[1:]
    browser.execute_script("document.querySelector('#tree [tabindex=\"0\"]').focus()")
    assert [press(key) for key in (right, right)] == [first, first]  # into the root, then the group is opened
    pair = press(right)
    assert shown(browser)[2] == pair
    assert press(down) == shown(browser)[3]
    assert press(up) == pair
    assert [press(key) for key in (left, left)] == [first, first]  # to the group, which is then folded
    assert shown(browser) == ["g0", first, second]
    assert press("\ue010") == second  # End
    assert press(enter) == second
    selected = browser.find_element("css selector", "#tree [aria-selected='true']")
    assert selected.get_attribute("data-node") == second
    assert len(browser.find_elements("css selector", "#tree [tabindex='0']")) == 1
    press(" ")
    wait_for(browser, "return state.matches === null")


def test_axe_finds_nothing_serious_in_a_tree(browser: Any) -> None:
    source = axe_source()
    line(browser, shown(browser)[1], ".twist").click()
    assert serious(browser, source) == []
    name = browser.find_element("css selector", "#tree [data-node='g0']").accessible_name
    assert name.endswith(f"{sizes(*range(N_TOPICS)):,} {N_TOPICS} topics")  # without what is inside


def test_names_and_keywords_are_text(browser: Any) -> None:
    for _ in range(3):  # each time the nodes of one more layer are drawn
        for item in browser.find_elements("css selector", "#tree [aria-expanded='false'] > .line > .twist"):
            item.click()
    texts = [each.text for each in browser.find_elements("css selector", "#tree .line > .text")]
    assert set(NAMES) <= set(texts)
    assert sum(text.startswith(HOSTILE_WORD) for text in texts) == 7
    line(browser, "g0", ".text").click()
    assert browser.find_element("css selector", "#panel .bars li").text == HOSTILE_WORD
    assert browser.find_elements("css selector", "#tree img, #panel img") == []
    assert problems(browser) == []
