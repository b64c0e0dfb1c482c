"""Probes: a server and a model's name -> what identifies the model that answers to this name today.

A name says little: the server may have other weights under it tomorrow. Some short texts are embedded, and their
vectors are kept in the store. As long as the server gives nearly the same vectors, it is the same model. If it does
not, the encoder has another key and no vector of the old model is used. Servers repeat their own vectors only to some
digits, so that a digest of today's vectors would be new every day: the digest is that of the vectors that were kept
first.
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
"""Bump when other texts are embedded; part of every encoder's key."""

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
"""Of each probe between two days: half precision gives .99999 from batch to batch, 8-bit weights .998."""

KIND = "probes"

RETRIES = 2
"""Further tries of the first request of a process, 2 s in all: whoever types the command waits for it."""


@dataclass(frozen=True)
class Identity:
    """What answers to a model's name: the digest of its probes, their artifact, and the name it gives itself."""

    digest: str
    ref: ArtifactRef | None
    dim: int
    served: str


def identify(
    endpoint: Endpoint, store: ArtifactStore | None, *, keep: bool, least_dim: int | None = None
) -> Identity:
    """Return what identifies the model that the endpoint has today.

    Parameters
    ----------
    endpoint : Endpoint
        The server; it is asked once in the life of a process.
    store : ArtifactStore, optional
        Where the vectors of the probes are kept; without one today's vectors count alone.
    keep : bool
        Write the vectors if they are new.
    least_dim : int, optional
        Dimensions that are needed.

    Raises
    ------
    ConfigError
        If address, model, key or `least_dim` do not fit the server.
    UnreachableError
        If no server answers and the store knows no probes of this model.
    """
    try:
        answer = probe(endpoint)
    except UnreachableError as error:
        known = None if store is None else _newest(store, endpoint.model)
        if known is None:
            raise
        LOG.warning("%s; what the store has of %s is used", error, endpoint.model)
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
    """Return what the endpoint answers to the probes, one after the other in one request.

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
    """Return the recipe of the probes of the model that answered as the `number`-th to this name."""
    return Recipe("embed", KIND, VERSION, config={"model": model, "number": number})


def _kept(
    store: ArtifactStore, model: str, vectors: NDArray[np.float32], *, keep: bool
) -> tuple[str, ArtifactRef | None]:
    """Return the digest and the artifact of the probes that are nearly these vectors; new ones are kept."""
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
            "embed: the model of the name %r has changed since the last run: its texts are embedded again",
            model,
        )
    with store.writing(made) as writer:
        writer.save_array("vectors", vectors)
        writer.rows = len(vectors)
    ref = store.committed(made, writer)
    return _digest(np.asarray(store.array(ref, "vectors"))), ref  # those of another run that was faster


def _newest(store: ArtifactStore, model: str) -> Identity | None:
    """Return the model that answered last to this name; None if there was none."""
    found = None
    for number in count():
        ref = store.find(recipe(model, number), claim=False)
        if ref is None:
            return found
        known = np.asarray(store.array(ref, "vectors"))
        found = Identity(_digest(known), ref, known.shape[1], "")
    return found


def _is_same(known: NDArray[np.float32], vectors: NDArray[np.float32]) -> bool:
    """Return whether two answers to the probes are of one model."""
    if known.shape != vectors.shape:
        return False
    a, b = known.astype(np.float64), vectors.astype(np.float64)
    cosines = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return bool((cosines >= LEAST_COSINE).all())


def _digest(vectors: NDArray[np.float32]) -> str:
    """Return the digest of vectors."""
    return digest(np.ascontiguousarray(vectors).tobytes())
