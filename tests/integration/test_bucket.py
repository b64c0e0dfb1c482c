"""A store in a bucket of a real S3 server: the same artifacts, hits from an empty cache, damage, races, kills."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.commands import Outcome, all_ready, write_corpus
from tests.fakes import Corpus
from tests.unit.test_store import RECIPE, write
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.encoding.vector_store import VectorStore, text_digests
from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.runs.retention import collect_garbage, list_artifacts
from topicflow.tasks.store import bucket as module
from topicflow.tasks.store import files
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe, open_store
from topicflow.tasks.store.bucket import Bucket
from topicflow.tasks.store.in_use import in_use, in_use_since
from topicflow.tasks.store.verify import verify_artifacts

URL = "s3://artifacts/team/store"


@pytest.fixture
def remote(s3: Any, tmp_path: Path) -> Callable[..., ArtifactStore]:
    """Opens the store in the bucket, each time with the named cache."""
    s3.create_bucket(Bucket="artifacts")
    return lambda cache="cache": open_store(RuntimeConfig(store=URL, cache=str(tmp_path / cache)))


def objects(s3: Any) -> dict[str, int]:
    """Return the objects of the store below its URL, with their sizes."""
    found = s3.list_objects_v2(Bucket="artifacts", Prefix="team/store/").get("Contents", ())
    return {entry["Key"].removeprefix("team/store/"): entry["Size"] for entry in found}


def object_of(s3: Any, name: str) -> str:
    """Return the full key of the only object with a file's name."""
    (found,) = [place for place in objects(s3) if place.endswith(name)]
    return f"team/store/{found}"


# --- commit and hit ---


def test_what_is_written_is_read_through_an_empty_cache(
    remote: Callable[..., ArtifactStore], s3: Any
) -> None:
    assert remote().find(RECIPE) is None
    assert not remote().exists()
    made = write(remote())
    store = remote("another machine")
    assert store.exists()
    found = store.find(RECIPE)
    assert (found, found.cached, found.rows) == (made, True, 2)
    assert list(store.root.rglob("*.npy")) == []  # a hit fetches the manifest alone
    array = store.array(found, "a")
    assert isinstance(array, np.memmap)
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert store.table(found, "t").collect()["word"].to_list() == ["x", None]
    assert store.json(found, "deep/j") == {"x": [1, None]}
    assert store.meta(found) == {"note": "é"}
    assert list((store.root / ".staging").iterdir()) == []
    upload = store.manifest("numbers", RECIPE.key)["upload"]
    files = {f"numbers/{RECIPE.key}/{upload}/{name}" for name in ("a.npy", "t.parquet", "deep/j.json")}
    assert set(objects(s3)) == {"format.json", f"numbers/{RECIPE.key}/manifest.json", *files}


def test_the_writer_reads_its_own_files_without_fetching(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = remote()
    made = write(store)
    monkeypatch.setattr(Bucket, "_read", None)
    assert store.array(made, "a").shape == (2, 3)


def test_a_copy_is_fetched_once(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = write(remote())
    remote("other").array(made, "a")
    monkeypatch.setattr(Bucket, "_read", None)
    assert remote("other").array(made, "a").shape == (2, 3)


def test_processes_that_share_a_cache_do_not_disturb_each_other(
    remote: Callable[..., ArtifactStore], tmp_path: Path
) -> None:
    recipes = [Recipe("count", "numbers", version) for version in range(8)]
    for recipe in recipes:
        write(remote("writer"), recipe)
    code = (
        "from topicflow.configs.sections.runtime import RuntimeConfig\n"
        "from topicflow.tasks.store.artifact_store import Recipe, open_store\n"
        f"store = open_store(RuntimeConfig(store={URL!r}, cache={str(tmp_path / 'shared')!r}))\n"
        "for version in range(8):\n"
        "    ref = store.find(Recipe('count', 'numbers', version))\n"
        "    assert store.array(ref, 'a').shape == (2, 3)\n"
        "    assert store.json(ref, 'deep/j') == {'x': [1, None]}\n"
    )
    readers = [
        subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) for _ in range(4)
    ]
    assert [reader.wait(120) for reader in readers] == [0] * 4


def test_parts_and_folders_come_whole_and_large_files_in_ranges(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RANGE_BYTES", 1000)
    noise = np.random.default_rng(0).random(5000)
    with remote().writing(RECIPE) as writer:
        writer.save_array("a", noise)
        for part in range(3):
            writer.save_table(f"parts/{part}", pl.DataFrame({"x": [part]}))
    made = remote().committed(RECIPE, writer)
    store = remote("other")
    assert store.table(made, "parts").collect()["x"].to_list() == [0, 1, 2]
    np.testing.assert_array_equal(store.array(made, "a"), noise)
    assert not store.path(made, "nothing").exists()


def test_vectors_of_another_machine_are_found(remote: Callable[..., ArtifactStore]) -> None:
    texts = [f"t{i}" for i in range(30)]
    values = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    digests = text_digests(texts)
    for start in range(0, 30, 10):
        ours = VectorStore(remote(), "enc")
        ours.add(digests[start : start + 10], values[start : start + 10], np.arange(10, dtype=np.int32))
    theirs = VectorStore(remote("other"), "enc")
    out = np.empty((30, 4), np.float32)
    theirs.gather(theirs.locate(digests[::-1]), out)
    np.testing.assert_array_equal(out, values[::-1])


def test_a_local_store_copied_into_a_bucket_is_a_store(
    remote: Callable[..., ArtifactStore], store: ArtifactStore, s3: Any
) -> None:
    made = write(store)
    for path in store.root.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), "artifacts", f"team/store/{path.relative_to(store.root).as_posix()}")
    assert remote().find(RECIPE) == made
    assert remote().array(made, "a").tolist() == [[0, 1, 2], [3, 4, 5]]
    collect_garbage(remote(), [], 3600.0)
    assert [found.problem for found in verify_artifacts(remote())] == [""]


