r"""MinHash and datasketch on the messages of 20 Newsgroups, against exact Jaccard; prints JSON.

    python -m tests.benchmarks.shingles [--threshold 0.7] [--edits] [--no-peer]

`topicflow` covers texts in memory -> pairs decided by exact Jaccard: the stage's own calls, without its commits, on
all cores, second run in the process. `datasketch` covers the same texts cut into the same shingles (word 5-grams of
lower-cased \w+; its second figure leaves that out), a MinHash of 256 values each by `bulk`, and MinHashLSH's `insert`
and `query` at the threshold; pairs as it returns them, undecided. The truth leaves out messages of fewer than five
words, which have no 5-gram; so do the figures, except `short_pairs`, the pairs that we find among those.

`--edits`: 500 abstracts of arXiv, for each a copy with 1, 5, 10 and 20 % of the words replaced by others of the
corpus; the share of the copies that each method takes for duplicates at its default threshold (embeddings: int8
all-MiniLM-L6-v2).
"""

from __future__ import annotations

import argparse
import json
import re
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.deduplicate import MinhashDeduplicate, VectorMatchConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.core.duplicates.minhash import choose_bands, equal_sets, pairs_of_band, shingled, signed
from topicflow.tasks.core.duplicates.pairs import Pairs, union
from topicflow.tasks.core.vectors.blocks import workers
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder

SEED = 1
EDITS = (0.01, 0.05, 0.1, 0.2)
CONFIG = MinhashDeduplicate(method="minhash")

RowPairs = set[tuple[int, int]]


def found_pairs(texts: list[str], threshold: float) -> RowPairs:
    """Return the pairs of rows that are duplicates, including equal ones."""
    bands = choose_bands(min(CONFIG.jaccard_floor, threshold), CONFIG.jaccard_recall, CONFIG.n_hashes)
    with workers() as run:

        def sets(start: int, stop: int) -> tuple[Any, Any, Any]:
            shingles, ranges = shingled(texts[start:stop], CONFIG.shingle_words)
            return signed(shingles, ranges, bands.n_hashes, SEED), shingles, ranges

        made = run(sets, len(texts), 1024)
        signatures = np.concatenate([one for one, _, _ in made])
        shingles = np.concatenate([one for _, one, _ in made])
        counts = np.concatenate([np.diff(one) for _, _, one in made])
        ranges = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        first = equal_sets(shingles, ranges)
        rows = np.flatnonzero((first == np.arange(len(first))) & (counts > 0)).astype(np.int32)

        def band(number: int, _stop: int) -> Pairs:
            return pairs_of_band(
                signatures, shingles, ranges, rows, 0, bands, number, CONFIG.jaccard_floor, CONFIG.jaccard_window,
                CONFIG.jaccard_max_partners,
            )  # fmt: skip

        pairs = union(run(band, bands.n_bands, 1)).at_least(threshold)
    return spread_over_equals(pairs, first)


def spread_over_equals(pairs: Pairs, first: np.ndarray) -> RowPairs:
    """Return the pairs of all rows from those of the firsts of equal ones."""
    members: dict[int, list[int]] = {}
    for row, head in enumerate(first.tolist()):
        members.setdefault(head, []).append(row)
    found = {(a, b) for rows in members.values() for a in rows for b in rows if a < b}
    for a, b in pairs.rows.tolist():
        found |= {(min(x, y), max(x, y)) for x in members[a] for y in members[b]}
    return found


def peer_pairs(texts: list[str], threshold: float) -> tuple[RowPairs, float, float]:
    """Return datasketch's pairs, its seconds, and its seconds without splitting texts into shingles."""
    from datasketch import MinHash, MinHashLSH

    started = time.perf_counter()
    width = CONFIG.shingle_words
    sets = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        sets.append({" ".join(words[i : i + width]).encode() for i in range(len(words) - width + 1)})
    cut = time.perf_counter()
    hashes = MinHash.bulk(sets, num_perm=CONFIG.n_hashes)
    lsh = MinHashLSH(threshold=threshold, num_perm=CONFIG.n_hashes)
    for row, one in enumerate(hashes):
        if sets[row]:
            lsh.insert(row, one)
    found = {
        (min(row, other), max(row, other))
        for row, one in enumerate(hashes)
        if sets[row]
        for other in lsh.query(one)
        if other != row
    }
    done = time.perf_counter()
    return found, done - started, done - cut


