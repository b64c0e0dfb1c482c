"""Topics over time and by group in whole runs: plan and run agree, the files, the report in a browser."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.commands import QUICK_STAGES, Outcome, write_config
from tests.fakes import Corpus

Command = Callable[..., Outcome]

SECTIONS = """
[periods]
every = "month"
zone = "Europe/Berlin"
[groups]
columns = ["product", "truth"]
[shares]
words = true
"""

SLICES = ["periods", "groups", "shares", "report"]
"""The stages that these sections add, and the one that shows them."""


def written(folder: Path, corpus: Corpus) -> Path:
    """Return the config of a corpus of a year with products; it has neither section."""
    n = len(corpus.texts)
    rng = np.random.default_rng(0)
    days = pl.Series("day", rng.integers(0, 366, n))
    table = pl.DataFrame({"text": corpus.texts, "truth": corpus.truth, "vector": corpus.embeddings.tolist()})
    table = table.with_columns(
        created=pl.datetime(2024, 1, 1, 9) + pl.duration(days=days),
        product=pl.Series(np.where(corpus.truth == 1, "<b>tea</b>", rng.choice(["cup", "pot"], n))),
    )
    table.write_parquet(folder / "documents.parquet")
    load = f'path = "{folder / "documents.parquet"}"\ntimestamp_column = "created"'
    return write_config(folder, load, QUICK_STAGES)


def planned(topicflow: Command, config: Path, *words: str) -> dict[str, str]:
    steps = topicflow("plan", config, "--json", *words).record
    return {step["stage"]: step["state"] for step in steps}


def test_runs_with_periods_and_groups(topicflow: Command, tmp_path: Path, corpus: Corpus) -> None:
    plain = written(tmp_path, corpus)
    before = topicflow("run", plain, "--json").record
    folder = tmp_path / "runs/trial/latest"
    without = (folder / "report.html").read_text()
    assert not list(folder.glob("topics_*.parquet"))
    assert "periods-section" not in without

    config = tmp_path / "sliced.toml"
    config.write_text(plain.read_text() + SECTIONS)
    told = planned(topicflow, config)
    assert [stage for stage, state in told.items() if state == "compute"] == SLICES
    assert list(told)[-4:] == SLICES
    record = topicflow("run", config, "--json").record
    states = {stage["stage"]: stage["state"] for stage in record["stages"]}
    assert [stage for stage, state in states.items() if state == "computed"] == SLICES
    assert list(states) == list(told)
    keys = [{stage["stage"]: stage["key"] for stage in one["stages"]} for one in (before, record)]
    assert {stage for stage in keys[0] if keys[0][stage] != keys[1][stage]} == {"report"}
    assert set(planned(topicflow, config).values()) == {"cached"}
    changed = planned(topicflow, config, "--set", "periods.words=3")
    assert [stage for stage, state in changed.items() if state == "compute"] == ["periods", "report"]

    over_time = pl.read_parquet(folder / "topics_over_time.parquet")
    topics = pl.read_parquet(folder / "topics.parquet")
    assert over_time["period"].n_unique() == 12
    sizes = over_time.filter(pl.col("topic") >= 0).group_by("topic").agg(pl.col("n_documents").sum())
    assert dict(sizes.iter_rows()) == dict(topics.select("topic", "size").iter_rows())
    assert pl.read_parquet(folder / "topic_trends.parquet")["topic"].to_list() == topics["topic"].to_list()
    grouped = pl.read_parquet(folder / "topics_by_group.parquet")
    documents = pl.read_parquet(folder / "documents.parquet").group_by("product", "topic").len()
    assert {
        (value, topic): n
        for column, value, topic, n in grouped.select("column", "value", "topic", "n_documents").iter_rows()
        if column == "product" and n
    } == {(value, topic): n for value, topic, n in documents.iter_rows()}
    tea = grouped.filter((pl.col("value") == "<b>tea</b>") & (pl.col("represented") == "over"))
    assert tea["topic"].len() >= 1
    see_shares(pl.read_parquet(folder / "documents.parquet"))
    see_report(folder / "report.html", tea["topic"].to_list())


def see_shares(documents: pl.DataFrame) -> None:
    """Look at the columns of shares."""
    assert documents.columns[8:11] == ["topic_shares", "topic_words", "text"]
    sums = documents["topic_shares"].list.eval(pl.element().struct.field("share").sum()).list.first()
    assert (sums - 1).abs().max() < 1e-5
    first = documents["topic_shares"].list.first().struct.field("topic")
    is_clear = (documents["probability"] >= 0.5) & (documents["topic"] >= 0)
    assert is_clear.sum() > 20
    assert (first == documents["topic"]).filter(is_clear).all()
    assert documents["topic_words"].list.len().max() > 2


def test_a_wrong_column_stops_the_run_before_the_vectors(
    topicflow: Command, tmp_path: Path, corpus: Corpus
) -> None:
    config = written(tmp_path, corpus)
    shown = topicflow("run", config, "--set", 'groups.columns=["prodcut"]')
    assert shown.code == 1
    assert "groups: no column 'prodcut' (groups.columns)" in shown.err
    assert "did you mean 'product'?" in shown.err
    assert not list((tmp_path / "store").glob("embeddings"))


def see_report(page: Path, over: list[int]) -> None:
    """Look at the parts of the report in a browser, if there is one."""
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver")
    from tests.integration.test_report_browser import open_browser, visit

    driver = open_browser(page.parent)
    try:
        visit(driver, page.resolve())
        look = driver.execute_script
        assert look("return document.querySelectorAll('#periods-table tbody tr').length") == 12
        words = look("return document.querySelector('#periods-table tbody tr td:last-child').textContent")
        assert len(words.split(", ")) == 5
        assert look("return summary.timeline.starts.length") == 12
        assert "(Europe/Berlin)" in look("return document.querySelector('#periods-note').textContent")
        names = look("return [...document.querySelectorAll('#group-value option')].map(o => o.textContent)")
        (place,) = (k for k, name in enumerate(names) if name.startswith("<b>tea</b> ("))
        look(
            "const s = document.querySelector('#group-value'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            str(place),
        )
        shown = look(
            "return [...document.querySelectorAll('#groups-table tr[data-topic]')].map(r => +r.dataset.topic)"
        )
        assert set(over) <= set(shown)
        pointed = "const parts = pointTip(arguments[0]); return parts.map(part => part.outerHTML).join('')"
        tips = [look(pointed, k) for k in range(10)]
        assert all(re.search(r'class="line".*?\d+ %</span>', tip) for tip in tips)
        assert any('<mark class="spoken" data-topic="' in tip for tip in tips)
        errors = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert errors == []
    finally:
        driver.quit()
