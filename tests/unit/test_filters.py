"""Filters: conditions keep the same rows as a plain loop, and syntax errors are named with their place."""

import re
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.search.filters.parser import MOST_DEPTH, MOST_TERMS, parse_filter

TABLE = pl.DataFrame(
    {
        "label": ["sci.space", "sci.med", "it's", None, "100% new"],
        "stars": [1, 2, 3, 4, None],
        "price": [0.5, -1.0, 2.5, None, 3.0],
        "sold": [True, False, None, True, False],
        "created": [date(2012, 1, 1), date(2011, 12, 31), date(2013, 5, 5), None, date(2012, 6, 1)],
        "seen": [datetime(2012, 1, 1, 12, tzinfo=UTC)] * 3 + [None, datetime(2020, 1, 1, tzinfo=UTC)],
        "a b": ["x", "y", "z", "x", "y"],
        "tags": [["x", "y"], ["y", None], [], None, ["z"]],
        "meta": [
            {"source": "wire", "n": 1, "at": {"home page": "u"}},
            {"source": "web", "n": None, "at": None},
            None,
            {"source": None, "n": 3, "at": {"home page": None}},
            {"source": "wire", "n": 5, "at": {"home page": "v"}},
        ],
        "year": [1, 2, 3, 4, 5],
    }
)


def kept(condition: str) -> list[int]:
    expression, _ = parse_filter(condition, TABLE.schema)
    return TABLE.with_row_index().filter(expression)["index"].to_list()


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("label = 'sci.space'", [0]),
        ("label = 'sci.space' and created >= '2012-01-01'", [0]),
        ("created >= '2012-01-01'", [0, 2, 4]),
        ("created BETWEEN '2011-12-31' AND '2012-01-01'", [0, 1]),
        ("seen < '2015-01-01'", [0, 1, 2]),
        ("seen = '2012-01-01 13:00+01:00'", [0, 1, 2]),
        ("seen = '2012-01-01T12:00'", [0, 1, 2]),
        ("label = 'it''s'", [2]),
        ("label like 'sci.%'", [0, 1]),
        ("label like 'sci_space'", [0]),
        ("label ilike 'SCI.%'", [0, 1]),
        ("label like '100% new'", [4]),
        ("label not like 'sci.%'", [2, 4]),
        ("label is null", [3]),
        ("not label is null", [0, 1, 2, 4]),
        ("label is not null and stars is not null", [0, 1, 2]),
        ("stars in (1, 3)", [0, 2]),
        ("stars not in (1, 3)", [1, 3]),
        ("stars between 2 and 3", [1, 2]),
        ("stars not between 2 and 3", [0, 3]),
        ("price < -.5", [1]),
        ("price = 2.5e0", [2]),
        ("stars <> 1 and stars != 2", [2, 3]),
        ("sold", [0, 3]),
        ("sold = false", [1, 4]),
        ("not sold", [1, 4]),
        ("\"a b\" = 'y'", [1, 4]),
        ("stars = 1 or stars = 2 and sold", [0]),
        ("(stars = 1 or stars = 2) and not sold", [1]),
        ("stars>=2\n and stars<=3", [1, 2]),
        ("stars > 100", []),
        ("stars < 1.5 or stars = 2.0 or stars = 2.5", [0, 1]),
        ("stars in (1.5, 3.0)", [2]),
        ("stars < 1e30 and stars > -1e30", [0, 1, 2, 3]),
        ("tags contains 'y'", [0, 1]),
        ("tags not contains 'y'", [2, 4]),
        ("tags contains any ('x', 'z')", [0, 4]),
        ("tags contains all ('y', 'x', 'y')", [0]),
        ("tags is null", [3]),
        ("length(tags) = 2", [0, 1]),
        ("meta.source = 'wire'", [0, 4]),
        ("meta.n > 1 and lower(meta.source) like 'w%'", [4]),
        ("meta.at.\"home page\" = 'v'", [4]),
        ("meta is null", [2]),
        ("meta.at is null", [1, 2]),
        ("meta.source is null", [2, 3]),
        ("lower(label) = 'sci.med' or length(label) = 4", [1, 2]),
        ("year(created) = 2012", [0, 4]),
        ("month(created) in (5, 12) and year > 1", [1, 2]),
        ("year = 5", [4]),
        ("label like '100!%%' escape '!'", [4]),
        ("label like '%!%%' escape '!'", [4]),
        ("label not ilike 'SCI%' ", [2, 4]),
        ("not not not sold", [1, 4]),
    ],
)
def test_conditions(condition: str, rows: list[int]) -> None:
    assert kept(condition) == rows


