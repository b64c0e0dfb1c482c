"""BERTopic hierarchy: the merges of topics -> the table that BERTopic's `hierarchical_topics` returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.clusters.linkage import Dendrogram
from topicflow.tasks.tree.group_words import TopicCounts

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "Parent_ID": pl.String,
    "Parent_Name": pl.String,
    "Topics": pl.List(pl.Int64),
    "Child_Left_ID": pl.String,
    "Child_Left_Name": pl.String,
    "Child_Right_ID": pl.String,
    "Child_Right_Name": pl.String,
    "Distance": pl.Float64,
}

NAME_WORDS = 5
"""Keywords in a name, as in BERTopic."""


def hierarchical_topics(
    keywords: Sequence[Sequence[str]],
    dendrogram: Dendrogram | None,
    word_counts: TopicCounts,
    labelling: LabelConfig,
) -> pl.DataFrame:
    """Return one row a merge, the last one first; `to_pandas()` of it fits BERTopic's `get_topic_tree`.

    Parameters
    ----------
    keywords : sequence of sequence of str
        Keywords of each topic.
    dendrogram : Dendrogram or None
        The merges; None without topics.
    word_counts : TopicCounts
        How often each word occurs in each topic.
    labelling : LabelConfig
        Weighting and number of keywords.

    Notes
    -----
    Topics have the numbers of the BERTopic model. O(n_topics^2) memory at worst: every merge lists its topics.

    References
    ----------
    bertopic 0.17.4, `BERTopic.hierarchical_topics`.
    """
    if dendrogram is None or not len(dendrogram.merges):
        return pl.DataFrame(schema=SCHEMA)
    n = dendrogram.n_topics
    topics = [[topic] for topic in range(n)]
    for left, right in dendrogram.merges.tolist():
        topics.append(sorted(topics[left] + topics[right]))
    merged = topics[n:]
    ranges = np.cumsum([0, *map(len, merged)])
    members = csr_matrix((np.ones(ranges[-1], np.int64), np.concatenate(merged), ranges), (len(merged), n))
    words = [list(each) for each in keywords]
    words += [[word for word, _ in each] for each in word_counts.keywords(members, labelling)]
    names = ["_".join(each[:NAME_WORDS]) for each in words]
    rows = [
        (str(n + at), names[n + at], merged[at], str(left), names[left], str(right), names[right], distance)
        for at, ((left, right), distance) in enumerate(
            zip(dendrogram.merges.tolist(), dendrogram.distances.tolist(), strict=True)
        )
    ]
    return pl.DataFrame(rows[::-1], schema=SCHEMA, orient="row")
