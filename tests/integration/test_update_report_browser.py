"""An update's report in a real browser: the chart of all updates is drawn, and the text says what was done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.integration.test_report_browser import (
    CHROMIUM,
    DRIVER,
    OUTPUT,
    open_browser,
    problems,
    visit,
    wait_for,
)
from tests.updates import N_FIRST, config_of, new_topic, story, tell

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    found = open_browser(tmp_path_factory.mktemp("browser"))
    yield found
    found.quit()


def test_the_report_shows_all_updates(tmp_path: Path, browser: Any) -> None:
    tell(config_of(tmp_path, story()[:N_FIRST]))
    tell(config_of(tmp_path, story()))
    everything = pl.concat([story(), new_topic(60, axis=7, start=180)])
    record = tell(config_of(tmp_path, everything, gates={"max_topics": 3}))
    visit(browser, tmp_path / "runs" / "story" / record["run_id"] / "report.html")
    browser.execute_script("document.getElementById('updates-section').scrollIntoView()")
    wait_for(browser, "return Boolean(document.querySelector('#updates-chart .main-svg'))")
    note = browser.find_element("id", "updates-note").text
    said = [item.text for item in browser.find_elements("css selector", "#updates-facts li")]
    verdict = browser.find_element("id", "verdict").text
    bars = browser.execute_script(
        "return document.getElementById('updates-chart').data"
        ".map((bar) => [bar.x.length, bar.y.reduce((a, b) => a + b, 0)])"
    )
    OUTPUT.mkdir(exist_ok=True)
    browser.save_screenshot(str(OUTPUT / "updates.png"))
    assert problems(browser) == []
    assert note == "Share of each current topic in the new documents of 3 runs."
    assert said[0].startswith("Topics were refitted: ")
    assert "Topics: 3 continued, 1 born." in said
    assert verdict.startswith(
        "Not published, because a gate holds the run back: topics 4, at most 3 is required"
    )
    assert {n for n, _ in bars} == {3}
    assert sum(share for _, share in bars) == pytest.approx(3.0)  # each run's documents, all of them


def test_the_report_shows_periods_groups_and_shares_by_lasting_ids(tmp_path: Path, browser: Any) -> None:
    sections = {
        "periods": {"every": "day"}, "groups": {"columns": ["truth"]}, "shares": {"words": True},
    }  # fmt: skip
    tell(config_of(tmp_path, story()[:N_FIRST], **sections))
    everything = pl.concat([story(), new_topic(75, axis=7, start=180)])
    record = tell(config_of(tmp_path, everything, **sections))
    folder = tmp_path / "runs" / "story" / record["run_id"]
    topics = pl.read_parquet(folder / "topics.parquet")
    assert topics["topic"].to_list() != topics["model_topic"].to_list()
    visit(browser, folder / "report.html")
    look = browser.execute_script
    options = look(
        "return [...document.querySelectorAll('#period-topic option')].map(o => [+o.value, o.textContent])"
    )
    n_periods = look("return document.querySelectorAll('#periods-table tbody tr').length")
    tip = look("return pointTip(0).map(part => part.outerHTML).join('')")
    assert problems(browser) == []
    assert dict(options) == dict(topics.select("topic", "name").iter_rows())
    assert n_periods == pl.read_parquet(folder / "topics_over_time.parquet")["period"].n_unique()
    assert "%" in tip
