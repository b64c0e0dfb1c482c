"""The report in a real browser: it loads from a file, stays fast at 100,000 points, shows hostile text as text."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import save_documents
from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.duplicates.deduplicate import WAYS
from topicflow.tasks.execution.context import Context
from topicflow.tasks.report.report import Shown, report
from topicflow.tasks.report.report_page import RUN_PLACE, finish_report
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.timeout(600),
]

OUTPUT = Path(__file__).parents[1] / "output"
INTERACTIVE_MS = {5_000: 8_000, 100_000: 25_000}
"""Bounds on navigation start to usable map; several times what two idle cores with software WebGL take."""

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "--> <!-- <script> ${alert(3)} `${alert(4)}`",
    "a\x00b\x08c \u202eright to left\u202c \u2028\u2029 & &lt;b&gt;",
    f"the page's own mark: {RUN_PLACE}",
    "<a href='javascript:alert(5)'>link</a> <b>bold</b>",
    "\U0001f600 emoji cut by characters " * 40,
    "x" * 1_000_000,
]
WORDS = [
    "river",
    "mountain",
    "engine",
    "market",
    "cell",
    "court",
    "orchestra",
    "harvest",
    "glacier",
    "circuit",
    "novel",
    "vaccine",
]
NAMES = [
    '<b>river</b> & "banks"',
    "mountain's <img src=x onerror=alert(6)>",
    "</script><script>alert(7)</script>",
]


def save(store: ArtifactStore, kind: str, content: dict[str, Any], rows: int) -> ArtifactRef:
    recipe = Recipe(stage=kind, kind=kind, version=1, config={"rows": rows, "names": sorted(content)})
    with store.writing(recipe) as writer:
        for name, value in content.items():
            if isinstance(value, pl.DataFrame):
                writer.save_table(name, value)
            elif isinstance(value, np.ndarray):
                writer.save_array(name, value)
            else:
                writer.save_json(name, value)
        writer.rows = rows
    return store.committed(recipe, writer)


def planted(n: int, n_topics: int, *, dated: bool = True) -> dict[str, dict[str, Any]]:
    """Return the content of every input: blobs on a map, hostile texts first, a tenth of the documents outliers."""
    rng = np.random.default_rng(0)
    sizes = rng.pareto(1.6, n_topics) + 0.4
    shares = np.concatenate([[0.1 * max(1.0, sizes.sum())], sizes])
    labels = rng.choice(np.arange(-1, n_topics), n, p=shares / shares.sum()).astype(np.int32)
    labels[: n_topics + 1] = np.arange(-1, n_topics)
    middles = rng.normal(0, 6, (n_topics + 1, 2))
    spread = rng.uniform(0.3, 0.8, n_topics + 1)
    layout = middles[labels] + rng.normal(0, 1, (n, 2)) * spread[labels][:, None]
    layout[labels < 0] = rng.normal(0, 6, (int((labels < 0).sum()), 2))
    fillers = rng.choice(WORDS, (n, 14))
    texts = [
        f"document {i} of {WORDS[t % 12]}: {' '.join(words)}"
        for i, (t, words) in enumerate(zip(labels, fillers, strict=True))
    ]
    texts[: len(HOSTILE)] = HOSTILE
    days = rng.integers(0, 900, n) + (labels % 7) * 25
    documents = pl.DataFrame(
        {
            "doc_id": [f"id-{i:06d}<i>" for i in range(n)],
            "text": texts,
            "label": [f"class {t % 5}" for t in labels],
        }
    )
    if dated:
        start = pl.lit("2023-01-01").str.to_datetime("%Y-%m-%d")
        documents = documents.with_columns(timestamp=start + pl.duration(days=pl.Series(days)))
    topics = pl.DataFrame(
        {
            "topic": np.arange(n_topics),
            "size": np.bincount(labels[labels >= 0], minlength=n_topics),
            "name": [
                *NAMES,
                *(
                    f"{WORDS[t % 12]}, {WORDS[(t * 5 + 1) % 12]} and {WORDS[(t * 7 + 2) % 12]}"
                    for t in range(3, n_topics)
                ),
            ][:n_topics],
            "keywords": [[WORDS[(t + k) % 12] for k in range(10)] for t in range(n_topics)],
            "weights": [[float(1 / (k + 1.5)) for k in range(10)] for _ in range(n_topics)],
            "representative_rows": [np.flatnonzero(labels == t)[:4].tolist() for t in range(n_topics)],
        },
        schema_overrides={
            "keywords": pl.List(pl.String),
            "weights": pl.List(pl.Float32),
            "representative_rows": pl.List(pl.Int64),
        },
    )
    metrics = {
        "n_documents": n, "n_topics": n_topics, "outlier_share": float((labels < 0).mean()), "median_topic_size": 88.0,
        "npmi": 0.1432, "c_v": 0.61, "diversity": 0.84, "trustworthiness": 0.961, "dbcv": -0.12, "nmi": 0.44,
        "purity": None,
    }  # fmt: skip
    own = documents.select("doc_id", "text", kind="label").with_columns(
        stars=pl.Series(1 + (labels + 1) % 5),
        note=pl.Series(np.where(np.arange(n) % 3 == 0, "=1+1", "'-x<b>")),
    )
    return {
        "documents": {"documents": documents, "columns": own},
        "embeddings": {"embeddings": layout_vectors(layout)},
        "layout": {"reduced": layout.astype(np.float32)},
        "labels": {
            "labels": labels,
            "probabilities": rng.uniform(0, 1, n).astype(np.float32),
            "outlier_scores": rng.uniform(0, 1, n).astype(np.float32),
            "reassigned": rng.uniform(0, 1, n) < 0.02,
        },
        "topics": {
            "topics": topics,
            "centroids": (rng.normal(0, 1, (n_topics, 24)) + 0.7).astype(np.float32),
        },
        "metrics": {"metrics": metrics},
    }


def layout_vectors(layout: np.ndarray) -> np.ndarray:
    """Return vectors whose directions are those of the places on the map, with 24 dimensions."""
    wide = np.zeros((len(layout), 24), np.float32)
    wide[:, :2] = layout
    return wide


LAYOUT_SHIFTS = """
    const done = arguments[0];
    new PerformanceObserver((list) => done(list.getEntries().reduce((sum, entry) => sum + entry.value, 0)))
        .observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => done(0), 500);
