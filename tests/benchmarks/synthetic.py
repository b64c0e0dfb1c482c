"""Synthetic queries on cranfield: adapters trained on made questions beside raw vectors, on real queries; prints JSON.

    python -m tests.benchmarks.synthetic --scratch DIR [--precision int8] [--seeds 3] [--server] [--ways]

The questions are made by the stage `synthetic` of `topicflow tune`, and adapters are trained by its stage `tune`; then
the 225 real queries of cranfield are searched among all abstracts with the raw and the tuned vectors, alone and fused
with BM25. No real query and no judgement is used for training; the shipped factor of the gate, .25, was chosen on all
real queries with one seed. `difference` is the mean over the queries of nDCG@10 with the adapter minus that without,
`difference_even` and `difference_odd` those of every second query, `error` the standard error over all queries; figures
are means over the seeds of questions, split and training.

With --server the questions are written by SmolLM2-135M behind llama.cpp's server, about --passages documents. The gate
is measured at several factors. With --ways other forms of the adapter are trained on the same questions: a diagonal,
low ranks, queries alone moved, and the nearest wrong documents as negatives.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.peer import machine
from tests.benchmarks.retrieval import Judge, index_of
from tests.real_servers import llama_cpp_chat
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import AdapterTune, QuestionServer, SplitExamples, SyntheticExamples
from topicflow.tasks.core.learning import metric_head
from topicflow.tasks.core.learning.class_head import with_gate
from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead
from topicflow.tasks.core.learning.similarity import document_ranks, retrieval_figures
from topicflow.tasks.core.vectors.postings import fuse_ranks
from topicflow.tasks.execution.context import Context
from topicflow.tasks.search import ranking
from topicflow.tasks.search.arguments import FUSION_K
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.ranking import DEPTH
from topicflow.tasks.store.artifact_store import ArtifactRef
from topicflow.tasks.store.resources import one_torch_thread
from topicflow.tasks.tuning.example_set import ExampleSet, read_examples
from topicflow.tasks.tuning.examples import HELD_OUT, TRAINING, VALIDATION
from topicflow.tasks.tuning.synthetic import Embedded, synthetic
from topicflow.tasks.tuning.tune import SYNTHETIC_STRENGTH, fit_adapter

KINDS: tuple[tuple[str, ...], ...] = (
    ("title",), ("sentence",), ("words",), ("title", "words"), ("title", "sentence", "words"),
)  # fmt: skip

FACTORS = (0.125, 0.25, 0.5, 1.0)
RANKS = (8, 32)
N_NEGATIVES = 8
"""Nearest wrong documents of each question, by the raw vectors."""


@dataclass(frozen=True)
class Bench:
    """The corpus, its real queries, and what both are in the raw space."""

    index: SearchIndex
    judge: Judge
    queries: FloatArray
    words: list[NDArray[np.int64]]

    @classmethod
    def of(cls, scratch: Path, precision: str) -> Bench:
        """Return the bench of cranfield."""
        index, judge = index_of(scratch, precision, ()), Judge()
        words = [ranking.query_words(index._open, query) for query in judge.queries]
        ranked = [ranking.by_words(index._open, each, DEPTH, None)[0] for each in words]
        return cls(index, judge, index.queries.encode(judge.queries)[0], ranked)

    @property
    def documents(self) -> FloatArray:
        """The raw vectors of all documents."""
        return self.index.vectors.gather(np.arange(len(self.index.documents)))

    def rankings(self, queries: FloatArray, documents: FloatArray) -> dict[str, list[NDArray[Any]]]:
        """Return the ranked ids for each query, by cosine and fused with BM25."""
        ids = self.index.documents["doc_id"].to_numpy()
        dense = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :DEPTH]
        fused = [
            fuse_ranks([each, words], [1.0, 1.0], FUSION_K)[0]
            for each, words in zip(dense, self.words, strict=True)
        ]
        return {"dense": [ids[each] for each in dense], "hybrid": [ids[each] for each in fused]}

    def figures(self, move_queries: Move, move_documents: Move) -> dict[str, Any]:
        """Return the figures of moved vectors on the real queries, beside those of the raw ones."""
        moved = self.rankings(move_queries(self.queries), move_documents(self.documents))
        raw, found = self.rankings(self.queries, self.documents), {}
        for mode, ranked in moved.items():
            gains = self._ndcg(ranked) - self._ndcg(raw[mode])
            found[mode] = {
                **self.judge.figures(ranked)["all"],
                "difference": round(float(gains.mean()), 4),
                "difference_even": round(float(gains[::2].mean()), 4),
                "difference_odd": round(float(gains[1::2].mean()), 4),
                "error": round(float(gains.std(ddof=1) / np.sqrt(len(gains))), 4),
            }
        return found

    def _ndcg(self, ranked: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Return nDCG@10 of each query."""
        discounts = 1 / np.log2(np.arange(2, 12))
        found = []
        for own, wanted in zip(ranked, self.judge.relevant, strict=True):
            hits = np.array([doc_id in wanted for doc_id in own[:10]], float)
            found.append(hits @ discounts / discounts[: min(10, len(wanted))].sum())
        return np.array(found)


