"""Features: a classifier with columns beside the vectors and without, on the same splits, as JSON.

    python -m tests.benchmarks.features --scratch DIR

- clinc150 with `domain`, a column that goes with the classes: the best case.
- newsgroups with figures of the text that an embedding hardly has: length, share of capitals and of digits, lines.
- arxiv titles with the year and the month of the first version: dates that say little about the field.
- banking77 with ten columns of noise and a category of 50 random values: what a useless column costs.

Of each corpus the 20 largest classes; each line is the mean over four draws of ten examples a class; `gain` is paired,
its interval as in a run. The weights are lengths of the features beside a vector of length 1; `unscaled` is the same
block with each column of variance 1, as scikit-learn's StandardScaler leaves it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.corpora import measured_corpora
from tests.benchmarks.labelled_vectors import labelled
from tests.benchmarks.peer import machine
from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.configs.sections.classify import FeaturesConfig
from topicflow.tasks.classify.compare_methods import try_probe
from topicflow.tasks.classify.features import feature_table
from topicflow.tasks.classify.fitted_head import Examples
from topicflow.tasks.core.learning.scores import interval, score
from topicflow.tasks.core.learning.splits import draw_shots

CORPORA = {"clinc150": 5000, "newsgroups": 2500, "arxiv": 4000, "banking77": 5000}
N_CLASSES = 20
SHOTS = 10
N_SPLITS = 4
WEIGHTS = (0.5, 1.0, 2.0)


def columns(name: str, table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, list[str]]]:
    """Return a corpus's columns and which of them are numeric and categorical."""
    if name == "clinc150":
        return table, {"categorical": ["domain"]}
    if name == "arxiv":
        created = pl.col("created").cast(pl.String).str.slice(0, 10).str.to_date(strict=False)
        made = table.select(year=created.dt.year(), month=created.dt.month())
        return made, {"numeric": ["year"], "categorical": ["month"]}
    if name == "newsgroups":
        text, length = pl.col("text"), pl.col("text").str.len_chars()
        made = table.select(
            length=length.log1p(),
            capitals=text.str.count_matches(r"\p{Lu}") / length,
            digits=text.str.count_matches(r"\d") / length,
            lines=text.str.count_matches("\n") / length,
        )
        return made, {"numeric": made.columns}
    rng = np.random.default_rng(0)
    noise = {f"n{i}": rng.normal(size=table.height) for i in range(10)}
    made = pl.DataFrame(noise | {"kind": rng.integers(50, size=table.height)})
    return made, {"numeric": list(noise), "categorical": ["kind"]}


def measured(name: str, n: int, scratch: Path) -> list[dict[str, Any]]:
    """Return the accuracy with and without features, and the gain, by weight."""
    corpus = labelled(name, n, scratch)
    made, named = columns(name, corpus.table)
    names, sizes = np.unique(corpus.classes, return_counts=True)
    own = np.sort(names[np.argsort(-sizes, kind="stable")][:N_CLASSES])
    kept = np.isin(corpus.classes, own)
    classes = corpus.classes[kept][:, None] == own[None]
    table = feature_table(made.filter(pl.Series(kept)), FeaturesConfig(**named))
    examples = Examples([""] * int(kept.sum()), corpus.vectors[kept], classes, False, table)
    rows = []
    for weight in (*WEIGHTS, float(np.sqrt(len(table.columns)))):
        config = TrainClassifierConfig(
            load={"path": "a", "label_column": "label"}, setfit={"enabled": False},
            features={**named, "weight": weight},
        )  # fmt: skip
        found = np.array([accuracies(examples, config, draw) for draw in range(N_SPLITS)])
        gain = interval((found[:, 0] - found[:, 1]).tolist(), 0.95)
        rows.append(
            {
                "corpus": name, "n_classes": len(own), "n_documents": int(kept.sum()),
                "weight": weight if weight in WEIGHTS else "unscaled",
                "with": round(float(found[:, 0].mean()), 4), "without": round(float(found[:, 1].mean()), 4),
                "gain": {key: round(value, 4) for key, value in vars(gain).items()},
            }
        )  # fmt: skip
    return rows


def accuracies(examples: Examples, config: TrainClassifierConfig, draw: int) -> list[float]:
    """Return the accuracy of the probe with features and without, on the same draw."""
    rng = np.random.default_rng(draw)
    trained, tested = draw_shots(examples.classes, SHOTS, rng)
    tested = rng.permutation(tested)[:1000]
    tried = try_probe(examples, trained, tested, config)
    assert tried.without is not None
    own = examples.classes[tested]
    return [score(each.probabilities, own, multilabel=False)["accuracy"] for each in (tried, tried.without)]


def main() -> None:
    rows = [row for rows in measured_corpora(__doc__, CORPORA, measured) for row in rows]
    print(json.dumps({"machine": machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
