"""Recommending: what `import topicflow as tf` offers to ask of an index beside its own methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from topicflow.tasks.discovery.recommend import Recommendation, Recommender, weights_of
from topicflow.tasks.search.arguments import list_of_ids
from topicflow.tasks.search.index import SearchIndex


def recommend(
    index: SearchIndex | str | Path | None,
    liked: Iterable[str] | Mapping[str, float],
    disliked: Iterable[str] = (),
    *,
    k: int = 10,
    where: str | None = None,
    diversity: float = 0.0,
) -> list[Recommendation]:
    """Return documents that are like the ones that a person likes, best first: `topicflow recommend`.

    Parameters
    ----------
    index : SearchIndex, str, Path or None
        An open index; or the run of one in the folder `runs`: name, id or folder; the newest index if None.
    liked : iterable of str, or mapping of str to float
        Ids of documents, or their weights above 0; ids that the index lacks are left out.
    disliked : iterable of str
        Ids of documents; whatever is more similar to one of them than to each liked one is left out.
    k : int
        Maximum number of documents.
    where : str, optional
        A condition on the recommended documents, as in a search.
    diversity : float
        From 0, the most similar documents, to 1, documents as different from each other as possible.

    Returns
    -------
    list of Recommendation
        The `hit` with its score, the number of the `interest`, and the id of the liked document that is most similar
        (`because`).

    Raises
    ------
    ConfigError
        If nothing is liked or the index has none of it, a value is out of its range, or there is no such index.

    Notes
    -----
    Whoever asks for many persons makes one `tasks.discovery.recommend.Recommender`, which reads the index once.

    Examples
    --------
    >>> tf.recommend("search", ["r1000", "r1001"], ["r1003"], k=5)  # doctest: +SKIP
    """
    recommender = Recommender(_opened(index), where, diversity)
    profile = recommender.profile(weights_of(liked), list_of_ids("recommend: disliked", disliked))
    return recommender.recommend(profile, k)


def _opened(index: SearchIndex | str | Path | None) -> SearchIndex:
    if isinstance(index, SearchIndex):
        return index
    from topicflow.tasks.search.index_files import IndexFiles
    from topicflow.tasks.search.locate import find_index, open_record

    store, key, record = open_record(find_index(Path("runs"), None if index is None else str(index)))
    return SearchIndex(IndexFiles.open(store, key), record)
