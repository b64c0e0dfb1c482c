"""Few labels: SetFit and the linear probe on the same draws, by the flow's own code; resumes; prints JSON.

    python -m tests.benchmarks.few_shot sst5 cr emotion --scratch DIR --draws 10
    python -m tests.benchmarks.few_shot banking77 clinc150 --scratch DIR --draws 10 --methods probe

Each training adds a line to SCRATCH/few_shot.jsonl, and a training with a line is not repeated; draws are taken in
turn over the corpora. 8 examples per class are drawn from the training split (seed = number of the draw), and tested
on `--test` documents of the test split, the same in all draws; customer reviews have no split and are halved.
`train_s` covers tuning, embedding the examples and the head, for the probe only the head. `cpu_s_with_test` is
processor time, for SetFit including reading the encoder and embedding the test.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import DATA
from tests.benchmarks.peer import machine
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.classify.compare_methods import try_probe, try_setfit
from topicflow.tasks.classify.fitted_head import Examples
from topicflow.tasks.core.learning.scores import interval, score
from topicflow.tasks.core.learning.splits import draw_shots
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder

CORPORA = {
    "sst5": ("sst5_train", "sst5_test", "label"),
    "cr": ("customer_reviews", "", "label"),
    "emotion": ("emotion_train", "emotion_test", "label"),
    "banking77": ("banking77_train", "banking77_test", "label"),
    "clinc150": ("clinc150", "", "intent"),
}
PUBLISHED = {"sst5": 0.298, "cr": 0.716, "emotion": 0.391}
"""Published accuracy of SetFit with all-MiniLM-L6-v2, 8 per class, 10 draws (huggingface/setfit, final_results)."""


def read_corpus(name: str, n_test: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return texts and labels to draw from, and texts and labels to test on; a corpus without a split is halved."""
    train, test, label = CORPORA[name]
    table = pl.read_parquet(DATA / f"{train}.parquet")
    if name == "clinc150":
        table = table.filter(pl.col("split").str.contains("train|test"))
        table, other = (table.filter(pl.col("split").str.contains(part)) for part in ("train", "test"))
    elif test:
        other = pl.read_parquet(DATA / f"{test}.parquet")
    else:
        shuffled = table.sample(fraction=1.0, shuffle=True, seed=0)
        table, other = shuffled[: table.height // 2], shuffled[table.height // 2 :]
    other = other.sample(min(n_test, other.height), shuffle=True, seed=0)
    return (
        table["text"].to_list(), table[label].cast(pl.String).to_list(), other["text"].to_list(),
        other[label].cast(pl.String).to_list(),
    )  # fmt: skip


def run_draw(
    name: str, method: str, draw: int, shots: int, n_test: int, config: TrainClassifierConfig
) -> dict[str, Any]:
    """Return the scores and seconds of one training."""
    texts, labels, test_texts, test_labels = read_corpus(name, n_test)
    names = sorted(set(labels))
    known = np.array(labels)[:, None] == np.array(names)
    rows, _ = draw_shots(known, shots, np.random.default_rng(draw))
    own = [texts[row] for row in rows]
    classes = np.vstack([known[rows], np.array(test_labels)[:, None] == np.array(names)])
    vectors = np.zeros((len(classes), 384), np.float32)
    if method == "probe":
        encoder = load_encoder(find_encoder(SentenceTransformersEmbed(), "cpu"), SentenceTransformersEmbed())
        vectors = encoder.encode(own + test_texts)[0]
    examples = Examples(own + test_texts, vectors, classes, multilabel=False)
    trained, tested = np.arange(len(own)), np.arange(len(own), len(classes))
    cpu = time.process_time()
    if method == "probe":
        tried = try_probe(examples, trained, tested, config)
        cpu = time.process_time() - cpu
    else:
        tried = try_setfit(examples, trained, tested, config, draw)
        cpu = time.process_time() - cpu  # with the test's vectors and reading the encoder
    found = score(tried.probabilities, classes[tested], multilabel=False)
    return {
        "corpus": name, "method": method, "draw": draw, "shots": shots, "n_train": len(own), "n_test": len(tested),
        **{key: round(value, 4) for key, value in found.items()},
        "train_s": round(tried.seconds, 3), "cpu_s_with_test": round(cpu, 2), "setfit": config.setfit.model_dump(),
        "C": config.head.C,
    }  # fmt: skip


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return means with 95 % intervals for each corpus and method, and the paired gain."""
    found = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        for method in ("probe", "setfit"):
            own = [row for row in rows if (row["corpus"], row["method"]) == (corpus, method)]
            if len(own) < 2:
                continue
            line = {
                "corpus": corpus,
                "method": method,
                "draws": len(own),
                "published_setfit": PUBLISHED.get(corpus),
            }
            for name in ("accuracy", "macro_f1", "calibration_error"):
                line[name] = vars(interval([row[name] for row in own], 0.95))
            line["train_s_median"] = float(np.median([row["train_s"] for row in own]))
            found.append(line)
        by = {(row["method"], row["draw"]): row["accuracy"] for row in rows if row["corpus"] == corpus}
        gains = [
            by["setfit", d] - value for (m, d), value in by.items() if m == "probe" and ("setfit", d) in by
        ]
        if len(gains) > 1:
            found.append({"corpus": corpus, "gain": vars(interval(gains, 0.95)), "draws": len(gains)})
    return found


def main() -> None:
    """Run the trainings that have no line yet and print the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="+", choices=CORPORA)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--methods", nargs="+", default=["probe", "setfit"])
    parser.add_argument("--summary", action="store_true", help="Train nothing.")
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    log = args.scratch / "few_shot.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    config = TrainClassifierConfig(
        load={"path": "none", "label_column": "label"}, embed={"precision": "float32"}
    )
    done = {(row["corpus"], row["method"], row["draw"], row["shots"]) for row in rows}
    for draw in range(0 if args.summary else args.draws):
        for name in args.corpora:
            for method in args.methods:
                if (name, method, draw, args.shots) in done:
                    continue
                rows.append(run_draw(name, method, draw, args.shots, args.test, config))
                with log.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    rows = [row for row in rows if row["corpus"] in args.corpora and row["shots"] == args.shots]
    print(json.dumps({"benchmark": "few_shot", **machine(), "summary": summary(rows)}, indent=2))


if __name__ == "__main__":
    main()
