"""Texts per second for sentence-transformers and for our encoders, on the same arXiv titles in one run.

The clock covers `encode` alone, of texts in memory to vectors in memory: tokenising, the model, pooling, unit length.
Loading is measured separately (`load_s`), with `from_cache` false if it quantised or distilled: `--fresh` starts with
an empty cache of encoders, and loads a second time from it (`load_again_s`). Each encoder embeds the same titles
`--rounds` times, taking turns, and its best round counts (`processor_s`: of all threads, in the best round); all on
the CPU with `--threads`. Cosines are to sentence-transformers' float32. Below about a thousand titles our float32
looks slow: it fills each length's batch to 256 tokens.

    python -m tests.benchmarks.embedding --rows 20000
    python -m tests.benchmarks.embedding --rows 1000 --long
    python -m tests.benchmarks.embedding --rows 2000 --nmi banking77_train bbc_news    what int8 and static cost
    python -m tests.benchmarks.embedding --rows 262144 --device cuda --encoders float16 --titles reddit_titles_1m

With `--nmi`, the whole pipeline runs on up to `--rows` documents of each corpus, drawn with seed 42, with each
encoder; its NMI against the corpus's labels is printed, outliers as one class.

On a GPU (`--device cuda`) the peer is sentence-transformers in half precision with its batch of 32, and also with the
`--peer-batch` that suits the device; `limits` gives the seconds of our parts, each measured alone: tokenising, token
blocks (with tokenising), arithmetic on existing blocks, copying vectors back.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import parse_config
from topicflow.configs.sections.embed import EmbedConfig, SentenceTransformersEmbed, StaticEmbed
from topicflow.flows.running.start import start_topic_model
from topicflow.tasks.encoding.embed import CHUNK_TEXTS
from topicflow.tasks.encoding.encoder_cache import encoder_cache
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import Encoder, load_encoder
from topicflow.tasks.encoding.float_encoder import (
    BLOCK_TEXTS,
    SentenceTransformersEncoder,
    any_shape,
    token_block,
)

WAYS: dict[str, SentenceTransformersEmbed | StaticEmbed] = {
    "float32": SentenceTransformersEmbed(precision="float32"),
    "auto": SentenceTransformersEmbed(),
    "bfloat16": SentenceTransformersEmbed(precision="bfloat16"),
    "float16": SentenceTransformersEmbed(precision="float16"),
    "int8": SentenceTransformersEmbed(precision="int8"),
    "static": StaticEmbed(method="static"),
}
WARM_TEXTS = 64
LONG_TOKENS = 200
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """sentence-transformers' own `encode`, in the precision that suits the device."""

    batch: int
    device: str

    @property
    def name(self) -> str:
        """The encoder's name in the result."""
        return f"sentence-transformers {self.precision}, batch {self.batch}"

    @property
    def precision(self) -> str:
        """float16 on a GPU."""
        return "float16" if self.device == "cuda" else "float32"

    def load(self, n_threads: int) -> Encode:
        """Return its encode, used as in its documentation."""
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(n_threads)
        folder = find_encoder(SentenceTransformersEmbed(precision=self.precision), self.device).folder
        options = {"dtype": getattr(torch, self.precision)}
        model = SentenceTransformer(str(folder), device=self.device, model_kwargs=options)
        return lambda texts: model.encode(
            list(texts), batch_size=self.batch, normalize_embeddings=True, show_progress_bar=False
        )


@dataclass(frozen=True)
class Ours:
    """One of our encoders; texts go to it in the order and the chunks of the embed stage."""

    name: str
    device: str

    def load(self, n_threads: int) -> Encode:
        """Return its encode."""
        encoder = self.encoder(n_threads)
        chunk = encoder.chunk_texts or CHUNK_TEXTS[self.device]

        def encode(texts: Sequence[str]) -> np.ndarray:
            order = np.argsort([-len(text) for text in texts], kind="stable")
            vectors = np.empty((len(texts), encoder.dim), np.float32)
            for start in range(0, len(texts), chunk):
                rows = order[start : start + chunk]
                vectors[rows] = encoder.encode([texts[row] for row in rows])[0]
            return vectors

        return encode

    def encoder(self, n_threads: int) -> Encoder:
        """Return the encoder, newly loaded."""
        device = "cpu" if self.name in {"int8", "static"} else self.device
        return load_encoder.__wrapped__(find_encoder(WAYS[self.name], device), WAYS[self.name], n_threads)


