"""Recommend: what a person likes and dislikes, and an index -> documents that the person has not seen, best first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.tasks.core.vectors.distinct import Spread
from topicflow.tasks.core.vectors.nearest import RowArray
from topicflow.tasks.discovery.interests import Interest, find_interests
from topicflow.tasks.discovery.spread import spread_of
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.arguments import list_of_ids, number, optional_text, whole_number, within
from topicflow.tasks.search.index import Hit, SearchIndex

FloatArray = NDArray[np.float32]

WHERE = "recommend"
"""Beginning of messages."""

CERTAINTY = 1.5
"""Power of the share of an interest that decides its turns: one of a single like may be none (tests/benchmarks)."""

SPARE = 4
"""Candidates of each interest for each wanted document at first, and the factor for the next attempt."""


@dataclass(frozen=True)
class Recommendation:
    """One recommended document.

    Attributes
    ----------
    hit : Hit
        The document; its score is the mean of its cosines to the centre of the interest and to its nearest like.
    interest : int
        Number of the interest, 0 for the largest.
    because : str
        Id of the liked document that is most similar.
    """

    hit: Hit
    interest: int
    because: str


@dataclass(frozen=True)
class Profile:
    """What a person likes and dislikes, as rows of an index, and the interests in it.

    Attributes
    ----------
    liked, disliked : ndarray of shape (n,), int64
    interests : list of Interest
    """

    liked: RowArray
    disliked: RowArray
    interests: list[Interest]


@dataclass(frozen=True)
class Items:
    """What recommending needs to know of the documents of an index, whoever asks.

    Attributes
    ----------
    rows : dict of str to int
        The row of each document that is not removed, by its id.
    spread : Spread
        Which cosines are high among them, and from which on two documents are copies.
    """

    rows: dict[str, int]
    spread: Spread

    @classmethod
    def of(cls, index: SearchIndex) -> Items:
        """Return the items of an index; some milliseconds for 10,000 documents."""
        ids = index.documents["doc_id"].to_list()
        return cls({ids[row]: row for row in index.rows.tolist()}, spread_of(index))


class Recommender:
    """Recommends documents of an index.

    Parameters
    ----------
    index : SearchIndex
    where : str, optional
        A condition on the recommended documents, as in a search.
    diversity : float
        From 0, the most similar documents, to 1, documents as different from each other as possible.
    items : Items, optional
        Those of the index, if they are known already.

    Raises
    ------
    ConfigError
        If `where` cannot be parsed, or `diversity` is not from 0 to 1.
    """

    def __init__(
        self,
        index: SearchIndex,
        where: str | None = None,
        diversity: float = 0.0,
        items: Items | None = None,
    ) -> None:
        self.index, self.diversity = index, within("diversity", diversity, 1, WHERE)
        kept = index.filtered(optional_text("where", where, WHERE))
        self._kept = ~index.files.removed() if kept is None else kept
        items = items or Items.of(index)
        self._rows, self.spread = items.rows, items.spread

    def known(self, ids: Iterable[str]) -> list[str]:
        """Return the ids that the index has, in their order."""
        return [each for each in ids if each in self._rows]

    def profile(self, liked: Mapping[str, float], disliked: Sequence[str] = ()) -> Profile:
        """Return the profile of a person who likes and dislikes some documents; unknown ids are left out.

        Raises
        ------
        ConfigError
            If nothing is liked, or the index has none of the liked documents.
        """
        if not liked:
            msg = f"{WHERE}: no document is liked; name at least one, dislikes alone do not say what to look for"
            raise ConfigError(msg)
        ids = self.known(liked)
        if not ids:
            msg = f"{WHERE}: none of the {len(liked):,} liked documents is in the index; check their ids"
            raise ConfigError(msg)
        rows = np.array([self._rows[each] for each in ids], np.int64)
        weights = np.array([liked[each] for each in ids], np.float64)
        interests = find_interests(self.index.vectors.gather(rows), weights, self.spread.high)
        against = np.array([self._rows[each] for each in self.known(disliked)], np.int64)
        return Profile(rows, against, interests)

    def recommend(self, profile: Profile, k: int = 10) -> list[Recommendation]:
        """Return at most `k` documents that the profile does not contain, the interests taking turns by their shares.

        Notes
        -----
        A document is left out if it is a copy of a liked, a disliked or an already recommended one, or more similar to
        a disliked document than to each liked one. Within an interest the next document maximises
        (1 - diversity) · score - diversity · cosine to the nearest recommended one.

        References
        ----------
        Carbonell, Goldstein: The use of MMR, diversity-based reranking (SIGIR 1998). Steck: Calibrated recommendations
        (RecSys 2018): the list has each interest by its share.
        """
        k = whole_number("k", k, 1, WHERE)
        kept = self._kept.copy()
        kept[np.append(profile.liked, profile.disliked)] = False
        n_kept, depth = int(kept.sum()), SPARE * k
        while n_kept:
            turns = _Turns(self, profile, kept, min(depth, n_kept))
            found = turns.take(k)
            if len(found) >= k or depth >= n_kept:
                return self._shown(profile, found)
            depth *= SPARE
        return []

    def _shown(self, profile: Profile, found: list[_Taken]) -> list[Recommendation]:
        rows = np.array([each.row for each in found], np.int64)
        vectors, liked = self.index.vectors.gather(rows), self.index.vectors.gather(profile.liked)
        hits = self.index.hits(rows, np.array([each.score for each in found], np.float64), None)
        because = profile.liked[(vectors @ liked.T).argmax(axis=1)]
        ids = self.index.documents["doc_id"]
        return [
            Recommendation(hit, each.interest, ids[int(row)])
            for hit, each, row in zip(hits, found, because, strict=True)
        ]


@dataclass(frozen=True)
class _Taken:
    """A recommended row, the number of its interest, and its score."""

    row: int
    interest: int
    score: float


class _Turns:
    """The candidates of a profile's interests, which take turns."""

    def __init__(
        self, recommender: Recommender, profile: Profile, kept: NDArray[np.bool_], depth: int
    ) -> None:
        index, self.diversity, self.copy = recommender.index, recommender.diversity, recommender.spread.copy
        self.shares = np.array([each.share for each in profile.interests]) ** CERTAINTY
        centres = np.stack([each.centre for each in profile.interests])
        rows, similarities = index.nearest(centres, depth, kept)
        self.rows = np.unique(rows[rows >= 0])
        self.vectors = index.vectors.gather(self.rows)
        self.relevance = np.full((len(centres), len(self.rows)), -np.inf, np.float32)
        liked = self.vectors @ index.vectors.gather(profile.liked).T
        for interest, (own, cosines) in enumerate(zip(rows, similarities, strict=True)):
            places = np.searchsorted(self.rows, own[own >= 0])
            nearest = liked[places][:, profile.interests[interest].places].max(axis=1)
            self.relevance[interest, places] = (cosines[own >= 0] + nearest) / 2
        self.relevance[:, ~self._wanted(index, profile, liked.max(axis=1))] = -np.inf
        self.nearest = np.full(len(self.rows), -1.0, np.float32)  # cosine to the nearest that was taken

    def _wanted(self, index: SearchIndex, profile: Profile, liked: FloatArray) -> NDArray[np.bool_]:
        """Return which candidates are no copies of seen documents, and nearer to a liked one than to a disliked one.

        Parameters
        ----------
        index, profile
        liked : ndarray of shape (n,), float32
            Cosine of each candidate to the nearest liked document.
        """
        wanted: NDArray[np.bool_] = liked < self.copy
        if len(profile.disliked):
            disliked = (self.vectors @ index.vectors.gather(profile.disliked).T).max(axis=1)
            wanted &= (disliked < self.copy) & (disliked <= liked)
        return wanted

    def take(self, k: int) -> list[_Taken]:
        """Return documents in the order in which they are recommended."""
        found: list[_Taken] = []
        taken = np.zeros(len(self.shares))
        while len(found) < k:
            there = np.isfinite(self.relevance).any(axis=1)
            if not there.any():
                break
            turns = np.where(there, self.shares / (2 * taken + 1), -1.0)  # Sainte-Laguë: seats by share
            number = int(turns.argmax())
            left = np.flatnonzero(np.isfinite(self.relevance[number]))
            gain = (1 - self.diversity) * self.relevance[number, left] - self.diversity * self.nearest[left]
            place = int(left[gain.argmax()])
            found.append(_Taken(int(self.rows[place]), number, float(self.relevance[number, place])))
            taken[number] += 1
            self.nearest = np.maximum(self.nearest, self.vectors @ self.vectors[place])
            self.relevance[:, (self.nearest >= self.copy) | (np.arange(len(self.rows)) == place)] = -np.inf
        return found


