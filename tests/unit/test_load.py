"""Load: the stage on a store, ids, texts, passages, content keys and bad input."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.states import Failed

from topicflow.configs.sections.load import LoadConfig, SplitConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents import load as load_module
from topicflow.tasks.documents import recipes
from topicflow.tasks.documents.load import (
    Occurrences,
    content_ids,
    feed_column,
    load,
    may_help,
    rebatched,
    split_text,
)
from topicflow.tasks.documents.sources import find_documents
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.store.local import LEASES


def run(
    store: ArtifactStore, path: Path | str, runtime: RuntimeConfig | None = None, **fields: Any
) -> ArtifactRef:
    """Return what the stage returns."""
    return load.fn(Context(store, runtime=runtime or RuntimeConfig()), LoadConfig(path=str(path), **fields))


def documents(store: ArtifactStore, ref: ArtifactRef) -> pl.DataFrame:
    return store.table(ref, "documents").collect()


def columns(store: ArtifactStore, ref: ArtifactRef) -> pl.DataFrame:
    return store.table(ref, "columns").collect()


def parquet(folder: Path, name: str = "in.parquet", **values: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(values).write_parquet(path)
    return path


def refused(store: ArtifactStore, path: Path | str, **fields: Any) -> str:
    """Return the one-line error of a load, and check that the store contains nothing new."""
    with pytest.raises(DataError) as caught:
        run(store, path, **fields)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("load: ")
    assert not list(store.root.glob(".staging/*"))
    assert not (store.root / "documents").exists()
    return message


# --- the artifact ---


def test_documents_and_own_columns_are_aligned(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(
        tmp_path, id=["a", "b", "c"], text=["one", "  ", "three"], kind=["x", "y", "z"], n=[1, 2, 3]
    )
    ref = run(store, path, id_column="id", label_column="kind")
    found = documents(store, ref)
    assert found.schema == {"row": pl.UInt32, "doc_id": pl.String, "text": pl.String, "label": pl.String}
    assert found.rows() == [(0, "a", "one", "x"), (2, "c", "three", "z")]
    assert columns(store, ref).rows() == [("a", "one", "x", 1), ("c", "three", "z", 3)]
    meta = store.meta(ref)
    texts = hashlib.blake2b(digest_size=16)
    for text in ("one", "three"):
        texts.update(hashlib.blake2b(text.encode(), digest_size=16).digest())
    assert meta == {
        "texts": texts.hexdigest(),
        "n_input_rows": 3,
        "n_empty": 1,
        "n_replaced": 0,
        "n_documents": 2,
        "text_column": "text",
        "has_label": True,
        "has_timestamp": False,
        "has_passages": False,
        "empty_rows": [1],
        "columns": ["id", "text", "kind", "n"],
    }
    assert ref.rows == 2


def test_second_load_is_a_hit_and_a_changed_config_or_file_is_not(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = parquet(tmp_path, text=["one", "two"], other=["three", "four"])
    config = LoadConfig(path=str(path))
    assert find_documents(store, config) is None
    first = load.fn(Context(store), config)
    again = load.fn(Context(store), config)
    assert isinstance(first, ArtifactRef)
    assert (again.cached, again) == (True, first)
    assert find_documents(store, config) == first
    other = run(store, path, text_column="other")
    assert not other.cached
    assert other.key != first.key
    parquet(tmp_path, text=["one", "changed"], other=["three", "four"])
    changed = load.fn(Context(store), config)
    assert isinstance(changed, ArtifactRef)
    assert changed.key != first.key


def test_damaged_documents_are_made_again_under_the_same_key(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["one", "two"])
    ref = run(store, path)
    part = store.path(ref, "documents/part-00000.parquet")
    good = part.read_bytes()
    part.write_bytes(good[:-1])
    assert find_documents(store, LoadConfig(path=str(path))) is None
    again = run(store, path)
    assert (again.key, again.cached) == (ref.key, False)
    assert part.read_bytes() == good


def test_a_file_that_changes_while_it_is_read_is_not_recorded(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path, text=["one", "two"])
    prints = iter(["before", "after"])
    monkeypatch.setattr(load_module, "fingerprint", lambda _config: next(prints))
    run(store, path)
    assert not (store.root / "sources").exists()


def test_same_content_has_the_same_key_in_csv_parquet_and_elsewhere(
    store: ArtifactStore, tmp_path: Path
) -> None:
    table = pl.DataFrame(
        {"id": ["a", "b"], "text": ['quoted "x",\nnew line', "größe"], "n": [1, 2], "f": [0.5, None]}
    )
    (tmp_path / "deep" / "er").mkdir(parents=True)
    paths = [
        tmp_path / "x.parquet",
        tmp_path / "x.csv",
        tmp_path / "deep" / "er" / "y.parquet",
        tmp_path / "x.ndjson",
    ]
    table.write_parquet(paths[0])
    table.write_csv(paths[1])
    table.write_parquet(paths[2], compression="gzip", row_group_size=1)
    table.write_ndjson(paths[3])
    keys = {run(store, path, id_column="id").key for path in paths}
    assert len(keys) == 1
    moved = paths[0].rename(tmp_path / "deep" / "moved.parquet")
    assert run(store, moved, id_column="id").cached


@pytest.mark.parametrize("chunk_rows", [1, 3, 7, 1000])
def test_runtime_changes_neither_key_nor_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_rows: int
) -> None:
    monkeypatch.setattr(load_module, "PART_ROWS", 5)
    texts = [f"text {i % 9}" if i % 4 else None for i in range(23)]
    path = parquet(tmp_path, text=texts, v=[[float(i)] * (i % 3) for i in range(23)])
    stores = [ArtifactStore(tmp_path / name) for name in ("default", "other")]
    refs = [
        run(store, path, runtime)
        for store, runtime in zip(
            stores, [RuntimeConfig(), RuntimeConfig(chunk_rows=chunk_rows)], strict=True
        )
    ]
    assert refs[0].key == refs[1].key
    files = [store.manifest("documents", refs[0].key)["files"] for store in stores]
    assert files[0] == files[1]
    assert len(files[0]) == 10
    assert documents(stores[0], refs[0])["row"].to_list() == [i for i in range(23) if i % 4]


def test_the_texts_digest_sees_texts_alone(store: ArtifactStore, tmp_path: Path) -> None:
    first = run(
        store, parquet(tmp_path, "a.parquet", text=["x y", "z"], label=["1", "2"]), label_column="label"
    )
    other = run(
        store, parquet(tmp_path, "b.parquet", text=["x y", "z"], label=["1", "3"]), label_column="label"
    )
    moved = run(
        store, parquet(tmp_path, "c.parquet", text=["x", "y z"], label=["1", "2"]), label_column="label"
    )
    assert first.key != other.key
    assert store.meta(first)["texts"] == store.meta(other)["texts"]
    assert store.meta(first)["texts"] != store.meta(moved)["texts"]


def test_a_trailing_empty_row_is_another_input_to_vectors_in_input_order(
    store: ArtifactStore, tmp_path: Path
) -> None:
    first = run(store, parquet(tmp_path, "a.parquet", text=["x", "y"]))
    other = run(store, parquet(tmp_path, "b.parquet", text=["x", "y", ""]))
    assert first.key != other.key
    assert store.meta(other)["n_input_rows"] == 3


# --- columns ---


def test_several_text_columns_are_joined_without_blanks(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, title=["T", None, "U", " "], body=["b", "c", "", None])
    ref = run(store, path, text_column=("title", "body"), text_separator=" | ")
    assert documents(store, ref)["text"].to_list() == ["T | b", "c", "U"]
    assert (store.meta(ref)["text_column"], store.meta(ref)["n_empty"]) == ("text", 1)


def test_numbers_and_booleans_are_texts_and_lists_are_not(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, n=[7, 8], b=[True, False], v=[[1], [2]])
    assert documents(store, run(store, path, text_column="n"))["text"].to_list() == ["7", "8"]
    assert documents(store, run(store, path, text_column="b"))["text"].to_list() == ["true", "false"]
    fresh = ArtifactStore(tmp_path / "fresh")
    assert "column 'v' (load.text_column) is List(Int64)" in refused(fresh, path, text_column="v")


def test_only_named_columns_are_carried(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["one"], a=[1], b=[2])
    ref = run(store, path, columns=("b",))
    assert columns(store, ref).to_dict(as_series=False) == {"b": [2]}
    assert store.meta(ref)["columns"] == ["b"]
    none = run(store, path, columns=())
    assert columns(store, none).width == 0


def test_a_missing_column_lists_those_there_and_the_nearest(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, texts=["one"], a=[1])
    message = refused(store, path)
    assert "no column 'text' (load.text_column); there are: 'texts', 'a'; did you mean 'texts'?" in message
    assert "(load.columns)" in refused(store, path, text_column="texts", columns=("zzz",))


def test_limit_reads_the_first_rows(store: ArtifactStore, tmp_path: Path) -> None:
    ref = run(store, parquet(tmp_path, text=["a", "", "c", "d"]), limit=3)
    assert documents(store, ref)["text"].to_list() == ["a", "c"]
    assert store.meta(ref)["n_input_rows"] == 3


def test_the_order_of_dates_is_decided_by_the_whole_column_and_not_its_first_part(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late rows of a valid file: load once failed there, or days and months had been swapped."""
    monkeypatch.setattr(load_module, "PART_ROWS", 4)
    days = [f"{i % 12 + 1:02d}/{i % 11 + 1:02d}/2024" for i in range(20)] + ["31/01/2024"]
    path = tmp_path / "a.csv"
    pl.DataFrame({"text": [f"text {i}" for i in range(21)], "at": days}).write_csv(path)
    ref = run(store, path, timestamp_column="at")
    read = documents(store, ref)["timestamp"].dt.strftime("%d/%m/%Y").to_list()
    assert read == days
    assert store.meta(ref)["date_order"] == "dmy"


