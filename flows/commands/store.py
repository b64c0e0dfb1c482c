"""Commands of the store: ls, verify, gc."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topicflow.flows.commands.options import AsJson, StoreDir, open_store, print_json

app = typer.Typer(help="Look at, verify and clean the store of artifacts.", no_args_is_help=True)


@app.command("ls")
def store_ls(store: StoreDir = None, as_json: AsJson = False) -> None:
    """List the artifacts with their sizes."""
    from topicflow.flows.commands.console import human_bytes
    from topicflow.tasks.runs.retention import list_artifacts

    artifacts = list_artifacts(open_store(store))
    if as_json:
        print_json([vars(artifact) for artifact in artifacts])
        return
    for artifact in artifacts:
        size, rows = human_bytes(artifact.bytes), f"{artifact.rows:,} rows"
        print(f"{artifact.kind[:24]:<24} {artifact.key}  {size:>9}  {rows:>17}  {artifact.created}")
    print(f"{len(artifacts):,} artifacts, {human_bytes(sum(artifact.bytes for artifact in artifacts))}")


@app.command("verify")
def store_verify(store: StoreDir = None) -> None:
    """Read every artifact and check sizes and digests; exit 1 where one is damaged."""
    from topicflow.tasks.runs.retention import verify_artifacts

    damaged = 0
    n_artifacts = 0
    for artifact, problem in verify_artifacts(open_store(store)):
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


@app.command("gc")
def store_gc(
    store: StoreDir = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="A folder of runs whose artifacts are kept; runs if none; repeatable.",
        ),
    ] = None,
    no_runs: Annotated[
        bool,
        typer.Option(
            "--no-runs", help="There are no runs: delete although a folder of runs is missing or empty."
        ),
    ] = False,
    min_age_h: Annotated[
        float,
        typer.Option(
            "--min-age-hours", min=0.0, help="Keep younger artifacts; those of a run at work are always kept."
        ),
    ] = 24.0,
    keep_runs: Annotated[
        int | None,
        typer.Option(
            "--keep-runs", min=1, metavar="N", help="Keep the newest N runs of each name, delete the others."
        ),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", min=0.0, metavar="N", help="Keep runs younger than N days, delete the others."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
) -> None:
    """Delete runs beyond the policy, artifacts that no run refers to, and what killed runs left behind."""
    from topicflow.configs.flows.serving import RetentionConfig
    from topicflow.flows.commands.console import human_bytes
    from topicflow.tasks.runs.retention import clean

    policy = RetentionConfig(
        no_runs=no_runs, keep_runs=keep_runs, keep_days=keep_days, min_age_hours=min_age_h, dry_run=dry_run
    )
    cleaned = clean(open_store(store), runs or [Path("runs")], policy)
    verb = "would remove" if dry_run else "removed"
    for folder in cleaned.runs:
        print(f"{verb} run {folder.parent.name}/{folder.name}")
    for artifact in cleaned.artifacts:
        print(f"{verb} {artifact.kind}/{artifact.key}  {human_bytes(artifact.bytes)}")
    size = human_bytes(sum(artifact.bytes for artifact in cleaned.artifacts))
    went = f"{len(cleaned.runs):,} runs and " if keep_runs is not None or keep_days is not None else ""
    print(f"{verb} {went}{len(cleaned.artifacts):,} artifacts, {size}")
