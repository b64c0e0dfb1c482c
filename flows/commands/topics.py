"""Commands of topic models: run, plan; and of past runs: runs, show, compare, explore."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.configs.flows.names import FLOWS
from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import AsJson, FlowOptions, RunName, RunsDir, print_json
from topicflow.flows.commands.run_and_show import run_and_show
from topicflow.flows.commands.sweep import Vary, chosen_by_sweep, varied
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.configs.flows.topic_model import TopicModelConfig

app = typer.Typer()


@app.command()
@grouped
def run(
    options: FlowOptions,
    from_sweep: Annotated[
        str | None,
        typer.Option(
            "--from-sweep",
            metavar="SWEEP",
            help="Take the setting that a sweep recommends: its id, its name, or latest for the last of this config.",
        ),
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish", help="Make a run with --set the latest run of its name.")
    ] = False,
) -> None:
    """Run a topic model, computing only what the store lacks.

    A run with other values than those of the config (--set) is a trial: `latest` stays where it is. The first run of a
    name is no trial, and neither is one with --publish or a name of its own.
    """
    from topicflow.configs.flows.topic_model import TopicModelConfig

    config = options.read(TopicModelConfig)
    if from_sweep is not None:
        config = chosen_by_sweep(config, from_sweep, options.overrides or ())
    from topicflow.flows.running.current import trying
    from topicflow.flows.running.start import start_topic_model

    with trying(() if publish else _tried(config, options.overrides or ())):
        run_and_show(options, config, start=partial(start_topic_model, ends=True))


def _tried(config: TopicModelConfig, overrides: Sequence[str]) -> list[str]:
    """Return the values that make a run a trial; none if it has a name of its own, or its name has no runs yet."""
    from topicflow.tasks.runs.resolve import latest_run

    keys = [each.partition("=")[0].strip() for each in overrides]
    tried = [
        each for each, key in zip(overrides, keys, strict=True) if not key.startswith(("runtime.", "gates."))
    ]
    if not tried or "name" in keys or latest_run(Path(config.runtime.runs) / config.name) is None:
        return []
    return tried


@app.command()
@grouped
def plan(
    options: FlowOptions,
    flow: Annotated[
        str,
        typer.Option(
            "--flow",
            help="Which flow's config: topic_model, update_topics, deduplicate, build_index, sweep.",
        ),
    ] = "topic_model",
    vary: Vary = None,
) -> None:
    """Print which stages a run would compute, which are there already, and why; and what would fail (exit code 2)."""
    from topicflow.flows.planning.ahead import planned
    from topicflow.flows.planning.plans import PLANS

    if flow not in PLANS:
        msg = f"--flow {flow}: there are plans of {', '.join(PLANS)}; a run says what it finds, and computes the rest"
        raise ConfigError(msg)
    if vary and flow != "sweep":
        msg = f"--vary: a plan of {flow} has no settings; give --flow sweep"
        raise ConfigError(msg)
    config = options.read(FLOWS[flow], varied(vary))
    steps, problems = planned(config)
    if flow == "sweep":
        from topicflow.configs.flows.sweep import SweepConfig
        from topicflow.tasks.sweeps.left_out import left_out

        assert isinstance(config, SweepConfig)
        for remark in left_out(config):
            print(f"note: {remark}", file=sys.stderr)
    if options.as_json:
        failing = {each.stage: {"would_fail": each.message} for each in reversed(problems)}
        print_json([{**step.as_dict(), **failing.get(step.stage, {})} for step in steps])
        raise typer.Exit(2 if problems else 0)
    width = max(10, *(len(step.stage) for step in steps))
    for stage, group in itertools.groupby(steps, key=lambda step: step.stage):
        same = list(group)  # a sweep has many artifacts of a stage
        missing = [step for step in same if not step.is_hit]
        state = "cached"
        if missing:
            cost = f"; {missing[0].cost}" if missing[0].cost else ""
            state = f"compute  {missing[0].reason}{cost}"
        if len(same) > 1:
            state = f"{len(same) - len(missing)} of {len(same)} cached"
        print(f"{stage:<{width}} {state}")
    n_hits = sum(step.is_hit for step in steps)
    print(f"{n_hits} of {len(steps)} stages are cached; {len(steps) - n_hits} would be computed")
    for problem in problems:
        print(f"would fail: {problem.message}")
    raise typer.Exit(2 if problems else 0)


@app.command("runs")
def list_runs(
    runs: RunsDir = None,
    name: Annotated[str | None, typer.Option("--name", help="Only runs of this name.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of runs, newest first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List past runs, newest first."""
    from topicflow.tasks.runs.history import Unreadable, each_run

    found = list(itertools.islice(each_run(runs or Path("runs"), name), limit))
    for each in found:
        if isinstance(each, Unreadable):
            print(f"warning: {each.error}", file=sys.stderr)
    records = [each for each in found if not isinstance(each, Unreadable)]
    if as_json:
        print_json([{k: v for k, v in record.items() if k not in {"stages", "config"}} for record in records])
        return
    from topicflow.flows.screen.runs import print_runs

    print_runs(records)


