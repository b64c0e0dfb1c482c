"""Guess: planted columns are found, reported, and written as a config that loads and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from topicflow.configs.read import load_config
from topicflow.tasks.documents import guess as guess_module
from topicflow.tasks.documents.first_config import render_config
from topicflow.tasks.documents.guess import Guess, guess_config
from topicflow.tasks.documents.load import load
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

N = 200
WORDS = ["river", "stone", "market", "signal", "garden", "engine", "letter", "window"]


def prose(i: int, n_words: int = 12) -> str:
    return f"{i} " + " ".join(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(n_words))


def table(**more: Any) -> pl.DataFrame:
    columns = {
        "review_id": [f"r{i}" for i in range(N)],
        "createdAt": [f"2024-01-{i % 28 + 1:02d}" for i in range(N)],
        "Category": [WORDS[i % 4] for i in range(N)],
        "stars": [i % 5 for i in range(N)],
        "link": [f"https://example.org/a/rather/long/path/to/{i}" * 3 for i in range(N)],
        "Review Text": [prose(i) for i in range(N)],
    }
    return pl.DataFrame(columns | more)


def guessed(path: Path) -> Guess:
    """Guess, and check that the config is accepted and the load stage can use it."""
    guess = guess_config(path)
    target = path.parent / "guessed.toml"
    target.write_text(render_config(guess), encoding="utf-8")
    config = load_config(target)
    ref = load.fn(Context(ArtifactStore(path.parent / "store")), config.load)
    assert ref.rows > 0
    return guess


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_planted_columns_are_found(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"My reviews (2024).{ending}"
    getattr(table(), f"write_{ending}")(path)
    guess = guessed(path)
    assert guess.text_columns == ("Review Text",)
    assert (guess.id_column, guess.timestamp_column, guess.label_column) == (
        "review_id",
        "createdAt",
        "Category",
    )
    assert (guess.n_rows, guess.name) == (N, "My-reviews-2024")
    assert guess.reasons[1].startswith(
        "text: column 'Review Text', because its name fits and its texts have "
    )
    assert "id: column 'review_id', because of its name, and its values are unique" in guess.reasons


@pytest.mark.parametrize(
    ("dates", "line", "reason"),
    [
        (
            ["03/04/2024", "31/01/2024"],
            'date_order = "dmy"  # day first',
            "such as '31/01/2024' are read day first",
        ),
        (
            ["03/04/2024", "01/31/2024"],
            'date_order = "mdy"  # month first',
            "'01/31/2024' are read month first",
        ),
        (
            ["03/04/2024", "05/06/2024"],
            'date_order = "mdy"  # month first; "dmy" if 03/04/2024 has the day first',
            "may be month first or day first and no row decides",
        ),
    ],
)
def test_the_order_of_dates_is_written_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dates: list[str], line: str, reason: str
) -> None:
    monkeypatch.setattr(guess_module, "HEAD_ROWS", 50)
    monkeypatch.setattr(guess_module, "_CHUNK_ROWS", 50)
    path = tmp_path / "a.csv"
    table(createdAt=[dates[0]] * (N - 1) + [dates[1]]).write_csv(path)  # the last row tells
    guess = guessed(path)
    assert line in render_config(guess).splitlines()
    assert reason in next(each for each in guess.reasons if each.startswith("time: "))


def test_dates_in_only_one_order_need_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    table().write_csv(path)
    assert "date_order" not in render_config(guessed(path))


def test_a_title_is_put_before_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table(title=[f"Title of {i}" for i in range(N)]).write_parquet(path)
    guess = guessed(path)
    assert guess.text_columns == ("title", "Review Text")
    assert 'text_column = ["title", "Review Text"]' in render_config(guess)


def test_ids_and_times_are_confirmed_over_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guess_module, "HEAD_ROWS", 50)
    late = table().with_row_index("n")
    repeat = pl.when(pl.col("n") == N - 1).then(pl.lit("r0")).otherwise(pl.col("review_id"))
    broken = pl.when(pl.col("n") == N - 1).then(pl.lit("soon")).otherwise(pl.col("createdAt"))
    path = tmp_path / "a.csv"
    late.with_columns(review_id=repeat, createdAt=broken).drop("n").write_csv(path)
    guess = guessed(path)
    assert (guess.id_column, guess.timestamp_column, guess.n_rows) == (None, None, N)
    assert (
        "id: column 'review_id' has the name of an id column, but its values repeat; ids are made from the texts"
        in guess.reasons
    )
    assert any(
        "'createdAt' looked like times, but row 199 contains 'soon'" in reason for reason in guess.reasons
    )


def test_numbers_are_times_only_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"text": [prose(i) for i in range(N)], "votes": range(2000, 2000 + N)})
    frame.write_parquet(path)
    assert guessed(path).timestamp_column is None
    frame.rename({"votes": "year"}).write_parquet(path)
    assert guessed(path).timestamp_column == "year"


def test_a_split_column_is_not_a_label_but_one_of_two_values_is(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"text": [prose(i) for i in range(N)], "split": ["train", "test"] * (N // 2)})
    frame.write_parquet(path)
    assert guessed(path).label_column is None
    frame.rename({"split": "side"}).write_parquet(path)
    assert guessed(path).label_column == "side"


def test_long_texts_point_at_passages(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pl.DataFrame({"body": [prose(i, 300) for i in range(N)]}).write_parquet(path)
    guess = guessed(path)
    assert guess.is_long
    assert "# [load.split]" in render_config(guess)


def test_bytes_that_are_not_utf8_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\n" + "\n".join(prose(i) for i in range(N)).encode() + b" caf\xc3\xa9 \x81 time\n")
    guess = guessed(path)
    assert guess.keys == {"encoding_errors": "replace"}
    assert any(reason.startswith("encoding: ") for reason in guess.reasons)


def test_a_folder_of_texts(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / "texts" / f"{i}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "texts" / f"{i}.txt").write_text(prose(i))
    guess = guessed(tmp_path / "texts")
    assert (guess.text_columns, guess.id_column, guess.label_column, guess.name) == (
        ("text",),
        None,
        None,
        "texts",
    )
    assert "id: the file's path in the folder" in guess.reasons


def test_the_smallest_topic_is_chosen_by_the_run(tmp_path: Path) -> None:
    path, config = tmp_path / "a.parquet", tmp_path / "a.toml"
    pl.DataFrame({"text": [prose(i, 3) for i in range(20)]}).write_parquet(path)
    config.write_text(render_config(guess_config(path)))
    cluster = load_config(config).cluster
    assert (cluster.min_cluster_size, cluster.topics, cluster.about) == ("auto", None, None)


@pytest.mark.parametrize("content", ["n,m\n1,2\n3,4\n", "text\n"])
def test_no_text_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=r"init: .*: no column contains text in the") as caught:
        guess_config(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_has_the_message_of_load(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        guess_config(tmp_path / "nothing.csv")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    other=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)
def test_hostile_names_render_as_toml(tmp_path: Path, text: str, other: str) -> None:
    if text == other:
        other += "x"
    path = tmp_path / "a.parquet"
    pl.DataFrame({text: [prose(i) for i in range(20)], other: [i % 2 == 0 for i in range(20)]}).write_parquet(
        path
    )
    guess = guess_config(path)
    target = tmp_path / "guessed.toml"
    target.write_text(render_config(guess), encoding="utf-8")
    load_section = load_config(target).load
    assert load_section.text_column == text
    assert load_section.path == str(path)


def test_hostile_file_names_render_as_toml(tmp_path: Path) -> None:
    path = tmp_path / 'a "b"\n[c] #.parquet'
    pl.DataFrame({'te"xt.\n': [prose(i) for i in range(20)]}).write_parquet(path)
    assert guessed(path).name == "a-b-c"


@pytest.mark.parametrize(
    ("n", "said"),
    [(3, "rows: 3, 1 columns; topics need dozens of documents, expect none"), (30, "rows: 30, 1 columns")],
)
def test_a_few_rows_are_not_promised_to_make_topics(tmp_path: Path, n: int, said: str) -> None:
    path = tmp_path / "a.csv"
    pl.DataFrame({"text": [f"the battery of phone {i} lasts long" for i in range(n)]}).write_csv(path)
    assert guess_config(path).reasons[0] == said
