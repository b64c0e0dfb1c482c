"""Model card: a classifier and its comparison -> Markdown that says what it is, how good it is, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topicflow.configs.flows.train_classifier import TrainClassifierConfig
from topicflow.tasks.classify.classifiers import Classifier
from topicflow.tasks.encoding.spaces import describe

METHODS = {
    "probe": "logistic regression on frozen embeddings",
    "setfit": "SetFit: a tuned encoder and its head",
}


def model_card(
    classifier: Classifier,
    made: Mapping[str, Any],
    comparison: Mapping[str, Any],
    config: TrainClassifierConfig,
) -> str:
    """Return the README.md of a classifier's folder.

    Parameters
    ----------
    classifier : Classifier
    made : mapping
        The content of its classifier.json: how it was trained.
    comparison : mapping
        Intervals, gain and recommendation.
    config : TrainClassifierConfig
    """
    kind = "several labels a document" if classifier.head.multilabel else "one label a document"
    sizes = "\n".join(f"| {name} | {n:,} |" for name, n in made["sizes"].items())
    own = "this folder's `body/`"
    encoder = own if classifier.method == "setfit" else f"`{made['model'] or 'precomputed vectors'}`"
    return f"""# {config.name}

{METHODS[classifier.method]}; {len(classifier.names)} classes, {kind}. It reads vectors of {describe(classifier.space)},
made by {encoder}, and refuses others.{features_line(classifier)}

## Scores

On {config.compare.n_splits} splits of the labelled documents, {config.compare.confidence:.0%} intervals corrected for
their overlap; in rows of n a class, n examples of each class were drawn, and the rest was the test.

{scores_table(comparison)}

{verdict(comparison)} A document below probability {config.predict.threshold} is unsure.

## Examples

| class | examples |
|---|---|
{sizes}

## Use

{usage(classifier)}

## Limits

It knows only the classes above: a document that belongs to no class gets the nearest one, or is unsure. The scores hold
for documents like the labelled ones; if these were chosen because they are hard (suggestions), the scores on the whole
corpus are higher.
"""


def usage(classifier: Classifier) -> str:
    """Return how a classifier is used, by a command and from Python."""
    vectors = f"unit vectors of the space above, (n, {classifier.space.get('dim')})"
    command = "`topicflow classify` with the config.toml of the run"
    if classifier.features is None:
        command += (
            '; `cluster.method = "classes"` with `cluster.classifier` naming this\n'
            "run makes the classes the topics of a topic model"
        )
        lines = [f"classifier.probabilities(vectors)      # {vectors}"]
    else:
        lines = [
            "import polars as pl",
            "from topicflow.tasks.classify.features import feature_table",
            'table = feature_table(pl.read_parquet("new.parquet"), classifier.features.config)',
            f"classifier.probabilities(vectors, table)      # {vectors}",
        ]
    python = [
        "from pathlib import Path",
        "from topicflow.tasks.classify.classifiers import load_classifier",
        'classifier = load_classifier(Path("classifier"))',
        *lines,
    ]
    return "\n".join([f"{command}. From Python:", "", "```python", *python, "```"])


def scores_table(comparison: Mapping[str, Any]) -> str:
    """Return the scores of both methods as a Markdown table."""
    lines = ["| trained on | method | accuracy | macro F1 | calibration error |", "|---|---|---|---|---|"]
    for row in comparison["rows"]:
        trained = f"{row['shots']} a class" if row["shots"] else f"{row['n_train']:,} (splits)"
        cells = (_cell(row[name]) for name in ("accuracy", "macro_f1", "calibration_error"))
        lines.append(f"| {trained} | {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(comparison: Mapping[str, Any]) -> str:
    """Return one sentence: which method is recommended, and why."""
    gain, metric = comparison["gain"], comparison["metric"]
    features = "".join(
        f" The features' gain in {metric} beside the vectors of {'SetFit' if method == 'setfit' else 'the probe'} is "
        f"{_gain(each)}{'.' if each['low'] > 0 else ': it may be 0, so [features] may be left out.'}"
        for method, each in comparison.get("features", {}).items()
    )
    if gain is None:
        return f"Only the probe was trained.{features}"
    said = f"SetFit's gain in {metric} over the probe is {_gain(gain)}"
    if comparison["recommended"] == "setfit":
        return f"{said}: SetFit is recommended.{features}"
    return f"{said}: it may be 0, so the probe is recommended.{features}"


def features_line(classifier: Classifier) -> str:
    """Return a sentence about the columns that a classifier reads beside the vectors; empty if there are none."""
    if (features := classifier.features) is None:
        return ""
    numbers = [f"`{each.name}`" for each in features.numbers]
    categories = [f"`{each.name}` ({len(each.values)} categories)" for each in features.categories]
    return (
        f" It also reads the columns {', '.join(numbers + categories)}: numbers are scaled, a missing one counts "
        "as the mean, and a category that no labelled document has counts as none."
    )


def _gain(found: Mapping[str, float]) -> str:
    return f"{found['mean']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def _cell(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