def test_a_given_order_of_dates_is_taken_and_auto_changes_no_key(
    store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    pl.DataFrame({"text": ["a"], "at": ["03/04/2024"]}).write_csv(path)
    month = {
        order: documents(store, run(store, path, timestamp_column="at", date_order=order))["timestamp"][
            0
        ].month
        for order in ("auto", "mdy", "dmy")
    }
    assert month == {"auto": 3, "mdy": 3, "dmy": 4}
    config = LoadConfig(path=str(path), timestamp_column="at")
    of_version_1 = replace(recipes.load(config, "x"), version=1)
    assert (
        of_version_1.key == "78127d465f2c2cb9621d54406b287457"
    )  # of the code without date_order and later fields
    assert recipes.load(config, "x").key == "0475b43aa90e0d2ba6934461ef02a333"
    assert recipes.load(config.model_copy(update={"date_order": "dmy"}), "x").config["date_order"] == "dmy"


def test_timestamps_become_utc(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["a", "b"], at=["2024-01-31T23:59:00+02:00", None])
    found = documents(store, run(store, path, timestamp_column="at"))
    assert found.schema["timestamp"] == pl.Datetime("us")
    assert found["timestamp"].to_list() == [dt.datetime(2024, 1, 31, 21, 59), None]  # noqa: DTZ001
    bad = parquet(tmp_path, "bad.parquet", text=["a", "b"], at=["2024-01-31", "soon"])
    message = refused(ArtifactStore(tmp_path / "fresh"), bad, timestamp_column="at")
    assert "column 'at': row 1 contains 'soon'" in message


# --- ids ---


def test_ids_made_of_content_number_repeats_across_parts(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "PART_ROWS", 2)
    ref = run(store, parquet(tmp_path, text=["x", "y", "x", "x", "y", "z"]))
    ids = documents(store, ref)["doc_id"].to_list()
    x, y, z = (hashlib.blake2b(t.encode(), digest_size=16).hexdigest()[:16] for t in "xyz")
    assert ids == [x, y, f"{x}-2", f"{x}-3", f"{y}-2", z]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), max_size=12))
