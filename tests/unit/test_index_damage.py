"""Damage: any damage to any file of an index is noticed before the file is read, reported in one line, and repaired."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import rewrite_manifest
from tests.indexes import build, documents_table
from tests.unit.test_index_topics import topic_run
from topicflow.tasks.errors import ArtifactError, ConfigError, DamagedError
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.outliers import find_outliers
from topicflow.tasks.store.artifact_store import ArtifactStore, file_digest
from topicflow.tasks.store.verify import verify_artifacts

TABLE = documents_table(400)
QUERY = np.array(TABLE["vector"][7].to_list(), np.float32)
FILES = [
    "documents/part-00000.arrow", "vectors/part-00000.npy", "removed.npy", "graph.usearch", "topics.npy",
    "topic_vectors.npy", "topics.parquet", *(f"words/part-00000/{name}" for name in (
        "words.arrow", "offsets.npy", "rows.npy", "counts.npy", "lengths.npy",
    )),
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store and runs of an index with a graph, words and topics."""
    folder = tmp_path_factory.mktemp("whole")
    topic_run(folder / "runs", [f"d{row}" for row in range(60)])
    index = build(folder, TABLE, method="hnsw", topics="topics")
    assert sorted(index.files.digests) == sorted(FILES)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the index's artifact, in a separate store."""
    (artifact,) = (whole / "store/indexes").iterdir()
    shutil.copytree(artifact, tmp_path / "indexes" / artifact.name)
    return tmp_path / "indexes" / artifact.name


def flip(content: bytes, rng: random.Random) -> bytes:
    """Return content of the same size with some bytes changed."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 5, 50])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda content: content[:-9] + bytes([content[-9] ^ 16]) + content[-8:],
    "zeros": lambda content: bytes(len(content)),
    "noise": lambda content: random.Random(0).randbytes(len(content)),
    "shorter": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "empty": lambda content: b"",
}


def refusal(folder: Path) -> str | None:
    """Return the message if an index cannot be opened and searched; None if it can."""
    try:
        SearchIndex.open(folder).search(QUERY, 3)
    except ArtifactError as error:
        return str(error)
    return None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILES)
def test_each_file_by_each_way_is_noticed(folder: Path, name: str, way: str) -> None:
    path = folder / name
    path.write_bytes(WAYS[way](path.read_bytes()))
    said = refusal(folder)
    if way == "a bit" and name.endswith(".npy"):  # perhaps a number that is possible: `store verify` sees it
        assert said is None or name in said
    else:
        assert said is not None
        assert name in said
        assert str(folder) in said
        assert "`topicflow index CONFIG` makes" in said
        assert "\n" not in said
    problems = [each for each in verify_artifacts(ArtifactStore(folder.parents[1])) if each.problem]
    assert len(problems) == 1


def test_a_damaged_graph_of_the_same_size_is_never_read(folder: Path) -> None:
    path, rng = folder / "graph.usearch", random.Random(1)
    content = path.read_bytes()
    for _ in range(100):
        path.write_bytes(flip(content, rng))
        with pytest.raises(DamagedError, match=r"graph\.usearch is damaged \(it is not what was written\)"):
            SearchIndex.open(folder)
    path.write_bytes(content)
    assert SearchIndex.open(folder).search(QUERY, 1)[0].doc_id == "d7"


def test_neither_times_nor_sizes_nor_the_inode_replace_the_digest(folder: Path) -> None:
    path = folder / "graph.usearch"
    SearchIndex.open(folder)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(before.st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )
    with pytest.raises(DamagedError, match="is not what was written"):
        SearchIndex.open(folder)


# --- files that come from others: whole by their digests, impossible by what they hold ---


def forge(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change an array and put its digest into the manifest."""
    path = folder / name
    np.save(path, change(np.load(path)))
    entry = {"bytes": path.stat().st_size, "blake2b": file_digest(path)}
    rewrite_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))


