"""Fakes: a hash encoder, planted topics with known answers, a tiny sentence-transformers model, saved artifacts."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix

from topicflow.configs.sections.count import CountConfig
from topicflow.tasks.encoding.vector_store import text_digests
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, ArtifactWriter, Recipe
from topicflow.tasks.store.manifests import sealed
from topicflow.tasks.topics.count import count_texts

TOPIC_WORDS = (
    ("cat", "dog", "bird", "fish", "horse", "sheep"),
    ("tea", "milk", "juice", "wine", "water", "coffee"),
    ("red", "blue", "green", "pink", "white", "black"),
)


class HashEncoder:
    """An encoder whose vector of a text is the sum of its words' hashed vectors; it counts the texts."""

    def __init__(self, dim: int = 16, key: str = "hash", fail_after: int | None = None) -> None:
        self.key, self.dim, self.fail_after = key, dim, fail_after
        self.texts: list[str] = []
        self.calls: list[list[str]] = []

    def word(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return np.random.default_rng(seed).standard_normal(self.dim)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        if self.fail_after is not None and len(self.calls) >= self.fail_after:
            raise KeyboardInterrupt
        self.calls.append(list(texts))
        self.texts += texts
        vectors = np.array([sum((self.word(w) for w in text.split()), np.zeros(self.dim)) for text in texts])
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        lengths = np.array([len(text.split()) for text in texts], np.int32)
        return vectors.reshape(len(texts), self.dim).astype(np.float32), lengths


@dataclass(frozen=True)
class Corpus:
    """Texts, unit vectors (n, 16), the true topic of each (-1 for none), and points (n, 5) to cluster."""

    texts: list[str]
    embeddings: np.ndarray
    truth: np.ndarray
    points: np.ndarray


def planted_corpus(n_per_topic: int = 40, n_noise: int = 12, seed: int = 0) -> Corpus:
    """Return documents of three topics, each around its own axis, and noise between the axes."""
    rng = np.random.default_rng(seed)
    truth = np.append(np.repeat(np.arange(3), n_per_topic), np.full(n_noise, -1)).astype(np.int32)
    truth = rng.permutation(truth)
    everything = [word for words in TOPIC_WORDS for word in words]
    texts = [
        " ".join(rng.choice(TOPIC_WORDS[t] if t >= 0 else everything, 8)) + f" d{row}"
        for row, t in enumerate(truth)
    ]
    centres = np.vstack([np.eye(3, 16), np.zeros(16)])[truth]
    vectors = centres + np.where(truth[:, None] >= 0, 0.1, 0.5) * rng.normal(size=(len(truth), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = 10 * centres[:, :5] + np.where(truth[:, None] >= 0, 0.5, 30.0) * rng.normal(size=(len(truth), 5))
    return Corpus(texts, vectors.astype(np.float32), truth, points.astype(np.float32))


def save(
    store: ArtifactStore,
    kind: str,
    files: dict[str, Any],
    meta: dict[str, Any] | None = None,
    name: str = "planted",
) -> ArtifactRef:
    """Return the reference of an artifact with arrays, tables and JSON values."""
    recipe = Recipe(stage=kind, kind=kind, version=1, config={"name": name})
    with store.writing(recipe) as writer:
        for file, value in files.items():
            if isinstance(value, pl.DataFrame):
                writer.save_table(file, value)
            elif isinstance(value, np.ndarray):
                writer.save_array(file, value)
            else:
                writer.save_json(file, value)
            writer.rows = len(value)
        writer.meta = meta or {}
    return store.committed(recipe, writer)


def rewrite_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest of an artifact's folder, with a new digest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["digest"]
    change(manifest)
    path.write_bytes(sealed(manifest))


def save_documents(
    store: ArtifactStore, texts: Sequence[str], name: str = "planted", **columns: Sequence[Any]
) -> ArtifactRef:
    """Return a documents artifact like the load stage's; `columns` are the input's own."""
    n = len(texts)
    documents = pl.DataFrame(
        {"row": np.arange(n, dtype=np.uint32), "doc_id": [f"d{i}" for i in range(n)], "text": list(texts)}
    )
    own = pl.DataFrame({"text": list(texts), **columns})
    meta = {
        "texts": hashlib.blake2b(text_digests(texts).tobytes(), digest_size=16).hexdigest(),
        "n_input_rows": n, "n_empty": 0, "n_documents": n, "has_passages": False, "columns": own.columns,
    }  # fmt: skip
    return save(store, "documents", {"columns": own, "documents": documents}, meta, name)


def counted(
    parts: Iterable[Sequence[str]], config: CountConfig, n_threads: int = 2
) -> tuple[csr_matrix, list[str]]:
    """Return the counts and words that `count_texts` writes for texts in parts."""
    with tempfile.TemporaryDirectory() as folder:
        writer = ArtifactWriter(Path(folder), "counted")
        count_texts(parts, config, writer, n_threads)
        left = sorted(path.name for path in Path(folder).iterdir())
        assert left == ["data.npy", "indices.npy", "indptr.npy", "words.parquet"]
        words = pl.read_parquet(Path(folder) / "words.parquet")["word"].to_list()
        arrays = tuple(np.load(Path(folder) / f"{name}.npy") for name in ("data", "indices", "indptr"))
    return csr_matrix(arrays, shape=(writer.rows, len(words))), words


# --- a real model, made in a second ---

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def tiny_model(folder: Path, prompts: dict[str, str] | None = None, max_seq_length: int = 16) -> Path:
    """Return the folder of a seeded BERT of two layers and 32 dimensions with mean pooling.

    Its vocabulary has every letter, so that a word of n letters is n word pieces.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    bert = folder.with_name(f"{folder.name}-bert")
    bert.mkdir(parents=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", *_LETTERS, *(f"##{c}" for c in _LETTERS)]
    (bert / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(bert)
    BertTokenizerFast(vocab={token: i for i, token in enumerate(vocabulary)}).save_pretrained(bert)
    layers = Transformer(str(bert), max_seq_length=max_seq_length)
    model = SentenceTransformer(modules=[layers, Pooling(32)], device="cpu", prompts=prompts)
    model.save(str(folder), create_model_card=False)
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Change values of a JSON file in place."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def tiny_clip(folder: Path) -> Path:
    """Return the folder of a seeded CLIP of two small towers with its tokenizer and image processor."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizerFast

    folder.mkdir(parents=True)
    letters = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS)]
    vocabulary = {token: i for i, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizerFast(vocab=vocabulary, merges=[], model_max_length=32)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": vocabulary["<|startoftext|>"], "eos_token_id": vocabulary["<|endoftext|>"]}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**sizes, **ends, "vocab_size": len(vocabulary), "max_position_embeddings": 32},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder
