"""Cases of the campaign `odd_corpora`: tables, vectors and settings, each with what must come of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

METHODS = ("none", "pca", "diffusion", "parallel_umap", "umap")
RESULT, LINE, ANY = "result", "line", "any"


@dataclass(frozen=True)
class Case:
    """One input: a table and perhaps a file of vectors, changes of the config, and what must come of it."""

    name: str
    table: pl.DataFrame
    expected: str = RESULT
    changes: tuple[str, ...] = ()
    command: str = "run"
    vectors: np.ndarray | None = None
    copies: bool = True
    load: tuple[str, ...] = field(default=())

    @property
    def arguments(self) -> list[str]:
        """The words of the command that change the config."""
        return [word for change in self.changes for word in ("--set", change)]

    def write(self, folder: Path) -> Path:
        """Return the config after writing it and the input."""
        self.table.write_parquet(folder / "documents.parquet")
        place = 'column = "vector"'
        if self.vectors is not None:
            np.save(folder / "vectors.npy", self.vectors)
            place = f'path = "{folder / "vectors.npy"}"'
        topics = "[map]\nn_epochs = 10\n[cluster]\nmin_cluster_size = 10\n" if self.command == "run" else ""
        config = folder / "config.toml"
        config.write_text(
            f'name = "odd"\n[load]\npath = "{folder / "documents.parquet"}"\n' + "\n".join(self.load)
            + f'\n[embed]\nmethod = "precomputed"\n{place}\n{topics}'
            f'[runtime]\nstore = "{folder / "store"}"\nruns = "{folder / "runs"}"\n'
        )  # fmt: skip
        return config


def cases() -> Iterator[Case]:
    """Yield all cases."""
    for family in (few, distinct, numbers, shapes, copied, geometry, texts, columns, settings, duplicates):
        yield from family()


def words(n: int) -> list[str]:
    """Return texts of two topics."""
    return [f"{'red green blue' if i % 2 else 'tea milk juice'} number{i % 7} d{i}" for i in range(n)]


def table(vectors: np.ndarray | list[Any], **more: Any) -> pl.DataFrame:
    """Return a table of vectors with texts."""
    rows = vectors.tolist() if isinstance(vectors, np.ndarray) else vectors
    return pl.DataFrame({"text": words(len(rows)), "vector": rows, **more}, strict=False)


def normal(n: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    """Return normal vectors."""
    return np.random.default_rng(seed).normal(size=(n, dim))


def blobs(n: int = 120, dim: int = 8, k: int = 4, seed: int = 0) -> np.ndarray:
    """Return vectors around `k` axes."""
    rng = np.random.default_rng(seed)
    return np.eye(k, dim)[np.arange(n) % k] + 0.1 * rng.normal(size=(n, dim))


def few() -> Iterator[Case]:
    """Yield corpora of no to five documents."""
    yield Case("no documents", table(normal(3)).clear(), LINE)
    yield Case("one document", table(normal(1)), LINE)
    for n in range(2, 6):
        yield Case(
            f"{n} documents, smallest topic 2", table(normal(n)), changes=("cluster.min_cluster_size=2",)
        )
        yield Case(f"{n} documents, smallest topic 10", table(normal(n)), LINE)
        yield Case(
            f"{n} documents, k-means",
            table(normal(n)),
            changes=("cluster.method=kmeans", "cluster.n_clusters=2"),
        )
    yield Case("eleven documents, one more than the smallest topic", table(normal(11)))


def distinct() -> Iterator[Case]:
    """Yield corpora of one to five distinct vectors, by each reduction."""
    for k in range(1, 6):
        for method in METHODS:
            vectors = normal(k)[np.arange(60) % k]
            yield Case(
                f"{k} distinct vectors of 60, {method}", table(vectors), changes=(f"reduce.method={method}",)
            )


def numbers() -> Iterator[Case]:
    """Yield vectors whose numbers are odd."""
    for name, value in (("NaN", np.nan), ("infinite", np.inf), ("minus infinite", -np.inf), ("zeros", 0.0)):
        vectors = blobs()
        vectors[7] = value
        yield Case(f"one row {name}", table(vectors), LINE)
        yield Case(f"all rows {name}", table(np.full((40, 8), value)), LINE)
        vectors = blobs()
        vectors[7, 3] = value
        yield Case(f"one number {name}", table(vectors), RESULT if name == "zeros" else LINE)
    yield Case("NaN in a row without text", table(nan_row(9), text=[*words(9), "", *words(110)]), RESULT)
    for scale in (1e30, 1e-25, 1e-40, 1e38, 1e300, 1e-300):
        as_file = blobs() * scale
        yield Case(f"all numbers times {scale:g}", table(blobs()), vectors=as_file)
        mixed = blobs()
        mixed[::2] *= scale
        yield Case(f"every other row times {scale:g}", table(blobs()), vectors=mixed)
    yield Case("one row 1e30 in a column", table(np.vstack([blobs(119), np.full((1, 8), 1e30)])))
    yield Case("one row 1e-25 in a column", table(np.vstack([blobs(119), np.full((1, 8), 1e-25)])))
    yield Case("numbers of eight orders in a row", table(blobs() * np.geomspace(1e-4, 1e4, 8)))


def nan_row(row: int) -> np.ndarray:
    """Return blobs with a row of NaN."""
    vectors = blobs()
    vectors[row] = np.nan
    return vectors


def shapes() -> Iterator[Case]:
    """Yield vectors of odd widths and types, in columns and files."""
    for dim in (1, 2, 3):
        yield Case(f"{dim} dimensions", table(np.abs(normal(60, dim)) + 0.1), ANY)
    yield Case("4,096 dimensions on 300 documents", table(normal(300, 4_096)))
    yield Case(
        "4,096 dimensions, principal components", table(normal(300, 4_096)), changes=("reduce.method=pca",)
    )
    yield Case("10,000 dimensions on 50 documents", table(normal(50, 10_000)))
    yield Case(
        "1,500 dimensions on 1,600 documents", table(normal(1_600, 1_500)), changes=("reduce.method=pca",)
    )
    own = table(blobs())
    for kind in ("float16", "float32", ">f4", ">f8"):
        yield Case(f"a file of {kind}", own, vectors=blobs().astype(kind))
    yield Case("a file in Fortran order", own, vectors=np.asfortranarray(blobs().astype(np.float32)))
    files = {
        "integers": np.ones((120, 8), int),
        "booleans": np.ones((120, 8), bool),
        "one axis": np.ones(120),
        "three axes": np.ones((120, 2, 4)),
        "no columns": np.ones((120, 0)),
        "too few rows": blobs(119),
        "too many rows": blobs(121),
        "no rows": np.ones((0, 8)),
    }
    for name, array in files.items():
        yield Case(f"a file of {name}", own, LINE, vectors=array)
    yield Case("a column of two widths", table([*blobs(119).tolist(), [1.0, 2.0]]), LINE)
    yield Case("a column with a null", table([*blobs(119).tolist(), None]), LINE)
    yield Case("a column with a null inside", table([*blobs(119).tolist(), [None, *[1.0] * 7]]), LINE)
    yield Case("a column of integers", table((blobs() * 100).astype(int)))
    yield Case("a column of texts", own.with_columns(vector=pl.lit("[0.1, 0.2]")), LINE)
    yield Case("a column of empty lists", table([[]] * 40).cast({"vector": pl.List(pl.Float64)}), LINE)


def copied() -> Iterator[Case]:
    """Yield corpora with copies, by each reduction and with what counts documents."""
    for method in METHODS:
        rows = np.append(np.arange(120), np.repeat([3, 60, 119], 99))
        yield Case(
            f"three of 120 vectors a hundred times, {method}",
            table(blobs()[rows]),
            changes=(f"reduce.method={method}",),
        )
    rows = np.append(np.arange(120), np.repeat([0, 1], 300))
    heavy = table(blobs()[rows])
    for change in (
        "cluster.max_outlier_share=0.0",
        "cluster.n_topics=2",
        "cluster.selection=leaf",
        "cluster.implementation=fast",
        "cluster.min_samples=1",
        "cluster.epsilon=0.5",
        "cluster.max_topic_share=0.1",
        "neighbors.fit_limit=100",
    ):
        yield Case(f"two vectors 300 times, {change}", heavy, changes=with_method(change))
    yield Case(
        "two vectors 300 times, k-means", heavy, changes=("cluster.method=kmeans", "cluster.n_clusters=5")
    )
    yield Case("every vector ten times", table(np.repeat(blobs(), 10, axis=0)))
    yield Case("three distinct vectors, eight clusters of k-means", table(normal(3)[np.arange(60) % 3]),
               changes=("cluster.method=kmeans", "cluster.n_clusters=8"))  # fmt: skip
    same = pl.DataFrame({"text": ["no comment"] * 60, "vector": [[1.0, 2.0]] * 60})
    yield Case("one text sixty times", same)
    yield Case(
        "one text sixty times, k-means", same, changes=("cluster.method=kmeans", "cluster.n_clusters=3")
    )


def geometry() -> Iterator[Case]:
    """Yield vectors that lie oddly."""
    yield Case("one-hot vectors, all distinct", table(np.eye(60)))
    yield Case("one-hot vectors of five classes", table(np.eye(5)[np.arange(60) % 5]))
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    yield Case("a circle", table(np.column_stack([np.cos(around), np.sin(around)])))
    yield Case("a vector and its negative", table(np.concatenate([blobs(60), -blobs(60)])))
    yield Case("a line", table(np.outer(np.arange(1, 61), np.ones(8))), copies=False)
    grid = np.array([[1, i, j, k] for i in range(4) for j in range(4) for k in range(4)], float)
    for implementation in ("reference", "fast"):
        yield Case(
            f"a grid, {implementation}",
            table(grid),
            changes=(
                "reduce.method=none",
                "cluster.method=hdbscan",
                f"cluster.implementation={implementation}",
            ),
        )
    yield Case("all noise", table(normal(60, 40)), changes=("reduce.method=none",))
    yield Case(
        "all noise and no outliers allowed",
        table(normal(60, 40)),
        changes=("reduce.method=none", "cluster.max_outlier_share=0.0"),
    )
    near = blobs(60)
    yield Case(
        "vectors that differ in the last digits", table(np.repeat(near, 3, axis=0) * (1 + 1e-7 * normal(180)))
    )
    yield Case("binary vectors", table((normal(200, 12) > 0).astype(float) + np.eye(1, 12)))
    lone = np.vstack([blobs(), 1e6 * np.eye(1, 8, 7)])
    yield Case("one vector far from all", table(lone))


def texts() -> Iterator[Case]:
    """Yield odd texts with ordinary vectors."""
    vectors = blobs(60)

    def said(name: str, own: list[str | None], expected: str = RESULT) -> Case:
        return Case(f"texts: {name}", pl.DataFrame({"text": own, "vector": vectors.tolist()}), expected)

    yield said("one of a megabyte", ["word " * 200_000, *words(59)])
    yield said("one word of a megabyte", ["w" * 1_000_000, *words(59)])
    yield said("all empty", [""] * 60, LINE)
    yield said("all null", [None] * 60, LINE)
    yield said("half empty", [text if i % 2 else " \t\n" for i, text in enumerate(words(60))])
    yield said("punctuation alone", ["?!…"] * 60)
    yield said("stop words alone", ["the of and to"] * 60)
    yield said("emoji", ["🙂🙃" * (i % 5 + 1) for i in range(60)])
    yield said("control characters", [f"a\x00b\x07c {i}" for i in range(60)])
    yield said("one letter each", [chr(97 + i % 26) for i in range(60)])
    yield said("numbers", [str(i) for i in range(60)])
    yield said("HTML and scripts", [f"<script>alert({i})</script><b>{i}</b>" for i in range(60)])
    yield said(
        "Hindi, Arabic, Chinese",
        [("आधुनिक हिन्दी", "السلام عليكم", "你好世界")[i % 3] + f" {i}" for i in range(60)],
    )
    yield said("combining marks", ["e\u0301" * 5 + f" {i}" for i in range(60)])
    yield said("what a spreadsheet runs", [f"=1+{i}" for i in range(60)])


def columns() -> Iterator[Case]:
    """Yield odd ids, classes, times and names of columns."""
    n = 60

    def with_ids(name: str, ids: list[Any], expected: str = RESULT) -> Case:
        return Case(
            f"ids: {name}",
            table(blobs(n), id=pl.Series("id", ids, strict=False)),
            expected,
            load=('id_column = "id"',),
        )

    yield with_ids("repeated", ["a"] * n, LINE)
    yield with_ids("a null", [None, *map(str, range(n - 1))], LINE)
    yield with_ids("an empty one", ["", *map(str, range(n - 1))], ANY)
    yield with_ids("numbers that are negative", list(range(-n, 0)))
    yield with_ids("fractions", [i / 7 for i in range(n)])
    yield with_ids("NaN", [float("nan"), *map(float, range(n - 1))], ANY)
    yield with_ids("quotes, tabs, line ends", [f"\"{i}\t\n'" for i in range(n)])
    yield with_ids("paths", [f"../../{i}" for i in range(n)])
    yield with_ids("of 10,000 letters", ["x" * 10_000 + str(i) for i in range(n)])
    yield with_ids("spaces around", [f" {i} " for i in range(n)])
    classes: dict[str, list[Any]] = {
        "all null": [None] * n,
        "one class": ["a"] * n,
        "one a document": list(range(n)),
        "NaN": [float("nan")] * n,
        "empty texts": [""] * n,
    }
    for name, values in classes.items():
        yield Case(
            f"classes: {name}",
            table(blobs(n), label=pl.Series("label", values, strict=False)),
            ANY,
            load=('label_column = "label"',),
        )
    times: dict[str, list[str | None]] = {
        "all null": [None] * n,
        "the years 1 and 9999": ["0001-01-01", "9999-12-31"] * 30,
        "one moment": ["2024-01-01"] * n,
    }
    for name, moments in times.items():
        series = pl.Series("time", moments, dtype=pl.String).str.to_datetime("%Y-%m-%d")
        yield Case(f"times: {name}", table(blobs(n), time=series), ANY, load=('timestamp_column = "time"',))
    taken = {name: list(range(n)) for name in ("topic", "probability", "x", "doc_id", "reassigned")}
    yield Case("columns with the names of ours", table(blobs(n), **taken), copies=False)


def with_method(change: str) -> tuple[str, ...]:
    """Return a change with the method that has its key, if the default one has not."""
    if change.startswith("reduce."):
        return ("reduce.method=parallel_umap", change)
    of_hdbscan = change.startswith(("cluster.implementation", "cluster.epsilon", "cluster.min_samples=10000"))
    return ("cluster.method=hdbscan", change) if of_hdbscan else (change,)


def settings() -> Iterator[Case]:
    """Yield settings at the ends of their ranges."""
    own = table(blobs())
    for change in (
        "cluster.min_samples=10000",
        "cluster.min_cluster_size=120",
        "cluster.min_cluster_size=60",
        "cluster.epsilon=1e9",
        "cluster.max_outlier_share=1.0",
        "cluster.max_topic_share=0.001",
        "cluster.n_topics=1",
        "neighbors.n_neighbors=200",
        "neighbors.n_neighbors=2",
        "neighbors.method=descent",
        "neighbors.fit_limit=10",
        "reduce.n_components=10",
        "reduce.init=random",
    ):
        yield Case(f"set {change}", own, ANY, changes=with_method(change))
    yield Case(
        "k-means with a cluster a document", own, changes=("cluster.method=kmeans", "cluster.n_clusters=120")
    )
    yield Case(
        "k-means with more clusters than documents",
        own,
        LINE,
        ("cluster.method=kmeans", "cluster.n_clusters=121"),
    )
    yield Case(
        "principal components, more than dimensions",
        own,
        changes=("reduce.method=pca", "reduce.n_components=500"),
    )


def duplicates() -> Iterator[Case]:
    """Yield inputs of near-duplicate search."""
    searched = {
        "one document": normal(1),
        "two equal": np.ones((2, 8)),
        "all equal": np.ones((300, 8)),
        "1e30": 1e30 * blobs(),
        "1e-25": 1e-25 * blobs(),
        "one-hot": np.eye(60),
        "4,096 dimensions": normal(300, 4_096),
    }
    for name, vectors in searched.items():
        yield Case(f"dedup: {name}", table(vectors), command="dedup")
    yield Case("dedup: NaN", table(nan_row(3)), LINE, command="dedup")
    ranked = table(np.repeat(blobs(30), 2, axis=0), rank=[float("nan") if i % 2 else 1.0 for i in range(60)])
    yield Case("dedup: keep by a column with NaN", ranked, command="dedup",
               changes=("deduplicate.keep=column", "deduplicate.keep_column=rank"))  # fmt: skip
    yield Case("dedup: no texts", table(blobs()).with_columns(text=pl.lit("")), LINE, command="dedup")
