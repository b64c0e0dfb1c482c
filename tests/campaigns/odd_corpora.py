"""Odd corpora: a hundred and more inputs with odd numbers, each through the command line, and what came of each.

    python -m tests.campaigns.odd_corpora --scratch DIR [--only WORDS] > table.json

Each case is a result, which is looked at (every figure of a document is a number, copies of one vector have one topic,
nothing takes a minute), or one line that says what to do; anything else is a fault: a traceback, a line "not foreseen",
several lines, a library's warning, a figure that is no number, the end of the process by a signal. Each runs in a
forked child against one Prefect server. Prints the table as JSON; exit 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.campaigns.odd_cases import Case, cases
from tests.commands import serving
from tests.forked_commands import forked_commands

MOST_SECONDS = 60.0
"""Of one case: vectors of 4,096 dimensions on 300 documents took more."""


@dataclass(frozen=True)
class Found:
    """What came of a case: `result`, `line` or `fault`, in words, and the seconds that it took."""

    name: str
    outcome: str
    said: str
    seconds: float


def main() -> None:
    """Print the table; exit 1 where a case is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--only", default="", help="Only cases whose name holds this.")
    asked = parser.parse_args()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    chosen = [case for case in cases() if asked.only in case.name]
    with (
        serving(asked.scratch / "prefect") as server,
        forked_commands(asked.scratch / "said", **server.environment) as commands,
    ):

        def forked(*arguments: object) -> tuple[int, str, str]:
            outcome = commands.run(list(map(str, arguments)), asked.scratch, timeout_s=600.0).outcome
            return outcome.code, outcome.out, outcome.err

        table = []
        for number, case in enumerate(chosen):
            found = try_case(case, asked.scratch / f"{number:03d}", forked)
            table.append(found)
            print(
                f"{number + 1:>3} {found.outcome:<6} {found.seconds:5.1f} s  {case.name}: {found.said}",
                file=sys.stderr,
            )
    print(
        json.dumps(
            {"summary": Counter(found.outcome for found in table), "cases": [asdict(f) for f in table]},
            indent=1,
        )
    )
    sys.exit(any(found.outcome == "fault" for found in table))


def try_case(case: Case, folder: Path, command: Callable[..., tuple[int, str, str]] | None = None) -> Found:
    """Return what came of a case; `command` runs the command line with arguments and returns code and both outputs."""
    folder.mkdir(parents=True)
    config = case.write(folder)
    started = time.perf_counter()
    code, out, err = (command or typed)(case.command, config, *case.arguments, "--json")
    seconds = time.perf_counter() - started
    try:
        outcome, said = judged(case, folder, code, out, err)
    except AssertionError as error:
        outcome, said = "fault", str(error)
    if seconds > MOST_SECONDS:
        outcome, said = "fault", f"{seconds:.0f} s; {said}"
    if case.expected not in {"any", outcome} and outcome != "fault":
        outcome, said = "fault", f"expected a {case.expected}: {said}"
    return Found(case.name, outcome, said, round(seconds, 2))


def typed(*arguments: object) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of the command line in this process."""
    from topicflow.flows.commands import cli

    out, err, code = io.StringIO(), io.StringIO(), 0
    before, sys.argv = sys.argv, ["topicflow", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return code, out.getvalue(), err.getvalue()


def judged(case: Case, folder: Path, code: int, out: str, err: str) -> tuple[str, str]:
    """Return `result` or `line` with what was said; raise AssertionError with what is wrong."""
    lines = [line for line in err.splitlines() if line.strip() and not _is_of_a_stage(line)]
    notes = [line for line in lines if line.startswith("note: ")]
    others = [line for line in lines if line not in notes]
    assert "Traceback" not in out + err, f"a traceback: {err[-300:]}"
    assert "not foreseen" not in err, others[-1]
    if code:
        assert code in {1, 2}, f"exit code {code}"
        assert len(others) == 1, f"{len(others)} lines: {others[:3]}"
        assert others[0].startswith("error: "), others[0]
        return "line", others[0]
    assert not others, f"more lines than notes: {others[:3]}"
    record = json.loads(out)
    if case.command != "run":
        return "result", _in_words(record, notes)
    documents = pl.read_parquet(folder / "runs" / "odd" / record["run_id"] / "documents.parquet")
    check_documents(documents, case)
    return "result", _in_words(record, notes)


def check_documents(documents: pl.DataFrame, case: Case) -> None:
    """Raise AssertionError where a figure is no number, or copies of one vector have several topics."""
    for name in ("probability", "outlier_score", "x", "y"):
        values = documents[name].to_numpy()
        assert np.isfinite(values).all(), f"{name} is no number in {int((~np.isfinite(values)).sum())} rows"
    for name in ("probability", "outlier_score"):
        assert documents[name].is_between(0, 1).all(), f"{name} is outside 0 and 1"
    if case.copies and "vector" in documents.columns:
        alike = documents.group_by("vector").agg(
            pl.col("topic", "probability", "outlier_score", "x", "y").n_unique()
        )
        for name in ("topic", "probability", "outlier_score", "x", "y"):
            assert (alike[name] == 1).all(), f"copies of one vector have several values of {name}"


def _in_words(record: dict[str, Any], notes: list[str]) -> str:
    if "n_topics" not in record:
        kept = record["metrics"].get("n_kept")
        return f"{record['n_documents']:,} documents, {kept} kept" + _also(notes)
    outliers = record["metrics"]["outlier_share"]
    return f"{record['n_topics']} topics, {outliers:.0%} of {record['n_documents']:,} without" + _also(notes)


def _also(notes: list[str]) -> str:
    return "".join(f"; {re.split(r'[.:] ', note.removeprefix('note: '))[0]}" for note in notes)


def _is_of_a_stage(line: str) -> bool:
    words = line.split()
    if words[1:2] == ["running"]:
        return True
    return len(words) == 6 and words[1] in {"computed", "cached"} and words[3] == "rows" and words[5] == "s"


if __name__ == "__main__":
    main()