def test_occurrences_count_what_came_before(batches: list[list[int]]) -> None:
    seen: list[int] = []
    counter = Occurrences()
    for batch in batches:
        expected = []
        for value in batch:
            expected.append(seen.count(value))
            seen.append(value)
        assert counter.count(np.array(batch, np.uint64)).tolist() == expected
    assert counter.any_twice() == (len(set(seen)) < len(seen))


def test_content_ids_are_distinct_digits() -> None:
    digests = np.array([1, 2**64 - 1], np.uint64)
    assert content_ids(digests, np.array([0, 1])) == ["0100000000000000", "ffffffffffffffff-2"]


def test_repeated_ids_are_refused_with_number_and_first(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=["a", "b", "c", "d", "e"], id=["p", "q", "q", "p", "q"])
    message = refused(store, path, id_column="id")
    assert "column 'id' repeats an id in 3 rows, first 'p'" in message
    split = refused(store, path, id_column="id", split=SplitConfig(max_words=10, overlap_words=0))
    assert "repeats an id in 3 rows, first 'p'" in split


@pytest.mark.parametrize("missing", [None, ""])
def test_missing_ids_are_refused(store: ArtifactStore, tmp_path: Path, missing: str | None) -> None:
    path = parquet(tmp_path, text=["", "b", "c"], id=["", "p", missing])
    assert "column 'id': no id in row 2" in refused(store, path, id_column="id")


