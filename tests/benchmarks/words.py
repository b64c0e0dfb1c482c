"""Counting and shingling words, beside the code of another commit in the same run; prints JSON.

    python -m tests.benchmarks.words --before 219d3b6

The clock covers, for both sides, from texts in memory: `count`, the word counts of all texts written to files
(`count_texts`, default config, one thread); `shingle`, the sets of shingles of five words (`shingled`, in slices as the
stage does). The other commit's files come from `git archive` into a temporary folder. The sides take turns, each round
in a process of its own; the figures are the least of the rounds, seconds of the processor, which other work on the
machine moves less than seconds on the clock. Imports and the loading of compiled kernels are outside the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parents[2]
SIB200 = ("deu_Latn", "fra_Latn", "rus_Cyrl", "hin_Deva", "arb_Arab", "tha_Thai", "zho_Hans", "jpn_Jpan")


def corpora(data: Path, titles: int) -> dict[str, list[str]]:
    """Return the texts of each corpus; a language of sib200 ten times over."""
    found = {
        "reddit titles": pl.read_parquet(data / "reddit_titles_1m.parquet", n_rows=titles)["title"].to_list(),
        "newsgroups": pl.read_parquet(data / "newsgroups.parquet")["text"].to_list(),
    }
    sib200 = pl.read_parquet(data / "sib200_11_languages.parquet")
    for language in SIB200:
        found[language] = 10 * sib200.filter(pl.col("lang") == language)["text"].to_list()
    return found


def measure(data: Path, titles: int, only: str) -> dict[str, dict[str, float]]:
    """Return the seconds of each step on each corpus, by the code that is imported."""
    from topicflow.configs.sections.count import CountConfig
    from topicflow.tasks.core.duplicates.minhash import shingled
    from topicflow.tasks.duplicates.similar_texts import SLICE_ROWS
    from topicflow.tasks.store.artifact_store import ArtifactWriter
    from topicflow.tasks.topics.count import count_texts

    def count(texts: list[str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            count_texts([texts], CountConfig(), ArtifactWriter(Path(folder), "words"), 1)

    def shingle(texts: list[str]) -> None:
        for start in range(0, len(texts), SLICE_ROWS):
            shingled(texts[start : start + SLICE_ROWS], 5)

    steps = {"count": count, "shingle": shingle}
    found: dict[str, dict[str, float]] = {}
    for name, texts in corpora(data, titles).items():
        if only not in name:
            continue
        found[name] = {}
        for step, run in steps.items():
            run(["warm up", "élan"])
            found[name][step] = min(_seconds(run, texts) for _ in range(3))
    return found


def _seconds(run: Callable[[list[str]], None], texts: list[str]) -> float:
    started = time.process_time()
    run(texts)
    return time.process_time() - started


def least(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the least seconds of all rounds."""
    return {
        name: {step: round(min(one[name][step] for one in rounds), 3) for step in steps}
        for name, steps in rounds[0].items()
    }


def side(folder: Path, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the figures of the code in a folder, from a process of its own."""
    command = [
        sys.executable,
        str(Path(__file__)),
        "--side",
        "--data",
        str(args.data),
        "--titles",
        str(args.titles),
        "--only",
        args.only,
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, check=True, capture_output=True, env=environment, cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["code"] == str(folder), f"{found['code']} was imported, expected {folder}"
    return found["seconds"]


def main() -> None:
    """Print both sides and their ratio as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default="HEAD~1", help="commit to compare with")
    parser.add_argument("--data", type=Path, required="--side" in sys.argv)
    parser.add_argument("--titles", type=int, default=200_000)
    parser.add_argument("--only", default="", help="corpora whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        # an editable install would import the working tree
        sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in f"{finder!r}".lower()]
        import topicflow.tasks

        code = str(Path(next(iter(topicflow.tasks.__path__))).parents[1])
        print(json.dumps({"code": code, "seconds": measure(args.data, args.titles, args.only)}))
        return
    from tests.benchmarks.corpora import DATA
    from tests.benchmarks.peer import machine

    args.data = args.data or DATA
    with tempfile.TemporaryDirectory() as scratch:
        before = Path(scratch)
        archive = subprocess.run(["git", "archive", args.before], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, check=True)
        rounds = [(side(before, args), side(ROOT, args)) for _ in range(args.rounds)]
    old, new = least([one for one, _ in rounds]), least([two for _, two in rounds])
    ratios = {
        name: {step: round(new[name][step] / seconds, 2) for step, seconds in steps.items()}
        for name, steps in old.items()
    }
    print(
        json.dumps({"benchmark": "words", **machine(), "before": old, "now": new, "ratio": ratios}, indent=2)
    )


if __name__ == "__main__":
    main()
