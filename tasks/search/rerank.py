"""Rerank: a query and texts -> how well a cross-encoder, which reads both at once, thinks they match (n_texts,)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.errors import ConfigError

_ALONE = threading.Lock()
"""One thread reads at a time: what cuts texts into tokens is changed while it does."""


def rerank_scores(model: str, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the score (n_texts,) of each text; the higher, the better it answers the query.

    Parameters
    ----------
    model : str
        A cross-encoder of sentence-transformers: a folder, or a hub name.
    query : str
        What is asked for.
    texts : sequence of str
        What may answer.

    Raises
    ------
    ConfigError
        When the model cannot be loaded, or gives more than one number a pair.

    Notes
    -----
    A forward pass of the model a text: for the best hundred, not for a corpus.
    """
    if not texts:
        return np.zeros(0)
    pairs = [(query, text) for text in texts]
    with _ALONE:
        found = np.asarray(_cross_encoder(model).predict(pairs, show_progress_bar=False), np.float64)
    if found.ndim != 1:
        msg = f"rerank: {model} gives {found.shape[1]} numbers a pair, expected one; it is no reranker"
        raise ConfigError(msg)
    return found


@lru_cache(maxsize=1)
def _cross_encoder(model: str) -> Any:  # noqa: ANN401  (a CrossEncoder)
    """Return the loaded model, with no code of its own run; a process keeps the last."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(model).expanduser()
    try:
        return CrossEncoder(str(folder) if folder.is_dir() else model, trust_remote_code=False)
    except Exception as error:  # hub client and loader raise a dozen kinds; each means the same here
        msg = (
            f"rerank: {model!r} is neither a folder with a cross-encoder nor reachable on the hub "
            f"({type(error).__name__}); leave --rerank out"
        )
        raise ConfigError(msg) from error