def test_ids_keep_leading_zeros_in_csv(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,text\n007,a\n7,b\n")
    assert documents(store, run(store, path, id_column="id"))["doc_id"].to_list() == ["007", "7"]


# --- degenerate input ---


def test_no_documents_say_the_counts(store: ArtifactStore, tmp_path: Path) -> None:
    blank = parquet(tmp_path, text=[None, " \t\n", ""])
    assert "no documents: 3 rows, 3 without text in column 'text'" in refused(store, blank)
    empty = tmp_path / "empty.csv"
    empty.write_text("id,text\n")
    assert "no documents: 0 rows, 0 without text" in refused(store, empty)


def test_nul_bytes_and_a_megabyte_pass_through(store: ArtifactStore, tmp_path: Path) -> None:
    texts = ["a\x00b", "word " * 200_000, "<script>alert(1)</script>"]
    ref = run(store, parquet(tmp_path, text=texts))
    assert documents(store, ref)["text"].to_list() == texts


def test_replaced_bytes_are_counted(store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"text\ngood\nb\xffd\n")
    assert "byte 0xff at offset 11" in refused(store, path)
    ref = run(store, path, encoding_errors="replace")
    assert documents(store, ref)["text"].to_list() == ["good", "b\ufffdd"]
    assert store.meta(ref)["n_replaced"] == 1


def test_a_full_disk_is_one_line_and_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    path = parquet(tmp_path, text=[f"{i * 7919 % 10007} {i}" for i in range(5000)])
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from topicflow.configs.sections.load import LoadConfig\n"
        "from topicflow.tasks.execution.context import Context\n"
        "from topicflow.tasks.documents.load import load\n"
        "from topicflow.tasks.store.artifact_store import ArtifactStore\n"
        "from topicflow.tasks.errors import ArtifactError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "try: load.fn(Context(ArtifactStore(Path(sys.argv[2]))), LoadConfig(path=sys.argv[1]))\n"
        "except ArtifactError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(path), str(store.root)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"store: {store.root}")
    assert "file too large" in said
    assert not [path for path in store.root.glob("*/*") if path.parent.name != LEASES]
    assert run(store, path).rows == 5000


# --- passages ---


def test_passages_by_hand() -> None:
    config = SplitConfig(max_words=10, overlap_words=3)
    words = [f"w{i}" for i in range(19)]
    text = "  ".join(words[:10]) + "\n\n" + " ".join(words[10:]) + "\n"
    first, second, third = split_text(text, config)
    assert first == "  ".join(words[:10])
    assert second == "w7  w8  w9\n\n" + " ".join(words[10:17])
    assert third == " ".join(words[14:])
    assert split_text(" short \n", config) == [" short \n"]


def test_chinese_counts_by_character() -> None:
    assert split_text("话题模型" * 5, SplitConfig(max_words=12, overlap_words=0)) == [
        "话题模型" * 3,
        "话题模型" * 2,
    ]


@settings(max_examples=60)
@given(
    words=st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=4), max_size=90
    ),
    gap=st.sampled_from([" ", "\n", " \t "]),
    longest=st.integers(10, 30),
    overlap=st.integers(0, 29),
)
def test_passages_cover_all_words_in_order(words: list[str], gap: str, longest: int, overlap: int) -> None:
    text = gap.join(words)
    words = text.split()
    overlap = min(overlap, longest - 1)
    passages = [
        passage.split() for passage in split_text(text, SplitConfig(max_words=longest, overlap_words=overlap))
    ]
    joined = passages[0] + [word for passage in passages[1:] for word in passage[overlap:]]
    assert joined == words
    assert all(len(passage) <= longest for passage in passages)
    assert all(a[len(a) - overlap :] == b[:overlap] for a, b in itertools.pairwise(passages))
    assert all(len(passage) > overlap for passage in passages[1:])


