"""Remarks: what a person should know before reading a run's results is said; of most runs there is nothing."""

import logging
from typing import Any

import pytest

from topicflow.configs.sections.cluster import ClassesCluster, HdbscanCluster, KMeansCluster
from topicflow.tasks.log import LOG
from topicflow.tasks.publish.remarks import by_beginnings, loss_figures, losses, remarks, say_remarks


def test_a_crowd_is_said_with_the_key_to_turn() -> None:
    (said,) = remarks({"largest_topic_share": 0.984}, HdbscanCluster(min_cluster_size=12))
    assert said == (
        "One topic holds 98% of all documents. If you expected more topics, lower cluster.min_cluster_size (now 12) "
        'or set cluster.selection = "leaf"; if the documents are about one thing, this is the right answer.'
    )
    (other,) = remarks({"largest_topic_share": 0.51}, KMeansCluster(method="kmeans", n_clusters=2))
    assert "raise cluster.n_clusters (now 2)" in other


@pytest.mark.parametrize("share", [None, 0.0, 0.5])
def test_at_a_half_and_below_there_is_nothing_to_say(share: float | None) -> None:
    assert remarks({"largest_topic_share": share}, HdbscanCluster()) == []
    assert remarks({}, HdbscanCluster()) == []


def test_classes_are_what_they_are() -> None:
    classes = ClassesCluster(method="classes", classifier="runs/classes/latest")
    assert remarks({"largest_topic_share": 0.9}, classes) == []


def test_a_bound_on_outliers_that_cannot_be_met_is_said() -> None:
    noise = {"n_topics": 0, "outlier_share": 1.0, "largest_topic_share": None}
    (said,) = remarks(noise, HdbscanCluster(max_outlier_share=0.05, min_cluster_size=40))
    assert said == (
        "cluster.max_outlier_share = 0.05 is not met: no topic was found, so that no document has one; "
        "lower cluster.min_cluster_size (now 40)."
    )
    assert remarks(noise, HdbscanCluster()) == []
    assert remarks(noise, HdbscanCluster(max_outlier_share=1.0)) == []
    assert remarks({"n_topics": 3, "outlier_share": 0.05}, HdbscanCluster(max_outlier_share=0.05)) == []


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
def test_copies_of_few_texts_are_said(copies: dict[str, Any], begins: str) -> None:
    (said,) = remarks({}, HdbscanCluster(), copies)
    assert said.startswith(begins)
    assert remarks({}, HdbscanCluster(), {"share": 0.099, "n_vectors": 3}) == []


def test_what_was_not_read_is_said() -> None:
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


def test_of_an_input_that_was_read_whole_there_is_nothing_to_say() -> None:
    source = {"n_empty": 0, "n_replaced": 0, "n_input_rows": 9}
    assert losses("topic_model", source, {"n_cut": 0, "max_tokens": 256}, 9) == []
    assert losses("topic_model", source, {}) == []
    assert loss_figures(source, {}) == {"n_empty": 0}


def test_duplicates_that_are_known_by_their_beginnings_are_said() -> None:
    (said,) = by_beginnings({"n_by_beginning": 3, "n_duplicates": 40, "max_tokens": 256})
    assert said.startswith("3 of 40 duplicates known by the first 256 tokens of long texts alone")
    assert by_beginnings({"n_by_beginning": 0}) == []
    assert by_beginnings({}) == []


def test_remarks_are_logged_as_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, str]] = []
    monkeypatch.setattr(LOG, "handle", lambda record: said.append((record.levelno, record.getMessage())))
    say_remarks({"remarks": ["One topic."]})
    assert said == [(logging.WARNING, "note: One topic.")]