Move = Callable[[FloatArray], FloatArray]


def stay(vectors: FloatArray) -> FloatArray:
    """Return vectors as they are."""
    return vectors


def examples_of(bench: Bench, config: SyntheticExamples, seed: int) -> tuple[ExampleSet, dict[str, Any]]:
    """Return the made questions about the corpus with their vectors, and what became of them."""
    record, store = bench.index.record, bench.index.store
    assert record is not None
    stages = {each["stage"]: each for each in record["stages"]}
    documents, embeddings = (
        ArtifactRef(each["kind"], each["key"], name, rows=each["rows"])
        for name, each in ((name, stages[name]) for name in ("load", "embed"))
    )
    embed = SentenceTransformersEmbed(task="document", precision=record["embedding"]["precision"])
    context = Context(store, seed, RuntimeConfig(device="cpu", store=str(store.root)))
    embedded = Embedded(documents, embeddings, embed, "\n\n")
    made = synthetic.fn(context, embedded, config, SplitExamples())
    meta = store.meta(made)
    counts = {name: value for name, value in meta.items() if name.startswith("n_")}
    return read_examples(store, made, embeddings, embed, context.runtime), counts


def held_out(found: ExampleSet, head: ResidualHead) -> dict[str, dict[str, float]]:
    """Return the figures of held-out made questions, raw and tuned."""
    assert found.corpus is not None
    assert found.rows_of_items is not None
    questions, passages = found.linked(HELD_OUT)[0].T
    own = found.rows_of_items[passages]
    figures = {}
    for name, move in (("raw", stay), ("tuned", head.apply)):
        ranks = document_ranks(move(found.vectors[questions]), move(np.asarray(found.corpus)), own)
        figures[name] = {key: round(value, 4) for key, value in retrieval_figures(ranks).items()}
    return figures


# --- other forms ---


@dataclass(frozen=True)
class Form:
    """Another form of adapter: `rank` of its matrix (None for a diagonal), who is moved, and negatives."""

    rank: int | None
    queries_only: bool = False
    n_negatives: int = 0


def train_form(found: ExampleSet, form: Form, config: AdapterTune, seed: int) -> tuple[Move, Move]:
    """Return how queries and documents are moved by an adapter of a form, trained by the ranking loss."""
    import torch

    torch.manual_seed(seed)
    x, dim = torch.from_numpy(np.array(found.vectors, np.float32)), found.vectors.shape[1]
    parts = {role: torch.from_numpy(found.linked(role)[0]) for role in (TRAINING, VALIDATION)}
    if form.rank is None:
        weights = [torch.zeros(dim, requires_grad=True)]
    else:
        weights = [
            (torch.randn(dim, form.rank) / dim**0.5).requires_grad_(), torch.zeros(form.rank, dim, requires_grad=True),
        ]  # fmt: skip

    def moved(vectors: Any) -> Any:
        step = vectors * weights[0] if form.rank is None else vectors @ weights[0] @ weights[1]
        return torch.nn.functional.normalize(vectors + step, dim=-1)

    documents = torch.from_numpy(np.array(found.corpus, np.float32))
    wrong = _negatives(found, parts[TRAINING].numpy(), form.n_negatives)

    def loss(pairs: Any, rows: Any | None = None) -> Any:
        first, second = moved(x[pairs[:, 0]]), x[pairs[:, 1]]
        second = second if form.queries_only else moved(second)
        total = metric_head.ranking_loss(first, second, pairs)
        if rows is None or not form.n_negatives:
            return total
        others = documents[rows]
        others = others if form.queries_only else moved(others)
        near = torch.einsum("nd,nkd->nk", first, others)
        logits = metric_head.RANKING_SCALE * torch.cat([(first * second).sum(1, keepdim=True), near], dim=1)
        return total + torch.nn.functional.cross_entropy(logits, torch.zeros(len(first), dtype=torch.int64))

    optimizer = torch.optim.Adam(weights, lr=config.learning_rate)
    rng, best, least, since = np.random.default_rng(seed), [w.detach().clone() for w in weights], np.inf, 0
    for _ in range(config.epochs):
        order = rng.permutation(len(parts[TRAINING]))
        for start in range(0, len(order), config.batch_size):
            batch = torch.from_numpy(order[start : start + config.batch_size])
            optimizer.zero_grad()
            loss(parts[TRAINING][batch], wrong[batch] if form.n_negatives else None).backward()
            optimizer.step()
        with torch.no_grad():
            now = float(loss(parts[VALIDATION]))
        if now < least:
            best, least, since = [w.detach().clone() for w in weights], now, 0
        elif (since := since + 1) >= config.patience:
            break
    weights[:] = best

    def move(vectors: FloatArray) -> FloatArray:
        with torch.no_grad():
            out: FloatArray = moved(torch.from_numpy(np.array(vectors, np.float32))).numpy()
            return out

    return move, stay if form.queries_only else move


