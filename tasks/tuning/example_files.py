"""Example files: labels, topics of a run, pairs or triplets as given -> tables without contradictions.

Tables of labels have the columns doc_id and label; tables of pairs and triplets name their members by doc_id or by
text. Pairs may have a column `similar`, or a column `score` for how similar they are; without either, all are
similar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import ClassExamples, PairExamples, TopicExamples, TripletExamples
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.spreadsheet_csv import read_csv
from topicflow.tasks.errors import ConfigError, DataError, first_line
from topicflow.tasks.runs.history import RunRecord
from topicflow.tasks.runs.resolve import resolve
from topicflow.tasks.runs.run_files import whole_file
from topicflow.tasks.store.artifact_store import canonical_json, digest, file_digest
from topicflow.tasks.topics.final import final_labels

AnyExamples = ClassExamples | TopicExamples | PairExamples | TripletExamples

LISTED = 5
"""Maximum number of names in a message; the others are only counted."""

MEMBERS = {
    "pairs": ("a", "b"),
    "synthetic": ("question", "passage"),
    "triplets": ("anchor", "positive", "negative"),
}

COLUMNS = {
    "pairs": (
        ("id_a", "id_b"), ("text_a", "text_b"), ("id_anchor", "id_positive"), ("text_anchor", "text_positive"),
        ("anchor", "positive"), ("sentence1", "sentence2"),
    ),
    "triplets": (
        ("id_anchor", "id_positive", "id_negative"), ("text_anchor", "text_positive", "text_negative"),
        ("anchor", "positive", "negative"),
    ),
}  # fmt: skip
"""Column names of the members; they are texts if the name has no `id`; the last ones are from the Hugging Face hub."""


@dataclass(frozen=True)
class GivenLinks:
    """Pairs or triplets as given: one column per member (ids or texts), and for pairs also `similar` or `score`."""

    table: pl.DataFrame
    by_text: bool
    members: tuple[str, ...]

    @property
    def graded(self) -> bool:
        """Whether pairs have scores."""
        return "score" in self.table.columns


def source_digest(config: AnyExamples, runtime: RuntimeConfig) -> str:
    """Return the identity of the examples in their key: the file's digest, the topics' keys, or "label_column".

    Raises
    ------
    ConfigError
        If there is no such file or run.
    """
    if isinstance(config, TopicExamples):
        record = _topic_run(config, runtime)
        keys = {stage["stage"]: stage["key"] for stage in record["stages"]}
        return digest(canonical_json({"documents": keys["load"], "labels": final_labels(keys)}))
    if config.path is None:
        return "label_column"
    try:
        return file_digest(Path(config.path))
    except OSError as error:
        msg = f"examples: {config.path}: {(error.strerror or str(error)).lower()}; examples.path must name a file"
        raise ConfigError(msg) from None


def read_labels(path: str, known: pl.Series) -> pl.DataFrame:
    """Return doc_id and label from a file, each document once.

    Parameters
    ----------
    path : str
        A file with these two columns; rows without a label are left out.
    known : pl.Series
        The ids of the documents.

    Raises
    ------
    DataError
        If columns are missing, an id belongs to no document, or a document has two labels.
    """
    table = _read(path, ("doc_id", "label"))
    table = table.select(pl.col("doc_id", "label").cast(pl.String)).drop_nulls().unique(maintain_order=True)
    _refuse_unknown(path, table["doc_id"], known)
    twice = table.group_by("doc_id", maintain_order=True).agg("label").filter(pl.col("label").list.len() > 1)
    if twice.height:
        named = _listed([f"{doc} is {' and '.join(sorted(labels))}" for doc, labels in twice.iter_rows()])
        msg = f"examples: {path}: contradictory labels of {twice.height:,} documents: {named}; keep one label for each"
        raise DataError(msg)
    return table


def read_topics(config: TopicExamples, runtime: RuntimeConfig) -> pl.DataFrame:
    """Return doc_id and label (the topic) of a run's documents that have a topic.

    Raises
    ------
    ConfigError
        If there is no such run, or it is not a topic model's.
    """
    record = _topic_run(config, runtime)
    documents = pl.read_parquet(
        whole_file(Path(record["folder"]), "documents.parquet"), columns=["doc_id", "topic"]
    )
    placed = documents.filter(pl.col("topic") >= 0)
    return placed.select("doc_id", pl.col("topic").cast(pl.String).str.zfill(6).alias("label"))


def read_links(config: PairExamples | TripletExamples, known: pl.Series) -> GivenLinks:
    """Return the pairs or triplets of a file, each once.

    Raises
    ------
    DataError
        If columns are missing, a member is empty or not a document, `similar` is neither 1 nor 0, a score is not a
        number, or two rows contradict each other.
    """
    found = _read(config.path, ())
    members = next((names for names in COLUMNS[config.method] if set(names) <= set(found.columns)), ())
    if not members:
        ways = "; ".join(", ".join(names) for names in COLUMNS[config.method])
        msg = f"examples: {config.path}: expected columns {ways}; there are: {', '.join(found.columns)}"
        raise DataError(msg)
    by_text = not members[0].startswith("id_")
    said = [name for name in ("similar", "score") if config.method == "pairs" and name in found.columns][:1]
    table = found.select(pl.col(members).cast(pl.String), *said)
    _refuse_empty(config.path, table, members)
    if not by_text:
        for member in members:
            _refuse_unknown(config.path, table[member], known)
    if config.method == "pairs":
        checked = {"similar": _checked_pairs, "score": _checked_scores}.get("".join(said), _unlabelled_pairs)
        return GivenLinks(checked(config.path, table, members), by_text, members)
    return GivenLinks(_checked_triplets(config.path, table, members), by_text, members)


def _checked_pairs(path: str, table: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return the pairs with `similar` as a boolean, each once in any order of its members; at least one is similar."""
    given = table["similar"].cast(pl.String).str.to_lowercase().str.strip_suffix(".0")
    similar = given.replace_strict({"1": True, "true": True, "0": False, "false": False}, default=None)
    if similar.null_count():
        row = int(similar.is_null().arg_max() or 0)
        found = table["similar"][row]
        msg = f"examples: {path}: row {row:,}: similar is {found!r}, expected 1 or 0; use a column score for degrees"
        raise DataError(msg)
    pairs = _ordered(table.with_columns(similar=similar.cast(pl.Boolean)), members)
    _refuse_contradictions(path, _twice(pairs, members), members, "pairs are both similar and not similar")
    if not pairs["similar"].any():
        msg = f"examples: {path}: no pair is similar; tuning needs similar pairs, too"
        raise DataError(msg)
    return pairs


