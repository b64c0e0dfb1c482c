"""Hypothetical answers on cranfield: searches with a passage of a small language model beside those without; JSON.

    python -m tests.benchmarks.hypothetical --scratch DIR [--queries 60] [--url URL --model MODEL]

Without --url llama.cpp's server with SmolLM2-135M is started out of packages. The model writes a passage for each of
--queries queries, evenly spaced among the 225 (all with 225). Passages are kept in DIR, so that a second run asks only
for new ones. All figures are of these queries: none of the 225 is chosen by its result. `shares` has nDCG@10 for other
weights of the passage. `seconds` is the median wall time of a passage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peer import machine
from tests.benchmarks.retrieval import Judge, index_of, scores
from tests.real_servers import llama_cpp_chat
from topicflow.configs.sections.index import HypotheticalConfig
from topicflow.tasks.search import ranking
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.ranking import Question
from topicflow.tasks.search.scoring import hypothetical
from topicflow.tasks.search.scoring.passage_writer import PassageWriter

SMALL = "SmolLM2-135M-Instruct Q4_1"
VECTOR_SHARES = (0.1, 0.25, 0.5, 1.0)
WORD_SHARES = (0.05, 0.1, 0.2, 0.4)


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the address of a server, started here if none is given."""
    if url is not None:
        yield url
        return
    with llama_cpp_chat(1024) as own:
        yield own


def written(kept: Path, queries: Sequence[str], url: str | None, model: str) -> dict[str, Any]:
    """Return the passages for queries, and how long they took; those in the file are not asked for again."""
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
    if any(query not in known for query in queries):
        with server(url) as address:
            config = HypotheticalConfig(
                url=address, model=model, corpus="abstracts of papers on aerodynamics", answer_tokens=100,
                max_words=60, timeout_s=900,
            )  # fmt: skip
            writer = PassageWriter(config)
            for query in queries:
                if query not in known:
                    started = time.perf_counter()
                    passage, note = writer.write(query)
                    known[query] = {"passage": passage, "note": note, "s": time.perf_counter() - started}
                    kept.write_text(json.dumps(known))
    return known


class Bench:
    """An index, some of the queries, and a passage for each."""

    def __init__(self, index: SearchIndex, rows: Sequence[int], passages: dict[str, Any]) -> None:
        judge = Judge()
        self.index, self.ids = index, index.documents["doc_id"].to_numpy()
        self.queries = [judge.queries[row] for row in rows]
        self.relevant = [judge.relevant[row] for row in rows]
        self.passages = [passages[query]["passage"] for query in self.queries]
        self.vectors = index.queries.encode(self.queries)[0]
        self.theirs = index.queries.encode_documents([each or "-" for each in self.passages])

    def figures(self, mode: str, way: str) -> dict[str, float]:
        """Return the figures of one mode of search, with one way to expand."""
        found = []
        for number, query in enumerate(self.queries):
            question = Question(
                None if mode == "dense" else ranking.query_words(self.index._open, query),
                None if mode == "bm25" else self.vectors[number],
                None,
            )
            if way == "feedback":
                question = ranking.with_feedback(self.index._open, question)
            if way == "hypothetical" and self.passages[number]:
                question = self._moved(question, number)
            best = ranking.ranking_of(self.index._open, question).best(100)[0]
            found.append(self.ids[best])
        return scores(found, self.relevant)

    def _moved(self, question: Question, number: int) -> Question:
        """Return the question as `with_hypothetical` moves it; the passages are encoded only once."""
        index = self.index._open
        words_only = ranking.with_hypothetical(
            index, Question(question.words, None, None), self.passages[number]
        )
        vector = question.vector
        if vector is not None:
            vector = hypothetical.mixed_vector(vector, self.theirs[number])
        return Question(words_only.words, vector, None)

    def shares(self) -> dict[str, float]:
        """Return nDCG@10 of hybrid search for other weights of the passage."""
        found, shipped = {}, (hypothetical.VECTOR_SHARE, hypothetical.WORD_SHARE)
        for vector, word in product(VECTOR_SHARES, WORD_SHARES):
            hypothetical.VECTOR_SHARE, hypothetical.WORD_SHARE = vector, word
            found[f"vector {vector:g}, words {word:g}"] = self.figures("hybrid", "hypothetical")["ndcg_at_10"]
        hypothetical.VECTOR_SHARE, hypothetical.WORD_SHARE = shipped
        return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--url")
    parser.add_argument("--model", default=SMALL)
    args = parser.parse_args()
    index, n = index_of(args.scratch, args.precision, ()), len(Judge().queries)
    rows = np.unique(np.linspace(0, n - 1, min(n, args.queries)).round().astype(int)).tolist()
    kept = args.scratch / f"passages-{args.model.replace('/', '-')}.json"
    passages = written(kept, [Judge().queries[row] for row in rows], args.url, args.model)
    bench = Bench(index, rows, passages)
    chosen = [passages[query] for query in bench.queries]
    found = {
        f"{mode}, {way}": bench.figures(mode, way)
        for mode, way in product(("dense", "bm25", "hybrid"), ("none", "feedback", "hypothetical"))
    }
    report = {
        "benchmark": "hypothetical", **machine(), "corpus": "cranfield", "precision": args.precision,
        "model": args.model, "n_queries": len(rows), "n_of": n,
        "n_without_passage": sum(not each["passage"] for each in chosen),
        "seconds": round(float(np.median([each["s"] for each in chosen])), 1),
        "found": found, "shares": bench.shares(),
        "examples": dict(zip(bench.queries[:5], bench.passages[:5], strict=True)),
    }  # fmt: skip
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
