"""Texts a second of sentence-transformers and of our encoders, on the same arXiv titles in one run.

The clock covers `encode` alone, of texts in memory to vectors in memory: tokenising, the model, pooling, unit length.
Loading is timed apart (`load_s`), with `from_cache` false where it quantised or distilled anew: `--fresh` starts with
an empty cache of encoders, and loads a second time from it (`load_again_s`). Each encoder embeds the same titles
`--rounds` times, taking turns, and its best round counts (`processor_s`: of all threads, in the best round); all on the
CPU with `--threads`. Cosines are to sentence-transformers' float32. Below some thousand titles our float32 looks slow:
it fills each length's batch to 256 tokens.

    python -m tests.benchmarks.embedding --rows 20000
    python -m tests.benchmarks.embedding --rows 2000 --nmi banking77_train bbc_news    what int8 and static cost

With `--nmi`, the whole pipeline runs on up to `--rows` documents of each corpus, drawn with seed 42, with each encoder;
its NMI against the corpus's labels is printed, outliers as one class.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from configs.load import parse_config
from configs.models import EmbedConfig, SentenceTransformersEmbed, StaticEmbed, TopicModelConfig
from flows.start import start_topic_model
from tasks.encoder_cache import encoder_cache
from tasks.encoders import find_encoder, load_encoder
from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine

WAYS: dict[str, SentenceTransformersEmbed | StaticEmbed] = {
    "float32": SentenceTransformersEmbed(precision="float32"),
    "int8": SentenceTransformersEmbed(precision="int8"),
    "static": StaticEmbed(method="static"),
}
PEER = "sentence-transformers float32, batch 32"
WARM_TEXTS = 64
Encode = Callable[[Sequence[str]], np.ndarray]


def peer(n_threads: int) -> Encode:
    """Return sentence-transformers' own encode, as its documentation has it."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(n_threads)
    folder = find_encoder(SentenceTransformersEmbed(), "cpu").folder
    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(
        list(texts), batch_size=32, normalize_embeddings=True, show_progress_bar=False
    )


def ours(name: str, n_threads: int) -> Encode:
    """Return one of our encoders."""
    encoder = load_encoder.__wrapped__(find_encoder(WAYS[name], "cpu"), WAYS[name], n_threads)
    return lambda texts: encoder.encode(texts)[0]


def loaded(name: str, n_threads: int) -> tuple[Encode, dict[str, Any]]:
    """Return an encoder, and the seconds that loading took; where it was made anew, also those from the cache."""

    def load() -> tuple[Encode, float]:
        start = time.perf_counter()
        encode = peer(n_threads) if name == PEER else ours(name, n_threads)
        return encode, round(time.perf_counter() - start, 2)

    n_kept = len(list(encoder_cache().rglob("manifest.json")))
    encode, seconds = load()
    if name in {PEER, "float32"}:  # nothing of these is kept
        return encode, {"load_s": seconds}
    if len(list(encoder_cache().rglob("manifest.json"))) == n_kept:
        return encode, {"load_s": seconds, "from_cache": True}
    return encode, {"load_s": seconds, "from_cache": False, "load_again_s": load()[1]}


def compare(texts: list[str], rounds: int, n_threads: int, names: list[str]) -> list[dict[str, Any]]:
    """Return a row for each encoder."""
    encoders: dict[str, Encode] = {}
    load, wall_s, processor_s, vectors = {}, {}, {}, {}
    for name in (PEER, *names):
        encoders[name], load[name] = loaded(name, n_threads)
        encoders[name](texts[:WARM_TEXTS])
    for _ in range(rounds):
        for name, encode in encoders.items():
            start, busy = time.perf_counter(), time.process_time()
            vectors[name] = encode(texts)
            wall_s[name] = min(time.perf_counter() - start, wall_s.get(name, np.inf))
            processor_s[name] = min(time.process_time() - busy, processor_s.get(name, np.inf))
    rows = []
    for name in encoders:
        row: dict[str, Any] = {
            "encoder": name,
            **load[name],
            "wall_s": round(wall_s[name], 3),
            "processor_s": round(processor_s[name], 3),
            "texts_per_s": round(len(texts) / wall_s[name], 1),
            "times_peer": round(wall_s[PEER] / wall_s[name], 2),
        }
        if vectors[name].shape == vectors[PEER].shape:
            cosines = (vectors[name] * vectors[PEER]).sum(axis=1)
            row |= {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
        rows.append(row)
    return rows


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


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--encoders", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--nmi", nargs="+", metavar="CORPUS", default=[])
    parser.add_argument("--fresh", action="store_true", help="start with an empty cache of encoders")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if args.fresh:
            os.environ["XDG_CACHE_HOME"] = scratch
        print(json.dumps(run(args), indent=2))


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is printed."""
    printed: dict[str, Any] = {"benchmark": "embedding", **machine(), "threads": args.threads}
    if args.nmi:
        printed["nmi"] = [pipeline_nmi(name, args.rows, args.encoders, args.threads) for name in args.nmi]
    else:
        titles = pl.read_parquet(DATA / "arxiv_titles.parquet", columns=["title"])["title"]
        texts = titles.unique(maintain_order=True).sample(args.rows, seed=1).to_list()
        printed |= {"corpus": "arxiv_titles", "rows": len(texts), "rounds": args.rounds}
        printed["encoders"] = compare(texts, args.rounds, args.threads, args.encoders)
    return printed


if __name__ == "__main__":
    main()
