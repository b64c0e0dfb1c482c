"""Conditions: a table with every kind of column, and random conditions on it for filters and DuckDB."""

import random
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl

from topicflow.tasks.search.filters.parser import parse_filter

BERLIN = "Europe/Berlin"
TEXTS = [
    "sci.space", "sci.med", "it's", "100% new", "a_b", "Ärger", "ärger", "", "zwei\nZeilen", "日本語",
    "SCI.SPACE",
]  # fmt: skip
TAGS = ["x", "y", "it's", "z z", ""]
WHOLE = [
    -(2**63), -300, -129, -128, -1, 0, 1, 2, 3, 127, 128, 255, 2**53, 2**53 + 1, 2**63 - 1, 2**63,
    2**64 - 1,
]  # fmt: skip
REAL = [
    "-1e300", "-2.5", "-1", "-0.0", "0", "0.1", ".5", "1", "1.5", "2.50", "2.505", "3e0",
    "9007199254740993", "1e300",
]  # fmt: skip
DAYS = ["1969-12-31", "1970-01-01", "2011-12-31", "2012-01-01", "2012-02-29", "2013-05-05", "2250-01-01"]
MOMENTS = [
    "2012-01-01", "2012-01-01 12:00", "2012-01-01 12:00:00.0005", "2012-07-01T12:00:00.123456",
    "1969-12-31 23:59:59.9999", "2020-01-01", "2012-01-01 12:00:00.001",
]  # fmt: skip


def table(n: int = 60, seed: int = 0) -> pl.DataFrame:
    """Return n rows with a column of every type that documents can have, including nulls."""
    rng = random.Random(seed)

    def some(values: Sequence[object]) -> list[object]:
        return [None if rng.random() < 0.15 else rng.choice(values) for _ in range(n)]

    moments = [datetime.fromisoformat(text) for text in MOMENTS]
    whole = {name: [v for v in WHOLE if low <= v < high] for name, low, high in (
        ("tiny", -(2**7), 2**7), ("stars", -(2**63), 2**63), ("big", 0, 2**64),
    )}  # fmt: skip
    reals = [float(text) for text in REAL] + [float("nan"), float("inf"), float("-inf")]
    inner = [{"deep name": text} for text in ("u", "v")] + [None]
    metas = [
        {"source": rng.choice([*TEXTS[:4], None]), "n": rng.choice([1, 2, None]),
         "day": rng.choice([date(2012, 1, 1), None]), "inner": rng.choice(inner)}
        for _ in range(12)
    ]  # fmt: skip
    lists = [[rng.choice([*TAGS, None]) for _ in range(rng.randrange(4))] for _ in range(12)]
    numbers = [[rng.choice([1, 2, 3, None]) for _ in range(rng.randrange(4))] for _ in range(12)]
    halves = [[rng.choice([0.1, 0.5, 2.5]) for _ in range(rng.randrange(3))] for _ in range(6)]
    days = [[date.fromisoformat(rng.choice(DAYS)) for _ in range(rng.randrange(3))] for _ in range(6)]
    costs = [Decimal(text) for text in ("-1.00", "0.00", "2.50", "2.51", "12345678.90")]
    columns = {
        "text": pl.Series([rng.choice(TEXTS) for _ in range(n)], dtype=pl.String),
        "label": pl.Series(some(TEXTS), dtype=pl.String),
        "a b": pl.Series(some(TEXTS[:3]), dtype=pl.String),
        "kind": pl.Series(some(TEXTS[:3]), dtype=pl.Categorical),
        "tiny": pl.Series(some(whole["tiny"]), dtype=pl.Int8),
        "stars": pl.Series(some(whole["stars"]), dtype=pl.Int64),
        "big": pl.Series(some(whole["big"]), dtype=pl.UInt64),
        "price": pl.Series(some(reals), dtype=pl.Float64),
        "weight": pl.Series(some([v for v in reals if not 1e30 < abs(v) < float("inf")]), dtype=pl.Float32),
        "cost": pl.Series(some(costs), dtype=pl.Decimal(12, 2)),
        "sold": pl.Series(some([True, False]), dtype=pl.Boolean),
        "created": pl.Series(some([date.fromisoformat(text) for text in DAYS]), dtype=pl.Date),
        "seen": pl.Series(some([m.replace(tzinfo=UTC) for m in moments]), dtype=pl.Datetime("us", "UTC")),
        "here": pl.Series(some(moments), dtype=pl.Datetime("us")).dt.replace_time_zone(BERLIN),
        "plain": pl.Series(some(moments), dtype=pl.Datetime("ms")),
        "exact": pl.Series(some(moments), dtype=pl.Datetime("ns")) + timedelta(),
        "hour": pl.Series(some([time(0), time(12), time(12, 30, 1)]), dtype=pl.Time),
        "tags": pl.Series(some(lists), dtype=pl.List(pl.String)),
        "numbers": pl.Series(some(numbers), dtype=pl.List(pl.Int64)),
        "halves": pl.Series(some(halves), dtype=pl.List(pl.Float32)),
        "days": pl.Series(some(days), dtype=pl.List(pl.Date)),
        "meta": pl.Series(some(metas), dtype=pl.Struct({
            "source": pl.String, "n": pl.Int64, "day": pl.Date, "inner": pl.Struct({"deep name": pl.String}),
        })),
        "nothing": pl.Series([None] * n, dtype=pl.Null),
        "topic": pl.Series([rng.choice([-1, 0, 1, 2]) for _ in range(n)], dtype=pl.Int32),
        "length": pl.Series(some([1, 2, 3]), dtype=pl.Int64),
    }  # fmt: skip
    return pl.DataFrame(columns)


