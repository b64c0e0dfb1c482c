"""Add a stage, step by step (docs/architecture.md): applied to a copy of the code, which then runs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import PrefectServer, clean_environment, write_corpus
from tests.fakes import Corpus
from tests.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "architecture.md"
COPIED = ("configs", "deployments", "flows", "tasks", "tests", "topicflow")

FIRST = """import importlib.machinery, sys
class Here:
    def find_spec(name, path=None, target=None):
        return importlib.machinery.PathFinder.find_spec(name, [{root!r}]) if name in {{"tests", "topicflow"}} else None
sys.meta_path.insert(0, Here)
"""
"""Makes a Python take our packages from the copy, whatever way ours are installed."""


def apply(block: Block, root: Path) -> None:
    """Apply a block of the page to the code below `root`.

    Raises
    ------
    AssertionError
        When the lines of an edit do not stand in its file, or more than once.
    """
    assert block.change is not None
    kind, name = block.change
    path, text = root / name, block.text.partition("\n")[2] + "\n"
    if kind == "new":
        assert not path.exists(), f"{block.place}: {name} is there already"
        path.write_text(text, encoding="utf-8")
    elif kind == "end":
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    else:
        lines = text.splitlines()
        before, after = _side(lines, " -"), _side(lines, " +")
        code = path.read_text(encoding="utf-8")
        assert code.count(before) == 1, (
            f"{block.place}: these lines stand {code.count(before)} times in {name}, expected once; bring the page up "
            f"to date with the code:\n{before}"
        )
        path.write_text(code.replace(before, after), encoding="utf-8")


def _side(lines: Sequence[str], signs: str) -> str:
    """Return the lines of one side of an edit, without their signs."""
    return "".join(f"{line[1:]}\n" for line in lines if line[:1] in signs)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with the page's steps applied; it has the kernels that numba has kept."""
    root = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "sitecustomize.py").write_text(FIRST.format(root=str(root)), encoding="utf-8")
    for block in blocks(PAGE):
        if block.change:
            apply(block, root)
    return root


def run_in(copy: Path, *words: object, cwd: Path | None = None, **environment: str) -> str:
    """Return the output of a program in this Python, run with the copy's code."""
    changes = {**environment, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=cwd or copy, env=clean_environment(**changes),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_changes_code() -> None:
    changes = [block.change for block in blocks(PAGE) if block.change]
    assert [kind for kind, _ in changes].count("new") == 3
    assert ("end", "tasks/topics/recipes.py") in changes


def test_an_edit_whose_lines_are_gone_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    edit = Block(PAGE, 1, "diff", "+++ a.py\n x = 1\n-y = 2\n+y = 3\n+z = 4", "")
    apply(edit, tmp_path)
    assert (tmp_path / "a.py").read_text() == "x = 1\ny = 3\nz = 4\n"
    with pytest.raises(AssertionError, match="stand 0 times in a"):
        apply(edit, tmp_path)


@pytest.mark.slow
def test_the_new_stage_is_computed_then_cached(
    copy: Path, tmp_path: Path, corpus: Corpus, prefect_server: PrefectServer
) -> None:
    config = write_corpus(tmp_path, corpus)
    command = ("topicflow.flows.commands.cli", "run", config, "--json")
    states = []
    for _ in range(2):
        record = json.loads(run_in(copy, *command, cwd=tmp_path, **prefect_server.environment))
        states.append({stage["stage"]: stage["state"] for stage in record["stages"]})
    assert list(states[0])[6:9] == ["count", "lengths", "label"]
    assert (states[0]["lengths"], set(states[1].values())) == ("computed", {"cached"})
    assert (tmp_path / "runs/trial/latest/lengths.parquet").exists()

    changed = ("topicflow.flows.commands.cli", "plan", config, "--set", "lengths.unit=characters")
    planned = run_in(copy, *changed, cwd=tmp_path)
    assert "lengths    compute  config changed: unit words -> characters" in planned.splitlines()
    assert planned.count("compute  ") == 1


@pytest.mark.slow
def test_the_guard_asks_for_a_record_and_the_new_test_passes(copy: Path) -> None:
    run_in(copy, "tests.record_stage_code")
    recorded = json.loads((copy / "tests/unit/stage_code.json").read_text())
    assert recorded["lengths"]["version"] == 1
    own = json.loads((ROOT / "tests/unit/stage_code.json").read_text())
    assert {stage for stage in own if recorded[stage] != own[stage]} == set()
    tests = ("tests/unit/test_lengths.py", "tests/unit/test_structure.py")
    said = run_in(copy, "pytest", "-p", "no:cacheprovider", "-k", "lengths or imports_go_down", "-v", *tests)
    assert said.count("test_lengths.py::") == 2
    passed = [line for line in said.splitlines() if "PASSED" in line]
    for test in ("test_imports_go_down", "has_a_new_version[lengths]"):
        assert any(test in line for line in passed)


def test_the_new_code_is_in_house_style(copy: Path) -> None:
    files = [copy / block.change[1] for block in blocks(PAGE) if block.change]
    run_in(copy, "ruff", "check", "--no-cache", *files)
    run_in(copy, "ruff", "format", "--no-cache", "--check", *files)
