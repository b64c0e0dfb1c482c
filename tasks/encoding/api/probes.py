"""Probes: a server and a model's name -> the identity of the model that has this name today.

A name is not enough: the server may have other weights with the same name tomorrow. So some short texts are embedded,
and their vectors are kept in the store. As long as the server gives nearly the same vectors, it has the same model.
Otherwise the encoder gets another key, and no vector of the old model is used. Servers repeat their own vectors only
to some digits, so that a digest of today's vectors would be new every day: the identity is the digest of the vectors
that were stored first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.api.answers import Answer
from topicflow.tasks.encoding.api.client import ApiClient
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.log import LOG
from topicflow.tasks.servers.client import RefusedError, UnreachableError
from topicflow.tasks.servers.endpoint import Endpoint
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe, digest

VERSION = 1
"""Increase it if other texts are embedded; part of every encoder's key."""

PROBES = (
    "Spin waves in two-dimensional antiferromagnets",
    "Best pizza in town, would come again!",
    "Das Wetter ist heute sehr schön, wir fahren mit dem Zug an den See.",
    "How do I reset my password if I no longer have access to my old phone number?",
    (
        "The treaty was signed in 1648, ending a war of thirty years, and it reshaped the map of the continent for "
        "more than a century: borders moved, princes chose their churches, and great powers met to balance each other."
    ),
)
"""Texts of several kinds and lengths; their vectors identify a model."""

LEAST_COSINE = 0.9995
"""Minimum cosine of each probe between two days: half precision gives .99999 between batches, 8-bit weights .998."""

KIND = "probes"

RETRIES = 2
"""Retries of the first request of a process, 2 s in all: a user waits for it."""


@dataclass(frozen=True)
class Identity:
    """The identity of a model: the digest of its probes, their artifact, its dimensions, and its name on the server."""

    digest: str
    ref: ArtifactRef | None
    dim: int
    served: str


def identify(
    endpoint: Endpoint, store: ArtifactStore | None, *, keep: bool, least_dim: int | None = None
) -> Identity:
    """Return the identity of the endpoint's current model.

    Parameters
    ----------
    endpoint : Endpoint
        The server; it is asked once per process.
    store : ArtifactStore, optional
        The store of the probes' vectors; without one, only today's vectors are used.
    keep : bool
        Whether to store the vectors if they are new.
    least_dim : int, optional
        Minimum number of dimensions.

    Raises
    ------
    ConfigError
        If address, model, key or `least_dim` do not fit the server.
    UnreachableError
        If no server answers and the store has no probes of this model.
    """
    try:
        answer = probe(endpoint)
    except UnreachableError as error:
        known = None if store is None else _newest(store, endpoint.model)
        if known is None:
            raise
        LOG.warning("%s; the vectors of %s in the store are used", error, endpoint.model)
        return known
    dim = answer.vectors.shape[1]
    if least_dim is not None and dim < least_dim:
        msg = f"embed.dim={least_dim} exceeds the {dim} dimensions that {endpoint.model} at {endpoint.url} gives"
        raise ConfigError(msg)
    if store is None:
        return Identity(_digest(answer.vectors), None, dim, answer.model)
    found, ref = _kept(store, endpoint.model, answer.vectors, keep=keep)
    return Identity(found, ref, dim, answer.model)


@lru_cache(maxsize=8)
def probe(endpoint: Endpoint) -> Answer:
    """Return the endpoint's answer to the probes, sent in one request.

    Raises
    ------
    ConfigError
        If the server refuses the request, or gives vectors that cannot be used.
    UnreachableError
        If no server answers.
    """
    try:
        answer = ApiClient(endpoint).ask(PROBES, retries=min(RETRIES, endpoint.retries))
    except RefusedError as error:
        msg = (
            f"embed: {endpoint.url} gives no vectors of five short texts for the model {endpoint.model!r} "
            f"({error.refusal}); check embed.url and embed.model, and that the server is started for embeddings"
        )
        raise ConfigError(msg) from None
    if not answer.usable.all():
        msg = f"embed: {endpoint.url} gives vectors that are zero or not finite for short texts; check its model"
        raise ConfigError(msg)
    return answer


def recipe(model: str, number: int) -> Recipe:
    """Return the recipe of the probes of the `number`-th model with this name."""
    return Recipe("embed", KIND, VERSION, config={"model": model, "number": number})


def _kept(
    store: ArtifactStore, model: str, vectors: NDArray[np.float32], *, keep: bool
) -> tuple[str, ArtifactRef | None]:
    """Return the digest and the artifact of the probes that are nearly equal to these vectors; new ones are stored."""
    for number in count():
        made = recipe(model, number)
        ref = store.find(made, claim=keep)
        if ref is None:
            break
        known = np.asarray(store.array(ref, "vectors"))
        if _is_same(known, vectors):
            return _digest(known), ref
    if not keep:
        return _digest(vectors), None
    if number:
        LOG.warning(
            "embed: the model with the name %r has changed since the last run: its texts are embedded again",
            model,
        )
    with store.writing(made) as writer:
        writer.save_array("vectors", vectors)
        writer.rows = len(vectors)
    ref = store.committed(made, writer)
    return _digest(np.asarray(store.array(ref, "vectors"))), ref  # of another run, if that was faster


def _newest(store: ArtifactStore, model: str) -> Identity | None:
    """Return the last model with this name; None if there is none."""
    found = None
    for number in count():
        ref = store.find(recipe(model, number), claim=False)
        if ref is None:
            return found
        known = np.asarray(store.array(ref, "vectors"))
        found = Identity(_digest(known), ref, known.shape[1], "")
    return found


def _is_same(known: NDArray[np.float32], vectors: NDArray[np.float32]) -> bool:
    """Return whether two answers to the probes come from the same model."""
    if known.shape != vectors.shape:
        return False
    a, b = known.astype(np.float64), vectors.astype(np.float64)
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return bool((cosines >= LEAST_COSINE).all())


def _digest(vectors: NDArray[np.float32]) -> str:
    """Return the digest of vectors."""
    return digest(np.ascontiguousarray(vectors).tobytes())
