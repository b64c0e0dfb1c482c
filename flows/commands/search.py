"""Commands of indexes: index, search, similar, outliers."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from topicflow.flows.commands.grouped import grouped
from topicflow.flows.commands.options import AsJson, FlowOptions, Force, RunsDir, print_json
from topicflow.flows.commands.run_and_show import run_and_show
from topicflow.flows.screen.hits import hit_line, hit_lines
from topicflow.tasks.errors import ConfigError

if TYPE_CHECKING:
    from topicflow.tasks.search.index import SearchIndex

app = typer.Typer()

MODES, EXPANSIONS = ("auto", "dense", "bm25", "hybrid"), ("none", "feedback", "hypothetical")

IndexRun = Annotated[
    str | None,
    typer.Option(
        "--index", metavar="RUN", help="The run of an index: name, id or folder; the newest if none."
    ),
]
Count = Annotated[int, typer.Option("-k", "--count", help="How many at most.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="CONDITION",
        help="A condition as in SQL: \"label = 'a' and created >= '2012-01-01'\".",
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="DOC_ID", help="A document that may be found; repeatable."),
]
IdsFrom = Annotated[
    Path | None,
    typer.Option(
        "--ids-from",
        metavar="FILE",
        help="A file with the ids that may be found, one a line; - reads standard input.",
    ),
]
Offset = Annotated[int, typer.Option("--offset", help="How many of the best to leave out.")]
MinScore = Annotated[float | None, typer.Option("--min-score", help="Minimum score of what is found.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="COLUMN",
        help="The best document of each value of a column; parent for passages.",
    ),
]


@dataclass(frozen=True)
class IndexOptions:
    """Which index is asked, and how much is shown; see `grouped`."""

    run: IndexRun = None
    k: Count = 10
    runs: RunsDir = None
    as_json: AsJson = False

    def open(self) -> SearchIndex:
        """Return the index of the run, after a warning if its documents have changed since."""
        return _open(self.run, self.runs)


Explain = Annotated[
    bool, typer.Option("--explain", help="Show the place and score of each document in each ranking.")
]
ShowSentence = Annotated[
    bool,
    typer.Option(
        "--highlight", help="Show the sentence that matches best, with the words of the query in [ ]."
    ),
]
Mode = Annotated[
    str,
    typer.Option("--mode", help="dense (meaning), bm25 (words), hybrid (both); auto is hybrid if possible."),
]
Rerank = Annotated[
    str | None,
    typer.Option("--rerank", metavar="MODEL", help="A cross-encoder that ranks the best 100 again."),
]
Expand = Annotated[
    str,
    typer.Option(
        "--expand",
        help="feedback searches again with what the best five documents say; hypothetical adds a passage that the "
        "language model of the index's section [hypothetical] writes; or none.",
    ),
]
DenseWeight = Annotated[
    float | None,
    typer.Option(
        "--dense-weight", help="Weight of meaning in hybrid search, 0 to 1; words have the rest (.5)."
    ),
]
FusionK = Annotated[
    float | None,
    typer.Option(
        "--fusion-k", help="Added to each place in hybrid search: the larger, the less the first count (10)."
    ),
]
K1 = Annotated[
    float | None,
    typer.Option("--k1", help="BM25: how much repeated words of a document count; 0 for not at all (1.5)."),
]
B = Annotated[
    float | None,
    typer.Option("--b", help="BM25: how much long documents are held back, 0 to 1 (.75)."),
]


@dataclass(frozen=True)
class HowToSearch:
    """How documents are ranked, and what is shown beside them; see `grouped`."""

    mode: Mode = "auto"
    rerank: Rerank = None
    expand: Expand = "none"
    dense_weight: DenseWeight = None
    fusion_k: FusionK = None
    k1: K1 = None
    b: B = None
    explain: Explain = False
    highlight: ShowSentence = False

    def read(self) -> dict[str, Any]:
        """Return the options as the method of an index takes them."""
        for name, value, choices in (("mode", self.mode, MODES), ("expand", self.expand, EXPANSIONS)):
            if value not in choices:
                msg = f"--{name} {value}: expected one of {', '.join(choices)}"
                raise ConfigError(msg)
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """Which documents may be found; see `grouped`."""

    where: Where = None
    ids: Ids = None
    ids_from: IdsFrom = None
    offset: Offset = 0
    min_score: MinScore = None
    group_by: GroupBy = None

    def read(self) -> dict[str, Any]:
        """Return the limits as the methods of an index take them."""
        return {
            "where": self.where,
            "ids": _ids(self.ids, self.ids_from),
            "offset": self.offset,
            "min_score": self.min_score,
            "group_by": self.group_by,
        }


@dataclass(frozen=True)
class NewDocuments:
    """New documents to score against an index; see `grouped`."""

    of: Annotated[
        Path | None,
        typer.Option(
            "--of", metavar="FILE", help="Score the new documents of a file, read as the index's were."
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="With --of: write all scores; .csv, .xlsx or .parquet."
        ),
    ] = None
    force: Force = False


@app.command()
@grouped
def index(options: FlowOptions) -> None:
    """Make an index of a corpus, or update the last index of its name."""
    from topicflow.configs.flows.build_index import BuildIndexConfig

    run_and_show(options, options.read(BuildIndexConfig), _show_use)


def _show_use(record: dict[str, Any], _folder: Path) -> None:
    print(f'now: topicflow search "some words" --index {record["name"]}')


@app.command()
@grouped
def search(
    query: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for.")],
    options: IndexOptions,
    limits: Limits,
    how: HowToSearch,
    topics: Annotated[bool, typer.Option("--topics", help="Find topics instead of documents.")] = False,
) -> None:
    """Find documents, or topics, by meaning and words."""
    limited, ranked = limits.read(), how.read()
    if topics:
        _refuse_with_topics({**ranked, **limited})
        _print_topics(options.open(), query, options)
        return
    opened = options.open()
    hits = opened.search(query, options.k, **ranked, **limited)
    _warn_if_truncated(opened, hits.truncated)
    if hits.note:
        _warn(hits.note)
    _print_hits(opened, hits, options, nothing="no document" + _kept_by(limited))


@app.command()
@grouped
def similar(
    doc_id: Annotated[str, typer.Argument(metavar="DOC_ID", help="A document's id.")],
    options: IndexOptions,
    limits: Limits,
) -> None:
    """Find the documents that are most similar to one."""
    limited, opened = limits.read(), options.open()
    hits = opened.similar(doc_id, options.k, **limited)
    _print_hits(opened, hits, options, nothing="no other document" + _kept_by(limited))


@app.command()
@grouped
def outliers(
    options: IndexOptions,
    new: NewDocuments,
    neighbors: Annotated[
        int, typer.Option("--neighbors", help="Nearest others whose mean distance is the score.")
    ] = 10,
    where: Where = None,
) -> None:
    """Find the documents far from everything, with the neighbours that show why."""
    if new != NewDocuments():
        _new_outliers(new, options, neighbors, where)
        return
    opened = options.open()
    from topicflow.tasks.search.outliers import find_outliers

    found = find_outliers(opened, options.k, neighbors, where)
    if options.as_json:
        print_json([asdict(outlier) for outlier in found])
        return
    for outlier in found:
        print(f"{outlier.hit.score:.3f}  {hit_line(outlier.hit)}")
        for hit in outlier.neighbors:
            print(f"         {hit.score:.3f}  {hit_line(hit, width=90)}")


def _new_outliers(new: NewDocuments, options: IndexOptions, neighbors: int, where: str | None) -> None:
    """Score new documents against an index; print the farthest ones, or write the scores of all."""
    if new.of is None:
        msg = "outliers: --output and --force need --of FILE, which names the new documents"
        raise ConfigError(msg)
    if where is not None:
        msg = "outliers: --where is a condition on the index's own documents; leave it out with --of"
        raise ConfigError(msg)
    from topicflow.tasks.discovery.new_documents import read_new
    from topicflow.tasks.discovery.novelty import most_novel, score_new

    opened = options.open()
    documents = read_new(opened, new.of)
    scored = score_new(opened, documents.vectors, neighbors)
    if new.output is not None:
        from topicflow.tasks.results.export import write_table

        n_documents, _ = write_table(scored.table(documents).lazy(), new.output, force=new.force)
        print(f"wrote {new.output}: {n_documents:,} documents")
        return
    found = most_novel(opened, documents, scored, options.k)
    if options.as_json:
        print_json([asdict(each) for each in found])
        return
    from topicflow.flows.screen.discovery import print_novelties

    print_novelties(found, len(documents.ids))


def _open(run: str | None, runs: Path | None) -> SearchIndex:
    """Return the index of a run, after a warning if its documents have changed since."""
    from topicflow.tasks.search.freshness import changed_since
    from topicflow.tasks.search.index import SearchIndex
    from topicflow.tasks.search.index_files import IndexFiles
    from topicflow.tasks.search.locate import find_index, open_record

    store, key, record = open_record(find_index(runs or Path("runs"), run))
    files = IndexFiles.open(store, key)
    if (source := changed_since(record, store, files.meta)) is not None:
        _warn(f"{source} has changed since this index was built; `topicflow index CONFIG` adds the changes")
    return SearchIndex(files, record)


def _ids(ids: list[str] | None, source: Path | None) -> list[str] | None:
    """Return the ids that may be found, from the options and from a file; None if there are none."""
    if source is None:
        return ids or None
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        msg = f"--ids-from {source} cannot be read ({reason}); name a file with one id a line"
        raise ConfigError(msg) from None
    return [*(ids or []), *(line for line in text.splitlines() if line.strip())]


_DEFAULTS = {**asdict(HowToSearch()), **asdict(Limits())}


def _refuse_with_topics(options: dict[str, Any]) -> None:
    """Raise ConfigError if an option is set that is only for documents."""
    names = {"ids": "--id and --ids-from"}
    for name, value in options.items():
        if name != "mode" and value != _DEFAULTS[name]:
            option = names.get(name, f"--{name.replace('_', '-')}")
            msg = (
                f"--topics finds topics and takes no {option}, which is for documents; leave one of them out"
            )
            raise ConfigError(msg)


def _kept_by(limits: dict[str, Any]) -> str:
    """Return what limited a search that found nothing, as a relative clause."""
    given = [f"--{name.replace('_', '-')}" for name, value in limits.items() if value not in (None, 0)]
    return f" that {' and '.join(given)} {'keep' if len(given) > 1 else 'keeps'}" if given else ""


def _print_topics(opened: SearchIndex, query: str, options: IndexOptions) -> None:
    found = opened.topics(query, options.k)
    _warn_if_truncated(opened, found.truncated)
    if options.as_json:
        print_json([asdict(topic) for topic in found])
        return
    for topic in found:
        keywords = ", ".join(topic.keywords)
        print(f"{topic.score:.3f}  topic {topic.topic}, {topic.size:,} documents: {keywords}")


def _warn_if_truncated(opened: SearchIndex, truncated: bool) -> None:
    if truncated:
        most = opened.queries.max_tokens
        _warn(
            f"the query is longer than the {most:,} tokens that the encoder reads; its end counts only for BM25"
        )


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _print_hits(opened: SearchIndex, hits: list[Any], options: IndexOptions, *, nothing: str) -> None:
    if options.as_json:
        print_json([asdict(hit) for hit in hits])
        return
    for line in hit_lines(hits):
        print(line)
    if not hits:
        print(f"{nothing} was found")
    elif len(hits) < options.k:
        print(f"{len(hits):,} of the {len(opened):,} documents; no others match")
