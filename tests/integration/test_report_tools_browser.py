"""The report as a tool in one real browser: reading, listing, filtering, comparing, links, axe."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tests.axe import axe_source, serious
from tests.integration.test_report_browser import (
    CHROMIUM,
    DRIVER,
    HOSTILE,
    NAMES,
    OUTPUT,
    RUN,
    emulate,
    open_browser,
    planted,
    plotted,
    problems,
    requests,
    search,
    settled,
    visit,
    wait_for,
    webdriver,
    write_page,
)
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.report.report_page import data_block

pytestmark = [
    pytest.mark.slow,  # a minute and more; test_report_browser.py is the short tour
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.timeout(300),
]

N, N_TOPICS = 1_200, 12
CONTENT = planted(N, N_TOPICS)
LABELS = CONTENT["labels"]["labels"]
TEXTS = CONTENT["documents"]["documents"]["text"].to_list()
OWN = CONTENT["documents"]["columns"]
ESCAPE, ENTER, RIGHT, LEFT = "\ue00c", "\ue007", "\ue014", "\ue012"

CHANGES = {
    "before": "20240101-000000-aaaaaaaa",
    "n_same": 9,
    "counts": {"new": 1, "merged": 1, "grown": 1},
    "topics": [
        {"change": "new", "topic": 1, "name": NAMES[1], "size": 40, "size_before": None, "other": None},
        {"change": "merged", "topic": None, "name": "<i>old</i>", "size": None, "size_before": 12, "other": NAMES[2]},
        {"change": "grown", "topic": 4, "name": "four", "size": 90, "size_before": 50, "other": None},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a run that changed since the run before, and that its gates hold back."""
    path = write_page(tmp_path_factory.mktemp("tools"), N, N_TOPICS, duplicates=True)
    checks = [
        {
            "gate": "max_outlier_share",
            "figure": "outlier_share",
            "value": 0.211,
            "bound": 0.05,
            "passed": False,
        }
    ]
    held = {"published": False, "gates": {"checks": checks, "failed": ["…"]}}
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(data_block("run", RUN), data_block("run", RUN | held | {"changes": CHANGES}))
    )
    return path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browser")
    found = open_browser(folder)
    found.download = folder / "downloads"
    options = {"behavior": "allow", "downloadPath": str(found.download)}
    found.execute_cdp_cmd("Browser.setDownloadBehavior", options)
    yield found
    found.quit()


@pytest.fixture
def browser(opened: Any, page: Path) -> Iterator[Any]:
    """The browser with a fresh page; the console is empty at the end and nothing was requested."""
    opened.get("about:blank")
    visit(opened, page)
    opened.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    yield opened
    assert problems(opened) == []
    assert requests(opened) == []


def text_of(browser: Any, name: str) -> str:
    return str(browser.find_element("id", name).get_property("textContent"))


def listed(browser: Any) -> list[int]:
    """Return the documents on the page of the list, in their order."""
    script = (
        "return [...document.querySelectorAll('#documents-table .read')].map((e) => Number(e.dataset.point))"
    )
    return [int(point) for point in browser.execute_script(script)]


def choose(browser: Any, name: str, text: str) -> None:
    """Choose an entry of a list by its text, as a user does."""
    script = """
        const [box, text] = [document.getElementById(arguments[0]), arguments[1]];
        box.value = [...box.options].find((option) => option.textContent.trim() === text).value;
        box.dispatchEvent(new Event('change'));
    """
    browser.execute_script(script, name, text)


def closeness() -> np.ndarray:
    vectors, middles = CONTENT["embeddings"]["embeddings"], CONTENT["topics"]["centroids"][LABELS]
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(middles, axis=1)
    return np.where(LABELS < 0, 0, np.rint(10_000 * (vectors * middles).sum(1) / lengths))


def first_of(values: np.ndarray, rows: np.ndarray, n: int = 25) -> list[int]:
    return [int(row) for row in rows[np.argsort(-values[rows], kind="stable")][:n]]


