"""Left out: the config of a sweep -> a sentence on what of it takes no part in the comparison of settings.

Given topics and edits come after the clusters. A sweep varies what finds the clusters and judges these, above all by
their stability, which is not measured for topics that a person gave or changed.
"""

from __future__ import annotations

from pathlib import Path

from topicflow.configs.flows.sweep import SweepConfig, model_name
from topicflow.tasks.edits.edits_file import read_edits


def left_out(config: SweepConfig) -> list[str]:
    """Return one sentence if the config has given topics or edits for its topic model; none otherwise.

    Raises
    ------
    ConfigError
        If the file of edits is wrong.
    """
    edits = [] if config.edits.path is None else read_edits(Path(config.edits.path))
    own = [edit for edit in edits if edit.series in {None, config.name, model_name(config.name)}]
    parts = ["[topics]"] if config.topics is not None else []
    parts += [f"{len(own):,} edit{'s' if len(own) > 1 else ''}"] if own else []
    if not parts:
        return []
    said = f"{' and '.join(parts)} left out: a sweep compares the clusters that its settings find."
    return [f"{said} `topicflow run --from-sweep` applies them to the setting that it takes."]
