"""Topics of a run: a run's folder -> how an edit names its topics: number, keywords, and some central documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from topicflow.tasks.edits.edits_file import NamedTopic
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.runs.history import RunRecord
from topicflow.tasks.runs.run_files import whole_file

if TYPE_CHECKING:
    import polars as pl

N_DOCUMENTS = 12
"""Documents by which an edit names a topic: those with the highest probability.

Of 64 topics in four other fits of 20 Newsgroups (four fifths of the documents, other sizes, other methods) they find
60, 56 of them as the topic with most of the old one's documents. Twenty documents find no more topics, and documents
of all probabilities find 52.
"""

N_KEYWORDS = 8
"""Keywords by which an edit names a topic."""


@dataclass(frozen=True)
class RunTopics:
    """The topics of a run: `run` is its name and id, `topics` its table of topics."""

    run: str
    folder: Path
    topics: pl.DataFrame
    fitted: int | None = None
    """Number of the last update that fitted topics, in a series of updates: later documents were only assigned."""

    @classmethod
    def of(cls, record: RunRecord) -> RunTopics:
        """Return the topics of the run with this record."""
        import polars as pl

        folder = Path(record["folder"])
        columns = ["topic", "size", "name", "keywords"]
        table = pl.read_parquet(whole_file(folder, "topics.parquet"), columns=columns)
        updates = record.get("updates", {})
        pairs = zip(updates.get("numbers", []), updates.get("refit", []), strict=True)
        fitted = max((number for number, refit in pairs if refit), default=None)
        return cls(f"{record['name']}/{record['run_id']}", folder, table, fitted)

    @property
    def ids(self) -> list[int]:
        """The numbers of the topics."""
        found: list[int] = self.topics["topic"].to_list()
        return found

    def check(self, number: int) -> None:
        """Raise ConfigError if there is no topic with this number."""
        if number not in self.ids:
            last = max(self.ids, default=None)
            there = "no topics" if last is None else f"topics 0 to {last}"
            if last is not None and len(self.ids) <= last:
                there = f"{len(self.ids):,} topics, the last is {last}"
            raise ConfigError(
                f"edit: no topic {number}: {self.run} has {there}; `topicflow show {self.run}` lists them"
            )

    def name(self, number: int) -> str:
        """Return a topic's name."""
        return str(self.topics.row(self.ids.index(number), named=True)["name"])

    def named(self, number: int) -> NamedTopic:
        """Return how an edit names a topic."""
        row = self.topics.row(self.ids.index(number), named=True)
        return NamedTopic(
            id=number, keywords=tuple(row["keywords"][:N_KEYWORDS]), documents=self._central(number)
        )

    def _central(self, number: int) -> tuple[str, ...]:
        """Return the ids of a topic's documents with the highest probability; assigned and reassigned ones last."""
        import polars as pl

        documents = pl.scan_parquet(self.folder / "documents.parquet")
        later = pl.lit(value=False) if self.fitted is None else pl.col("update") > self.fitted
        found = (
            documents.filter(pl.col("topic") == number)
            .select("doc_id", "reassigned", "probability", later.alias("later"))
            .sort("later", "reassigned", "probability", "doc_id", descending=[False, False, True, False])
            .head(N_DOCUMENTS)
            .collect()
        )
        return tuple(found["doc_id"].to_list())

    def absent(self, documents: Sequence[str]) -> list[str]:
        """Return those of the documents that the run does not have."""
        import polars as pl

        wanted = pl.DataFrame({"doc_id": list(documents)}, schema={"doc_id": pl.String})
        there = pl.scan_parquet(self.folder / "documents.parquet").select(pl.col("doc_id").cast(pl.String))
        found: list[str] = wanted.lazy().join(there, on="doc_id", how="anti").collect()["doc_id"].to_list()
        return found
