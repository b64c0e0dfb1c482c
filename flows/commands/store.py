"""Commands of the store: ls, verify, gc."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import AsJson, StoreDir, open_store, print_json

if TYPE_CHECKING:
    from topicflow.tasks.store.verify import Finding

app = typer.Typer(help="Look at, verify and clean the store of artifacts.", no_args_is_help=True)


@app.command("ls")
def store_ls(store: StoreDir = None, as_json: AsJson = False) -> None:
    """List the artifacts with their sizes."""
    from topicflow.flows.screen.runs import human_bytes
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
def store_verify(
    store: StoreDir = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs", metavar="DIR", help="Folders of runs that are read too; repeatable."),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete damaged artifacts; those that cannot be read are kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every artifact and run folder and check all bytes; exit 1 if one is damaged or cannot be read."""
    from topicflow.tasks.runs.run_files import verify_runs
    from topicflow.tasks.store.verify import verify_artifacts

    artifacts = list(_said(verify_artifacts(open_store(store), remove=remove), quiet=as_json))
    folders = list(
        _said((each for path in runs or [Path("runs")] for each in verify_runs(path)), quiet=as_json)
    )
    if as_json:
        print_json(
            {"artifacts": [vars(each) for each in artifacts], "runs": [vars(each) for each in folders]}
        )
    else:
        print(_verdict(artifacts, folders, removed=remove))
    if any(each.problem for each in (*artifacts, *folders)):
        raise typer.Exit(1)


def _said(findings: Iterable[Finding], *, quiet: bool) -> Iterator[Finding]:
    """Yield the findings one by one; print each one that has a problem."""
    for found in findings:
        if found.problem and not quiet:
            print(f"{found.kind}/{found.key}: {found.problem}")
        yield found


def _verdict(artifacts: Sequence[Finding], folders: Sequence[Finding], *, removed: bool) -> str:
    """Return in one line what was read, what was found, and what to do."""
    n_damaged = sum(bool(each.damage) for each in artifacts)
    n_runs_damaged = sum(bool(each.damage) for each in folders)
    n_refused = sum(bool(each.refused) for each in (*artifacts, *folders))
    n_old = sum(not each.has_digest for each in (*artifacts, *folders))
    read = f"{len(artifacts):,} artifacts" + (f" and {len(folders):,} runs" if folders else "")
    parts = [f"{read} read, {n_damaged + n_runs_damaged:,} damaged"]
    if n_refused:
        parts[0] += f", {n_refused:,} could not be read"
    if n_damaged:
        parts.append(
            "the damaged artifacts were removed, a run makes again what it needs of them"
            if removed
            else "`topicflow store verify --remove` removes damaged artifacts, a run makes again what it needs"
        )
    if n_runs_damaged:
        parts.append("run the config of a damaged run again")
    if n_old:
        parts.append(f"{n_old:,} of an older version have no digest of their own")
    return "; ".join(parts)


@dataclass(frozen=True)
class Policy:
    """Which runs and artifacts are kept; see `grouped`."""

    no_runs: Annotated[
        bool,
        typer.Option(
            "--no-runs", help="There are no runs: delete although a folder of runs is missing or empty."
        ),
    ] = False
    min_age_hours: Annotated[
        float,
        typer.Option(
            "--min-age-hours", min=0.0, help="Keep younger artifacts; those of an active run are always kept."
        ),
    ] = 24.0
    keep_runs: Annotated[
        int | None,
        typer.Option(
            "--keep-runs", min=1, metavar="N", help="Keep the newest N runs of each name, delete the others."
        ),
    ] = None
    keep_days: Annotated[
        float | None,
        typer.Option(
            "--keep-days", min=0.0, metavar="N", help="Keep runs younger than N days, delete the others."
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False

    @property
    def deletes_runs(self) -> bool:
        """Whether runs are deleted too."""
        return self.keep_runs is not None or self.keep_days is not None


@app.command("gc")
@grouped
def store_gc(
    policy: Policy,
    store: StoreDir = None,
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--runs",
            metavar="DIR",
            help="A folder of runs whose artifacts are kept; runs if none; repeatable.",
        ),
    ] = None,
) -> None:
    """Delete runs beyond the policy, artifacts that no run refers to, and what killed runs left behind."""
    from topicflow.configs.flows.serving import RetentionConfig
    from topicflow.flows.screen.runs import human_bytes
    from topicflow.tasks.runs.retention import clean

    retention = RetentionConfig(**vars(policy))
    cleaned = clean(open_store(store), runs or [Path("runs")], retention)
    verb = "would remove" if policy.dry_run else "removed"
    for folder in cleaned.runs:
        print(f"{verb} run {folder.parent.name}/{folder.name}")
    for artifact in cleaned.artifacts:
        print(f"{verb} {artifact.kind}/{artifact.key}  {human_bytes(artifact.bytes)}")
    size = human_bytes(sum(artifact.bytes for artifact in cleaned.artifacts))
    went = f"{len(cleaned.runs):,} runs and " if policy.deletes_runs else ""
    print(f"{verb} {went}{len(cleaned.artifacts):,} artifacts, {size}")