"""
"""What moved after it was first painted; the browser reports nothing if nothing moved."""


def least_shift(browser: Any, page: Path) -> float:
    """Return how much moved in the calmest of some visits: a page that moves does so each time."""
    shifts: list[float] = []
    while len(shifts) < 2 or (min(shifts) >= 0.05 and len(shifts) < 4):
        visit(browser, page)
        shifts.append(float(browser.execute_async_script(LAYOUT_SHIFTS)))
    return min(shifts)


REMARK = "One topic holds 98% of <b>all</b> documents."
RUN = {
    "run_id": "20250101-120000-abcdef", "name": "planted </script><script>alert(8)</script>", "seconds": 93.4,
    "created": "2025-01-01T12:00:00+00:00", "device": "cpu", "remarks": [REMARK],
    "versions": {"numpy": "2.2", "umap-learn": "0.5.12"},
    "config": 'name = "planted"\n[load]\npath = "</script><script>alert(9)</script>"\n',
    "stages": [
        {"stage": stage, "state": state, "seconds": s, "peak_rss_bytes": 600 * 2**20, "rows": 5000, "key": "0" * 32}
        for stage, state, s in [
            ("load", "cached", 0.004), ("embed", "cached", 0.02), ("neighbors", "computed", 21.5),
            ("reduce", "computed", 33.0), ("map", "computed", 30.2), ("cluster", "computed", 2.4),
            ("label", "computed", 4.5), ("evaluate", "computed", 1.8),
        ]
    ],
}  # fmt: skip


def left_out(store: ArtifactStore, n: int) -> dict[str, ArtifactRef]:
    """Return documents and the near-duplicates among them: pairs of hostile texts, the least similar first."""
    loaded = save_documents(store, [*HOSTILE, *(f"{WORDS[k % 12]} and a twin" for k in range(n))])
    rows, n_out = np.arange(loaded.rows, dtype=np.int32), 10
    way, similarity = np.zeros(loaded.rows, np.uint8), np.ones(loaded.rows, np.float32)
    way[:n_out], similarity[:n_out] = WAYS.index("embedding"), np.linspace(0.9, 0.99, n_out)
    histogram = [{"from": 0.85 + k / 100, "to": 0.86 + k / 100, "pairs": 40 - 2 * k} for k in range(15)]
    figures = {
        "n_documents": loaded.rows, "n_kept": loaded.rows - n_out, "n_duplicates": n_out, "n_equal_texts": 0,
        "n_groups": 8, "largest_group": 3, "n_pairs_embedding": 210, "search": "lsh", "recall": 0.99884,
        "recall_low": 0.99321, "recall_high": 0.99982, "recall_sample": 861, "histogram": histogram,
    }  # fmt: skip
    recipe = Recipe("deduplicate", "duplicates", 1, {"threshold": 0.9}, {"documents": loaded.key})
    with store.writing(recipe) as writer:
        kept_row = np.where(rows < n_out, rows + n_out, rows)
        for name, array in {"way": way, "similarity": similarity, "kept_row": kept_row}.items():
            writer.save_array(name, array)
        writer.save_json("figures", figures)
    return {"loaded": loaded, "duplicates": store.committed(recipe, writer)}


def write_page(
    folder: Path,
    n: int,
    n_topics: int,
    config: ReportConfig | None = None,
    *,
    duplicates: bool = False,
    **options: Any,
) -> Path:
    """Return the path of a finished page made through the store."""
    store = ArtifactStore(folder / "store")
    refs = {kind: save(store, kind, content, n) for kind, content in planted(n, n_topics, **options).items()}
    refs |= left_out(store, n) if duplicates else {}
    made = report.fn(
        Context(store), Shown(**refs), config=config or ReportConfig(), name="Planted topics <em>&amp;</em>"
    )
    page = store.path(made, "report.html").read_text(encoding="utf-8")
    path = folder / "report.html"
    path.write_text(finish_report(page, RUN), encoding="utf-8")
    return path


def open_browser(folder: Path, width: int = 1440, *flags: str) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-unsafe-swiftshader", f"--window-size={width},1000", f"--user-data-dir={folder / 'profile'}",
        *flags,
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))


def emulate(browser: Any, scheme: str, width: int) -> None:
    """Make the browser prefer light or dark, and make it as narrow as a phone if `width` is set."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width < 640}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def visit(browser: Any, path: Path) -> float:
    """Return milliseconds from the start of navigation to a usable map."""
    browser.get(path.as_uri())
    wait_for(browser, "return document.documentElement.dataset.ready === 'true'", seconds=60)
    return float(browser.execute_script("return performance.getEntriesByName('interactive')[0].startTime"))