def test_a_store_travels_to_another_process_without_credentials(remote: Callable[..., ArtifactStore]) -> None:
    store = remote()
    made = write(store)
    packed = pickle.dumps(store)
    assert b"testing" not in packed
    assert pickle.loads(packed).array(made, "a").shape == (2, 3)


# --- damage ---


@pytest.mark.parametrize(
    ("name", "body", "named"),
    [
        ("a.npy", b"cut", "corrupt: a.npy has 3 bytes, expected 176"),
        ("t.parquet", None, "corrupt: t.parquet is gone"),
        ("manifest.json", b"{", "corrupt: manifest.json is not JSON"),
        ("manifest.json", None, "missing"),
    ],
)
def test_damage_is_named_never_used_and_repaired_by_writing_again(
    remote: Callable[..., ArtifactStore], s3: Any, name: str, body: bytes | None, named: str
) -> None:
    write(remote())
    if body is None:
        s3.delete_object(Bucket="artifacts", Key=object_of(s3, name))
    else:
        s3.put_object(Bucket="artifacts", Key=object_of(s3, name), Body=body)
    for cache in ("cache", "other"):  # what the writer still has on its disk does not hide it
        assert remote(cache).state("numbers", RECIPE.key) == named
        assert remote(cache).find(RECIPE) is None
    made = write(remote("other"))
    assert remote().find(RECIPE) == made
    assert remote("third").array(made, "a").shape == (2, 3)


def change_last_byte(s3: Any, name: str) -> None:
    place = object_of(s3, name)
    body = s3.get_object(Bucket="artifacts", Key=place)["Body"].read()
    s3.put_object(Bucket="artifacts", Key=place, Body=body[:-1] + b"\x01")


def test_changed_bytes_are_named_when_read_set_aside_and_made_again(
    remote: Callable[..., ArtifactStore], s3: Any
) -> None:
    made = write(remote())
    change_last_byte(s3, "a.npy")
    store = remote("other")
    assert store.state("numbers", made.key) == "hit"  # a hit looks at sizes
    with pytest.raises(DamagedError) as error:
        store.array(made, "a")
    assert f"{URL}/numbers/{made.key}/a.npy is damaged (a.npy changed since written)" in str(error.value)
    assert "run the same command again to make it again" in str(error.value)
    assert list(store.root.glob("numbers/*/a.npy")) == []
    assert store.state("numbers", made.key) == "corrupt: a.npy changed since written; it was set aside"
    assert remote("third").state("numbers", made.key) == "missing"
    assert f"numbers/{made.key}/manifest.json" not in objects(s3)
    assert store.find(RECIPE) is None
    assert write(store) == made
    assert remote("third").array(made, "a").shape == (2, 3)
    collect_garbage(remote("other"), [], -1.0)
    assert set(objects(s3)) == {"format.json"}


