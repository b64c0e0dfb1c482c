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
made by {encoder}, and refuses others.

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

`topicflow classify` with the config.toml of the run; `cluster.method = "classes"` with `cluster.classifier` naming this
run makes the classes the topics of a topic model. From Python:

```python
from pathlib import Path
from topicflow.tasks.classify.classifiers import load_classifier
classifier = load_classifier(Path("classifier"))
classifier.probabilities(vectors)      # unit vectors of the space above, (n, {classifier.head.coefficients.shape[1]})
```

## Limits

It knows only the classes above: a document that belongs to no class gets the nearest one, or is unsure. The scores hold
for documents like the labelled ones; if these were chosen because they are hard (suggestions), the scores on the whole
corpus are higher.
"""


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
    if gain is None:
        return "Only the probe was trained."
    bounds = f"({gain['low']:+.3f} to {gain['high']:+.3f})"
    said = f"SetFit's gain in {metric} over the probe is {gain['mean']:+.3f} {bounds}"
    if comparison["recommended"] == "setfit":
        return f"{said}: SetFit is recommended."
    return f"{said}: it may be 0, so the probe is recommended."


def _cell(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
