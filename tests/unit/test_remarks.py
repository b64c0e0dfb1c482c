"""Remarks: one topic that holds most documents is said, with the key to turn; else nothing is."""

import logging

import pytest

from topicflow.configs.sections.cluster import ClassesCluster, HdbscanCluster, KMeansCluster
from topicflow.tasks.log import LOG
from topicflow.tasks.publish.remarks import remarks, say_remarks


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


def test_remarks_are_logged_as_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, str]] = []
    monkeypatch.setattr(LOG, "handle", lambda record: said.append((record.levelno, record.getMessage())))
    say_remarks({"remarks": ["One topic."]})
    assert said == [(logging.WARNING, "note: One topic.")]
