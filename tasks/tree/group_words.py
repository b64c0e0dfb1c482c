"""Group words: word counts of topics and the topics of each group -> keywords of the groups; no text is read again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.words.counts import emphasize, top_words, topic_counts, weigh_classes

Keywords = list[list[tuple[str, float]]]


def group_keywords(
    counts: csr_matrix,
    words: list[str],
    labels: NDArray[np.int32],
    members: csr_matrix,
    config: LabelConfig,
) -> Keywords:
    """Return the keywords of each group with weights, best first.

    Parameters
    ----------
    counts : sparse matrix of shape (n_docs, n_words), int32
        Word counts of the documents.
    words : list of str
        The words of its columns.
    labels : ndarray of shape (n_docs,), int32
        Topic of each document, -1 for none.
    members : sparse matrix of shape (n_groups, n_topics), int64
        1 for each topic of a group.
    config : LabelConfig
        Weighting and number of keywords.

    Notes
    -----
    The weight of a word is that of topics: its share of the group's words times the idf among all topics, and the
    factors `spread` and `exclusivity`. A group of one topic has the topic's keywords. O(non-zero counts) once, and then
    the sums of the topics' counts.
    """
    first = int(min(labels.min(initial=0), 0))
    topics, present = topic_counts(counts, labels, first)
    n_topics = topics.shape[0] + first
    members = csr_matrix(members[:, :n_topics])  # topics without documents are the last ones
    if 0 in topics.shape or n_topics == 0:
        return [[] for _ in range(members.shape[0])]
    sums, holders = (members @ each[-first:].astype(np.int64) for each in (topics, present))
    sums.sort_indices()
    holders.sort_indices()
    weights, _ = weigh_classes(
        sums,
        bm25_weighting=config.bm25_weighting,
        reduce_frequent_words=config.reduce_frequent_words,
        among=topics,
    )
    sizes = members @ np.bincount(labels[labels >= 0], minlength=n_topics)
    scores = emphasize(weights, sums, holders, sizes, config.spread, config.exclusivity, among=topics)
    return [
        [(words[i], weight) for i, weight in zip(columns.tolist(), values.tolist(), strict=True)]
        for columns, values in top_words(scores, config.top_n_words)
    ]
