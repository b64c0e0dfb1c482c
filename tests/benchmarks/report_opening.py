"""Opening a report: seconds to make its page, its size, and milliseconds until the map is usable; prints JSON.

    python -m tests.benchmarks.report_opening --scratch DIR --rows 100000 --characters 120

Documents are made up, with two columns of the input. A real chromium opens the page from a file; its first visit is not
counted. With `--page FILE` another page is opened in turn, for example one of an older version.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.benchmarks.peer import machine
from tests.integration.test_report_browser import WORDS, open_browser, planted, save, visit
from topicflow.configs.sections.report import ReportConfig
from topicflow.tasks.execution.context import Context
from topicflow.tasks.report.report import Shown, report
from topicflow.tasks.store.artifact_store import ArtifactStore

N_TOPICS = 140


def made(folder: Path, rows: int, characters: int) -> tuple[Path, float]:
    """Return a page of `rows` documents of about `characters` each, and the seconds that it took."""
    content, store = planted(rows, N_TOPICS), ArtifactStore(folder / "store")
    rng = np.random.default_rng(0)
    texts = [" ".join(words) for words in rng.choice(WORDS, (rows, max(1, characters // 7)))]
    content["documents"]["documents"] = content["documents"]["documents"].with_columns(
        pl.Series("text", texts)
    )
    refs = {kind: save(store, kind, each, rows) for kind, each in content.items()}
    started = time.perf_counter()
    ref = report.fn(Context(store), Shown(**refs), config=ReportConfig(), name=f"{rows} {characters}")
    return store.path(ref, "report.html"), time.perf_counter() - started


def opening(pages: list[Path], visits: int) -> dict[str, Any]:
    """Return the milliseconds of each visit to each page, in turn."""
    with tempfile.TemporaryDirectory() as profile:
        browser = open_browser(Path(profile))
        try:
            found: dict[str, list[int]] = {str(page): [] for page in pages}
            for _ in range(visits + 1):
                for page in pages:
                    browser.get("about:blank")
                    found[str(page)].append(round(visit(browser, page)))
        finally:
            browser.quit()
    return {page: {"median_ms": statistics.median(ms[1:]), "ms": ms[1:]} for page, ms in found.items()}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=120)
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--page", type=Path, action="append", default=[])
    args = parser.parse_args()
    page, seconds = made(args.scratch, args.rows, args.characters)
    figures = {"benchmark": "report_opening", **machine(), "rows": args.rows, "characters": args.characters}
    figures |= {"page_bytes": page.stat().st_size, "made_s": round(seconds, 2)}
    print(json.dumps(figures | {"opening": opening([*args.page, page], args.visits)}, indent=2))


if __name__ == "__main__":
    main()
