"""The table of past runs in `topicflow runs`."""

import pytest
from rich.console import Console

from topicflow.flows.screen.comparison import print_comparison
from topicflow.flows.screen.runs import keywords_besides, print_head, print_runs, print_stages

RUN = {"name": "a", "run_id": "1", "flow": "update_topics", "state": "completed", "seconds": 12.34}


def shown(capsys: pytest.CaptureFixture[str], **changes: object) -> str:
    """Return the words in the line of a run, with one space between them."""
    print_runs([{**RUN, **changes}])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a/1" in line]
    return " ".join(line.replace("│", " ").split())


def test_a_run_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    stages = [{"state": "computed"}, {"state": "cached"}]
    line = shown(capsys, n_documents=1234, n_topics=5, metrics={"outlier_share": 0.25}, stages=stages)
    assert line == "a/1 update_topics completed 1,234 5 25.0% 1 of 2 12.3"


def test_the_gate_is_shown_if_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert " completed passed " in shown(capsys, published=True, gates={"failed": []})
    failed = ["max_outlier_share = 0.5: outlier_share is 0.700"]
    assert " completed held: max_outlier_share " in shown(capsys, published=False, gates={"failed": failed})
    assert " completed held " in shown(capsys, published=False, gate="outliers")
    assert " completed 0 of 0 " in shown(capsys)


def test_a_failed_run_has_no_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, state="failed", flow="topic_model") == "a/1 topic_model failed 0 of 0 12.3"


def test_the_reason_of_a_failure_is_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {**RUN, "run_id": "2", "state": "failed", "error": "load: a.csv: no such file"}
    print_runs([RUN, failed])
    assert capsys.readouterr().out.splitlines()[-1] == "a/2 failed: load: a.csv: no such file"


def test_show_has_whole_ids_and_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topicflow.flows.screen.runs.terminal", lambda: Console(width=90))
    key = "37cb0440c9a6edca7e6a9fcbf6f74012"
    stage = {"stage": "cluster", "state": "cached", "seconds": 0.0, "peak_rss_bytes": None, "rows": 180}
    run = {**RUN, "run_id": "20261128-220636-dc1d8af0", "created": "2026-11-28T22:06:36+00:00"}
    print_head(run)
    print_stages({**run, "stages": [{**stage, "kind": "embeddings", "key": key}]})
    said = capsys.readouterr().out
    assert said.splitlines()[0] == (
        "a/20261128-220636-dc1d8af0  update_topics  completed  2026-11-28T22:06:36+00:00  12.3 s"
    )
    assert f"embeddings/{key}" in said


@pytest.mark.parametrize("width", [80, 100, 105, 110, 120])
def test_a_run_id_is_never_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    console = Console(width=width, highlight=False)
    monkeypatch.setattr("topicflow.flows.screen.runs.terminal", lambda: console)
    run = {**RUN, "name": "reviews", "run_id": "20261128-220636-dc1d8af0", "n_documents": 1_234_567}
    print_runs([run, {**run, "state": "failed"}])
    assert capsys.readouterr().out.count("reviews/20261128-220636-dc1d8af0") == 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("graph, node", ["graphs", "edge"]),
        ("graph, edge", ["graphs", "node"]),
        ("Battery life", ["graph", "graphs", "node", "edge"]),
        ("graph, other", ["graph", "graphs", "node", "edge"]),
    ],
)
def test_keywords_beside_a_name_are_those_that_it_does_not_have(name: str, shown: list[str]) -> None:
    assert keywords_besides(name, ["graph", "graphs", "node", "edge"]) == shown


def test_a_comparison_shows_a_changed_line_that_another_section_has_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = {**RUN, "metrics": {"npmi": 0.5}, "config": "[reduce]\nseed = 1\n[map]\nseed = 2\n"}
    second = {**RUN, "metrics": {"npmi": 0.5}, "config": "[reduce]\nseed = 2\n[map]\nseed = 2\n"}
    print_comparison(first, second)
    assert capsys.readouterr().out.splitlines()[-2:] == ["-seed = 1", "+seed = 2"]
