"""Texts to token ids: our table of words beside the tokenizer itself, taking turns; prints JSON.

    python -m tests.benchmarks.tokenizing --rows 200000 --corpora reddit_titles_1m arxiv_abstracts_30k

Both read the same texts in parts of 65,536 and give the same ids, which is checked. The table is measured empty
(`first`, with its kernels compiled before) and filled by an earlier pass. `processor_s` is of all threads; `rounds`
turns, the median. The tokenizer is that of all-MiniLM-L6-v2, from the folder or package that `embed.model` finds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer

os.environ["TOKENIZERS_PARALLELISM"] = "true"  # before `peer`, which asks for one thread

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.tokens.tokenizer import TextTokens, TokenIds, of_lists

PART = 65_536
COLUMNS = {
    "reddit_titles_1m": "title",
    "arxiv_titles": "title",
    "arxiv_abstracts_30k": "abstract",
    "newsgroups": "text",
}


def timed(read: Callable[[list[str]], TokenIds], texts: list[str]) -> tuple[list[TokenIds], float, float]:
    """Return the ids of all texts, wall seconds and processor seconds."""
    started, processor = time.perf_counter(), time.process_time()
    found = [read(texts[start : start + PART]) for start in range(0, len(texts), PART)]
    return found, time.perf_counter() - started, time.process_time() - processor


def measured(texts: list[str], file: Path, rounds: int) -> dict[str, Any]:
    """Return the seconds of both on these texts."""
    backend = Tokenizer.from_file(str(file))
    backend.no_padding()
    backend.no_truncation()

    def by_tokenizer(part: list[str]) -> TokenIds:
        return of_lists([one.ids for one in backend.encode_batch_fast(part, add_special_tokens=True)])

    tokens = TextTokens(Tokenizer.from_file(str(file)), "", None)
    TextTokens(Tokenizer.from_file(str(file)), "", None)(["compile the kernels"] * PART)
    assert tokens._words is not None  # its table is made here, for any number of texts
    turns: dict[str, list[tuple[float, float]]] = {"first": [], "table": [], "tokenizer": []}
    for turn in range(rounds):
        ours, wall, processor = timed(lambda part: tokens(part)[0], texts)
        turns["table" if turn else "first"].append((wall, processor))
        theirs, wall, processor = timed(by_tokenizer, texts)
        turns["tokenizer"].append((wall, processor))
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one.flat, other.flat)
            assert np.array_equal(one.ends, other.ends)
    found: dict[str, Any] = {"texts": len(texts), "ids": int(sum(len(part.flat) for part in ours))}
    for name, seconds in turns.items():
        wall, processor = (statistics.median(values) for values in zip(*seconds, strict=True))
        found[name] = {
            "wall_s": round(wall, 3),
            "processor_s": round(processor, 3),
            "texts_per_s": round(len(texts) / wall),
        }
    found["ratio_of_processor_s"] = round(
        found["tokenizer"]["processor_s"] / found["table"]["processor_s"], 1
    )
    found["ratio_of_wall_s"] = round(found["tokenizer"]["wall_s"] / found["table"]["wall_s"], 1)
    return found


def main() -> None:
    """Print the figures of each corpus as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--corpora", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    args = parser.parse_args()
    folder = find_encoder(SentenceTransformersEmbed(), "cpu").folder
    file = next(
        path for path in (folder / "tokenizer.json", *folder.glob("*/tokenizer.json")) if path.is_file()
    )
    found = {}
    for name in args.corpora:
        texts = pl.scan_parquet(DATA / f"{name}.parquet").select(COLUMNS[name]).head(args.rows).collect()
        found[name] = measured(texts[COLUMNS[name]].to_list(), file, args.rounds)
    print(json.dumps({"benchmark": "tokenizing", **machine(), "corpora": found}, indent=2))


if __name__ == "__main__":
    main()
