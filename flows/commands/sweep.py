"""Command of sweeps: sweep; and how `run --from-sweep` takes the choice of one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import FlowOptions
from topicflow.flows.commands.run_and_show import run_and_show
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.configs.flows.topic_model import TopicModelConfig

app = typer.Typer()

Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=VALUES",
        help="Values of a key: 10,20,50 or 10..100:5 (equal ratios) or 0..1:5:linear; repeat for a grid.",
    ),
]


@app.command()
@grouped
def sweep(options: FlowOptions, vary: Vary = None) -> None:
    """Fit a topic model with many settings, compare them, and recommend one."""
    from topicflow.configs.flows.sweep import SweepConfig
    from topicflow.tasks.sweeps.settings import grid_of

    config = options.read(SweepConfig, varied(vary))
    grid_of(config)
    run_and_show(options, config)


def varied(vary: list[str] | None) -> list[str]:
    """Return the changes of a config that --vary means; raise ConfigError if one has no `=`."""
    changes = []
    for each in vary or ():
        key, equals, values = each.partition("=")
        if not equals or not key.strip():
            msg = f"--vary {each}: expected KEY=VALUES, such as cluster.min_cluster_size=10,20,50"
            raise ConfigError(msg)
        changes.append(f"sweep.vary.{key.strip()}={json.dumps(values)}")
    return changes


def chosen_by_sweep(config: TopicModelConfig, wanted: str, overrides: Sequence[str]) -> TopicModelConfig:
    """Return the config with the setting that a sweep recommends, and print the keys that are taken.

    Parameters
    ----------
    config : TopicModelConfig
        The config of the topic model.
    wanted : str
        The sweep: its id, its name, or `latest` for the last sweep of this config.
    overrides : sequence of str
        The values of --set; those of the sweep's sections still count.

    Raises
    ------
    ConfigError
        If there is no such sweep, it recommends nothing, or its setting does not fit the config.
    """
    from topicflow.configs.flows.sweep import sweep_name
    from topicflow.configs.flows.topic_model import TopicModelConfig
    from topicflow.configs.read import apply_override, parse_config
    from topicflow.configs.sections.sweep import VARIED
    from topicflow.tasks.runs.resolve import resolve

    series = sweep_name(config.name)
    name = series if wanted in {"latest", config.name} else wanted
    record = resolve(Path(config.runtime.runs), name, flow="sweep", where="--from-sweep")
    if (chosen := record["recommendation"]["chosen"]) is None:
        msg = f"--from-sweep {wanted}: {record['recommendation']['sentence']}"
        raise ConfigError(msg)
    values = {**config.model_dump(mode="json", exclude_none=True), **chosen["sections"]}
    try:
        for override in overrides:
            if override.partition(".")[0].strip() in VARIED:
                apply_override(values, override, TopicModelConfig)
        made = parse_config(values, TopicModelConfig, f"--from-sweep {wanted}")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    called = f"{record['name']}/{record['run_id']}"
    taken = " ".join(f"{key}={value}" for key, value in chosen["values"].items())
    print(f"from {called}, setting {chosen['setting']}: {taken}", file=sys.stderr)
    if others := _others(config, chosen):
        print(f"also different from the config: {' '.join(others)}", file=sys.stderr)
    if _other_corpus(config, record):
        print("note: the sweep read or embedded its documents in another way", file=sys.stderr)
    return made


def _others(config: TopicModelConfig, chosen: Mapping[str, Any]) -> list[str]:
    """Return the keys that the sweep did not vary and that differ between its setting and the config."""
    found: list[str] = []
    for name, section in chosen["sections"].items():
        own = getattr(config, name).model_dump(mode="json", exclude_none=True)
        different = [
            key for key in section if section[key] != own.get(key) and f"{name}.{key}" not in chosen["values"]
        ]
        found += [f"{name}.{key}={section[key]}" for key in different]
    return found


def _other_corpus(config: TopicModelConfig, record: Mapping[str, Any]) -> bool:
    """Return whether the sweep had other documents, embeddings or words by its config."""
    import tomllib

    from topicflow.configs.flows.sweep import SweepConfig
    from topicflow.configs.read import parse_config

    swept = parse_config(tomllib.loads(record["config"]), SweepConfig, str(record["run_id"]))
    return any(
        getattr(swept, name) != getattr(config, name) for name in ("load", "deduplicate", "embed", "count")
    )