def put(place: int, value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("vectors/part-00000.npy", lambda a: a.astype(float), "it contains float64 of 400 × 16 values, expected"),
        ("vectors/part-00000.npy", lambda a: a.astype(">f4"), "it contains >f4 of 400 × 16"),
        ("vectors/part-00000.npy", lambda a: a[:-1], "float32 of 399 × 16 values, expected float32 of 400 × 16"),
        ("vectors/part-00000.npy", lambda a: a[:, :8].copy(), "float32 of 400 × 8 values"),
        ("vectors/part-00000.npy", np.asfortranarray, "expected float32 of 400 × 16"),
        ("removed.npy", put(3, True), "399 documents are not removed, expected 400"),
        ("removed.npy", lambda a: (a.view(np.uint8) + np.uint8(2)).view(bool), "documents are not removed"),
        ("topics.npy", put(0, 9), "values from -1 to 9, expected -1 to 2"),
        ("topics.npy", put(0, -5), "values from -5 to 2"),
        ("topic_vectors.npy", lambda a: a[:, :4].copy(), "float32 of 3 × 4 values, expected float32 of any × 16"),
        ("words/part-00000/offsets.npy", put(2, 10**9), "its offsets do not increase from 0 to"),
        ("words/part-00000/offsets.npy", put(-1, 10**9), "its offsets do not increase from 0 to"),
        ("words/part-00000/offsets.npy", put(0, -1), "its offsets do not increase from 0 to"),
        ("words/part-00000/rows.npy", put(0, -1), "values from -1 to 399, expected 0 to 399"),
        ("words/part-00000/rows.npy", put(0, 400), "values from 0 to 400, expected 0 to 399"),
        ("words/part-00000/counts.npy", put(0, 0), "values from 0 to"),
        ("words/part-00000/counts.npy", lambda a: a[:-1], "counts"),
        ("words/part-00000/lengths.npy", put(0, -3), "values from -3 to"),
        ("words/part-00000/lengths.npy", lambda a: a.astype(np.int64), "it contains int64 of 400 values"),
    ],
)  # fmt: skip
def test_arrays_that_are_impossible(folder: Path, name: str, change: Any, said: str) -> None:
    forge(folder, name, change)
    with pytest.raises(DamagedError) as raised:
        SearchIndex.open(folder)
    assert said in str(raised.value)
    assert name.rpartition("/")[2] in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": 0}, "scale=0: Input should be greater than 0"),
        ({"scale": 0.0}, "scale=0.0: Input should be greater than 0"),
        ({"scale": -1.0}, "scale=-1.0: Input should be greater than 0"),
        ({"codes": "int4"}, "codes='int4': Input should be 'int8', 'float16' or 'float32'"),
        ({"M": 10**9}, "M=1000000000: Input should be less than or equal to 1024"),
        ({"ef": 0}, "ef=0: Input should be greater than or equal to 1"),
        ({"ef": None}, "ef=None: Input should be a valid integer"),
        ({"method": "tree"}, "method='tree': Input should be 'exact' or 'hnsw'"),
        ({"dim": 17}, "dim=17, but the vectors' space has 16"),
        ({"parts": [200, 200.5]}, "parts.1=200.5: Input should be a valid integer"),
        ({"parts": [-1, 401]}, "parts=[-1, 401], expected lengths"),
        ({"parts": [200, 100]}, "rows=400, but its parts have 300"),
        ({"parts": [400, 0]}, "part-00001.npy"),
        ({"n_documents": 399}, "400 documents are not removed, expected 399"),
        ({"lexical": "yes"}, "lexical='yes': Input should be a valid boolean"),
        ({"space": None}, "space=None: Input should be"),
        ({"embed": 3}, "embed=3: Input should be a valid dictionary"),
    ],
)
def test_manifests_that_are_impossible(folder: Path, changes: dict[str, Any], said: str) -> None:
    rewrite_manifest(folder, lambda manifest: manifest["meta"].update(changes))
    with pytest.raises(ArtifactError) as raised:
        SearchIndex.open(folder)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_graph_of_other_vectors_is_not_read(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    build(other, documents_table(300), method="hnsw")
    (made,) = (other / "store/indexes").iterdir()
    shutil.copyfile(made / "graph.usearch", folder / "graph.usearch")
    entry = json.loads((made / "manifest.json").read_text())["files"]["graph.usearch"]
    rewrite_manifest(folder, lambda manifest: manifest["files"].update({"graph.usearch": entry}))
    with pytest.raises(DamagedError, match=r"graph\.usearch is damaged \(it is not a graph of 400 vectors"):
        SearchIndex.open(folder)


def test_a_file_that_may_not_be_read_is_not_damaged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("topicflow.tasks.search.index_files.file_digest", denied)
    with pytest.raises(ArtifactError, match=r"cannot be read \(Permission denied\)") as raised:
        SearchIndex.open(folder)
    assert not isinstance(raised.value, DamagedError)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "a"'])
def test_a_record_that_is_none_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(
        ArtifactError, match=r"run\.json cannot be read \((not valid JSON|it is not the record of a run)"
    ):
        SearchIndex.open(tmp_path)
    with pytest.raises(ConfigError, match="no index here"):
        SearchIndex.open(tmp_path / "nowhere")


# --- what happens then ---


@pytest.mark.parametrize("name", ["graph.usearch", "documents/part-00000.arrow", "words/part-00000/rows.npy"])
def test_the_flow_makes_a_damaged_index_again(tmp_path: Path, name: str) -> None:
    index = build(tmp_path, TABLE, method="hnsw")
    path = index.files.path(name)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(DamagedError):
        SearchIndex.open(tmp_path / "runs/search")
    again = build(tmp_path, TABLE, method="hnsw")
    assert again.search(QUERY, 1)[0].doc_id == "d7"
    path = again.files.path(name)
    path.write_bytes(bytes(path.stat().st_size))
    grown = build(tmp_path, documents_table(410), method="hnsw")  # a damaged one is not gone on from
    assert (grown.files.meta["base"], len(grown)) == (None, 410)
    problems = {each.key: each.problem for each in verify_artifacts(index.store) if each.kind == "indexes"}
    assert problems.pop(again.files.ref.key)  # `store verify --remove` removes it
    assert not any(problems.values())


def test_damaged_neighbours_of_outliers_are_found_again(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE)
    before = find_outliers(index, 5)
    path = next((tmp_path / "store/outliers").glob("*/neighbors.npy"))
    np.save(path, np.load(path) - 1000)
    assert find_outliers(index, 5) == before


def test_damage_does_not_become_part_of_the_next_generation(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE, method="hnsw", lexical=False)
    path = index.files.path("vectors/part-00000.npy")
    content = path.read_bytes()
    path.unlink()  # or the link to the embeddings would change too
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedError, match=r"vectors/part-00000\.npy is damaged"):
        SearchIndex.open(tmp_path / "runs/search").remove(["d1"])
