"""Remarks: warnings before a person reads a run's results; most runs have none."""

import logging
from typing import Any

import pytest

from topicflow.configs.sections.cluster import ClassesCluster, GraphCluster, HdbscanCluster, KMeansCluster
from topicflow.tasks.log import LOG
from topicflow.tasks.publish.remarks import by_beginnings, loss_figures, losses, remarks, say_remarks


def test_a_crowd_is_reported_with_the_key_to_change() -> None:
    (said,) = remarks({"largest_topic_share": 0.984}, HdbscanCluster(method="hdbscan", min_cluster_size=12))
    assert said == (
        "One topic holds 98% of all documents. If you expected more topics, lower cluster.min_cluster_size (now 12) "
        'or set cluster.selection = "leaf"; if the documents are about one thing, this is the right answer.'
    )
    (other,) = remarks({"largest_topic_share": 0.51}, KMeansCluster(method="kmeans", n_clusters=2))
    assert "raise cluster.n_clusters (now 2)" in other


@pytest.mark.parametrize("share", [None, 0.0, 0.5])
def test_at_most_a_half_is_not_reported(share: float | None) -> None:
    assert remarks({"largest_topic_share": share}, GraphCluster()) == []
    assert remarks({}, HdbscanCluster(method="hdbscan")) == []


def test_classes_are_what_they_are() -> None:
    classes = ClassesCluster(method="classes", classifier="runs/classes/latest")
    assert remarks({"largest_topic_share": 0.9}, classes) == []


def test_a_limit_on_outliers_that_cannot_be_reached_is_reported() -> None:
    noise = {"n_topics": 0, "outlier_share": 1.0, "largest_topic_share": None}
    (said,) = remarks(noise, HdbscanCluster(method="hdbscan", max_outlier_share=0.05, min_cluster_size=40))
    assert said == (
        "cluster.max_outlier_share = 0.05 is not met: no topic was found, so that no document has one; "
        "lower cluster.min_cluster_size (now 40)."
    )
    assert remarks(noise, HdbscanCluster(method="hdbscan")) == []
    assert remarks(noise, HdbscanCluster(method="hdbscan", max_outlier_share=1.0)) == []
    assert (
        remarks(
            {"n_topics": 3, "outlier_share": 0.05}, HdbscanCluster(method="hdbscan", max_outlier_share=0.05)
        )
        == []
    )


@pytest.mark.parametrize(
    ("copies", "begins"),
    [
        (
            {"share": 0.545454, "n_vectors": 3},
            "55% of the documents are copies of 3 texts. A text counts once",
        ),
        ({"share": 0.1, "n_vectors": 1}, "10% of the documents are copies of one text."),
    ],
)
def test_copies_of_few_texts_are_reported(copies: dict[str, Any], begins: str) -> None:
    (said,) = remarks({}, HdbscanCluster(method="hdbscan"), copies)
    assert said.startswith(begins)
    assert remarks({}, HdbscanCluster(method="hdbscan"), {"share": 0.099, "n_vectors": 3}) == []


def test_unread_input_is_reported() -> None:
    source = {"n_empty": 150, "n_input_rows": 1_200, "n_replaced": 2, "has_passages": False}
    embedding = {"n_cut": 1_234, "max_tokens": 256}
    assert losses("topic_model", source, embedding, 5_000) == [
        "150 of 1,200 rows without text: left out.",
        "2 texts with bytes that are not UTF-8: U+FFFD stands for them.",
        (
            "1,234 of 5,000 documents are longer than the 256 tokens that the encoder reads; the rest of them is not "
            "in the vectors. To use all of the text, set load.split to model passages."
        ),
    ]
    (said,) = losses("deduplicate", {"n_empty": 0}, embedding, 5_000)
    assert said.endswith('set deduplicate.method = "both" to compare the words of whole texts.')
    (passages,) = losses("train_classifier", {"has_passages": True}, {"n_cut": 1, "max_tokens": 512}, 9)
    assert passages.startswith("1 of 9 passages is longer than the 512 tokens")
    assert passages.endswith("take an encoder that reads more.")
    assert loss_figures(source, embedding) == {"n_empty": 150, "n_cut": 1_234, "max_tokens": 256}


def test_an_input_that_was_read_completely_has_no_remark() -> None:
    source = {"n_empty": 0, "n_replaced": 0, "n_input_rows": 9}
    assert losses("topic_model", source, {"n_cut": 0, "max_tokens": 256}, 9) == []
    assert losses("topic_model", source, {}) == []
    assert loss_figures(source, {}) == {"n_empty": 0}


def test_duplicates_found_by_their_beginnings_are_reported() -> None:
    (said,) = by_beginnings({"n_by_beginning": 3, "n_duplicates": 40, "max_tokens": 256})
    assert said.startswith("3 of 40 duplicates known by the first 256 tokens of long texts alone")
    assert by_beginnings({"n_by_beginning": 0}) == []
    assert by_beginnings({}) == []


def test_remarks_are_logged_as_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, str]] = []
    monkeypatch.setattr(LOG, "handle", lambda record: said.append((record.levelno, record.getMessage())))
    say_remarks({"remarks": ["One topic."]})
    assert said == [(logging.WARNING, "note: One topic.")]


def test_rows_without_text_and_dates_that_are_none_are_named() -> None:
    source = {
        "n_empty": 7, "n_input_rows": 150, "empty_rows": [3, 17, 40, 41, 1_042], "n_cleaned_away": 2,
        "n_implausible_dates": 1, "implausible_date": "1970-01-01", "n_documents": 143,
    }  # fmt: skip
    assert losses("topic_model", source, {}) == [
        "7 of 150 rows without text: left out (rows 3, 17, 40, 41, 1,042, …, counted from 0).",
        "2 of 7 rows of these had text only before load.clean removed it.",
        "1 of 143 dates stand for no date, such as 1970-01-01: left out of the charts.",
    ]
