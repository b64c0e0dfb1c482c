"""Adapters: raw and tuned vectors of weakly labelled news, and of banking questions of unseen intents; prints JSON.

    python -m tests.benchmarks.adapters --store STORE [--precision int8] [--separator "\\n\\n"] [--seeds 10]

agnews_weak: trained on records of the weakly labelled train file, measured on the hard rest, the test file: the share
of the same class among the 10, 100 and 1,000 nearest of every test query, over all test documents, exact. The other
records of the train file are used without their labels, as in a corpus with few labels; no test document is used.
Defaults throughout (`AdapterTune`), whose constants were chosen on the val file. With at least 334 records the flow's
validation part (15 %) chooses gate and round, with fewer the defaults are used.

banking77, unseen intents: tuned on the training questions of a random half of the intents, measured on the test
questions of that half and of the other half, each within its half.

The clock covers a fit, on one thread, without embedding.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import AdapterTune, SplitExamples
from topicflow.tasks.core.learning.class_head import Examples, fit_softmax
from topicflow.tasks.core.learning.residual import FloatArray, ResidualHead
from topicflow.tasks.core.learning.similarity import chance_share, same_class_shares
from topicflow.tasks.encoding.embed import embed_texts
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.store.resources import one_torch_thread
from topicflow.tasks.tuning.example_set import ExampleSet
from topicflow.tasks.tuning.examples import TRAINING, UNLABELLED, VALIDATION, draw_roles
from topicflow.tasks.tuning.tune import fit_adapter

Numbers = NDArray[np.int64]
NEIGHBORS = (10, 100, 1000)
TARGETS = {25: 0.54, 100: 0.56, 1000: 0.60, 8140: 0.70}


def read(
    store: ArtifactStore, file: str, columns: list[str], separator: str, precision: str
) -> tuple[FloatArray, Any]:
    """Return the vectors of a file's texts, and its labels."""
    table = pl.read_parquet(DATA / f"{file}.parquet")
    texts = table.select(
        pl.concat_str([pl.col(c).fill_null("") for c in columns], separator=separator)
    ).to_series()
    config = SentenceTransformersEmbed(precision=precision)  # type: ignore[arg-type]
    return embed_texts(store, texts, config, RuntimeConfig(device="cpu")), table["label"].to_numpy()


def fit(
    vectors: FloatArray, classes: Numbers, labelled: Numbers, config: AdapterTune, seed: int
) -> tuple[ResidualHead, dict[str, Any]]:
    """Return the adapter that the flow's tune stage fits on labelled rows, with the others unlabelled."""
    strata = np.full(len(vectors), -1)
    strata[labelled] = classes[labelled]
    split = SplitExamples(validation=0.15 if len(labelled) >= 334 else 0.0)
    roles = draw_roles(np.arange(len(vectors)), strata, split.model_copy(update={"held_out": 0.0}), seed)
    roles[strata < 0] = UNLABELLED
    started = time.perf_counter()
    with one_torch_thread():
        head, about = fit_adapter(ExampleSet(vectors, roles, strata), config, seed)
    shown = {name: about[name] for name in ("gate", "round", "epoch", "n_doubted") if name in about}
    counts = {"n_validation": int((roles == VALIDATION).sum()), "n_training": int((roles == TRAINING).sum())}
    return head, {**shown, **counts, "seconds": round(time.perf_counter() - started, 2)}


def shares(vectors: FloatArray, classes: Numbers, neighbors: tuple[int, ...] = NEIGHBORS) -> dict[str, float]:
    """Return the exact shares of the same class, over all queries."""
    found = same_class_shares(vectors, classes, neighbors, len(vectors), 0)
    return {f"top_{k}": round(share, 4) for k, share in found.items()}