def wait_for(browser: Any, script: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not browser.execute_script(script):
        assert time.monotonic() < end, f"never true: {script}; console: {browser.get_log('browser')}"
        time.sleep(0.1)


def plotted(browser: Any, *, context: bool = False) -> int:
    """Return how many points the map draws: in colour or as outliers, or as the faint context of a selection."""
    chosen = "k === 0" if context else "k > 0"
    script = (
        f"return document.getElementById('map').data.filter((t, k) => t.visible && {chosen})"
        ".reduce((sum, t) => sum + t.x.length, 0)"
    )
    return int(browser.execute_script(script))


def search(browser: Any, text: str) -> str:
    """Return the status line after typing `text` into the search box."""
    box = browser.find_element("id", "query")
    box.clear()
    box.send_keys(text)
    wait_for(browser, f"return state.query === {json.dumps(text)}")
    return str(browser.find_element("id", "status").text)


def settled(browser: Any) -> None:
    """Wait until the charts below the map are drawn, scrolling down to them."""
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    for chart in ("time-chart", "size-chart", "similarity-chart"):
        browser.execute_script(f"document.getElementById('{chart}').scrollIntoView()")
        wait_for(browser, f"return Boolean(document.querySelector('#{chart} .main-svg, #{chart}.void'))")
    browser.execute_script("scrollTo(0, 0)")


def problems(browser: Any) -> list[str]:
    """Return the errors in the console, without the driver's own notes about software WebGL."""
    return [
        entry["message"]
        for entry in browser.get_log("browser")
        if "GL Driver Message" not in entry["message"]
    ]


def requests(browser: Any) -> list[str]:
    """Return the addresses that the page requested, except its own; blocked ones are in the console, too."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = [request["request"]["url"] for request in sent if request["documentURL"].endswith("/report.html")]
    assert any(url.endswith("/report.html") for url in urls)  # the log does tell
    return [
        url for url in urls if not url.startswith(("data:", "blob:")) and not url.endswith("/report.html")
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("page"), 5_000, 24)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = open_browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.quit()


@pytest.fixture
def browser(opened: Any) -> Any:
    """The browser as it was when it started: no page, its own screen, empty logs."""
    opened.get("about:blank")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    for log in ("browser", "performance"):
        opened.get_log(log)
    return opened


@pytest.fixture(scope="module")
def large_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(tmp_path_factory.mktemp("large"), 100_000, 140)


@pytest.mark.parametrize(
    ("n", "name"), [(5_000, "page"), pytest.param(100_000, "large_page", marks=pytest.mark.slow)]
)
def test_page_is_usable_soon_complete_and_silent(
    browser: Any, request: pytest.FixtureRequest, n: int, name: str
) -> None:
    path = request.getfixturevalue(name)
    milliseconds = visit(browser, path)
    shifts = browser.execute_async_script(LAYOUT_SHIFTS)
    print(
        json.dumps(
            {"n": n, "page_mb": round(path.stat().st_size / 1e6, 1), "interactive_ms": round(milliseconds)}
        )
    )
    settled(browser)
    assert milliseconds < INTERACTIVE_MS[n]
    assert shifts < 0.05
    assert plotted(browser) == n
    assert browser.execute_script("return document.getElementById('map').data[2].type") == "scattergl"
    assert problems(browser) == []
    assert requests(browser) == []
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / f"report-{n}.png"))


@pytest.mark.slow
def test_a_selection_at_100_000_points_takes_a_moment(browser: Any, large_page: Path) -> None:
    visit(browser, large_page)
    found = search(browser, "glacier orchestra")
    started = time.perf_counter()
    browser.execute_script("document.querySelector('#clear').click()")
    wait_for(browser, "return document.getElementById('map').data[0].visible === false")
    assert time.perf_counter() - started < 5
    assert " of 100,000 documents match" in found


def test_search_counts_filters_and_clears(browser: Any, page: Path) -> None:
    visit(browser, page)
    texts = planted(5_000, 24)["documents"]["documents"]["text"].str.head(300).str.to_lowercase()
    expected = texts.filter(texts.str.contains("glacier") & texts.str.contains("novel")).len()
    status = search(browser, "Glacier novel")
    assert status.startswith(f"{expected:,} of 5,000 documents match")
    wait_for(browser, "return document.getElementById('map').data[0].visible === true")
    assert (plotted(browser), plotted(browser, context=True)) == (expected, 5_000 - expected)
    assert browser.find_element("css selector", "#panel mark").text == "glacier"
    assert search(browser, "no such words anywhere").startswith("0 of 5,000 documents match")
    browser.find_element("id", "clear").click()
    wait_for(browser, "return document.getElementById('map').data[0].visible === false")
    assert plotted(browser) == 5_000


def test_a_topic_is_chosen_in_the_table_and_shown_alone_on_the_map(browser: Any, page: Path) -> None:
    visit(browser, page)
    size = planted(5_000, 24)["topics"]["topics"]["size"][3]
    button = browser.find_element("css selector", "#topic-table tr[data-topic='3'] .name button")
    browser.execute_script("arguments[0].click()", button)
    wait_for(browser, "return document.getElementById('map').data[0].visible === true")
    assert plotted(browser) == size
    assert browser.find_element("css selector", "#topic-table tr.chosen").get_attribute("data-topic") == "3"
    assert f"{size} documents" in browser.find_element("css selector", "#panel .sub").text
    browser.find_element("tag name", "body").send_keys("\ue00c")  # Escape
    wait_for(browser, "return document.getElementById('map').data[0].visible === false")


def test_hovering_shows_topic_and_text_as_text_and_a_click_reads(browser: Any, page: Path) -> None:
    visit(browser, page)
    moved = hover_point(browser, row=0)
    tip = browser.find_element("id", "tip")
    assert tip.find_element("css selector", ".body").text == HOSTILE[0]
    assert tip.find_element("css selector", ".head .text").text == "No topic"
    assert "id-000000<i>" in tip.find_element("css selector", ".foot").text
    hover_point(browser, row=1)
    assert tip.find_element("css selector", ".body").text == HOSTILE[1]
    assert tip.find_element("css selector", ".head .text").text == NAMES[0]
    moved.click().perform()
    wait_for(browser, "return document.getElementById('reader-text').textContent !== ''")
    assert browser.find_element("id", "reader-text").text == HOSTILE[1]


def hover_point(browser: Any, row: int) -> Any:
    """Return the pointer after zooming in on one document and moving over it."""
    script = """
        const [row, done] = arguments, [x, y] = [points.x[row], points.y[row]];
        document.documentElement.style.scrollBehavior = 'auto';
        document.getElementById('map').scrollIntoView({ block: 'center' });
        Plotly.relayout('map', {'xaxis.range': [x - 0.02, x + 0.02], 'yaxis.range': [y - 0.02, y + 0.02]})
              .then(() => setTimeout(done, 400));
    """
    browser.execute_async_script(script, row)
    target = browser.find_element("id", "map")
    pointer = webdriver.ActionChains(browser)
    pointer.move_to_element_with_offset(target, 9, 9).pause(0.1).move_to_element(target).pause(0.4).perform()
    wait_for(browser, "return !document.getElementById('tip').hidden")
    return webdriver.ActionChains(browser)


def column(browser: Any, k: int) -> list[str]:
    cells = browser.find_elements("css selector", f"#topic-table tr.topic td:nth-child({k})")
    return [cell.text for cell in cells]


def test_the_table_sorts_both_ways_and_opens_examples(browser: Any, page: Path) -> None:
    visit(browser, page)
    sizes = planted(5_000, 24)["topics"]["topics"]["size"].to_list()
    header = browser.find_element("css selector", "th[data-key='size']")
    for direction, expected in (("descending", sorted(sizes, reverse=True)), ("ascending", sorted(sizes))):
        browser.execute_script("arguments[0].querySelector('button').click()", header)
        assert header.get_attribute("aria-sort") == direction
        assert [int(text.replace(",", "")) for text in column(browser, 4)] == expected
    opener = browser.find_element("css selector", "tr[data-topic='1'] .open")
    browser.execute_script("arguments[0].click()", opener)
    assert opener.get_attribute("aria-expanded") == "true"
    example = browser.find_element("css selector", "tr.examples .documents li").text
    assert example == HOSTILE[2]


def test_hostile_text_names_and_config_are_text(browser: Any, page: Path) -> None:
    visit(browser, page)
    assert browser.find_element("id", "remarks").text == REMARK
    settled(browser)
    shown = {name: browser.execute_script(f"return texts().texts[{i}]") for i, name in enumerate(HOSTILE)}
    assert all(text == name[:300] + ("…" if len(name) > 300 else "") for name, text in shown.items())
    assert column(browser, 3)[:3] == NAMES
    assert browser.find_element("id", "title").text == "Planted topics <em>&amp;</em>"
    assert (
        browser.execute_script("return document.querySelector('#details pre').textContent") == RUN["config"]
    )
    foreign = "main img, main em, main b, header em, [onerror], a[href^='javascript']"
    assert browser.find_elements("css selector", foreign) == []
    for word in ("script", "onerror", "javascript", "body"):
        search(browser, word)
    assert browser.find_elements("css selector", foreign) == []
    assert problems(browser) == []  # an open dialog would have failed every call above


@pytest.mark.parametrize(
    ("scheme", "width"),
    [("light", 1440), pytest.param("dark", 1440, marks=pytest.mark.slow), ("dark", 400)],
)
def test_near_duplicates_are_shown_as_text(browser: Any, tmp_path: Path, scheme: str, width: int) -> None:
    emulate(browser, scheme, width)
    shifts = least_shift(browser, write_page(tmp_path, 300, 4, duplicates=True))
    section = browser.find_element("id", "duplicates-section")
    assert "by embeddings (cosine of at least 0.9)" in section.find_element("id", "duplicates-note").text
    said = section.find_element("id", "duplicates-figures").text
    for words in (
        "Documents\n309",
        "Kept\n299",
        "Left out\n10 · 3.2 %",
        "Groups\n8",
        "0.9932 to 0.9998",
        "\n0.9988",
    ):
        assert words in said
    rows = section.find_elements("css selector", "tbody tr")
    assert [row.find_element("css selector", "td").text for row in rows][::9] == [
        "cosine 0.900",
        "cosine 0.990",
    ]
    texts = (
        "return [...document.querySelectorAll('#duplicates-table div.text')].map((node) => node.textContent)"
    )
    shown = browser.execute_script(texts)
    assert shown[: 2 * len(HOSTILE) : 2] == [text[:300].strip() + "…" * (len(text) > 300) for text in HOSTILE]
    assert shown[1] == "mountain and a twin"
    assert section.find_elements("css selector", "img, a, b, script") == []
    browser.execute_script("arguments[0].scrollIntoView({ behavior: 'instant' })", section)
    wait_for(browser, "return Boolean(document.querySelector('#duplicates-chart .main-svg'))")
    assert len(browser.find_elements("css selector", "#duplicates-chart .bars .point")) == 15
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert (shifts < 0.05, problems(browser), requests(browser)) == (True, [], [])
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / f"report-duplicates-{scheme}-{width}.png"))


def test_a_run_that_left_nothing_out_says_nothing_of_near_duplicates(browser: Any, page: Path) -> None:
    visit(browser, page)
    assert not browser.find_element("id", "duplicates-section").is_displayed()
    assert "Near-duplicates" not in browser.find_element("css selector", "nav.contents").text


def test_a_duration_has_at_most_59_seconds(browser: Any, page: Path) -> None:
    visit(browser, page)
    shown = [
        browser.execute_script(f"return seconds({value})")
        for value in (0.05, 5, 119.7, 120.2, 3_599.7, 7_260)
    ]
    assert shown == ["50 ms", "5.0 s", "2 min 0 s", "2 min 0 s", "1 h 0 min", "2 h 1 min"]


def test_an_injected_script_would_not_run(browser: Any, page: Path) -> None:
    visit(browser, page)
    browser.execute_script(
        "window.blocked = []; addEventListener('securitypolicyviolation', e => blocked.push(e.effectiveDirective));"
        "const s = document.createElement('div'); s.innerHTML = '<img src=x onerror=\"window.ran = 1\">';"
        "document.body.append(s); const t = document.createElement('script'); t.textContent = 'window.ran = 2';"
        "document.body.append(t)"
    )
    wait_for(browser, "return window.blocked.length >= 2")
    assert browser.execute_script("return window.ran") is None


@pytest.mark.parametrize("n_topics", [0, 1])
def test_no_topics_or_one_and_no_dates(browser: Any, tmp_path: Path, n_topics: int) -> None:
    visit(browser, write_page(tmp_path, 300, n_topics, dated=False))
    settled(browser)
    assert plotted(browser) == 300
    assert len(browser.find_elements("css selector", "#topic-table tr.topic")) == n_topics
    assert "No timestamps" in browser.find_element("id", "time-chart").text
    assert "at least two topics" in browser.find_element("id", "similarity-chart").text
    assert problems(browser) == []


def test_without_webgl_the_page_says_so_and_draws_svg(tmp_path: Path) -> None:
    path = write_page(tmp_path, 12_000, 8)
    browser = open_browser(tmp_path, 1440, "--disable-3d-apis")
    try:
        visit(browser, path)
        assert browser.execute_script("return document.getElementById('map').data[2].type") == "scatter"
        assert "no WebGL" in browser.find_element("id", "map-message").text
        assert plotted(browser) == 4_000
    finally:
        browser.quit()


def test_sampling_is_shown_on_the_page(browser: Any, tmp_path: Path) -> None:
    visit(browser, write_page(tmp_path, 5_000, 6, ReportConfig(max_points=500)))
    assert plotted(browser) == 500
    assert "500 of 5,000 documents, sampled evenly" in browser.find_element("id", "map-note").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_screens_do_not_scroll_sideways(browser: Any, page: Path, scheme: str) -> None:
    emulate(browser, scheme, 400)
    visit(browser, page)
    settled(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / f"report-narrow-{scheme}.png"))


def test_the_map_answers_to_the_keyboard(browser: Any, page: Path) -> None:
    visit(browser, page)
    width = "const [a, b] = document.getElementById('map').layout.xaxis.range; return b - a"
    before = browser.execute_script(width)
    browser.find_element("id", "map").send_keys("+")
    wait_for(browser, f"return (() => {{ {width} }})() < {before * 0.75}")
    browser.find_element("id", "map").send_keys("0")
    wait_for(browser, f"return (() => {{ {width} }})() > {before * 0.99}")
    browser.find_element("tag name", "body").send_keys("/")
    assert browser.execute_script("return document.activeElement.id") == "query"