# --- reading ---


def test_a_row_opens_the_whole_document_and_arrows_turn(browser: Any) -> None:
    search(browser, "emoji")
    wait_for(browser, "return isAllOpen")
    assert listed(browser) == [7]
    row = browser.find_element("css selector", "#documents-table .read")
    row.send_keys(ENTER)
    wait_for(browser, "return document.getElementById('reader-text').textContent.length > 0")
    assert text_of(browser, "reader-text") == HOSTILE[7]
    assert text_of(browser, "reader-note") == ""
    assert browser.find_element("css selector", "#reader-text mark").text == "emoji"
    facts = browser.find_element("id", "reader-facts").text.split("\n")
    assert facts[facts.index("kind") + 1] == OWN["kind"][7]
    assert facts[facts.index("Id") + 1] == "id-000007<i>"
    browser.switch_to.active_element.send_keys(ESCAPE)
    assert not browser.find_element("id", "reader").is_displayed()
    assert browser.execute_script("return document.activeElement.classList.contains('read')")
    assert browser.execute_script("return state.query") == "emoji"  # Escape closed only the reader
    search(browser, "document")
    shown = listed(browser)
    browser.execute_script("document.querySelectorAll('#documents-table .read')[1].click()")
    wait_for(
        browser,
        f"return document.getElementById('reader-text').textContent === {json.dumps(TEXTS[shown[1]])}",
    )
    browser.switch_to.active_element.send_keys(RIGHT)
    wait_for(
        browser,
        f"return document.getElementById('reader-text').textContent === {json.dumps(TEXTS[shown[2]])}",
    )
    browser.switch_to.active_element.send_keys(LEFT, LEFT)
    wait_for(
        browser,
        f"return document.getElementById('reader-text').textContent === {json.dumps(TEXTS[shown[0]])}",
    )
    assert browser.find_element("id", "reader-before").get_property("disabled")


def test_a_text_that_the_page_cuts_says_so(browser: Any) -> None:
    browser.execute_script("openReader(8)")
    wait_for(browser, "return document.getElementById('reader-text').textContent.length > 1000")
    assert text_of(browser, "reader-text") == "x" * 100_000 + "…"
    note = "The page holds the first 100,000 of 1,000,000 characters; documents.parquet has all of them."
    assert text_of(browser, "reader-note") == note


