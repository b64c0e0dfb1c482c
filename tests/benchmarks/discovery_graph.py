"""Recommendations and novelty on an index with a graph: seconds and results beside exact search; prints JSON.

    python -m tests.benchmarks.discovery_graph --scratch DIR [--documents 100000]

The index of `serving_search` (arXiv titles, all-MiniLM-L6-v2 in int8), in the same scratch folder. 100 made users each
like ten titles among the nearest 200 of two drawn titles; the recommendations are the first 20. The new documents are
500 titles that are not in the index. Exact: the same index, each query compared with all documents. Seconds are
processor time; shared cores.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.peer import machine
from tests.benchmarks.serving_search import make_index, queries
from topicflow.tasks.discovery.novelty import Scored, score_new
from topicflow.tasks.discovery.recommend import Items, Recommender
from topicflow.tasks.search.index import SearchIndex

N_USERS, N_LIKED, AMONG, K, N_NEW = 100, 10, 200, 20, 500

Likes = list[dict[str, float]]


def made_users(index: SearchIndex) -> Likes:
    """Return what users like."""
    rng = np.random.default_rng(0)
    ids = index.documents["doc_id"]
    found = []
    for _ in range(N_USERS):
        centres = index.vectors.gather(np.sort(rng.choice(index.rows, 2, replace=False)))
        near = index.nearest(centres, AMONG)[0].ravel()
        found.append(dict.fromkeys(ids.gather(rng.choice(near, N_LIKED, replace=False)).to_list(), 1.0))
    return found


def timed(function: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return the result of a function, and its processor and wall seconds."""
    started = time.process_time(), time.perf_counter()
    found = function()
    spent = time.process_time() - started[0], time.perf_counter() - started[1]
    return found, {"processor_s": round(spent[0], 2), "wall_s": round(spent[1], 2)}


def recommended(index: SearchIndex, users: Likes) -> tuple[list[list[str]], dict[str, Any]]:
    """Return the first recommendations of each user, and the seconds."""
    items, once = timed(lambda: Items.of(index))
    recommender = Recommender(index, items=items)

    def each() -> list[list[str]]:
        return [
            [one.hit.doc_id for one in recommender.recommend(recommender.profile(likes), K)]
            for likes in users
        ]

    found, took = timed(each)
    return found, {"items_of_the_index": once, "all_users": took}


def ranks(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the rank of each value."""
    found = np.empty(len(values))
    found[np.argsort(values, kind="stable")] = np.arange(len(values))
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=100_000)
    given = parser.parse_args()
    make_index(given.scratch, given.documents)
    index = SearchIndex.open(given.scratch / "runs/search/latest")
    new = index.queries.encode(queries()[:N_NEW])[0]
    users, lists, scores = made_users(index), {}, {}
    figures: dict[str, Any] = {"recommend": {}, "novelty": {}}
    for way in ("graph", "exact"):
        if way == "exact":
            index._open.__dict__["graph"] = None
        lists[way], figures["recommend"][way] = recommended(index, users)
        scores[way], figures["novelty"][way] = timed(lambda: score_new(index, new))
    same = [len(set(a) & set(b)) / len(b) for a, b in zip(lists["graph"], lists["exact"], strict=True)]
    figures["recommend"]["share_of_the_exact_first_20"] = round(float(np.mean(same)), 4)
    figures["novelty"] |= compared(scores["graph"], scores["exact"])
    about = {"benchmark": "discovery_graph", **machine(), "documents": len(index), "users": N_USERS}
    print(json.dumps({**about, "new_documents": N_NEW, **figures}, indent=2))


def compared(graph: Scored, exact: Scored) -> dict[str, float]:
    """Return how alike the scores of both ways are."""
    tenth = N_NEW // 10
    first, theirs = (set(np.argsort(-each.scores)[:tenth].tolist()) for each in (graph, exact))
    return {
        "rank_correlation": round(float(np.corrcoef(ranks(graph.scores), ranks(exact.scores))[0, 1]), 5),
        "mean_difference": round(float(np.abs(graph.scores - exact.scores).mean()), 6),
        "share_of_the_exact_farthest_tenth": len(first & theirs) / tenth,
    }


if __name__ == "__main__":
    main()