@pytest.mark.parametrize(
    ("condition", "column", "said"),
    [
        ("", 1, "expected a column, found the end"),
        ("label = ", 8, "expected a value, found the end"),
        ("label = 'a", 9, "a text without its closing '"),
        ("label = 'a' and and stars > 1", 17, "expected a column, found 'and'"),
        ("label = 'a' or", 15, "expected a column, found the end"),
        ("label = 'a' )", 13, "expected and, or, or the end, found ')'"),
        ("(label = 'a'", 13, "expected ')', found the end"),
        ("label = sci", 9, "without quotes it is a column"),
        ("label = \"sci\"", 9, "without quotes it is a column"),
        ("'a' = label", 1, "texts stand right of it"),
        ("labl = 'a'", 1, "no column 'labl'; did you mean 'label'?"),
        ("stars > 'x'", 9, "compares a column of Int64 with the text 'x'"),
        ("label > 1", 9, "texts stand in single quotes"),
        ("created > 'May'", 11, "'May' is no date such as '2012-01-31'"),
        ("stars = null", 9, "write `is null`"),
        ("sold = 1", 8, "compares a column of Boolean with the number 1"),
        ("stars = true", 9, "compares a column of Int64 with true"),
        ("stars in 1", 10, "expected '(', found '1'"),
        ("stars like 'a'", 7, "like is for texts"),
        ("label not = 'a'", 11, "expected in, between, like or contains"),
        ("label = 'a'; drop table x", 12, "';', which means nothing here"),
        ("label", 6, "expected a comparison such as = or in"),
        ("count(*) > 1", 7, "means nothing here"),
        ("count(stars) > 1", 1, "no function 'count'; there are: lower, length, year, month"),
        ("lower(stars) = 'a'", 1, "lower is for texts, the column is Int64"),
        ("year(label) = 1", 1, "year is for dates and times, the column is String"),
        ("meta.sourc = 'a'", 6, "no field 'sourc'; did you mean 'source'?"),
        ("label.x = 'a'", 7, "no field 'x'; it is String"),
        ("meta = 'a'", 8, "name one of its fields"),
        ("tags = 'x'", 8, "lists take `contains`"),
        ("label contains 'x'", 7, "contains is for lists of values, the column is String; write like '%…%'"),
        ("tags contains 1", 15, "compares a column of String with the number 1"),
        ("label like 'a!' escape '!'", 24, "the pattern ends with its escape '!'"),
        ("label like 'a' escape 'ab'", 23, "expected one character to escape with, found 2"),
        ("stars = 18446744073709551616", 9, "the number 18446744073709551616 does not fit into 64 bits"),
        ("stars in (1, -9223372036854775809)", 14, "does not fit into 64 bits"),
        ("price < 1e400", 9, "the number 1e400 does not fit into 64 bits"),
        ("price < 1e-99999999", 9, "does not fit into 64 bits"),
        ("seen < '0001-01-01 00:00+14:00'", 8, "is no datetime"),
        ("seen < '2012-13-01'", 8, "such as '2012-01-31' or '2012-01-31 12:00'"),
        ("stars in ()", 11, "expected a value, found ')'"),
        ("stars in (1, 'a')", 14, "compares a column of Int64 with the text 'a'"),
    ],
)  # fmt: skip
def test_a_syntax_error_is_named_with_its_place(condition: str, column: int, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_filter(condition, TABLE.schema)
    message = str(raised.value)
    assert message.startswith(f"filter: column {column}: ")
    assert said in message
    assert condition[: column - 1] + "⟨here⟩" in message
    assert "\n" not in message


def test_the_columns_read_are_returned() -> None:
    assert parse_filter("label = 'a' and (stars > 1 or \"a b\" = 'x')", TABLE.schema)[1] == {
        "label",
        "stars",
        "a b",
    }


# --- bounds ---


def test_a_hundred_thousand_ids_are_read_at_once() -> None:
    table = pl.DataFrame({"id": [f"it's {number}" for number in range(200_000)]})
    wanted = [f"'it''s {number}'" for number in range(0, 400_000, 4)]
    started = time.thread_time()
    expression, _ = parse_filter(f"id in ({', '.join(wanted)})", table.schema)
    assert table.filter(expression)["id"].to_list() == [f"it's {number}" for number in range(0, 200_000, 4)]
    assert time.thread_time() - started < 3.0  # .2 s on a quiet machine; threads of other tests do not count


@pytest.mark.parametrize("word", ["or", "and"])
def test_many_terms_are_a_flat_tree(word: str) -> None:
    condition = f" {word} ".join(f"stars <> {number}" for number in range(2, 1002))
    started = time.thread_time()
    assert kept(condition) == ([0, 1, 2, 3] if word == "or" else [0])
    assert time.thread_time() - started < 3.0  # .1 s on a quiet machine


def test_values_beyond_the_limits_are_named() -> None:
    def refused(condition: str) -> str:
        with pytest.raises(ConfigError) as raised:
            parse_filter(condition, TABLE.schema)
        assert len(str(raised.value)) < 400
        return str(raised.value)

    deep = "(" * MOST_DEPTH + "stars = 1" + ")" * MOST_DEPTH
    assert kept(deep) == [0]
    assert kept("not " * 10_000 + "stars = 1") == [0]
    assert f"more than {MOST_DEPTH} levels" in refused(f"({deep})")
    assert f"more than {MOST_DEPTH} levels" in refused("(" * 100_000)
    assert f"more than {MOST_DEPTH} levels" in refused("lower(" * 1000 + "label" + ")" * 1000 + " = 'a'")
    assert f"more than {MOST_TERMS:,} comparisons" in refused(" or ".join(["stars = 1"] * (MOST_TERMS + 1)))
    assert "a number of 5,000 characters" in refused("stars = " + "1" * 5000)
    assert "a pattern of 2,003 characters" in refused(f"label like '%{'a' * 2000}%b'")
    assert kept(f"label like '%{'a' * 2000}%'") == []
    assert kept(f"label like '%{'_' * 900}%'") == []


# --- against a plain loop over rows, with SQL's three values ---

Truth = bool | None
LEAVES = st.tuples(st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), st.integers(0, 5))
TREES = st.recursive(
    LEAVES.map(lambda leaf: ("leaf", *leaf)),
    lambda inner: st.tuples(st.just("not"), inner) | st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    max_leaves=8,
)


def written(tree: Any) -> str:
    if tree[0] == "leaf":
        return f"stars {tree[1]} {tree[2]}"
    if tree[0] == "not":
        return f"not ({written(tree[1])})"
    return f"({written(tree[1])} {tree[0]} {written(tree[2])})"


def truth(tree: Any, stars: int | None) -> Truth:
    if tree[0] == "leaf":
        compare: dict[str, Callable[[int, int], bool]] = {
            "=": int.__eq__, "<>": int.__ne__, "<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__,
        }  # fmt: skip
        return None if stars is None else compare[tree[1]](stars, tree[2])
    found = [truth(each, stars) for each in tree[1:]]
    if tree[0] == "not":
        return None if found[0] is None else not found[0]
    decisive = tree[0] == "or"
    if decisive in found:
        return decisive
    return None if None in found else not decisive


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_any_condition_keeps_what_a_loop_keeps(tree: Any) -> None:
    expected = [row for row, stars in enumerate(TABLE["stars"]) if truth(tree, stars)]
    assert kept(written(tree)) == expected
    assert kept(re.sub(r"\s+", "  ", written(tree))) == expected