def test_the_search_finds_words_behind_the_cut(browser: Any) -> None:
    assert "emoji cut by characters" in HOSTILE[7][300:]
    script = "return openAll().then(() => [foldedTexts()[7].length, foldedTexts()[8].length])"
    assert browser.execute_script(script) == [len(HOSTILE[7].lower().encode("utf-16-le")) // 2, 100_001]


def test_a_second_search_waits_for_the_whole_texts_too(browser: Any) -> None:
    browser.execute_script(
        "byId('query').value = 'sand'; searchWords(); byId('query').value = 'emoji'; searchWords()"
    )
    wait_for(browser, "return isAllOpen")
    wait_for(browser, "return JSON.stringify(selectedPoints()) === '[7]'")


# --- the list of documents ---


def test_documents_of_a_topic_are_sorted_and_paged(browser: Any) -> None:
    topic = int(np.argmax(np.bincount(LABELS[LABELS >= 0])))
    rows = np.flatnonzero(topic == LABELS)
    browser.execute_script(f"change({{ topic: {topic} }})")
    assert listed(browser) == first_of(closeness(), rows)
    assert text_of(browser, "documents-place") == f"1 to 25 of {len(rows)} documents"
    percent = np.rint(CONTENT["labels"]["probabilities"] * 100)
    choose(browser, "documents-order", "probability")
    assert listed(browser) == first_of(percent, rows)
    browser.execute_script("document.getElementById('documents-after').click()")
    assert listed(browser) == first_of(percent, rows, 50)[25:]
    choose(browser, "documents-order", "stars")
    browser.execute_script("document.getElementById('documents').scrollIntoView({ block: 'start' })")
    browser.execute_script("document.getElementById('documents-way').click()")
    assert listed(browser) == first_of(-OWN["stars"].to_numpy().astype(float), rows)
    browser.execute_script("change(NOTHING())")
    assert text_of(browser, "documents-place") == f"1 to 25 of {N:,} documents"


def test_a_selection_is_saved_as_csv_that_no_spreadsheet_runs(browser: Any) -> None:
    browser.execute_script("change({ topic: 3 })")
    choose(browser, "documents-order", "order of the input")
    browser.find_element("id", "documents-save").click()
    path = browser.download / "Planted-topics-em-amp-em.csv"
    end = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < end, list(browser.download.glob("*"))
        time.sleep(0.05)
    raw, found = path.read_text(encoding="utf-8"), read_csv(path)
    rows = np.flatnonzero(LABELS == 3)
    assert found["doc_id"].to_list() == [f"id-{row:06d}<i>" for row in rows]
    assert found["text"].to_list() == [TEXTS[row] for row in rows]
    assert found["note"].to_list() == OWN["note"][rows].to_list()
    assert found["stars"].cast(pl.Int64).to_list() == OWN["stars"][rows].to_list()
    assert set(found["topic_name"]) == {CONTENT["topics"]["topics"]["name"][3]}
    assert ",=1+1" not in raw
    assert ",'=1+1," in raw
    path.unlink()


def test_all_cells_are_guarded_and_quoted_like_ours(browser: Any, tmp_path: Path) -> None:
    cells = [
        "=1",
        "+1",
        "-1",
        "@x",
        "\tx",
        "\rx",
        "'=1",
        "''-",
        "＝1",
        "'plain",
        'say "x"',
        "a,b",
        "a\nb",
        "",
        "1-1",
    ]
    script = "return arguments[0].map((text) => cell(text, ',')).join('\\n')"
    written = browser.execute_script(script, cells)
    path = tmp_path / "cells.csv"
    path.write_bytes(("text\n" + written + "\n").encode())
    assert read_csv(path)["text"].to_list() == cells
    assert [line[:2] for line in written.split("\n")[:3]] == ["'=", "'+", "'-"]


def test_copying_says_what_it_did(browser: Any) -> None:
    browser.execute_script("change({ topic: 3 })")
    button = browser.find_element("id", "documents-copy")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    button.click()
    wait_for(
        browser, "return document.getElementById('documents-copy').textContent !== 'Copy for a spreadsheet'"
    )
    assert button.text in ("Copied", "The browser does not allow it")
    table = browser.execute_script("return tableOf(listing.sorted, '\\t')").split("\n")
    names = [
        "doc_id",
        "topic",
        "topic_name",
        "probability",
        "centrality",
        *OWN.columns[2:],
        "timestamp",
        "text",
    ]
    assert (table[0].split("\t"), len(table)) == (names, int((LABELS == 3).sum()) + 2)


# --- filters, colours, areas ---


def test_numbers_categories_dates_and_words_filter_together(browser: Any) -> None:
    documents = CONTENT["documents"]["documents"]
    choose(browser, "filter-column", "stars")
    low, high = browser.find_elements("css selector", "#filter-choices input")
    browser.execute_script("arguments[0].value = 2; arguments[1].value = 3;"
                           "arguments[1].dispatchEvent(new Event('change'))", low, high)  # fmt: skip
    chosen = OWN["stars"].is_between(2, 3)
    assert browser.execute_script("return selectedPoints().length") == chosen.sum()
    choose(browser, "filter-column", "kind")
    boxes = browser.find_elements("css selector", "#filter-choices .check")
    next(box for box in boxes if box.text == "class 1").click()
    chosen &= OWN["kind"] == "class 1"
    assert browser.execute_script("return selectedPoints().length") == chosen.sum()
    choose(browser, "filter-column", "timestamp")
    first = browser.find_element("css selector", "#filter-choices input")
    browser.execute_script(
        "arguments[0].value = '2024-01-01'; arguments[0].dispatchEvent(new Event('change'))", first
    )
    chosen &= documents["timestamp"] >= datetime(2024, 1, 1)  # noqa: DTZ001  (the column has no zone)
    expected = np.flatnonzero(chosen.to_numpy())
    assert 0 < len(expected) < N
    assert browser.execute_script("return selectedPoints()") == expected.tolist()
    chips = browser.find_elements("css selector", "#chips button")
    assert [chip.text.split("\n")[0].rstrip("×") for chip in chips] == [
        "stars: 2 to 3", "kind: class 1", "timestamp from 2024-01-01",
    ]  # fmt: skip
    wait_for(browser, f"return document.getElementById('map').data[0].x.length === {N - len(expected)}")
    chips[1].click()
    assert len(browser.find_elements("css selector", "#chips button")) == 2
    browser.find_element("id", "clear").click()
    assert browser.execute_script("return state.matches") is None


def test_points_have_the_colours_of_a_column(browser: Any) -> None:
    choose(browser, "colour", "kind")
    sizes = OWN["kind"].value_counts().sort(["count", "kind"], descending=[True, False])["count"].to_list()
    wait_for(browser, f"return JSON.stringify(members.slice(2, 7).map((m) => m.length)) === '{json.dumps(sizes)}'"
             ".replaceAll(' ', '')")  # fmt: skip
    assert browser.find_element("css selector", "#panel li .text").text in set(OWN["kind"])
    choose(browser, "colour", "stars")
    wait_for(browser, "return document.querySelector('#panel li .text').textContent === '1 to 2'")
    expected = [int((OWN["stars"] <= 1).sum()), int((OWN["stars"] >= 4).sum())]
    wait_for(browser, f"return members[2].length === {expected[0]}")
    assert browser.execute_script("return members[13].length") == expected[1]
    unknown = "{ name: 'x', kind: 'number', unpacked: new Float64Array([NaN]) }"
    assert browser.execute_script(f"return columnLegend({unknown}).childElementCount") == 0


def test_a_lasso_selects_the_points_inside(browser: Any) -> None:
    browser.execute_script("document.getElementById('map-section').scrollIntoView()")
    browser.find_element("id", "lasso").click()
    target = browser.find_element("id", "lasso-sheet")
    pointer = webdriver.ActionChains(browser, duration=60)
    pointer.move_to_element_with_offset(target, -200, -150).click_and_hold()
    for x, y in ((400, 0), (0, 300), (-400, 0)):
        pointer.move_by_offset(x, y)
    pointer.release().perform()
    wait_for(browser, "return state.lasso !== null")
    corners = np.array(browser.execute_script("return state.lasso"))
    layout = CONTENT["layout"]["reduced"].astype(float)
    inside = np.zeros(N, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crossing = (y0 > layout[:, 1]) != (y1 > layout[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            at = (x1 - x0) * (layout[:, 1] - y0) / (y1 - y0) + x0
        inside ^= crossing & (layout[:, 0] < at)
    assert 0 < inside.sum() < N
    assert browser.execute_script("return selectedPoints()") == np.flatnonzero(inside).tolist()
    wait_for(browser, f"return document.getElementById('map').data[0].x.length === {N - inside.sum()}")
    assert plotted(browser) == inside.sum()
    browser.find_element("tag name", "body").send_keys(ESCAPE)
    assert browser.execute_script("return state.lasso") is None
    browser.find_element("id", "take-view").click()
    assert browser.execute_script("return selectedPoints().length") == N


# --- figures by topic, over time, similarity, changes ---


def compared(browser: Any) -> dict[str, list[str]]:
    script = """
        return Object.fromEntries([...document.querySelectorAll('#by-topic-table tbody tr')].map((row) =>
            [row.dataset.topic ?? 'all', [...row.cells].slice(1, 4).map((cell) => cell.textContent)]))
    """
    return dict(browser.execute_script(script))


def test_means_and_shares_by_topic_have_intervals(browser: Any) -> None:
    choose(browser, "by-topic-column", "stars")
    own = OWN["stars"].to_numpy()
    rows = compared(browser)
    assert (rows["all"][0], float(rows["all"][1])) == (f"{N:,}", pytest.approx(own.mean(), abs=1e-3))
    choose(browser, "by-topic-column", "note")
    choose(browser, "by-topic-value", "=1+1")
    rows = compared(browser)
    for topic in range(N_TOPICS):
        k, n = int((OWN["note"].to_numpy() == "=1+1")[topic == LABELS].sum()), int((topic == LABELS).sum())
        interval = stats.binomtest(k, n).proportion_ci(method="wilson")
        shown = [rows[str(topic)][0], *rows[str(topic)][1:]]
        assert shown == [
            str(n),
            f"{100 * k / n:.1f} %",
            f"{100 * interval.low:.1f} % to {100 * interval.high:.1f} %",
        ]
    assert "Free texts, ids" in text_of(browser, "by-topic-note")


def test_any_topic_is_shown_over_time(browser: Any) -> None:
    browser.execute_script("document.getElementById('time-section').scrollIntoView()")
    wait_for(browser, "return Boolean(document.querySelector('#time-chart .main-svg'))")
    assert browser.execute_script("return document.getElementById('time-chart').data.length") == 10
    last = browser.execute_script("return timeline.topics.at(-1)")
    browser.execute_script("const box = document.getElementById('time-topic'); box.value = arguments[0];"
                           "box.dispatchEvent(new Event('change'))", last)  # fmt: skip
    wait_for(browser, "return document.getElementById('time-chart').data.length === 1")
    counted = browser.execute_script(
        "return document.getElementById('time-chart').data[0].y.reduce((a, b) => a + b)"
    )
    assert counted == (last == LABELS).sum()
    assert browser.execute_script("return location.hash") == f"#over_time={last}"
    trends = browser.execute_script("return timeline.trends")
    assert set(trends) <= {"rising", "falling", "none"}
    marks = browser.find_elements("css selector", "#topic-table .trend")
    assert len(marks) == sum(trend != "none" for trend in trends)


def test_similarity_has_names_on_its_axes_as_text(browser: Any) -> None:
    settled(browser)
    ticks = [tick.text for tick in browser.find_elements("css selector", "#similarity-chart .ytick text")]
    assert len(ticks) == N_TOPICS
    assert NAMES[0] in ticks
    assert "mountain's <img src=x onerror…" in ticks
    assert browser.find_elements("css selector", "#similarity-chart img, #similarity-chart a") == []


def test_the_head_and_the_changes_are_plain_words(browser: Any) -> None:
    verdict = text_of(browser, "verdict")
    assert "outliers 0.211, at most 0.05 is required (max_outlier_share)" in verdict
    remarks = [item.text for item in browser.find_elements("css selector", "#remarks li")]
    assert remarks[0] == "10 of 1,209 documents are near-duplicates and were left out."
    sentence = "Since the run 20240101-000000-aaaaaaaa: 1 topic new, 1 merged into another, 1 grown; 9 about the same."
    assert sentence in remarks
    items = [item.text.replace("\n", " ") for item in browser.find_elements("css selector", ".changed li")]
    assert items[1] == f"<i>old</i> into {NAMES[2]} 12 documents before"
    assert items[2] == "four 50 → 90 documents"
    assert browser.find_elements("css selector", "#changes i, #changes img") == []
    browser.find_element("css selector", ".changed button").click()
    assert browser.execute_script("return state.topic") == 1
    names = {dt.text for dt in browser.find_elements("css selector", "#metrics dt")}
    assert "Outliers" in names
    assert "outlier_share" not in names
    card = "{ key: 'outlier_share_before', label: '', meaning: '', good: '', bounds: [0, 1], value: 0.3 }"
    shown = browser.execute_script(f"return metricCard({card}).querySelector('.value').textContent")
    assert shown == "30.0 %"


# --- the link ---


def test_a_link_brings_back_the_state(browser: Any, page: Path) -> None:
    assert browser.execute_script("return columns.slice(0, 2).map((column) => column.name)") == [
        "kind",
        "stars",
    ]
    browser.execute_script("""
        change({ topic: 2, query: "document", colour: 0, lasso: [[-50, -50], [50, -50], [50, 50], [-50, 50]],
                 filters: new Map([[0, { codes: new Set([0, 1]) }], [1, { low: 1, high: 4 }]]) });
    """)
    before = browser.execute_script("return [selectedPoints(), location.hash]")
    browser.execute_script("openReader(arguments[0][0], arguments[0])", before[0] or [20])
    wait_for(browser, "return location.hash.includes('doc=')")
    address = browser.current_url
    browser.get("about:blank")
    browser.get(address)
    wait_for(browser, "return document.documentElement.dataset.ready === 'true' && linkReady")
    assert browser.execute_script("return [selectedPoints(), state.topic, state.colour, byId('query').value]") == [
        before[0], 2, 0, "document",
    ]  # fmt: skip
    wait_for(browser, "return byId('reader').open")


def test_a_link_finds_words_behind_the_cut_and_shows_its_topics_over_time(browser: Any, page: Path) -> None:
    last = browser.execute_script("return timeline.topics.at(-1)")
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#words=emoji&over_time={last}&order=input")
    wait_for(browser, "return document.documentElement.dataset.ready === 'true' && linkReady")
    wait_for(browser, "return JSON.stringify(selectedPoints()) === '[7]'")
    shown = "return [...document.querySelectorAll('#time-legend .text')].map((name) => name.textContent)"
    assert browser.execute_script(shown) == [CONTENT["topics"]["topics"]["name"][last]]
    assert browser.find_element("id", "time-reset").get_property("hidden") is False
    browser.execute_script("location.hash = 'over_time=0,1'")
    wait_for(browser, "return document.querySelectorAll('#time-legend .away').length === 2")
    assert browser.execute_script("return listing.order") == "centrality"
    assert browser.execute_script("return state.matches") is None


def test_a_hostile_link_does_nothing(browser: Any, page: Path) -> None:
    attack = "topic=<img src=x>&colour=__proto__&where.stars=a..b&where.kind=%E0%A4%A&area=1;2;3&doc='\"<b>&group=x"
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#{attack}")
    wait_for(browser, "return document.documentElement.dataset.ready === 'true' && linkReady")
    assert browser.execute_script("return [state.matches, state.colour, byId('reader').open]") == [
        None,
        None,
        False,
    ]


def test_links_of_the_page_keep_the_state_and_move_the_focus(browser: Any) -> None:
    browser.execute_script("change({ topic: 2 })")
    browser.find_element("css selector", "nav a[href='#documents']").send_keys(ENTER)
    assert browser.execute_script("return [location.hash, document.activeElement.id]") == [
        "#topic=2",
        "documents",
    ]


# --- accessibility, print ---


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_axe_finds_nothing_serious(browser: Any, page: Path, scheme: str, width: int) -> None:
    source = axe_source()
    emulate(browser, scheme, width)
    try:
        visit(browser, page)
        settled(browser)
        browser.execute_script("Object.keys(CHARTS).forEach(firstDraw); change({ topic: 2 })")
        assert serious(browser, source) == []
        browser.execute_script("openReader(20)")
        wait_for(browser, "return document.getElementById('reader-text').textContent.length > 0")
        assert serious(browser, source) == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        OUTPUT.mkdir(exist_ok=True)
        browser.save_screenshot(str(OUTPUT / f"reader-{scheme}-{width}.png"))
    finally:
        emulate(browser, "light", 1400)


def test_the_printed_page_has_all_sections(browser: Any) -> None:
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF")
    assert len(content) > 100_000
    charts = "['time-chart', 'size-chart', 'similarity-chart']"
    wait_for(browser, f"return {charts}.every((id) => drawn.has(id))")
