"""Recommend: how many held-back likes of made users are among the first 20 recommendations, as JSON.

    python -m tests.benchmarks.recommend --scratch DIR

Real users of these corpora do not exist: each of 200 users likes 30 documents of two or three classes, in unequal
shares (3:2:1), drawn from a corpus with classes. Ten likes are known and 20 are held back; all other documents of these
classes count as not liked, so that the figures are low for every method. `coverage` is the share of a user's classes
that the first 20 contain. Beside ours: popularity (the documents that most other users like), one mean of the likes,
and the cosine to the nearest like. `interests` are for the quantile of the config; the others vary it. The seconds are
processor time for all users; shared cores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.corpora import measured_corpora
from tests.benchmarks.labelled_vectors import index_of, labelled
from tests.benchmarks.peer import machine
from topicflow.tasks.core.vectors.distinct import DRAWN
from topicflow.tasks.discovery.recommend import Recommender

CORPORA = {"newsgroups": 2500, "banking77": 5000}
N_USERS, N_LIKED, N_KNOWN, K = 200, 30, 10, 20
SHARES = {2: (2, 1), 3: (3, 2, 1)}

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class User:
    """Rows of known and of held-back likes, and the classes."""

    known: Rows
    held: Rows
    classes: list[str]


def made_users(classes: NDArray[np.str_], seed: int = 0) -> list[User]:
    """Return users who like two or three classes of a corpus."""
    rng = np.random.default_rng(seed)
    names, sizes = np.unique(classes, return_counts=True)
    users = []
    for _ in range(N_USERS):
        own = rng.choice(names[sizes >= N_LIKED], size=int(rng.integers(2, 4)), replace=False)
        shares = np.array(SHARES[len(own)]) / sum(SHARES[len(own)])
        counts = np.round(shares * N_LIKED).astype(int)
        rows = np.concatenate(
            [
                rng.choice(np.flatnonzero(classes == name), n, replace=False)
                for name, n in zip(own, counts, strict=True)
            ]
        )
        rows = rng.permutation(rows)
        users.append(User(rows[:N_KNOWN], rows[N_KNOWN:], own.tolist()))
    return users


def by_cosine(vectors: NDArray[np.float32], score: NDArray[np.floating], known: Rows) -> Rows:
    """Return the K rows of the highest score that are not known."""
    score = score.copy()
    score[known] = -np.inf
    return np.argsort(-score, kind="stable")[:K]


def methods(
    recommender: Recommender, vectors: NDArray[np.float32], users: list[User]
) -> dict[str, Callable[[User], Rows]]:
    """Return each method as a function from a user to K rows."""
    popular = np.bincount(np.concatenate([user.known for user in users]), minlength=len(vectors)).astype(
        float
    )

    def popularity(user: User) -> Rows:
        return by_cosine(vectors, popular - np.isin(np.arange(len(vectors)), user.known), user.known)

    def one_mean(user: User) -> Rows:
        return by_cosine(vectors, vectors @ vectors[user.known].mean(axis=0), user.known)

    def nearest_like(user: User) -> Rows:
        return by_cosine(vectors, (vectors @ vectors[user.known].T).max(axis=1), user.known)

    def interests(user: User) -> Rows:
        profile = recommender.profile({f"d{row}": 1.0 for row in user.known.tolist()})
        found = recommender.recommend(profile, K)
        return np.array([int(each.hit.doc_id[1:]) for each in found], np.int64)

    return {
        "popularity": popularity,
        "one_mean": one_mean,
        "nearest_like": nearest_like,
        "interests": interests,
    }


def scores(
    found: Rows, user: User, classes: NDArray[np.str_], vectors: NDArray[np.float32]
) -> dict[str, float]:
    """Return nDCG and recall of the held-back likes, coverage of the classes, and the mean cosine within the list."""
    hits = np.isin(found, user.held)
    gains = 1 / np.log2(np.arange(2, K + 2))
    own = vectors[found]
    pairs = (own @ own.T)[np.triu_indices(len(found), 1)]
    return {
        "ndcg": float((hits * gains[: len(hits)]).sum() / gains[: min(K, len(user.held))].sum()),
        "recall": float(hits.sum() / min(K, len(user.held))),
        "coverage": float(np.isin(user.classes, classes[found]).mean()),
        "of_the_classes": float(np.isin(classes[found], user.classes).mean()),
        "alike": float(pairs.mean()),
    }


def measured(name: str, n: int, scratch: Path) -> dict[str, Any]:
    """Return the mean scores of each method over the users of a corpus."""
    corpus = labelled(name, n, scratch)
    index = index_of(corpus.texts, corpus.vectors, scratch / f"{name}-index")
    users = made_users(corpus.classes)
    plain = Recommender(index)
    tried: dict[str, Callable[[User], Rows]] = methods(plain, corpus.vectors, users)
    for quantile in (0.8, 0.95):
        other = Recommender(index)
        other.spread = replace(other.spread, high=quantile_of(corpus.vectors, quantile))
        tried[f"interests_{quantile}"] = methods(other, corpus.vectors, users)["interests"]
    single = Recommender(index)
    single.spread = replace(single.spread, high=1.01)
    tried["each_like_alone"] = methods(single, corpus.vectors, users)["interests"]
    for diversity in (0.3,):
        varied = Recommender(index, diversity=diversity)
        tried[f"diversity_{diversity}"] = methods(varied, corpus.vectors, users)["interests"]
    rows = {}
    for method, of_user in tried.items():
        started = time.process_time()
        found = [of_user(user) for user in users]
        seconds = time.process_time() - started
        each = [
            scores(own, user, corpus.classes, corpus.vectors) for own, user in zip(found, users, strict=True)
        ]
        means = {key: round(float(np.mean([one[key] for one in each])), 4) for key in each[0]}
        error = float(np.std([one["ndcg"] for one in each]) / np.sqrt(len(each)))
        rows[method] = means | {"ndcg_error": round(error, 4), "cpu_s": round(seconds, 2)}
    n_interests = [
        len(plain.profile({f"d{row}": 1.0 for row in user.known.tolist()}).interests) for user in users
    ]
    return {
        "corpus": name,
        "n_index": len(index),
        "n_interests": float(np.mean(n_interests)),
        "methods": rows,
    }


def quantile_of(vectors: NDArray[np.float32], quantile: float) -> float:
    """Return a quantile of the cosines of two documents, as the recommender draws them."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(vectors))[:DRAWN])
    cosines = (vectors[drawn] @ vectors[drawn].T)[np.triu_indices(len(drawn), 1)]
    return float(np.quantile(cosines, quantile))


def main() -> None:
    rows = measured_corpora(__doc__, CORPORA, measured)
    print(json.dumps({"machine": machine(), "users": N_USERS, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