def test_changed_bytes_are_found_by_verify_and_removed_if_asked(
    remote: Callable[..., ArtifactStore], s3: Any
) -> None:
    write(remote())
    change_last_byte(s3, "a.npy")
    store = remote("other")
    for remove in (False, True):
        (found,) = verify_artifacts(store, remove=remove)
        assert found.problem == "corrupt: a.npy changed since written"
    assert set(objects(s3)) == {"format.json"}
    assert store.find(RECIPE) is None


@pytest.mark.parametrize("name", ["a.npy", "t.parquet", "deep/j.json", "manifest.json"])
def test_a_damaged_copy_on_this_machine_is_fetched_again(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    made = write(remote())
    store = remote("other")
    store.whole(made)
    monkeypatch.setattr(files, "_sound", {})
    copy = store.folder("numbers", made.key) / name
    copy.write_bytes(copy.read_bytes()[:-1] + b"\x01")
    assert store.array(made, "a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert store.table(made, "t").collect()["word"].to_list() == ["x", None]
    assert store.json(made, "deep/j") == {"x": [1, None]}
    assert remote().find(RECIPE) == made


def test_a_refusal_of_the_server_is_not_damage(
    remote: Callable[..., ArtifactStore], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses one artifact: the others are read, and nothing is removed."""
    made = write(remote())
    write(remote(), Recipe("count", "numbers", 2))
    before = objects(s3)
    read = Bucket._read

    def refusing(self: Bucket, place: str) -> Any:
        if made.key in place:
            raise ArtifactError(f"store: {self.url}: Access Denied (AccessDenied); check the URL")
        return read(self, place)

    monkeypatch.setattr(Bucket, "_read", refusing)
    found = {each.key: each for each in verify_artifacts(remote(), remove=True)}
    assert found[made.key].damage == ""
    assert "Access Denied" in found[made.key].refused
    assert sum(each.problem == "" for each in found.values()) == 1
    assert objects(s3) == before


# --- racing and killed writers ---


def test_the_first_of_two_writers_wins_and_the_other_leaves_nothing(
    remote: Callable[..., ArtifactStore], s3: Any
) -> None:
    write(remote())
    before = objects(s3)
    made = write(remote("other"))
    assert objects(s3) == before
    assert remote("other").array(made, "a").shape == (2, 3)


WRITER = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.store.bucket import Bucket
from topicflow.tasks.store.artifact_store import Recipe, open_store

point, url, cache, go = sys.argv[1:]
put = Bucket._put
def killed(self, place, data, **options):
    if point in place:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(self, place, data, **options)
Bucket._put = killed
store = open_store(RuntimeConfig(store=url, cache=cache))
recipe = Recipe(stage="count", kind="numbers", version=1, config={"n": 3}, seed=7)
Path(go).with_name(f"ready-{os.getpid()}").touch()
while not Path(go).exists():
    time.sleep(0.001)
with store.writing(recipe) as writer:
    writer.save_array("a", np.random.default_rng().random(6))  # as two machines whose last bits differ
    writer.save_array("b", np.arange(6))
    writer.rows = 2
print(store.array(store.committed(recipe, writer), "a").tolist())
"""


def start(point: str, cache: Path, go: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, point, URL, str(cache), str(go)], stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip


def test_racing_writers_all_end_well_and_agree_on_one_artifact(
    remote: Callable[..., ArtifactStore], s3: Any, tmp_path: Path
) -> None:
    writers = [start("none", tmp_path / f"c{i // 2}", tmp_path / "go") for i in range(4)]  # two share a cache
    all_ready(tmp_path, 4)
    (tmp_path / "go").touch()
    said = {writer.communicate(timeout=60)[0] for writer in writers}
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(said) == 1
    assert [found.problem for found in verify_artifacts(remote())] == [""]
    assert len(objects(s3)) == 4  # format.json, a manifest, two files


@pytest.mark.parametrize(("point", "n_left"), [("a.npy", 0), ("b.npy", 1), ("manifest", 2)])
def test_a_killed_upload_leaves_no_artifact_and_gc_takes_the_rest(
    remote: Callable[..., ArtifactStore], s3: Any, tmp_path: Path, point: str, n_left: int
) -> None:
    (tmp_path / "go").touch()
    writer = start(point, tmp_path / "cache", tmp_path / "go")
    assert writer.wait(60) == -signal.SIGKILL
    store = remote()
    assert store.find(RECIPE, claim=False) is None
    assert list_artifacts(store) == []
    left = set(objects(s3)) - {"format.json"}
    assert len(left) == n_left
    collect_garbage(store, [], 3600.0)
    assert set(objects(s3)) - {"format.json"} == left  # a writer may be at work
    made = write(store)
    lost = write(store, Recipe("count", "numbers", 2))
    record(tmp_path / "runs" / "topics" / "r1", made)
    removed = collect_garbage(store, [tmp_path / "runs"], -60.0)  # all is older than a minute from now
    assert [artifact.key for artifact in removed] == [lost.key]
    assert set(objects(s3)) & left == set()
    assert [artifact.key for artifact in list_artifacts(store)] == [made.key]
    assert remote("other").array(made, "a").shape == (2, 3)


def record(folder: Path, ref: ArtifactRef) -> None:
    folder.mkdir(parents=True)
    stages = [{"stage": ref.stage, "kind": ref.kind, "key": ref.key}]
    (folder / "run.json").write_text(json.dumps({"run_id": folder.name, "name": "topics", "stages": stages}))


def test_gc_deletes_copies_that_nobody_used(remote: Callable[..., ArtifactStore]) -> None:
    store = remote()
    made, other = write(store), write(store, Recipe("count", "numbers", 2))
    then = time.time() - 7200
    os.utime(store.root / "numbers" / made.key, (then, then))
    collect_garbage(store, [], 3600.0)
    assert not (store.root / "numbers" / made.key).exists()
    assert (store.root / "numbers" / other.key).exists()
    assert store.array(store.find(RECIPE), "a").shape == (2, 3)


def test_a_hit_on_an_old_artifact_makes_it_young(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(remote())
    (before,) = remote().entries()
    time.sleep(1.1)
    remote().find(RECIPE)
    assert list(remote().entries()) == [before]
    monkeypatch.setattr(module, "TOUCH_AFTER_S", 0.0)
    remote().find(RECIPE)
    (after,) = remote().entries()
    assert after.modified > before.modified
    assert remote().state("numbers", RECIPE.key) == "hit"


# --- errors ---


def refused(**runtime: str) -> str:
    with pytest.raises((ArtifactError, ConfigError)) as error:
        open_store(RuntimeConfig(**runtime))
    assert "\n" not in str(error.value)
    assert "testing" not in str(error.value)
    return str(error.value)


def test_a_bucket_that_is_not_there_is_one_line(s3: Any) -> None:
    assert refused(store="s3://nobucket/x").startswith(
        "store: s3://nobucket/x: The specified bucket does not exist (NoSuchBucket); check the URL"
    )


def test_a_server_that_is_gone_is_one_line(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    assert "the server does not answer; check" in refused(store="s3://artifacts/x")


def test_credentials_that_are_refused_are_one_line(monkeypatch: pytest.MonkeyPatch, s3: Any) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>Wrong signature.</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        said = refused(store="s3://artifacts/x")
        server.shutdown()
    assert said.startswith(
        "store: s3://artifacts/x: Wrong signature (SignatureDoesNotMatch); check the URL and AWS_"
    )


@pytest.mark.parametrize("url", ["memory://x", "ftp://host/x", "s3:///x"])
def test_a_url_that_cannot_be_opened_is_one_line(url: str) -> None:
    assert refused(store=url) == (
        f"runtime.store: {url} cannot be opened; expected a folder or the URL of a bucket (s3://, gs://, az://)"
    )


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert refused(store=URL).endswith("needs the package obstore; pip install 'topicflow[s3]'")


def test_a_newer_store_is_refused(remote: Callable[..., ArtifactStore], s3: Any) -> None:
    s3.put_object(Bucket="artifacts", Key="team/store/format.json", Body=b'{"format":2}')
    assert "has format 2, this version reads up to 1" in refused(store=URL)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    made = write(open_store(RuntimeConfig(store=f"file://{tmp_path}/a%20store")))
    assert open_store(RuntimeConfig(store=str(tmp_path / "a store"))).find(RECIPE) == made


# --- the command line ---


def digests(store: ArtifactStore) -> dict[tuple[str, str, str], str]:
    return {
        (entry.kind, entry.key, name): file["blake2b"]
        for entry in store.entries()
        for name, file in store.manifest(entry.kind, entry.key)["files"].items()
    }


def test_a_run_makes_the_same_artifacts_as_in_a_folder_and_the_next_finds_them_all(
    remote: Callable[..., ArtifactStore], topicflow: Callable[..., Outcome], corpus: Corpus, tmp_path: Path
) -> None:
    config = write_corpus(tmp_path, corpus)
    local = topicflow("run", config, "--json")
    assert local.code == 0, local.err

    def in_bucket(cache: str) -> Outcome:
        places = (
            "--store",
            URL,
            "--set",
            f"runtime.cache={tmp_path / cache}",
            "--runs",
            tmp_path / cache / "runs",
        )
        outcome = topicflow("run", config, "--json", *places)
        assert outcome.code == 0, outcome.err
        return outcome

    first, second = in_bucket("one"), in_bucket("two")
    keys = [
        [(stage["stage"], stage["key"]) for stage in run.record["stages"]] for run in (local, first, second)
    ]
    assert keys[0] == keys[1] == keys[2]
    assert {stage["state"] for stage in first.record["stages"]} == {"computed"}
    assert {stage["state"] for stage in second.record["stages"]} == {"cached"}
    assert digests(remote()) == digests(ArtifactStore(tmp_path / "store"))
    assert (first.record["store"], "testing" in str(first.record)) == (URL, False)
    assert f"{len(list(remote().entries()))} artifacts" in topicflow("store", "ls", "--store", URL).out
    assert topicflow("store", "verify", "--store", URL).code == 0
    assert topicflow("store", "ls", "--store", "s3://artifacts/elsewhere").err == (
        "error: s3://artifacts/elsewhere: no store here; --store names one\n"
    )


# --- leases ---


def test_a_lease_is_one_writers_until_it_is_done_or_dead(
    remote: Callable[..., ArtifactStore], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXPIRY_S", 3.0)
    monkeypatch.setattr(module, "BEAT_S", 0.2)
    first, second = remote("one").backend, remote("another machine").backend
    release = first.claim("labels", "k")
    assert release is not None
    for _ in range(20):  # 4 s: renewed, it does not expire
        assert second.claim("labels", "k") is None
        time.sleep(0.2)
    release()
    assert objects(s3) == {}
    monkeypatch.setattr(module, "BEAT_S", 60.0)
    assert first.claim("labels", "k") is not None  # and then it dies
    assert second.claim("labels", "k") is None
    wait_until = time.monotonic() + 60
    while (theirs := second.claim("labels", "k")) is None:
        assert time.monotonic() < wait_until, "a lease that nobody renews has not expired"
        time.sleep(0.2)
    assert remote("third").backend.claim("labels", "k") is None
    theirs()


def test_only_one_of_two_machines_computes(
    remote: Callable[..., ArtifactStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def work(cache: str) -> None:
        store = remote(cache)
        found = store.find(RECIPE)
        if found is None:
            write(store)
        made.append(found is None)

    threads = [threading.Thread(target=work, args=(f"machine {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(made) == [False, False, False, True]
    assert [entry.kind for entry in remote().entries()] == [RECIPE.kind]


def test_a_run_at_work_on_another_machine_keeps_what_it_uses(
    remote: Callable[..., ArtifactStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("topicflow.tasks.store.bucket.EXPIRY_S", 3.0)
    monkeypatch.setattr("topicflow.tasks.store.bucket.BEAT_S", 0.5)
    store, cleaner = remote(), remote("another machine")
    made = write(store)
    with in_use(store.backend):
        time.sleep(3.5)  # it is renewed
        assert len(cleaner.backend.holders("run")) == 1
        assert collect_garbage(cleaner, [tmp_path / "runs"], 0.0) == []
        assert store.state(made.kind, made.key) == "hit"
    assert in_use_since(cleaner.backend) is None
    monkeypatch.setattr("topicflow.tasks.store.bucket.BEAT_S", 600.0)  # as if from a process that was killed
    with in_use(store.backend):
        assert in_use_since(cleaner.backend) is not None
        wait_until = time.monotonic() + 30
        while in_use_since(cleaner.backend) is not None:  # the server's clock has whole seconds
            assert time.monotonic() < wait_until, "a lease that nobody renews has not expired"
            time.sleep(0.2)
        assert [each.key for each in collect_garbage(cleaner, [tmp_path / "runs"], 0.0)] == [made.key]