def loaded(way: Peer | Ours, n_threads: int) -> tuple[Encode, dict[str, Any]]:
    """Return an encoder and the seconds of loading; if it was not in the cache, also those from the cache."""

    def load() -> tuple[Encode, float]:
        start = time.perf_counter()
        encode = way.load(n_threads)
        return encode, round(time.perf_counter() - start, 2)

    n_kept = len(list(encoder_cache().rglob("manifest.json")))
    encode, seconds = load()
    if way.name not in {"int8", "static"}:  # nothing of the others is kept
        return encode, {"load_s": seconds}
    if len(list(encoder_cache().rglob("manifest.json"))) == n_kept:
        return encode, {"load_s": seconds, "from_cache": True}
    return encode, {"load_s": seconds, "from_cache": False, "load_again_s": load()[1]}


def compare(
    texts: list[str], rounds: int, n_threads: int, ways: Sequence[Peer | Ours]
) -> list[dict[str, Any]]:
    """Return a row for each encoder; the others are compared with the first."""
    encoders: dict[str, Encode] = {}
    load, wall_s, processor_s, vectors = {}, {}, {}, {}
    for way in ways:
        encoders[way.name], load[way.name] = loaded(way, n_threads)
        encoders[way.name](texts[:WARM_TEXTS])
    for _ in range(rounds):
        for name, encode in encoders.items():
            start, busy = time.perf_counter(), time.process_time()
            vectors[name] = encode(texts)
            wall_s[name] = min(time.perf_counter() - start, wall_s.get(name, np.inf))
            processor_s[name] = min(time.process_time() - busy, processor_s.get(name, np.inf))
    rows, first = [], ways[0].name
    for name in encoders:
        row: dict[str, Any] = {
            "encoder": name,
            **load[name],
            "wall_s": round(wall_s[name], 3),
            "processor_s": round(processor_s[name], 3),
            "texts_per_s": round(len(texts) / wall_s[name], 1),
            "times_peer": round(wall_s[first] / wall_s[name], 2),
        }
        if vectors[name].shape == vectors[first].shape:
            cosines = (vectors[name].astype(np.float32) * vectors[first].astype(np.float32)).sum(axis=1)
            row |= {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
        rows.append(row)
    return rows


def limits(texts: list[str], way: Ours, n_threads: int) -> dict[str, float]:
    """Return the seconds of the parts of our loop for float models, each alone, best of two."""
    import torch

    encoder = way.encoder(n_threads)
    if not isinstance(encoder, SentenceTransformersEncoder) or encoder._tokens is None:
        return {}
    tokens, is_cuda = encoder._tokens, way.device == "cuda"
    ordered = sorted(texts, key=len, reverse=True)
    size = BLOCK_TEXTS[way.device]
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    pooled: list[torch.Tensor] = []

    def arithmetic() -> None:
        pooled.clear()
        with torch.inference_mode(), any_shape():
            for block in blocks:
                encoder._run_block(block, pooled)

    found: dict[str, float] = {}
    blocks = [token_block(tokens, part, pinned=is_cuda) for part in parts]
    arithmetic()
    for name, work in {
        "tokenise_s": lambda: [tokens(part) for part in parts],
        "blocks_s": lambda: [token_block(tokens, part, pinned=is_cuda) for part in parts],
        "arithmetic_s": arithmetic,
        "copy_s": lambda: torch.cat(pooled).float().cpu().numpy(),
    }.items():
        for _ in range(2):
            start = time.perf_counter()
            work()
            if is_cuda:
                torch.cuda.synchronize()
            found[name] = min(round(time.perf_counter() - start, 3), found.get(name, np.inf))
    return found | {"n_tokens": int(sum(block.lengths.sum() for block in blocks))}


def pipeline_nmi(corpus: str, rows: int, names: list[str], n_threads: int) -> dict[str, Any]:
    """Return NMI, outliers and topics of the whole pipeline with each encoder."""
    found: dict[str, Any] = {"corpus": corpus, "rows": rows}
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            config = _pipeline(corpus, rows, WAYS[name], Path(scratch), n_threads)
            start_topic_model(config)
            metrics = json.loads(
                (Path(scratch) / "runs" / config.name / "latest" / "metrics.json").read_bytes()
            )
        found[name] = {key: metrics[key] for key in ("nmi", "outlier_share", "n_topics")}
    return found


def _pipeline(corpus: str, rows: int, embed: EmbedConfig, scratch: Path, n_threads: int) -> TopicModelConfig:
    documents = pl.read_parquet(DATA / f"{corpus}.parquet")  # sorted by label, some of them
    path = scratch / f"{corpus}.parquet"
    documents.sample(min(rows, documents.height), seed=42, shuffle=True).write_parquet(path)
    values: dict[str, Any] = {
        "name": corpus.replace("_", "-"),
        "load": {"path": str(path), "label_column": "label"},
        "embed": embed.model_dump(),
        "cluster": {"min_cluster_size": 10},
        "runtime": {
            "store": str(scratch / "store"), "runs": str(scratch / "runs"), "device": "cpu", "n_threads": n_threads,
        },
    }  # fmt: skip
    return parse_config(values, TopicModelConfig, corpus)


def titles(corpus: str, rows: int) -> list[str]:
    """Return different titles, drawn with seed 1."""
    found = pl.read_parquet(DATA / f"{corpus}.parquet", columns=["title"])["title"]
    return found.unique(maintain_order=True).sample(rows, seed=1).to_list()


def long_texts(rows: int) -> list[str]:
    """Return different newsgroup texts of at least `LONG_TOKENS` tokens of the packaged model, drawn with seed 1."""
    config = SentenceTransformersEmbed(precision="float32")
    encoder = load_encoder.__wrapped__(find_encoder(config, "cpu"), config, None)
    assert isinstance(encoder, SentenceTransformersEncoder)
    assert encoder._tokens is not None
    texts = pl.read_parquet(DATA / "newsgroups.parquet", columns=["text"])["text"].unique(maintain_order=True)
    long = texts.filter(pl.Series(encoder._tokens(texts.to_list())[1] >= LONG_TOKENS))
    return long.sample(min(rows, len(long)), seed=1).to_list()


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoders", nargs="+", choices=WAYS, default=["float32", "int8", "static"])
    parser.add_argument("--titles", choices=["arxiv_titles", "reddit_titles_1m"], default="arxiv_titles")
    parser.add_argument("--long", action="store_true", help="newsgroup texts of 200 and more tokens")
    parser.add_argument("--peer-batch", type=int, default=1024)
    parser.add_argument("--nmi", nargs="+", metavar="CORPUS", default=[])
    parser.add_argument("--fresh", action="store_true", help="start with an empty cache of encoders")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.fresh:
            os.environ["XDG_CACHE_HOME"] = scratch
        print(json.dumps(run(args), indent=2))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return the printed result."""
    printed: dict[str, Any] = {"benchmark": "embedding", **machine(), "threads": args.threads}
    if args.nmi:
        printed["nmi"] = [pipeline_nmi(name, args.rows, args.encoders, args.threads) for name in args.nmi]
    else:
        texts = long_texts(args.rows) if args.long else titles(args.titles, args.rows)
        corpus = f"newsgroups, {LONG_TOKENS} tokens and more" if args.long else args.titles
        printed |= {"corpus": corpus, "rows": len(texts), "rounds": args.rounds}
        on_gpu = args.device == "cuda"
        peers = [Peer(batch, args.device) for batch in ([32, args.peer_batch] if on_gpu else [32])]
        ours = [Ours(name, args.device) for name in args.encoders]
        printed["encoders"] = compare(texts, args.rounds, args.threads, [*peers, *ours])
        if on_gpu:
            import torch

            printed |= {"gpu": torch.cuda.get_device_name(), "limits": limits(texts, ours[0], args.threads)}
    return printed


if __name__ == "__main__":
    main()
