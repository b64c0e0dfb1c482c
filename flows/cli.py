"""The command line: arguments -> a plan, a run, or a look at past ones.

Nothing heavy is imported before it is needed: `--help` and `plan` answer in under a second.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.errors import ConfigError, PipelineError

app = typer.Typer(
    name="topicflow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
store_app = typer.Typer(help="Look at, verify and clean the store of artifacts.", no_args_is_help=True)
config_app = typer.Typer(help="Explain the config.", no_args_is_help=True)
app.add_typer(store_app, name="store")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML config file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value, e.g. cluster.min_cluster_size=50."),
]
StoreDir = Annotated[
    str | None, typer.Option("--store", metavar="DIR", help="Folder or URL (s3://…) of the artifacts.")
]
RunsDir = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Folder of the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output and nothing else.")]


def main() -> None:
    """Run the command line; exit 0 on success, 1 on a failed run, 2 on a bad config or argument."""
    try:
        app()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:  # `topicflow runs | head`
        sys.stderr.close()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"topicflow {version('topicflow')}")
        raise typer.Exit


@app.callback()
def topicflow(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From a corpus of text to topics: every stage kept, nothing computed twice, quality measured."""


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Run a topic model, computing only what the store lacks."""
    settings = _read_config(config, overrides, store, runs)
    from flows.interrupt import ends_on_interrupt
    from flows.run_log import quiet_run_log
    from flows.start import start_topic_model
    from tasks.store import local_folder

    folder = Path(settings.runtime.runs)
    with ends_on_interrupt(local_folder(settings.runtime)), quiet_run_log(settings) as log:
        record = start_topic_model(settings, log)
        log.keep(folder / record["name"] / record["run_id"])
    if as_json:
        _print_json(record)
        return
    from flows.console import print_run

    print_run(record, folder)


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run would compute, what is there already, and why."""
    settings = _read_config(config, overrides, store, runs)
    from flows.plan import plan_topic_model

    steps = plan_topic_model(settings)
    if as_json:
        _print_json(
            [{"stage": s.stage, "state": "hit" if s.is_hit else "compute", "reason": s.reason} for s in steps]
        )
        return
    for step in steps:
        print(
            f"{step.stage:<10} {'hit' if step.is_hit else 'compute':<8} {'' if step.is_hit else step.reason}".rstrip()
        )
    n_hits = sum(step.is_hit for step in steps)
    print(f"{n_hits} of {len(steps)} stages are there; {len(steps) - n_hits} would be computed")


@app.command()
def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A Parquet, CSV or NDJSON file, or a folder of texts.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the config.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing config.")] = False,
) -> None:
    """Look at a file and write a config for it that runs as it is, saying what was guessed and why."""
    from tasks.guess import guess_config, render_config

    guess = guess_config(file)
    target = output or Path(f"{file.stem}.toml")
    if target.exists() and not force:
        msg = f"{target} exists already; --force writes over it, --output names another"
        raise ConfigError(msg)
    target.write_text(render_config(guess), encoding="utf-8")
    for line in guess.reasons:
        print(line)
    print(f"\nwrote {target}; now: topicflow run {target}")