def test_split_documents_keep_parents_rows_and_columns(store: ArtifactStore, tmp_path: Path) -> None:
    long = " ".join(f"w{i}" for i in range(25))
    path = parquet(tmp_path, id=["a", "b"], text=["short", long], n=[1, 2])
    ref = run(store, path, id_column="id", split=SplitConfig(max_words=10, overlap_words=0))
    found = documents(store, ref)
    assert found["doc_id"].to_list() == ["a#0", "b#0", "b#1", "b#2"]
    assert found["parent"].to_list() == ["a", "b", "b", "b"]
    assert found["row"].to_list() == [0, 1, 1, 1]
    assert columns(store, ref)["n"].to_list() == [1, 2, 2, 2]
    meta = store.meta(ref)
    assert (meta["n_documents"], meta["has_passages"], ref.rows) == (2, True, 4)


# --- content digest ---


def content(*values: Any, dtype: Any = None) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    feed_column(hasher, pl.Series("c", list(values), dtype=dtype))
    return hasher.hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["a", None], ["a", ""]),
        ([1.0, None], [1.0, float("nan")]),
        ([0, None], [0, 0]),
        ([[1, 2], [3]], [[1], [2, 3]]),
        ([[], [1]], [None, [1]]),
        ([[None]], [[]]),
        ([{"a": 1, "b": None}], [{"a": None, "b": 1}]),
        ([{"a": None}, {"a": 1}], [None, {"a": 1}]),
        ([b"ab", b""], [b"a", b"b"]),
        ([True], [False]),
        ([dt.date(2024, 1, 1)], [dt.date(2024, 1, 2)]),
        ([1], ["1"]),
    ],
)
def test_unequal_columns_have_unequal_digests(one: list[Any], other: list[Any]) -> None:
    assert content(*one) != content(*other)


def test_equal_columns_have_equal_digests_for_any_memory_layout() -> None:
    whole = pl.Series("c", [[1.5, None], None, [float("nan")], []])
    pieces = pl.concat([whole[:1], whole[1:]], rechunk=False)
    sliced = pl.concat([pl.Series("c", [[9.0]]), whole])[1:]
    digests = set()
    for series in (whole, pieces, sliced):
        hasher = hashlib.blake2b(digest_size=16)
        feed_column(hasher, series)
        digests.add(hasher.hexdigest())
    assert len(digests) == 1


def test_nan_is_one_value_for_any_bits() -> None:
    digests = set()
    for bits in (0x7FF8000000000000, 0xFFF8000000000001):
        hasher = hashlib.blake2b(digest_size=16)
        feed_column(hasher, pl.Series("c", np.array([bits], np.uint64).view(np.float64)))
        digests.add(hasher.hexdigest())
    assert len(digests) == 1


def test_digest_takes_every_type_a_file_can_hold() -> None:
    assert content(None, None, dtype=pl.Null) == content(None, None, dtype=pl.Null)
    assert content([1.0, 2.0], dtype=pl.Array(pl.Float32, 2)) != content(
        [1.0, 3.0], dtype=pl.Array(pl.Float32, 2)
    )
    assert content(2**70, dtype=pl.Int128) != content(2**71, dtype=pl.Int128)
    assert content("a", dtype=pl.Categorical) != content("b", dtype=pl.Categorical)
    assert content(dt.timedelta(1)) != content(dt.timedelta(2))


@given(st.lists(st.integers(0, 7), max_size=10), st.integers(1, 6))
def test_rebatched_keeps_rows_and_order(sizes: list[int], rows: int) -> None:
    values = iter(range(1000))
    chunks = [
        pl.DataFrame({"v": [next(values) for _ in range(size)]}, schema={"v": pl.Int64}) for size in sizes
    ]
    batches = list(rebatched(iter(chunks), rows))
    assert [v for batch in batches for v in batch["v"]] == list(range(sum(sizes)))
    assert all(batch.height == rows for batch in batches[:-1])


# --- retries ---


def caused(cause: BaseException | None) -> DataError:
    error = DataError("load: s3://bucket/x: cannot be reached")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (caused(ConnectionError("refused")), True),
        (TimeoutError("slow"), True),
        (caused(None), False),
        (caused(ValueError("no")), False),
        (ZeroDivisionError("numerics"), False),
    ],
)
def test_only_input_and_output_is_tried_again(error: BaseException, expected: bool) -> None:
    assert may_help(load, None, Failed(data=error)) is expected  # type: ignore[arg-type]