Both = tuple[str, str]
"""A condition as filters read it, and as DuckDB does."""


def random_condition(rng: random.Random, depth: int = 3) -> Both:
    """Return a random condition on `table`."""
    if depth and (chance := rng.random()) < 0.6:
        if chance < 0.15:
            ours, theirs = random_condition(rng, depth - 1)
            return f"not ({ours})", f"NOT ({theirs})"
        word, parts = (
            rng.choice(["and", "or"]),
            [random_condition(rng, depth - 1) for _ in range(rng.choice([2, 2, 3]))],
        )
        return f" {word} ".join(f"({a})" for a, _ in parts), f" {word} ".join(f"({b})" for _, b in parts)
    return rng.choice(LEAVES)(rng)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _pattern(rng: random.Random) -> str:
    text = rng.choice(TEXTS)
    marks = [rng.choice(["%", "_", "%%", mark, mark, mark]) for mark in text]
    return rng.choice(["%", ""]) + "".join(marks) + rng.choice(["%", "_", ""])


SIGNS = ["=", "!=", "<>", "<", "<=", ">", ">="]
STRINGS = ["label", "text", '"a b"', "kind", "meta.source", 'meta.inner."deep name"']
FRACTIONS = ["0.5", "-1.5", "2.0", "127.5", "1000.0"]  # with 1e3 DuckDB compares whole numbers as doubles
OPERANDS: dict[str, tuple[list[str], Callable[[random.Random], str]]] = {
    "texts": (
        [*STRINGS, *(f"lower({name})" for name in STRINGS)],
        lambda rng: _quoted(rng.choice([*TEXTS, "u", "v"])),
    ),
    "whole numbers": (
        ["tiny", "stars", "big", "topic", '"length"', "meta.n"],
        lambda rng: str(rng.choice(WHOLE)) if rng.random() < 0.6 else rng.choice(FRACTIONS),
    ),
    "figures": (
        [f"length({name})" for name in ("label", "text", "tags", "numbers", "meta.source")]
        + [f"{unit}({name})" for unit in ("year", "month") for name in ("created", "plain", "exact", "seen")],
        lambda rng: str(rng.choice([0, 1, 2, 3, 5, 7, 12, 1969, 2012, 2013])),
    ),
    "numbers": (["price", "cost"], lambda rng: rng.choice(REAL)),
    "single numbers": (["weight"], lambda rng: rng.choice([text for text in REAL if "e" not in text])),
    "days": (["created", "meta.day"], lambda rng: _quoted(rng.choice(DAYS))),
    "moments": (["plain", "exact", "seen"], lambda rng: _quoted(rng.choice(MOMENTS))),
    "times": (["hour"], lambda rng: rng.choice(["'12:00'", "'00:00'", "'12:30:01'"])),
    "truths": (["sold"], lambda rng: rng.choice(["true", "false"])),
    "nothing": (["nothing"], lambda rng: rng.choice(["1", "2.5"])),
}


def _comparison(rng: random.Random) -> Both:
    operands, literal = OPERANDS[rng.choice(list(OPERANDS))]
    left, kind = rng.choice(operands), rng.random()
    if kind < 0.6:
        found = f"{left} {rng.choice(SIGNS)} {literal(rng)}"
    elif kind < 0.85:
        values = ", ".join(literal(rng) for _ in range(rng.choice([1, 2, 5])))
        found = f"{left} {rng.choice(['', 'not '])}in ({values})"
    else:
        found = f"{left} {rng.choice(['', 'not '])}between {literal(rng)} and {literal(rng)}"
    return found, found