def scores(found: RowPairs, truth: RowPairs) -> dict[str, float]:
    """Return precision, recall and F1."""
    right = len(found & truth)
    precision, recall = right / max(1, len(found)), right / max(1, len(truth))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
    }


def compare(threshold: float, *, with_peer: bool) -> dict[str, Any]:
    """Return both methods' cost and quality on the newsgroups."""
    corpus = pl.read_parquet(DATA / "newsgroups.parquet")
    texts, row = corpus["text"].to_list(), {name: i for i, name in enumerate(corpus["doc_id"])}
    exact = pl.read_parquet(DATA / "newsgroups_near_duplicates.parquet").filter(
        pl.col("jaccard") >= threshold
    )
    truth = {(min(row[a], row[b]), max(row[a], row[b])) for a, b in exact.select("id_a", "id_b").iter_rows()}
    found_pairs(texts[:2000], threshold)
    started, cpu = time.perf_counter(), time.process_time()
    everything = found_pairs(texts, threshold)
    ours = {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    is_long = [len(re.findall(r"\w+", text)) >= CONFIG.shingle_words for text in texts]
    found = {pair for pair in everything if all(is_long[i] for i in pair)}
    result = {"n_texts": len(texts), "n_true_pairs": len(truth)}
    result["topicflow"] = {**ours, **scores(found, truth), "short_pairs": len(everything - found)}
    if with_peer:
        cpu = time.process_time()
        theirs, seconds, without_cutting = peer_pairs(texts, threshold)
        result["datasketch"] = {
            "version": version("datasketch"), "seconds": seconds, "without_cutting_s": without_cutting,
            "cpu_s": time.process_time() - cpu, **scores(theirs, truth),
        }  # fmt: skip
    return result


def edited(words: list[str], share: float, vocabulary: np.ndarray, rng: np.random.Generator) -> str:
    """Return a text with a share of its words, at least one, replaced."""
    words = list(words)
    places = rng.choice(len(words), max(1, round(share * len(words))), replace=False)
    for place, word in zip(places, rng.choice(vocabulary, len(places)), strict=True):
        words[place] = str(word)
    return " ".join(words)


def curve(n_texts: int = 500) -> list[dict[str, float]]:
    """Return for each share of edited words the share of the copies that each method finds."""
    rng = np.random.default_rng(SEED)
    table = pl.read_parquet(DATA / "arxiv_abstracts_30k.parquet", columns=["abstract"])
    abstracts = [text for text in table["abstract"] if len(text.split()) >= 50][:n_texts]
    cut = [text.split() for text in abstracts]
    vocabulary = np.array([word for words in cut for word in words])
    config = SentenceTransformersEmbed(precision="int8")
    encoder = load_encoder(find_encoder(config, "cpu"), config)
    originals = encoder.encode(abstracts)[0]
    lines = []
    for share in EDITS:
        copies = [edited(words, share, vocabulary, rng) for words in cut]
        cosines = (encoder.encode(copies)[0] * originals).sum(axis=1)
        pairs = found_pairs([*abstracts, *copies], CONFIG.jaccard_threshold)
        lines.append({
            "edited": share,
            "embedding": float((cosines >= VectorMatchConfig().threshold).mean()),
            "mean_cosine": float(cosines.mean()),
            "minhash": sum((i, i + len(cut)) in pairs for i in range(len(cut))) / len(cut),
        })  # fmt: skip
    return lines


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--edits", action="store_true", help="measure the curve of planted edits as well")
    arguments = parser.parse_args()
    found = {
        "threshold": arguments.threshold,
        **compare(arguments.threshold, with_peer=not arguments.no_peer),
    }
    if arguments.edits:
        found["edits"] = curve()
    print(json.dumps({**found, **machine()}, indent=2))


if __name__ == "__main__":
    main()
