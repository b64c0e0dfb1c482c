"""Past runs: newest first, each once; absent and unreadable are two results."""

import json
from pathlib import Path

import pytest

from tests.runs import complete, damage, fail, run_id
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.history import (
    Unreadable,
    check_series,
    each_run,
    last_record,
    list_runs,
    read_run,
    run_folders,
)

BROKEN = ["", "[]", "{}", "null", '{"run_id": "x"}', '{"run_id": "x", "na', "\x00" * 300]


def test_runs_are_listed_newest_first_and_each_once(tmp_path: Path) -> None:
    complete(tmp_path, 1)
    complete(tmp_path, 3, "other")
    fail(tmp_path, 2)
    assert [record["run_id"][:15] for record in list_runs(tmp_path)] == [
        "20260101-000003",
        "20260101-000002",
        "20260101-000001",
    ]
    assert [record["name"] for record in list_runs(tmp_path, "topics")] == ["topics", "topics"]
    last = last_record(tmp_path, "topics")
    assert last is not None
    assert last["run_id"] == run_id(1).run_id
    assert list_runs(tmp_path / "none") == []


def test_remains_of_killed_runs_and_other_folders_are_not_runs(tmp_path: Path) -> None:
    complete(tmp_path, 1)
    staging = tmp_path / "topics" / f".{run_id(2).run_id}.staging"
    staging.mkdir()
    (staging / "run.json").write_text(json.dumps({"run_id": run_id(2).run_id, "name": "topics"}))
    (tmp_path / "topics" / "notes").mkdir()
    (tmp_path / "topics" / "topic_names.toml").write_text("")
    (tmp_path / "metrics.prom").write_text("")
    assert [record["run_id"] for record in list_runs(tmp_path)] == [run_id(1).run_id]


@pytest.mark.parametrize("content", BROKEN)
def test_an_unreadable_record_is_not_an_absent_one(tmp_path: Path, content: str) -> None:
    complete(tmp_path, 1)
    path = damage(tmp_path, complete(tmp_path, 2), content)
    first, second = each_run(tmp_path)
    assert isinstance(first, Unreadable)
    assert (first.path, first.run_id) == (path, run_id(2).run_id)
    assert isinstance(second, dict)
    with pytest.raises(ArtifactError, match=f"^runs: {path} cannot be read") as raised:
        list_runs(tmp_path)
    assert f"move the folder {run_id(2).run_id} out of {tmp_path / 'topics'}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_folder_without_its_record_is_not_absent(tmp_path: Path) -> None:
    path = complete(tmp_path, 1).folder(tmp_path) / "run.json"
    path.unlink()
    with pytest.raises(ArtifactError, match=r"run.json cannot be read \(no such file\)"):
        list_runs(tmp_path)
    path.mkdir()  # as a file that may not be read, which root always may
    with pytest.raises(ArtifactError, match=r"run.json cannot be read \(is a directory\)"):
        list_runs(tmp_path)


def test_a_flipped_bit_in_a_record_is_noticed(tmp_path: Path) -> None:
    folder = complete(tmp_path, 1, update={"number": 3, "state": "ab"}).folder(tmp_path)
    good = (folder / "run.json").read_bytes()
    n_unnoticed = 0
    for place in range(len(good)):
        (folder / "run.json").write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        found = read_run(folder)
        n_unnoticed += isinstance(found, dict) and found != read_good(folder, good)
    assert n_unnoticed == 0


def read_good(folder: Path, good: bytes) -> object:
    (folder / "run.json").write_bytes(good)
    return read_run(folder)


def test_a_record_of_an_older_version_has_no_digest(tmp_path: Path) -> None:
    path = complete(tmp_path, 1).folder(tmp_path) / "run.json"
    record = json.loads(path.read_text())
    assert (record.pop("format"), len(record.pop("digest"))) == (2, 32)
    path.write_text(json.dumps(record))
    assert list_runs(tmp_path) == [{**record, "folder": str(path.parent)}]


def test_a_folder_that_cannot_be_listed_is_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(tmp_path, 1)

    def refused(_folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refused)
    with pytest.raises(ArtifactError, match=r"cannot be read \(permission denied\); make it readable"):
        run_folders(tmp_path)


def test_a_name_is_one_series_of_the_flow_that_completed_in_it(tmp_path: Path) -> None:
    complete(tmp_path, 1, flow="deduplicate")
    check_series(tmp_path, "topics", "deduplicate")
    check_series(tmp_path, "other", "topic_model")
    with pytest.raises(ConfigError, match="contains runs of deduplicate; give this config another name"):
        check_series(tmp_path, "topics", "topic_model")
    fail(tmp_path, 2)  # of topic_model, as a version before left it
    check_series(tmp_path, "topics", "deduplicate")


def test_a_series_whose_newest_record_cannot_be_read_may_be_another_flows(tmp_path: Path) -> None:
    oldest = complete(tmp_path, 1)
    complete(tmp_path, 2)
    damage(tmp_path, oldest)
    check_series(tmp_path, "topics", "topic_model")  # the newest says it
    damage(tmp_path, complete(tmp_path, 3))
    with pytest.raises(ArtifactError, match="cannot be read"):
        check_series(tmp_path, "topics", "topic_model")


def test_a_record_of_0_1_0_has_the_stages_of_today(tmp_path: Path) -> None:
    stages = [{"stage": old, "kind": "any", "key": old} for old in ("load", "arrive", "pair", "reembed")]
    record = read_run(complete(tmp_path, 1, stages=stages).folder(tmp_path))
    assert isinstance(record, dict)
    names = [stage["stage"] for stage in record["stages"]]
    assert names == ["load", "new_documents", "similar_vectors", "embed_again"]


def test_a_record_of_another_run_is_not_that_of_the_folder(tmp_path: Path) -> None:
    one, other = complete(tmp_path, 1).folder(tmp_path), complete(tmp_path, 2).folder(tmp_path)
    (one / "run.json").write_bytes((other / "run.json").read_bytes())
    with pytest.raises(ArtifactError, match=f"it is the record of the run {other.name}"):
        list_runs(tmp_path)
    one.rename(one.with_name("backup"))  # the name that a person gave: not for us to refuse
    assert [each["run_id"] for each in list_runs(tmp_path)] == [other.name, other.name]
