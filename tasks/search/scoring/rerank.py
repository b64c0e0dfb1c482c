"""Rerank: a query and texts -> a cross-encoder's scores of how well they match, (n_texts,); it reads both together."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.model_files.lost_weights import lost_weights, refuse_lost
from topicflow.tasks.errors import ConfigError

_ALONE = threading.Lock()
"""One thread at a time: the tokenizer's settings change during a call."""


def rerank_scores(model: str, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the score (n_texts,) of each text; a higher score means a better answer to the query.

    Parameters
    ----------
    model : str
        A cross-encoder of sentence-transformers: a folder, or a hub name.
    query : str
        The query.
    texts : sequence of str
        The texts to score.

    Raises
    ------
    ConfigError
        If the model cannot be loaded, or gives more than one number per pair.

    Notes
    -----
    One forward pass of the model per text: for the best hundred, not for a corpus.
    """
    if not texts:
        return np.zeros(0)
    pairs = [(query, text) for text in texts]
    with _ALONE:
        found = np.asarray(_cross_encoder(model).predict(pairs, show_progress_bar=False), np.float64)
    if found.ndim != 1:
        msg = f"rerank: {model} gives {found.shape[1]} numbers per pair, expected one; it is not a reranker"
        raise ConfigError(msg)
    return found


@lru_cache(maxsize=1)
def _cross_encoder(model: str) -> Any:  # noqa: ANN401  (a CrossEncoder)
    """Return the loaded model, without running code from its folder; a process keeps the last model."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = Path(model).expanduser()
    try:
        with lost_weights() as lost:
            found = CrossEncoder(str(folder) if folder.is_dir() else model, trust_remote_code=False)
    except Exception as error:  # hub client and loader raise a dozen kinds; all mean the same here
        msg = (
            f"rerank: {model!r} is neither a folder with a cross-encoder nor reachable on the hub "
            f"({type(error).__name__}); leave --rerank out"
        )
        raise ConfigError(msg) from error
    refuse_lost(lost, f"rerank: {model}")
    return found
