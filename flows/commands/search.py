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
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="DOC_ID", help="A document that may be found; give it again for more."),
]
IdsFrom = Annotated[
    Path | None,
    typer.Option(
        "--ids-from", metavar="FILE", help="A file of the ids that may be found, one a line; - reads them."
    ),
]
Offset = Annotated[int, typer.Option("--offset", help="How many of the best are left out.")]
MinScore = Annotated[float | None, typer.Option("--min-score", help="Least score of what is found.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="COLUMN",
        help="The best document of each value of a column; parent for passages.",
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
    ids: Ids = None,
    ids_from: IdsFrom = None,
    offset: Offset = 0,
    min_score: MinScore = None,
    group_by: GroupBy = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find documents, or topics, by meaning and words."""
    if mode not in MODES:
        msg = f"--mode {mode}: expected one of {', '.join(MODES)}"
        raise ConfigError(msg)
    limits = {"ids": _ids(ids, ids_from), "offset": offset, "min_score": min_score, "group_by": group_by}
    if topics:
        _refuse_with_topics({"where": where, "rerank": rerank, **limits})
        _print_topics(_open(run, runs), query, k, as_json=as_json)
        return
    opened = _open(run, runs)
    hits = opened.search(query, k, where, mode, rerank, **limits)  # type: ignore[arg-type]
    _warn_if_truncated(opened, hits.truncated)
    _print_hits(opened, hits, k, as_json=as_json, nothing="no document" + _kept_by(where, limits))


@app.command()
def similar(
    doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="A document's id.")],
    run: IndexRun = None,
    k: Count = 10,
    where: Where = None,
    ids: Ids = None,
    ids_from: IdsFrom = None,
    offset: Offset = 0,
    min_score: MinScore = None,
    group_by: GroupBy = None,
    runs: RunsDir = None,
    as_json: AsJson = False,
) -> None:
    """Find the documents most like one."""
    limits: dict[str, Any] = {
        "ids": _ids(ids, ids_from), "offset": offset, "min_score": min_score, "group_by": group_by,
    }  # fmt: skip
    opened = _open(run, runs)
    hits = opened.similar(doc_id, k, where, **limits)
    _print_hits(opened, hits, k, as_json=as_json, nothing="no other document" + _kept_by(where, limits))


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


def _ids(ids: list[str] | None, source: Path | None) -> list[str] | None:
    """Return the ids that may be found, given one by one and in a file; None where neither is given."""
    if source is None:
        return ids or None
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        msg = f"--ids-from {source} cannot be read ({reason}); name a file with one id a line"
        raise ConfigError(msg) from None
    return [*(ids or []), *(line for line in text.splitlines() if line.strip())]


def _refuse_with_topics(options: dict[str, Any]) -> None:
    """Raise ConfigError where an option is given that says which documents are found."""
    names = {"ids": "--id and --ids-from"}
    for name, value in options.items():
        if value not in (None, 0):
            option = names.get(name, f"--{name.replace('_', '-')}")
            msg = (
                f"--topics finds topics and takes no {option}, which is for documents; leave one of them out"
            )
            raise ConfigError(msg)


def _kept_by(where: str | None, limits: dict[str, Any]) -> str:
    """Return what limited a search that found nothing, as a relative clause."""
    names = {"where": where, **limits}
    given = [f"--{name.replace('_', '-')}" for name, value in names.items() if value not in (None, 0)]
    return f" that {' and '.join(given)} {'keep' if len(given) > 1 else 'keeps'}" if given else ""


def _print_topics(opened: SearchIndex, query: str, k: int, *, as_json: bool) -> None:
    found = opened.topics(query, k)
    _warn_if_truncated(opened, found.truncated)
    if as_json:
        print_json([asdict(topic) for topic in found])
        return
    for topic in found:
        keywords = ", ".join(topic.keywords)
        print(f"{topic.score:.3f}  topic {topic.topic}, {topic.size:,} documents: {keywords}")


def _warn_if_truncated(opened: SearchIndex, truncated: bool) -> None:
    if truncated:
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
