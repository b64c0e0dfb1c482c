"""Group words: word counts of topics and the topics of each group -> keywords of the groups; no text is read again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.words.counts import emphasize, top_words, topic_counts, weigh_classes

Keywords = list[list[tuple[str, float]]]

LIFT = 1.25
"""A word names a group if the group uses it this many times as often as all documents do. Otherwise every large group
of news is named `said`, as the whole corpus is."""


@dataclass(frozen=True)
class TopicCounts:
    """How often each word occurs in each topic.

    Attributes
    ----------
    classes, present : sparse matrices of shape (n_topics + n_noise, n_words)
        Occurrences, and documents that contain the word; row 0 is noise if there is any.
    sizes : ndarray of shape (n_topics,), int64
        Documents of each topic.
    words : list of str
        The words of the columns.
    """

    classes: csr_matrix
    present: csr_matrix
    sizes: NDArray[np.int64]
    words: list[str]

    @classmethod
    def of(cls, counts: csr_matrix, words: list[str], labels: NDArray[np.int32]) -> TopicCounts:
        """Return the sums of the word counts (n_docs, n_words) of the documents of each label, -1 for noise.

        O(non-zero counts).
        """
        first = int(min(labels.min(initial=0), 0))
        classes, present = topic_counts(counts, labels, first)
        sizes = np.bincount(labels[labels >= 0], minlength=classes.shape[0] + first)
        return cls(classes, present, sizes, words)

    def keywords(self, members: csr_matrix, config: LabelConfig) -> Keywords:
        """Return the keywords of each group with weights, best first.

        Parameters
        ----------
        members : sparse matrix of shape (n_groups, n_topics), int64
            1 for each topic of a group.
        config : LabelConfig
            Weighting and number of keywords.

        Notes
        -----
        The weight of a word is that of topics: its share of the group's words times the idf among all topics, and the
        factors `spread` and `exclusivity`. A group of one topic has the topic's keywords.
        """
        sums, holders = (self._summed(each, members) for each in (self.classes, self.present))
        if 0 in sums.shape or not sums.nnz:
            return [[] for _ in range(members.shape[0])]
        weights, _ = weigh_classes(
            sums,
            bm25_weighting=config.bm25_weighting,
            reduce_frequent_words=config.reduce_frequent_words,
            among=self.classes,
        )
        sizes = self._own(members) @ self.sizes
        scores = emphasize(
            weights, sums, holders, sizes, config.spread, config.exclusivity, among=self.classes
        )
        return [
            [(self.words[i], weight) for i, weight in zip(columns.tolist(), values.tolist(), strict=True)]
            for columns, values in top_words(scores, config.top_n_words)
        ]

    def name_words(self, members: csr_matrix, keywords: Keywords) -> list[list[str]]:
        """Return the keywords of each group in the order for its name: first those that it uses LIFT times as often."""
        sums = self._summed(self.classes, members)
        column = {word: at for at, word in enumerate(self.words)} if sums.nnz else {}
        totals = np.bincount(self.classes.indices, self.classes.data, self.classes.shape[1])
        shares = totals / max(totals.sum(), 1.0)
        found = []
        for group, own in enumerate(keywords):
            row = sums[group]
            used = dict(zip(row.indices.tolist(), (row.data / max(row.data.sum(), 1)).tolist(), strict=True))
            words = [word for word, _ in own]
            lifted = {word for word in words if used[column[word]] >= LIFT * shares[column[word]]}
            found.append(sorted(words, key=lambda word: word not in lifted))
        return found

    def _own(self, members: csr_matrix) -> csr_matrix:
        """Return the members without topics that have no document, which are the last ones."""
        return csr_matrix(members[:, : len(self.sizes)])

    def _summed(self, classes: csr_matrix, members: csr_matrix) -> csr_matrix:
        """Return the sums (n_groups, n_words) of the topics' rows, columns ascending."""
        topics = classes[classes.shape[0] - len(self.sizes) :].astype(np.int64)
        sums = csr_matrix(self._own(members) @ topics)
        sums.sort_indices()
        return sums