def _checked_scores(path: str, table: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return the pairs with `score` as a number, each once; not all scores are equal."""
    scores = table["score"].cast(pl.Float64, strict=False)
    known = scores.is_finite().fill_null(value=False)
    if not known.all():
        row = int((~known).arg_max() or 0)
        msg = f"examples: {path}: row {row:,}: score is {table['score'][row]!r}, expected a number"
        raise DataError(msg)
    pairs = _ordered(table.with_columns(score=scores), members)
    _refuse_contradictions(path, _twice(pairs, members), members, "pairs have two scores")
    if pairs["score"].n_unique() < 2:
        msg = f"examples: {path}: all scores are equal; remove the column if all pairs are similar"
        raise DataError(msg)
    return pairs


def _unlabelled_pairs(_path: str, table: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return pairs without a label, each once: all are similar, and the anchor stays first."""
    a, b = pl.col(members[0]), pl.col(members[1])
    pairs = table.with_columns(
        similar=pl.lit(value=True), low=pl.min_horizontal(a, b), high=pl.max_horizontal(a, b)
    )
    return pairs.unique(["low", "high"], keep="first", maintain_order=True).drop("low", "high").filter(a != b)


def _ordered(pairs: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return the pairs of two different members with the smaller one first, each once."""
    a, b = pl.col(members[0]), pl.col(members[1])
    ordered = pairs.with_columns(
        pl.when(a <= b).then(a).otherwise(b).alias(members[0]),
        pl.when(a <= b).then(b).otherwise(a).alias(members[1]),
    ).unique(maintain_order=True)
    return ordered.filter(a != b)


def _twice(pairs: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return the members of the pairs that occur more than once."""
    return pairs.group_by(members, maintain_order=True).len().filter(pl.col("len") > 1)


def _checked_triplets(path: str, table: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """Return the triplets, each once; raise DataError if the opposite of one is there, too."""
    anchor, positive, negative = members
    table = table.unique(maintain_order=True)
    _refuse_contradictions(
        path,
        table.filter(pl.col(positive) == pl.col(negative)),
        members,
        "triplets have the same text on both sides",
    )
    opposite = table.join(
        table, left_on=[anchor, positive, negative], right_on=[anchor, negative, positive], how="semi"
    )
    _refuse_contradictions(path, opposite, members, "triplets occur in both directions")
    return table


def _refuse_contradictions(path: str, found: pl.DataFrame, members: Sequence[str], what: str) -> None:
    if found.height:
        named = _listed(
            [" / ".join(str(value)[:40] for value in row) for row in found.select(members).iter_rows()]
        )
        msg = f"examples: {path}: contradictory: {found.height:,} {what}: {named}; keep one of each"
        raise DataError(msg)


def _refuse_empty(path: str, table: pl.DataFrame, members: Sequence[str]) -> None:
    for member in members:
        blank = (table[member].str.strip_chars() == "").fill_null(value=True)
        if blank.any():
            msg = (
                f"examples: {path}: {member} of row {blank.arg_max():,} is empty ({blank.sum():,} such rows); "
                "fill or leave out these rows"
            )
            raise DataError(msg)


def _refuse_unknown(path: str, ids: pl.Series, known: pl.Series) -> None:
    unknown = ids.filter(~ids.is_in(known.implode())).unique(maintain_order=True)
    if len(unknown):
        msg = (
            f"examples: {path}: {len(unknown):,} of {ids.n_unique():,} ids belong to no document: "
            f"{_listed(unknown.to_list())}; ids are those of load.id_column, and documents with empty text have none"
        )
        raise DataError(msg)


def _read(path: str, columns: Sequence[str]) -> pl.DataFrame:
    """Return the table of a Parquet, CSV or NDJSON file after checking that it has `columns`."""
    ending = Path(path).suffix.lower()
    try:
        if ending == ".parquet":
            table = pl.read_parquet(path)
        elif ending == ".csv":
            table = read_csv(path)
        elif ending in {".ndjson", ".jsonl"}:
            table = pl.read_ndjson(path)
        else:
            msg = f"examples: {path}: expected a .parquet, .csv, .ndjson or .jsonl file"
            raise ConfigError(msg)
    except (OSError, pl.exceptions.PolarsError) as error:
        msg = f"examples: {path} cannot be read: {first_line(error)}"
        raise DataError(msg) from None
    for name in columns:
        require_column(f"examples: {path}", name, table.columns)
    return table


def _topic_run(config: TopicExamples, runtime: RuntimeConfig) -> RunRecord:
    return resolve(Path(runtime.runs), config.run, flow="topic_model", where="examples.run")


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