@app.command("runs")
def list_runs(
    runs: RunsDir = None,
    name: Annotated[str | None, typer.Option("--name", help="Only runs of this name.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List past runs, newest first."""
    from tasks import runs as past

    records = past.list_runs(runs or Path("runs"), name)[:limit]
    if as_json:
        _print_json(
            [{k: v for k, v in record.items() if k not in {"stages", "config"}} for record in records]
        )
        return
    from flows.console import print_runs

    print_runs(records)


@app.command()
def show(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id, name or folder; the newest if none.")
    ] = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a run's topics, metrics and stages."""
    from tasks.runs import find_run

    record = find_run(runs or Path("runs"), wanted)
    if as_json:
        _print_json(record)
        return
    from flows.console import print_run, print_stages

    print_stages(record)
    print_run(record, runs or Path("runs"))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, name or folder.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another run.")],
    runs: RunsDir = None,
) -> None:
    """Show what changed between two runs: config and metrics."""
    from flows.console import print_comparison
    from tasks.runs import find_run

    folder = runs or Path("runs")
    print_comparison(find_run(folder, first), find_run(folder, second))


@app.command()
def explore(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id, name or folder; the newest if none.")
    ] = None,
    runs: RunsDir = None,
) -> None:
    """Open a run's documents in Apple's Embedding Atlas, for maps of a million points."""
    from tasks.explore import explore_run
    from tasks.runs import find_run

    explore_run(find_run(runs or Path("runs"), wanted))


@config_app.command("explain")
def explain_config(
    key: Annotated[str, typer.Argument(help="Only keys that begin so, e.g. cluster.")] = "",
) -> None:
    """Say what every key of the config means, its bounds and its default."""
    from configs.load import explain

    for name, kind, default, description in explain():
        if name.startswith(key):
            shown = f" (default: {default})" if default not in {"", "None"} else ""
            print(f"{name}: {kind}{shown}\n    {description}")


@store_app.command("ls")
def store_ls(store: StoreDir = None, as_json: AsJson = False) -> None:
    """List the artifacts with their sizes."""
    from flows.console import human_bytes
    from tasks.retention import list_artifacts

    artifacts = list_artifacts(_open_store(store))
    if as_json:
        _print_json([vars(artifact) for artifact in artifacts])
        return
    for artifact in artifacts:
        size, rows = human_bytes(artifact.bytes), f"{artifact.rows:,} rows"
        print(f"{artifact.kind[:24]:<24} {artifact.key}  {size:>9}  {rows:>17}  {artifact.created}")
    print(f"{len(artifacts):,} artifacts, {human_bytes(sum(artifact.bytes for artifact in artifacts))}")


@store_app.command("verify")
def store_verify(store: StoreDir = None) -> None:
    """Read every artifact and check sizes and digests; exit 1 where one is damaged."""
    from tasks.retention import verify_artifacts

    damaged = 0
    n_artifacts = 0
    for artifact, problem in verify_artifacts(_open_store(store)):
        n_artifacts += 1
        if problem:
            damaged += 1
            print(f"{artifact.kind}/{artifact.key}: {problem}")
    print(
        f"{n_artifacts:,} artifacts read, {damaged:,} damaged"
        + ("; a run recomputes what it needs of them" if damaged else "")
    )
    if damaged:
        raise typer.Exit(1)


@store_app.command("gc")
def store_gc(
    store: StoreDir = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs", metavar="DIR", help="Folders of runs that are kept; repeatable."),
    ] = None,
    min_age_h: Annotated[
        float,
        typer.Option("--min-age-hours", min=0.0, help="Keep what is younger, as a run may be using it."),
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove artifacts that no run refers to, and what killed runs left behind."""
    from flows.console import human_bytes
    from tasks.retention import collect_garbage

    removed = collect_garbage(_open_store(store), runs or [Path("runs")], min_age_h * 3600.0, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for artifact in removed:
        print(f"{verb} {artifact.kind}/{artifact.key}  {human_bytes(artifact.bytes)}")
    print(f"{verb} {len(removed):,} artifacts, {human_bytes(sum(artifact.bytes for artifact in removed))}")


def _read_config(path: Path, overrides: list[str] | None, store: str | None, runs: Path | None) -> Any:  # noqa: ANN401
    from configs.load import load_config

    changes = list(overrides or [])
    changes += [
        f"runtime.{name}={json.dumps(str(value))}"
        for name, value in (("store", store), ("runs", runs))
        if value
    ]
    with _value_errors_are_config_errors():
        return load_config(path, changes)


@contextlib.contextmanager
def _value_errors_are_config_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _open_store(place: str | None) -> Any:  # noqa: ANN401
    from configs.models import RuntimeConfig
    from tasks.store import open_store

    store = open_store(RuntimeConfig(store=place or "store"))
    if not store.exists():
        msg = f"{store.name}: no store here; --store names one"
        raise ConfigError(msg)
    return store


def _print_json(value: Any) -> None:  # noqa: ANN401
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
