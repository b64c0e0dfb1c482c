"""Static encoder: a sentence-transformers model -> a vector for each of its tokens; a text's vector is their sum.

No transformer runs on a text, only the tokenizer and a sum: for drafts, a first look, and corpora that would take days.
The table is distilled once on this machine from the model's own weights and kept in the user's cache folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from topicflow.tasks.encoding.encoder_cache import kept
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

VERSION = 2
"""Increase when equal weights must give a different table; part of the encoder's key."""

SIF = 1e-4
"""Parameter of `distilled_table`. k-means NMI on 3,000 questions of banking77: .664 for 1e-5, .671 for 1e-4, .626 for
1e-3, .569 without weights; .778 with the model itself."""

TINY = 1e-6
"""Weight of [UNK]'s vector in every sum: negligible with a word, and the direction of a text without words."""

DISTIL_TOKENS = 1_024
"""Tokens of the vocabulary that go through the model at a time."""


def static_identity(folder: Path) -> dict[str, Any]:
    """Return what decides the table in addition to weights and width.

    Raises
    ------
    ConfigError
        If the model has no tokenizer.json, which the `tokenizers` library reads.
    """
    if _tokenizer_file(folder) is None:
        msg = f"embed: method='static' needs a fast tokenizer, but {folder.name} has no tokenizer.json; use int8"
        raise ConfigError(msg)
    return {"version": VERSION, "tokenizers": package_version("tokenizers")}


class StaticEncoder:
    """A table of token vectors distilled from a sentence-transformers model.

    Parameters
    ----------
    folder : Path
        The model.
    key : str
        The encoder's key, under which the table is stored.
    dim : int
        Maximum number of dimensions.
    load_model : callable
        Loads the model; called if the table does not exist yet.
    cache : Path or None
        Folder of the tables; default `encoder_cache()`.
    """

    chunk_texts: int | None = None
    max_tokens: int | None = None

    def __init__(
        self,
        folder: Path,
        key: str,
        dim: int,
        load_model: Callable[[], SentenceTransformer],
        cache: Path | None = None,
    ) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(_tokenizer_file(folder)))
        backend.no_padding()  # all-MiniLM-L6-v2's own file pads every text to 128
        backend.no_truncation()
        self.key = key
        self._tokens = TextTokens(backend, "", None, marks=False)
        recipe = Recipe("embed", "static", VERSION, config={"dim": dim}, identity={"encoder": key})

        def make(writer: ArtifactWriter) -> None:
            table = distil(load_model(), backend, dim)
            writer.rows = len(table)
            writer.save_array("table", table)

        self._table = np.load(kept(recipe, make, cache) / "table.npy")
        self.dim = self._table.shape[1]
        self._first = (TINY * self._table[_unknown(backend)]).astype(np.float32)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return unit vectors (n_texts, dim) float32 and token lengths (n_texts,) int32; texts are not truncated."""
        from topicflow.tasks.core.words.token_sums import sum_rows

        ids, n_tokens = self._tokens(texts)
        sums = sum_rows(self._table, ids.flat, ids.ends, self._first)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        vectors: NDArray[np.float32] = sums / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors, n_tokens

    def encode_queries(
        self, texts: Sequence[str], prompt: str | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return vectors and lengths of queries; only a `prompt` distinguishes them from documents."""
        return self.encode([prompt + text for text in texts] if prompt else texts)


def distil(model: SentenceTransformer, backend: Any, dim: int) -> NDArray[np.float32]:  # noqa: ANN401
    """Return the table (n_tokens, dim) float32 of a model: the mean-pooled vector of each single token.

    Parameters
    ----------
    model : SentenceTransformer
        The loaded float32 model.
    backend : tokenizers.Tokenizer
        Its tokenizer.
    dim : int
        Maximum number of dimensions.

    Notes
    -----
    30,522 tokens with three ids each take as long in all-MiniLM-L6-v2 as 6,000 titles.
    """
    import torch

    from topicflow.tasks.core.words.token_sums import distilled_table

    marks = backend.encode("").ids
    transformer = model[0].auto_model
    n_tokens = min(backend.get_vocab_size(), transformer.get_input_embeddings().num_embeddings)
    vectors: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, n_tokens, DISTIL_TOKENS):
            words = torch.arange(start, min(n_tokens, start + DISTIL_TOKENS))
            columns = [
                *(torch.full_like(words, mark) for mark in marks[:-1]),
                words,
                *(torch.full_like(words, mark) for mark in marks[-1:]),
            ]
            hidden = transformer(input_ids=torch.stack(columns, dim=1)).last_hidden_state
            vectors.append(hidden.mean(1).float().cpu().numpy())
    return distilled_table(np.concatenate(vectors), _specials(backend, n_tokens), dim, SIF)


def _tokenizer_file(folder: Path) -> Path | None:
    return next(
        (path for path in (folder / "tokenizer.json", *folder.glob("*/tokenizer.json")) if path.is_file()),
        None,
    )


def _specials(backend: Any, n_tokens: int) -> NDArray[np.bool_]:  # noqa: ANN401
    """Return which tokens represent no text: all marks except the one for unknown tokens, and [unused…] entries."""
    added = {i for i, token in backend.get_added_tokens_decoder().items() if token.special}
    unused = {i for token, i in backend.get_vocab().items() if token.startswith("[unused")}
    return np.isin(np.arange(n_tokens), sorted((added | unused) - {_unknown(backend)}))


def _unknown(backend: Any) -> int:  # noqa: ANN401
    """Return the id of the token for unknown words; the last token if there is none."""
    vocabulary = backend.get_vocab()
    return next((vocabulary[name] for name in ("[UNK]", "<unk>") if name in vocabulary), len(vocabulary) - 1)