def _local(rng: random.Random) -> Both:
    """Return a comparison in the column's own zone, which DuckDB gets from the session."""
    if rng.random() < 0.3:
        unit, number = rng.choice(["year", "month"]), rng.choice([1, 7, 12, 1969, 1970, 2012])
        return f"{unit}(here) = {number}", f"{unit}(here AT TIME ZONE '{BERLIN}') = {number}"
    sign, moment = rng.choice(SIGNS), rng.choice(MOMENTS)
    return f"here {sign} '{moment}'", f"here {sign} (TIMESTAMP '{moment}' AT TIME ZONE '{BERLIN}')"


def _zoned(rng: random.Random) -> Both:
    right = f" {rng.choice(['=', '<', '>='])} '2012-01-01 {rng.choice(['11', '12', '13'])}:00+01:00'"
    name = rng.choice(["here", "seen"])
    return name + right, name + right


def _like(rng: random.Random) -> Both:
    ours = rng.choice([*STRINGS, "lower(label)"])
    pattern = _quoted(_pattern(rng))
    escape = ""
    if rng.random() < 0.3:
        pattern, escape = (
            _quoted(rng.choice(["100!%%", "a!_b", "%!_%", "!!%", "sci!.space", "!%"])),
            " escape '!'",
        )
    right = f" {rng.choice(['', 'not '])}{rng.choice(['like', 'ilike'])} {pattern}{escape}"
    return ours + right, ours + right


def _null(rng: random.Random) -> Both:
    name = rng.choice(
        [*(f'"{name}"' for name in table(1).columns), "meta.source", "meta.inner", "lower(label)"]
    )
    right = f" is {rng.choice(['', 'not '])}null"
    return name + right, name + right


def _contains(rng: random.Random) -> Both:
    name, literal = rng.choice([
        ("tags", lambda: _quoted(rng.choice(TAGS))),
        ("numbers", lambda: rng.choice(["1", "2", "3", "4", "1.5", "-7"])),
        ("halves", lambda: rng.choice(["0.1", "0.5", "2.5", "1"])),
        ("days", lambda: _quoted(rng.choice(DAYS))),
    ])  # fmt: skip
    negated = rng.choice(["", "not "])
    kind = rng.choice(["", "any", "all"])
    values = [literal() for _ in range(1 if not kind else rng.choice([1, 2, 3]))]
    types = {"days": "DATE", "numbers": "DOUBLE", "halves": "FLOAT", "tags": "VARCHAR"}
    cast = [f"{value}::{types[name]}" for value in values]
    lists = f"{name}::{types[name]}[]"
    function = {"": "list_contains", "any": "list_has_any", "all": "list_has_all"}[kind]
    right = f"{kind} ({', '.join(values)})" if kind else values[0]
    given = f"[{', '.join(cast)}]" if kind else cast[0]
    theirs = f"{function}({lists}, {given})"
    return f"{name} {negated}contains {right}", f"{negated}{theirs}"


def _truth(rng: random.Random) -> Both:
    return "sold", "sold"


LEAVES: list[Callable[[random.Random], Both]] = [
    _comparison, _comparison, _comparison, _like, _like, _null, _contains, _contains, _local, _zoned, _truth,
]  # fmt: skip


def differing(
    conditions: Sequence[Both], frame: pl.DataFrame, folder: Path
) -> list[tuple[Both, list[int], list[int]]]:
    """Return the conditions that keep other rows than DuckDB, with the rows of both."""
    import duckdb

    path = folder / "table.parquet"
    frame.write_parquet(path)
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute(f"CREATE TABLE t AS SELECT * FROM '{path}'")
    theirs = ", ".join(f"coalesce({sql}, false) AS c{place}" for place, (_, sql) in enumerate(conditions))
    kept = engine.sql(f"SELECT {theirs} FROM t").fetchall()
    ours = frame.select(
        parse_filter(text, frame.schema)[0].fill_null(value=False).alias(f"c{place}")
        for place, (text, _) in enumerate(conditions)
    )
    found = []
    for place, both in enumerate(conditions):
        expected = [row for row, values in enumerate(kept) if values[place]]
        if (mine := ours[f"c{place}"].arg_true().to_list()) != expected:
            found.append((both, mine, expected))
    return found


def random_differences(n: int, seed: int, batch: int = 250) -> list[tuple[Both, list[int], list[int]]]:
    """Return which of n random conditions keep other rows than DuckDB."""
    rng, frame = random.Random(seed), table(seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        return [
            each
            for start in range(0, n, batch)
            for each in differing(
                [random_condition(rng) for _ in range(min(batch, n - start))], frame, Path(folder)
            )
        ]
