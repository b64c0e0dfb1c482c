"""Commands of indexes: index, search, similar, outliers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.flows.commands.options import (
    AsJson,
    ConfigFile,
    Overrides,
    RunsDir,
    StoreDir,
    print_json,
    read_config,
    run_flow,
)
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.tasks.search.index import SearchIndex

app = typer.Typer()

MODES = ("auto", "dense", "bm25", "hybrid")

IndexRun = Annotated[
    str | None,
    typer.Option("--index", metavar="RUN", help="An index's run: name, id or folder; the newest if none."),
]
Count = Annotated[int, typer.Option("-k", "--count", help="How many; fewer where there are fewer.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="CONDITION", help="As SQL writes it: \"label = 'a' and created >= '2012-01-01'\"."
    ),
]


@app.command()
def index(
    config: ConfigFile,
    overrides: Overrides = None,
    store: StoreDir = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Make an index of a corpus, or bring the last one of its name up to date."""
    settings = read_config(config, BuildIndexConfig, overrides, store, runs)
    record = run_flow(settings)
    if as_json:
        print_json(record)
        return
    from topicflow.flows.commands.console import print_run

    print_run(record, Path(settings.runtime.runs))
    print(f'now: topicflow search "some words" --index {record["name"]}')


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")],
    run: IndexRun = None,
    k: Count = 10,
    where: Where = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="dense (meaning), bm25 (words), hybrid (both); auto is hybrid where it can."
        ),
    ] = "auto",
    rerank: Annotated[
        str | None,
        typer.Option("--rerank", metavar="MODEL", help="A cross-encoder that ranks the best 100 anew."),
    ] = None,
    topics: Annotated[bool, typer.Option("--topics", help="Find topics instead of documents.")] = False,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find documents, or topics, by meaning and words."""
    if mode not in MODES:
        msg = f"--mode {mode}: expected one of {', '.join(MODES)}"
        raise ConfigError(msg)
    opened = _open(run, runs)
    if topics:
        found = opened.topics(query, k)
        _warn_if_truncated(opened)
        if as_json:
            print_json([asdict(topic) for topic in found])
            return
        for topic in found:
            print(
                f"{topic.score:.3f}  topic {topic.topic}, {topic.size:,} documents: {', '.join(topic.keywords)}"
            )
        return
    hits = opened.search(query, k, where, mode, rerank)  # type: ignore[arg-type]
    _warn_if_truncated(opened)
    _print_hits(
        opened, hits, k, as_json=as_json, nothing="no document" + (" that --where keeps" if where else "")
    )


@app.command()
def similar(
    doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="A document's id.")],
    run: IndexRun = None,
    k: Count = 10,
    where: Where = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find the documents most like one."""
    opened = _open(run, runs)
    hits = opened.similar(doc_id, k, where)
    _print_hits(
        opened,
        hits,
        k,
        as_json=as_json,
        nothing="no other document" + (" that --where keeps" if where else ""),
    )


@app.command()
def outliers(
    run: IndexRun = None,
    k: Count = 10,
    neighbors: Annotated[
        int, typer.Option("--neighbors", help="Nearest others whose mean distance is the score.")
    ] = 10,
    where: Where = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find the documents far from everything, with the neighbours that show why."""
    opened = _open(run, runs)
    from topicflow.tasks.search.outliers import find_outliers

    found = find_outliers(opened, k, neighbors, where)
    if as_json:
        print_json([asdict(outlier) for outlier in found])
        return
    for outlier in found:
        print(f"{outlier.hit.score:.3f}  {_line(outlier.hit)}")
        for hit in outlier.neighbors:
            print(f"         {hit.score:.3f}  {_line(hit, width=90)}")


def _open(run: str | None, runs: Path | None) -> SearchIndex:
    """Return the index of a run, after saying where its documents have changed since."""
    from topicflow.tasks.search.freshness import changed_since
    from topicflow.tasks.search.index import SearchIndex
    from topicflow.tasks.search.index_files import IndexFiles
    from topicflow.tasks.search.locate import find_index, open_record

    store, key, record = open_record(find_index(runs or Path("runs"), run))
    files = IndexFiles.open(store, key)
    if (source := changed_since(record, store, files.meta)) is not None:
        _warn(
            f"{source} has changed since this index was built; `topicflow index CONFIG` takes the changes in"
        )
    return SearchIndex(files, record)


def _warn_if_truncated(opened: SearchIndex) -> None:
    if opened.truncated:
        most = opened.queries.max_tokens
        _warn(
            f"the query is longer than the {most:,} tokens that the encoder reads; its end counts for BM25 alone"
        )


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _print_hits(opened: SearchIndex, hits: list[Any], k: int, *, as_json: bool, nothing: str) -> None:
    if as_json:
        print_json([asdict(hit) for hit in hits])
        return
    for hit in hits:
        print(f"{hit.score:.3f}  {_line(hit)}")
    if not hits:
        print(f"{nothing} was found")
    elif len(hits) < k:
        print(f"{len(hits):,} of the {len(opened):,} documents; no others match")


def _line(hit: Any, width: int = 100) -> str:  # noqa: ANN401  (a Hit, whose module is imported on use)
    """Return a document in one line: id, topic where known, the beginning of its text."""
    text = " ".join(hit.text.split())
    shown = text if len(text) <= width else f"{text[: width - 1]}…"
    topic = f"  [{hit.topic_name or 'no topic'}]" if hit.topic is not None else ""
    return f"{hit.doc_id}{topic}  {shown}"
