"""Trees of any topics: one path from each topic to the root, sizes that add up, keywords as if counted in texts."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from topicflow.configs.sections.label import LabelConfig
from topicflow.tasks.core.clusters.linkage import average_linkage, layer_counts
from topicflow.tasks.tree.group_words import TopicCounts
from topicflow.tasks.tree.layers import tree_nodes
from topicflow.tasks.tree.shown_tree import down_to, shown_tree
from topicflow.tasks.tree.tree import nodes_table

QUICK = settings(max_examples=40, deadline=None)


def topics_of(sizes: list[int]) -> pl.DataFrame:
    """Return the table of topics with these sizes."""
    n = len(sizes)
    return pl.DataFrame(
        {
            "topic": pl.Series(range(n), dtype=pl.Int32),
            "size": pl.Series(sizes, dtype=pl.UInt32),
            "name": [f"topic {topic}" for topic in range(n)],
            "keywords": [[f"word{topic}"] for topic in range(n)],
            "weights": [[1.0] for _ in range(n)],
        }
    )


def wordless(sizes: list[int]) -> TopicCounts:
    """Return the counts of topics whose documents have no words."""
    empty = csr_matrix((len(sizes), 0), dtype=np.int64)
    return TopicCounts(empty, empty, np.array(sizes), [])


def shown(sizes: list[int], seed: int, about: int | None) -> pl.DataFrame:
    means = np.random.default_rng(seed).normal(size=(len(sizes), 3))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    dendrogram = average_linkage(means, np.array(sizes))
    topics = topics_of(sizes)
    nodes = nodes_table(
        topics, dendrogram, layer_counts(dendrogram.distances, about), wordless(sizes), LabelConfig()
    )
    return shown_tree(nodes, topics)


@QUICK
@given(
    sizes=st.lists(st.integers(0, 500), min_size=1, max_size=60),
    seed=st.integers(0, 99),
    about=st.none() | st.integers(2, 70),
)
def test_each_topic_has_one_path_to_the_root(sizes: list[int], seed: int, about: int | None) -> None:
    found = shown(sizes, seed, about)
    rows: dict[str, dict[str, Any]] = {row["node"]: row for row in found.iter_rows(named=True)}
    assert len(rows) == found.height
    assert [row["node"] for row in rows.values() if row["parent"] is None] == [found["node"][0]]
    seen: set[str] = set()
    for row in rows.values():
        assert row["parent"] is None or row["parent"] in seen  # a parent is above its children
        seen.add(row["node"])
        assert row["size"] == sum(sizes[topic] for topic in row["topics"])
        children = [other for other in rows.values() if other["parent"] == row["node"]]
        assert [child["size"] for child in children] == sorted((c["size"] for c in children), reverse=True)
        if row["topic"] is not None:
            assert (row["layer"], row["topics"], row["node"]) == (0, [row["topic"]], str(row["topic"]))
            continue
        assert len(children) >= 2
        assert all(child["layer"] < row["layer"] for child in children)
        assert sorted(topic for child in children for topic in child["topics"]) == row["topics"]
    for layer in range(found["layer"].max() + 1):  # the nodes of a layer have each topic once
        inside = found.filter(pl.col("layer") <= layer, pl.col("parent_layer").fill_null(99) > layer)
        assert sorted(inside["topics"].explode().to_list()) == list(range(len(sizes)))
        assert set(down_to(found, layer)["node"]) >= set(inside["node"])
    leaves = found.filter(pl.col("topic").is_not_null())
    assert sorted(leaves["topic"]) == list(range(len(sizes)))
    assert len(set(found["name"])) == found.height


@QUICK
@given(seed=st.integers(0, 10_000), layer=st.integers(1, 12))
def test_every_layer_has_the_groups_of_its_number(seed: int, layer: int) -> None:
    means = np.random.default_rng(seed).normal(size=(30, 4))
    dendrogram = average_linkage(means / np.linalg.norm(means, axis=1, keepdims=True), np.ones(30, np.int64))
    counts = layer_counts(dendrogram.distances)
    nodes = tree_nodes(dendrogram, counts, np.ones(30, np.int64))
    at = min(layer, len(counts)) - 1
    groups = {
        tuple(np.flatnonzero(dendrogram.roots(counts[at]) == root)) for root in dendrogram.roots(counts[at])
    }
    sets = [tuple(nodes.members[node].indices.tolist()) for node in range(len(nodes.parents))]
    assert len(groups) == counts[at]
    assert groups <= set(sets)
    assert all(nodes.layers[sets.index(group)] <= at + 1 for group in groups)


def counted_by_hand(
    texts: list[list[int]], labels: np.ndarray, topics: list[int], config: LabelConfig, n_words: int
) -> np.ndarray:
    """Return the weight (n_words,) of each word in a group, from its documents one by one."""
    own = [text for text, label in zip(texts, labels, strict=True) if label in topics]
    classes = {int(label) for label in labels}
    total = np.zeros(n_words)
    for text in texts:
        for word in text:
            total[word] += 1
    sums, holders = np.zeros(n_words), np.zeros(n_words)
    for text in own:
        for word in text:
            sums[word] += 1
        for word in set(text):
            holders[word] += 1
    average = int(total.sum() / len(classes))
    weights = np.zeros(n_words)
    for word in np.flatnonzero(sums):
        share = sums[word] / sums.sum()
        share = share**0.5 if config.reduce_frequent_words else share
        f = total[word]
        idf = (
            np.log(1 + (average - f + 0.5) / (f + 0.5)) if config.bm25_weighting else np.log(average / f + 1)
        )
        factor = (holders[word] / len(own)) ** config.spread * (sums[word] / f) ** config.exclusivity
        weights[word] = share * idf * factor
    return weights


@pytest.mark.parametrize(
    "config",
    [
        LabelConfig(),
        LabelConfig(spread=0, exclusivity=0),
        LabelConfig(reduce_frequent_words=True, exclusivity=1),
    ],
)
@QUICK
@given(seed=st.integers(0, 10_000), noise=st.booleans())
def test_keywords_are_those_of_all_documents_of_a_group(config: LabelConfig, seed: int, noise: bool) -> None:
    rng = np.random.default_rng(seed)
    n_topics, n_words = int(rng.integers(2, 6)), 12
    labels = np.append(np.arange(n_topics), rng.integers(-1 if noise else 0, n_topics, 30)).astype(np.int32)
    texts = [rng.integers(0, n_words, rng.integers(1, 9)).tolist() for _ in labels]
    counts = np.array([np.bincount(text, minlength=n_words) for text in texts], np.int32)
    kept = counts.sum(axis=0) > 0  # a word that occurs nowhere is no column
    columns = np.cumsum(kept) - 1
    texts = [[int(columns[word]) for word in text] for text in texts]
    words = [f"w{column}" for column in range(int(kept.sum()))]
    groups = [[0], [0, 1], list(range(n_topics))]
    members = csr_matrix(
        np.array([[topic in group for topic in range(n_topics)] for group in groups], np.int64)
    )
    summed = TopicCounts.of(csr_matrix(counts[:, kept]), words, labels)
    found = summed.keywords(members, config)
    named = summed.name_words(members, found)
    assert [sorted(each) for each in named] == [sorted(word for word, _ in each) for each in found]
    for group, keywords in zip(groups, found, strict=True):
        expected = counted_by_hand(texts, labels, group, config, len(words))
        given_weights = dict(keywords)
        best = np.sort(expected)[::-1][: config.top_n_words]
        np.testing.assert_allclose([weight for _, weight in keywords], best[best > 0], rtol=1e-9)
        for word, weight in given_weights.items():
            assert expected[int(word[1:])] == pytest.approx(weight)