@app.command()
def show(
    wanted: RunName = None,
    runs: RunsDir = None,
    tree: Annotated[
        bool,
        typer.Option("--tree", help="Show the groups of topics instead; the run needs a section [tree]."),
    ] = False,
    layer: Annotated[
        int,
        typer.Option("--layer", min=0, help="With --tree: leave out what is below this layer; topics are 0."),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show a run's topics, metrics and stages."""
    from topicflow.tasks.runs.resolve import newer_runs, resolve

    record = resolve(runs or Path("runs"), wanted, published=False)
    for newer in newer_runs(record) if wanted == record["name"] else []:
        print(f"note: a newer run, {newer}", file=sys.stderr)
    if tree:
        from topicflow.flows.screen.tree import print_tree, tree_of

        found = tree_of(record, layer)
        if as_json:
            print_json(found.to_dicts())
        else:
            print_tree(record, found)
        return
    if as_json:
        print_json(record)
        return
    from topicflow.flows.screen.runs import print_head, print_remarks, print_run, print_stages

    print_head(record)
    print_stages(record)
    print_run(record, runs or Path("runs"))
    print_remarks(record)


@app.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's name, id, beginning of an id, or folder.")
    ],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another run.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a page (HTML) with all topics and moves."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing page.")] = False,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what changed between two runs: metrics, config, what became of each topic, documents that moved."""
    from topicflow.flows.screen.comparison import print_comparison, print_topic_changes
    from topicflow.tasks.runs.resolve import resolve
    from topicflow.tasks.runs.run_files import has_file

    folder = runs or Path("runs")
    records = resolve(folder, first, published=False), resolve(folder, second, published=False)
    have_topics = all(has_file(Path(record["folder"]), "topics.parquet") for record in records)
    if not as_json and output is None:
        print_comparison(*records)
        if not have_topics:
            return
    from topicflow.tasks.runs.compare import compare_runs

    changes = compare_runs(*records)
    if output is not None:
        from topicflow.tasks.runs.compare_page import compare_page, write_page

        write_page(compare_page(*records, changes), output, force=force)
        print(f"wrote {output}", file=sys.stderr if as_json else sys.stdout)
        if not as_json:
            return
    if as_json:
        metrics = [record.get("metrics", {}) for record in records]
        tables = {
            name: each.to_dicts() if hasattr(each, "to_dicts") else each
            for name, each in vars(changes).items()
        }
        print_json({"metrics": metrics, **tables})
    else:
        print_topic_changes(changes)


@app.command()
def explore(
    wanted: RunName = None,
    runs: RunsDir = None,
) -> None:
    """Open a run's documents in Apple's Embedding Atlas, for maps of a million points."""
    from topicflow.tasks.runs.explore import explore_run
    from topicflow.tasks.runs.resolve import TOPIC_FLOWS, resolve

    explore_run(resolve(runs or Path("runs"), wanted, flow=TOPIC_FLOWS))