def _negatives(found: ExampleSet, pairs: NDArray[np.int64], n: int) -> Any:
    """Return the rows (n_pairs, n) of the nearest wrong documents of each question, by the raw vectors."""
    import torch

    assert found.corpus is not None
    assert found.rows_of_items is not None
    cosines = found.vectors[pairs[:, 0]] @ np.asarray(found.corpus).T
    cosines[np.arange(len(pairs)), found.rows_of_items[pairs[:, 1]]] = -np.inf
    return torch.from_numpy(np.argsort(-cosines, axis=1)[:, : max(1, n)].copy())


FORMS = {
    "diagonal": Form(None),
    **{f"rank {rank}": Form(rank) for rank in RANKS},
    "rank 32, queries only": Form(32, queries_only=True),
    "rank 32, negatives": Form(32, n_negatives=N_NEGATIVES),
    "diagonal, negatives": Form(None, n_negatives=N_NEGATIVES),
}


def variant(bench: Bench, config: SyntheticExamples, seeds: Sequence[int], *, ways: bool) -> dict[str, Any]:
    """Return the figures of the adapters that are trained on one kind of questions."""
    runs = []
    for seed in seeds:
        found, counts = examples_of(bench, config, seed)
        started = time.process_time()
        with one_torch_thread():
            whole, about = fit_adapter(found, AdapterTune(strength=1.0), seed)
        shipped = with_gate(whole, SYNTHETIC_STRENGTH * whole.gate)
        run: dict[str, Any] = {
            "seed": seed, **counts, "epoch": about["epoch"], "gate": round(whole.gate, 3),
            "processor_seconds": round(time.process_time() - started, 1), "held_out": held_out(found, shipped),
        }  # fmt: skip
        for factor in FACTORS:
            scaled = with_gate(whole, factor * whole.gate)
            run[f"gate times {factor:g}"] = bench.figures(scaled.apply, scaled.apply)
        if ways:
            run["queries only"] = bench.figures(whole.apply, stay)
            with one_torch_thread():
                for name, form in FORMS.items():
                    run[name] = bench.figures(*train_form(found, form, AdapterTune(), seed))
        runs.append(run)
    forms = [name for name, value in runs[0].items() if isinstance(value, dict) and "dense" in value]
    return {"means": {name: _mean([run[name] for run in runs]) for name in forms}, "runs": runs}


def _mean(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        mode: {key: round(float(np.mean([each[mode][key] for each in found])), 4) for key in found[0][mode]}
        for mode in found[0]
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--precision", default="float32", choices=["int8", "float32"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--found-by", default="either", choices=["vectors", "words", "either", "both"])
    parser.add_argument("--found-within", type=int, default=20)
    parser.add_argument("--kinds", nargs="+", help="one set of kinds only")
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--ways", action="store_true")
    args = parser.parse_args()
    bench = Bench.of(args.scratch, args.precision)
    how = {"method": "synthetic", "found_by": args.found_by, "found_within": args.found_within}
    found: dict[str, Any] = {"raw": bench.figures(stay, stay)}
    if args.server:
        with llama_cpp_chat(1024) as url:
            server = QuestionServer(
                url=url, model="SmolLM2-135M-Instruct Q4_1", n_concurrent=1, n_chars=600, n_questions=1,
                answer_tokens=48, tries=2, timeout_s=900, corpus="abstracts of aerodynamics",
            )  # fmt: skip
            config = SyntheticExamples(**how, n_passages=args.passages, server=server)
            found["model"] = variant(bench, config, range(args.seeds), ways=args.ways)
    else:
        for kinds in [tuple(args.kinds)] if args.kinds else KINDS:
            config = SyntheticExamples(**how, n_passages=args.passages, kinds=kinds)
            found[", ".join(kinds)] = variant(bench, config, range(args.seeds), ways=args.ways)
    print(
        json.dumps(
            {
                "benchmark": "synthetic", **machine(), "corpus": "cranfield", "precision": args.precision,
                "found_by": args.found_by, "found_within": args.found_within, "found": found,
            }, indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