def weights_of(liked: object) -> dict[str, float]:
    """Return the weight of each liked document, 1 if none is set.

    Raises
    ------
    ConfigError
        If `liked` is neither a list of ids nor maps ids to weights, or a weight is not above 0.
    """
    if not isinstance(liked, Mapping):
        return dict.fromkeys(list_of_ids(f"{WHERE}: liked", liked), 1.0)
    found = {}
    for doc_id, value in zip(list_of_ids(f"{WHERE}: liked", liked), liked.values(), strict=True):
        found[doc_id] = number(f"the weight of {doc_id!r}", value, WHERE)
        if not 0 < found[doc_id] < np.inf:
            msg = f"{WHERE}: the weight of {doc_id!r} is {value}, expected a number above 0; dislikes have a list"
            raise ConfigError(msg)
    return found


def recommendations_table(found: Mapping[str, list[Recommendation]]) -> pl.DataFrame:
    """Return one row a recommendation: user, rank, item, score, interest, because, text."""
    rows = [
        (user, rank, each.hit.doc_id, each.hit.score, each.interest, each.because, each.hit.text)
        for user, own in found.items()
        for rank, each in enumerate(own, 1)
    ]
    kinds = {
        "user": pl.String, "rank": pl.Int32, "item": pl.String, "score": pl.Float32, "interest": pl.Int32,
        "because": pl.String, "text": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=kinds, orient="row")
