"""Memory limits: a run under `ulimit -v` ends in one line, for any library that could not be mapped."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.commands import command, write_corpus
from tests.fakes import planted_corpus


@pytest.mark.parametrize(
    ("mebibytes", "named"),
    [
        (2000, r"run: the process may have 2\.0 GiB of memory \(ulimit -v\)"),
        # what torch or scikit-learn needs cannot be mapped
        pytest.param(2600, r"\w+: out of memory \(", marks=pytest.mark.slow),
    ],
)
def test_a_run_under_a_limit_ends_in_one_line(tmp_path: Path, mebibytes: int, named: str) -> None:
    config = write_corpus(tmp_path, planted_corpus(10, 3))
    words = command("run", config, "--set", 'embed.method="sentence-transformers"')
    limited = ["sh", "-c", f'ulimit -v {mebibytes * 1024}; exec "$@"', "sh", *words]
    config.write_text(config.read_text().replace('method = "precomputed"\ncolumn = "vector"\n', ""))
    done = subprocess.run(limited, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=240)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (1, 1)
    assert re.match(f"error: {named}", errors[0])
    assert "not foreseen" not in done.stderr
    assert "Traceback" not in done.stderr
