"""The page of a sweep in a real browser: it loads from a file, sorts, shows two maps, and hostile text is text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from topicflow.tasks.report.points import pack
from topicflow.tasks.report.report_page import finish_report
from topicflow.tasks.sweeps.page import LABELS, build_page, rule_of

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
    pytest.mark.timeout(300),
]

HOSTILE = "</script><script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


def blocks() -> dict[str, Any]:
    """Return the data of three settings on 40 documents, made by hand."""
    labels = {
        n: np.array([-1 if i % 5 == 0 else i % (n + 1) for i in range(40)], np.int16) for n in (1, 2, 3)
    }
    rows = [
        {
            "setting": n, "cluster.min_cluster_size": size, "n_topics": n + 1, "outlier_share": 0.2,
            "stability": stable,            "npmi": None, "score": score, "pareto": n != 2,
        }
        for n, size, stable, score in ((1, 50, 0.7, 0.4), (2, 20, 0.6, 0.3), (3, 10, 0.9, 0.8))
    ]  # fmt: skip
    chosen = {"setting": 3, "second": 1, "n_draws": 2, "wins": 2, "sure": "clear"}
    sweep = {
        "n_documents": 400,
        "keys": ["cluster.min_cluster_size"],
        "figures": ["n_topics", "outlier_share", "stability", "npmi"],
        "labels": dict(LABELS),
        "rows": rows,
        "effects": [{"key": "cluster.min_cluster_size", "n_topics": 1.0, "npmi": None}],
        "skipped": [{"values": {"cluster.min_cluster_size": 500}, "reason": HOSTILE}],
        "recommendation": {
            "sentence": "recommended: setting 3",
            "chosen": chosen,
            "finalists": [{"setting": n, "score": 0.5, "mean": 0.5, "scores": [0.4, 0.6]} for n in (3, 1)],
        },
        "rule": rule_of(["nmi"]),
        "topics": {n: [[HOSTILE if not t else f"topic {t}", 10] for t in range(n + 1)] for n in labels},
    }
    place = np.arange(40, dtype=np.float32)
    points = {
        "x": pack(place),
        "y": pack(np.sin(place)),
        "wide": False,
        "labels": {n: pack(v) for n, v in labels.items()},
    }
    return {"sweep": sweep, "points": points, "texts": [HOSTILE] * 40}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that collects the messages of pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,2600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def drawn(browser: Any, side: str) -> int:
    """Return how many pixels of a map are drawn."""
    return int(
        browser.execute_script(
            "const c = document.getElementById(arguments[0] + '-map');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n;",
            side,
        )
    )


def column(browser: Any, place: int) -> list[str]:
    """Return the texts of a column of the table of settings."""
    cells = browser.find_elements("css selector", f"#settings tbody td:nth-child({place})")
    return [cell.text for cell in cells]


def test_the_page_works_offline_by_keyboard_and_keeps_text_text(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "sweep.html"
    run = {"run_id": "20261129-000000-aa", "setting_seconds": {"1": 1.25, "2": 2.5, "3": 3.75}}
    page.write_text(finish_report(build_page("<b>trial</b>", blocks()), run), encoding="utf-8")
    browser.get(page.as_uri())
    assert browser.execute_script("return document.body.dataset.ready") == "true"
    assert browser.title == "<b>trial</b> · sweep"
    assert browser.find_element("id", "verdict").text == "recommended: setting 3"
    assert column(browser, 1) == ["3", "1", "2"]  # best score first
    assert [row.get_attribute("class") for row in browser.find_elements("css selector", "#settings tbody tr")] == [
        "recommended", "", "",
    ]  # fmt: skip
    assert (drawn(browser, "left") > 100, drawn(browser, "right") > 100) == (True, True)
    heading = browser.find_elements("css selector", "#settings th button")[1]
    heading.send_keys("\ue007")  # Enter: sorted by size, largest first
    assert column(browser, 2) == ["50", "20", "10"]
    assert browser.switch_to.active_element.text == "cluster.min_cluster_size"
    assert browser.find_element("id", "right").get_attribute("value") == "1"
    browser.find_elements("css selector", "#settings tbody button")[1].send_keys("\ue007")
    assert browser.find_element("id", "right").get_attribute("value") == "2"
    assert len(browser.find_elements("css selector", "#right-topics li")) == 3
    before = drawn(browser, "left")
    canvas = browser.find_element("id", "right-map")
    canvas.send_keys("++++")  # both maps zoom together
    assert drawn(browser, "left") < before
    canvas.send_keys("0")
    assert drawn(browser, "left") == before
    assert [dot.get_attribute("class") for dot in browser.find_elements("css selector", "#trade circle")] == [
        "front", "", "front", "ring",
    ]  # fmt: skip
    assert browser.find_element("css selector", "#skipped tbody td:nth-child(2)").text == HOSTILE
    assert browser.title == "<b>trial</b> · sweep"
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_the_page_follows_the_dark_scheme(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "sweep.html"
    page.write_text(finish_report(build_page("trial", blocks()), {}), encoding="utf-8")
    colours = []
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        browser.get(page.as_uri())
        colours.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(250, 249, 245)", "rgb(20, 23, 26)"]
