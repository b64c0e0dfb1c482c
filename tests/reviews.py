"""Reviews: the made-up product reviews that the commands of README and docs run on."""

import sqlite3
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

PHRASES = {
    "battery": (
        "the battery died after a week", "it needs charging twice a day", "the charger gets very hot",
        "battery life is far below ten hours", "it does not hold a charge overnight",
        "power drains while it is switched off",
    ),
    "delivery": (
        "the parcel arrived two weeks late", "the courier left the box in the rain", "delivery took only one day",
        "tracking showed the wrong address", "the package was torn open", "shipping cost more than the item",
    ),
    "screen": (
        "the screen has a dead pixel", "colours on the display look pale", "the glass cracked in my pocket",
        "brightness is too low in the sun", "the touch panel ignores my finger", "the display flickers at night",
    ),
    "support": (
        "nobody answers the support phone", "the agent solved it in minutes", "my refund took three months",
        "they asked for the receipt four times", "customer service was friendly",
        "the help desk closed my ticket unread",
    ),
}  # fmt: skip
_TITLES = ("again", "review", "of the week", "problem", "report")


def made_reviews(n_each: int = 45, seed: int = 0) -> pl.DataFrame:
    """Return reviews of four subjects in turn, one every other day.

    Columns: review_id, title, body, stars, product, created. Each review says two of its subject's six phrases, so that
    some are near-duplicates.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_each):
        for subject, phrases in PHRASES.items():
            number = len(rows)
            said = ", ".join(phrases[i] for i in rng.choice(len(phrases), 2, replace=False))
            rows.append(
                {
                    "review_id": f"r{1000 + number}",
                    "title": f"{subject} {rng.choice(_TITLES)} {number}",
                    "body": f"{said}.",
                    "stars": int(rng.integers(1, 6)),
                    "product": ("phone", "tablet", "camera")[number % 3],
                    "created": date(2025, 1, 1) + timedelta(days=2 * number),
                }
            )
    return pl.DataFrame(rows)


def write_export(reviews: pl.DataFrame, path: Path) -> None:
    """Write reviews as a German spreadsheet exports them: titles above the header, semicolons, cp1252, dotted dates."""
    table = reviews.select(
        Nummer="review_id",
        Datum=pl.col("created").dt.strftime("%d.%m.%Y"),
        Titel="title",
        Text=pl.col("body") + " – für später",
    )
    text = "Feedback of our customers\nExported on 31.12.2025\n" + table.write_csv(separator=";")
    path.write_bytes(text.replace("\n", "\r\n").encode("cp1252"))


def write_inputs(folder: Path) -> None:
    """Write what the pages' commands read: the reviews in each format, some labels, another corpus."""
    reviews = made_reviews()
    reviews.write_csv(folder / "reviews.csv")
    made_reviews(48).write_csv(folder / "reviews-march.csv")  # the same ones, and twelve more
    reviews.write_parquet(folder / "reviews.parquet")
    reviews.head(40).write_parquet(folder / "training.parquet")
    write_export(reviews, folder / "export.csv")
    subject = pl.col("title").str.split(" ").list.first().alias("label")
    reviews.head(40).select(pl.col("review_id").alias("doc_id"), subject).write_csv(folder / "labels.csv")
    (folder / "likes.csv").write_text(
        "user,item,weight\nann,r1000,1\nann,r1004,1\nann,r1001,2\nbob,r1002,1\nbob,r1003,-1\n"
    )
    bodies = pl.Series(["the battery is swollen", "late again", "quartz and granite"])
    new = reviews.head(3).with_columns(review_id=pl.Series(["n1", "n2", "n3"]), body=bodies)
    new.write_csv(folder / "new.csv")
    notes = folder / "notes" / "2025"
    notes.mkdir(parents=True)
    for row in reviews.head(60).iter_rows(named=True):
        (notes / f"{row['review_id']}.txt").write_text(row["body"], encoding="utf-8")
    with sqlite3.connect(folder / "reviews.db") as database:
        database.execute("CREATE TABLE reviews (review_id TEXT, title TEXT, body TEXT, stars INTEGER)")
        columns = reviews.select("review_id", "title", "body", "stars")
        database.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?)", columns.rows())
