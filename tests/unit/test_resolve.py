"""The meaning of a run's name: one rule, for commands that use a run and for commands that show it."""

import shutil
from pathlib import Path

import pytest

from tests.runs import complete, damage, fail, run_id
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.resolve import latest_run, newer_runs, published_metrics, resolve, run_at


def found(runs: Path, wanted: str | None = None, **options: object) -> str:
    return str(resolve(runs, wanted, **options)["run_id"])  # type: ignore[arg-type]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """In `topics` two published runs, one that a gate held back, one that failed; in `other` one run."""
    complete(tmp_path, 1)
    complete(tmp_path, 2)
    complete(tmp_path, 3, published=False)
    fail(tmp_path, 4)
    complete(tmp_path, 5, "other", flow="deduplicate")
    return tmp_path


PUBLISHED, HELD, FAILED = (run_id(number).run_id for number in (2, 3, 4))


@pytest.mark.parametrize("published", [True, False])
def test_a_name_is_its_published_run_even_after_later_runs(runs: Path, published: bool) -> None:
    for wanted in ("topics", "topics/latest", str(runs / "topics"), str(runs / "topics" / "latest")):
        assert found(runs, wanted, published=published) == PUBLISHED
    assert found(runs, "other", published=published) == run_id(5).run_id


def test_a_run_is_found_by_its_id_and_folder(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_id(1)
    for wanted in (first.run_id, f"topics/{first.run_id}", f"{first.folder(runs)}", f"{first.folder(runs)}/"):
        assert found(runs, wanted) == first.run_id
    assert found(runs, HELD) == found(runs, f"topics/{HELD}") == HELD  # given by its id it is used
    monkeypatch.chdir(runs)
    assert found(runs, f"./topics/{first.run_id}") == first.run_id
    assert found(runs / "elsewhere", f"topics/{first.run_id}") == first.run_id


def test_the_beginning_of_an_id_is_enough_if_it_fits_one(runs: Path) -> None:
    assert found(runs, "20260101-000001") == found(runs, "topics/20260101-000001") == run_id(1).run_id
    assert found(runs, "other/2026") == run_id(5).run_id
    some = rf"other/{run_id(5).run_id}, topics/{FAILED}, topics/{HELD} and 2 more"
    with pytest.raises(ConfigError, match=rf"2026 is the beginning of 5 runs \({some}\); write more of it"):
        resolve(runs, "2026")


def test_a_failed_run_is_looked_at_and_not_used(runs: Path) -> None:
    assert found(runs, FAILED, published=False) == FAILED
    said = rf"topics/{FAILED} failed \(load: a.csv: no such file\); name a run that completed"
    with pytest.raises(ConfigError, match=said):
        resolve(runs, FAILED)


def test_without_a_name_the_newest_run_is_used(runs: Path) -> None:
    assert found(runs) == found(runs, published=False) == run_id(5).run_id
    assert found(runs, flow="topic_model") == PUBLISHED
    assert found(runs, flow="topic_model", published=False) == FAILED
    with pytest.raises(
        ConfigError, match=r"no published run of build_index; make one with `topicflow index CONF"
    ):
        resolve(runs, flow="build_index")


def test_the_flow_must_be_the_one_asked_for(runs: Path) -> None:
    assert found(runs, "topics", flow=("update_topics", "topic_model")) == PUBLISHED
    with pytest.raises(ConfigError) as raised:
        resolve(runs, "other", flow="topic_model", where="index.topics")
    assert str(raised.value) == (
        f"index.topics: other/{run_id(5).run_id} is a run of deduplicate, expected one of topic_model"
    )


def test_a_name_without_a_published_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    fail(tmp_path, 1, "new")
    with pytest.raises(
        ConfigError, match=r"new has no published run; the newest, .*, failed \(load: a.csv: no su"
    ):
        resolve(tmp_path, "new")
    assert found(tmp_path, "new", published=False) == run_id(1, "new").run_id
    complete(tmp_path, 2, "held", published=False)
    with pytest.raises(ConfigError, match=r"held has no published run; .* was held back by its gates"):
        resolve(tmp_path, "held")


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(tmp_path, published=False)
    assert str(error.value) == (
        f"{tmp_path}: no run; make one with `topicflow run CONFIG`, or name another folder with --runs"
    )
    run = complete(tmp_path, 1)
    with pytest.raises(ConfigError) as error:
        resolve(tmp_path, "nope")
    assert str(error.value) == f"{tmp_path}: no run nope; the newest is topics/{run.run_id}"


def test_a_link_that_a_person_moved_is_followed_and_one_that_is_gone_is_not_needed(runs: Path) -> None:
    latest = runs / "topics" / "latest"
    latest.unlink()
    assert found(runs, "topics") == PUBLISHED  # as a kill between folder and link leaves it
    latest.symlink_to(run_id(1).run_id)
    assert found(runs, "topics") == run_id(1).run_id
    shutil.rmtree(run_id(1).folder(runs))
    assert found(runs, "topics") == PUBLISHED


def test_a_record_that_cannot_be_read_stops_what_depends_on_it(runs: Path) -> None:
    damage(runs, run_id(1))
    damage(runs, run_id(4))
    assert found(runs, "topics") == PUBLISHED  # `latest` says it, and its record is good
    (runs / "topics" / "latest").unlink()
    with pytest.raises(ArtifactError, match=f"{run_id(4).folder(runs)}/run.json cannot be read"):
        resolve(runs, "topics")  # the newest might be the published one
    (runs / "topics" / "latest").symlink_to(run_id(1).run_id)
    for ask in (
        lambda: resolve(runs, "topics"),
        lambda: resolve(runs, "topics/latest", published=False),
        lambda: latest_run(runs / "topics"),
        lambda: published_metrics(runs, "topics"),
        lambda: run_at(runs / "topics" / "latest"),
    ):
        with pytest.raises(ArtifactError, match="cannot be read"):
            ask()


def test_figures_are_those_of_the_published_run(tmp_path: Path) -> None:
    assert published_metrics(tmp_path, "topics") is None
    complete(tmp_path, 1, metrics={"n_topics": 1})
    complete(tmp_path, 2, metrics={"n_topics": 2}, published=False)
    fail(tmp_path, 3)
    assert published_metrics(tmp_path, "topics") == {"n_topics": 1}


def test_the_states_of_newer_runs_are_reported(runs: Path) -> None:
    assert newer_runs(resolve(runs, "topics")) == [
        f"{FAILED} failed (load: a.csv: no such file)",
        f"{HELD} was held back by its gates",
    ]
    assert newer_runs(resolve(runs, "other")) == []