def curve(
    store: ArtifactStore, sizes: list[int], n_seeds: int, separator: str, precision: str, config: AdapterTune
) -> dict[str, Any]:
    """Return raw and tuned figures of agnews_weak by number of training records, for every seed."""
    columns = ["title", "description"]
    (train, train_labels), (test, test_labels) = (
        read(store, f"agnews_weak_{part}", columns, separator, precision) for part in ("train", "test")
    )
    names, classes = np.unique(train_labels, return_inverse=True)
    truth = np.searchsorted(names, test_labels)
    raw = shares(test, truth)
    rows = []
    for size in sizes:
        n = min(size, len(train))
        runs = []
        for seed in range(n_seeds):  # of all records only the validation part is drawn
            labelled = np.random.default_rng(seed).permutation(len(train))[:n]
            head, about = fit(train, classes, labelled, config, seed)
            runs.append({"seed": seed, **about, **shares(head.apply(test), truth)})
        found = np.array([run["top_1000"] for run in runs])
        rows.append(
            {
                "n_training": n,
                "target_top_1000": TARGETS.get(n),
                **{
                    f"top_{k}": round(float(np.mean([run[f"top_{k}"] for run in runs])), 4) for k in NEIGHBORS
                },
                "top_1000_std": round(float(found.std(ddof=1)), 4) if len(found) > 1 else None,
                "top_1000_least": float(found.min()),
                "seconds": round(float(np.mean([run["seconds"] for run in runs])), 2),
                "runs": runs,
            }
        )
    return {"corpus": "agnews_weak", "separator": separator, "chance": round(chance_share(truth), 4), "raw": raw,
            "tuned": rows}  # fmt: skip


def unseen_intents(store: ArtifactStore, n_seeds: int, precision: str, config: AdapterTune) -> dict[str, Any]:
    """Return raw and tuned figures of banking77 on the tuned intents and on the other half, for every seed."""
    (train, train_labels), (test, test_labels) = (
        read(store, f"banking77_{part}", ["text"], "", precision) for part in ("train", "test")
    )
    names, classes = np.unique(train_labels, return_inverse=True)
    truth = np.searchsorted(names, test_labels)
    runs = []
    for seed in range(n_seeds):
        half = np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]
        inside = np.flatnonzero(np.isin(classes, half))
        head, about = fit(train[inside], classes[inside], np.arange(len(inside)), config, seed)
        run: dict[str, Any] = {"seed": seed, **about}
        for which, seen in (("seen", True), ("unseen", False)):
            rows, fitted = np.isin(truth, half) == seen, np.isin(classes, half) == seen
            for space, move in (("raw", lambda x: x), ("tuned", head.apply)):
                figures = shares(move(test[rows]), truth[rows], (10, 30))
                figures["probe"] = probe(move(train[fitted]), classes[fitted], move(test[rows]), truth[rows])
                run[f"{which}_{space}"] = figures
        runs.append(run)
    kinds = [f"{which}_{space}" for which in ("seen", "unseen") for space in ("raw", "tuned")]
    means = {
        kind: {k: round(float(np.mean([r[kind][k] for r in runs])), 4) for k in runs[0][kind]}
        for kind in kinds
    }
    return {"corpus": "banking77", "n_intents": len(names), "means": means, "runs": runs}


def probe(vectors: FloatArray, classes: Numbers, test: FloatArray, truth: Numbers) -> float:
    """Return the accuracy of a softmax regression on given vectors."""
    names, numbers = np.unique(classes, return_inverse=True)
    found = fit_softmax(Examples(vectors, numbers, np.ones(len(numbers))), 10.0, 30)
    return round(float((names[found.probabilities(test).argmax(axis=1)] == truth).mean()), 4)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", default=["agnews_weak", "banking77"])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--precision", default="int8", choices=["int8", "float32"])
    parser.add_argument("--separator", default="\n\n")
    parser.add_argument("--sizes", type=int, nargs="+", default=[25, 100, 1000, 8140])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--loss", default="auto")
    parser.add_argument(
        "--gate", type=float, help="fixed, in place of the one that the validation part chooses"
    )
    args = parser.parse_args()
    store, config = ArtifactStore(args.store), AdapterTune(loss=args.loss, gate=args.gate)
    found = []
    if "agnews_weak" in args.corpora:
        found.append(curve(store, args.sizes, args.seeds, args.separator, args.precision, config))
    if "banking77" in args.corpora:
        found.append(unseen_intents(store, min(args.seeds, 3), args.precision, config))
    encoder = f"all-MiniLM-L6-v2, {args.precision}"
    print(
        json.dumps(
            {
                "benchmark": "adapters",
                "encoder": encoder,
                "loss": args.loss,
                "gate": args.gate,
                **machine(),
                "found": found,
            }
        )
    )


if __name__ == "__main__":
    main()
