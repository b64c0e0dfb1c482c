"""The package: a wheel contains one name and everything it needs, and never imports modules beside the data."""

import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.commands import Outcome, PrefectServer, clean_environment, command, run_apart, write_table

ROOT = Path(__file__).parents[2]

HOSTILE = ("tasks.py", "numpy.py", "polars.py", "prefect.py", "flows/__init__.py", "configs/__init__.py",
           "deployments/__init__.py", "multiprocessing.py")  # fmt: skip
"""Names that a user's own files may have; each says that it was imported, and ends the process."""


def make_hostile(folder: Path) -> None:
    for name in HOSTILE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"import os, sys\nsys.stderr.write('imported {name}\\n')\nos._exit(77)\n")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, cwd=folder)
    return next(folder.glob("topicflow-*.whl"))


def test_a_wheel_has_one_name_and_all_that_belongs_to_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in inside} == {"topicflow"}
    for package in ("configs", "deployments", "flows", "tasks"):
        kept = {
            path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        }
        assert {f"topicflow/{path.relative_to(ROOT).as_posix()}" for path in kept} <= inside
    assert {"topicflow/__init__.py", "topicflow/__main__.py", "topicflow/py.typed"} <= inside


def test_a_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed, work = tmp_path / "installed", tmp_path / "work"
    zipfile.ZipFile(wheel).extractall(installed)
    work.mkdir()
    make_hostile(work)
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import topicflow; print(topicflow.__file__)\n"
        "from topicflow.flows.commands.cli import main; sys.argv = ['topicflow', '--help']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=work, env=clean_environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert "From a corpus of text to topics" in done.stdout


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, topicflow; print(sorted({'numpy', 'polars', 'prefect', 'pydantic'} & set(sys.modules)))"
    )
    code += "; print(topicflow.__version__, 'SearchIndex' in dir(topicflow))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert done.stdout == f"[]\n{version} True\n"


def test_missing_sources_of_the_package_are_reported() -> None:
    import topicflow

    with pytest.raises(AttributeError, match="'topicflow' has no attribute 'nonsense'"):
        _ = topicflow.nonsense


# --- modules of the user's own ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, corpus_table: pl.DataFrame) -> Path:
    write_table(tmp_path, corpus_table)
    make_hostile(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def corpus_table() -> pl.DataFrame:
    words = ("cat dog bird fish", "tea milk juice wine", "red blue green pink")
    texts = [f"{words[i % 3]} number {i}" for i in range(60)]
    vectors = [[float(i % 3 == k) + 0.01 * (i % 7) * (k + 1) for k in range(3)] for i in range(60)]
    labels = [f"class {i % 3}" for i in range(60)]
    return pl.DataFrame(
        {"id": [f"d{i}" for i in range(60)], "text": texts, "vector": vectors, "label": labels}
    )


def test_hostile_files_do_end_what_imports_them(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import numpy"], cwd=folder, env=clean_environment(), check=False
    )
    assert done.returncode == 77


@pytest.mark.slow
def test_a_run_with_its_own_server(folder: Path) -> None:
    outcome = run_apart("run", "config.toml", cwd=folder, PREFECT_HOME=str(folder / "home"))
    assert (outcome.code, outcome.errors) == (0, []), outcome.err
    assert (folder / "runs/trial/latest/report.html").exists()


SIDE_CONFIGS = {
    "dedup": '[deduplicate]\nmethod = "embedding"\n',
    "classify": "[labels]\n[setfit]\nenabled = false\n[compare]\nn_splits = 2\n",
    "tune": '[examples]\nmethod = "classes"\n',
    "index": "",
    "update": "",
}


def commands(folder: Path) -> Iterator[list[str]]:
    """Yield every command with its arguments, after writing the configs that it needs."""
    base = '[load]\npath = "documents.parquet"\nid_column = "id"\nlabel_column = "label"\n'
    vectors = '[embed]\nmethod = "precomputed"\ncolumn = "vector"\n'
    yield ["run", "config.toml"]
    yield ["plan", "config.toml"]
    yield ["init", "documents.parquet", "--output", "guessed.toml"]
    for name, sections in SIDE_CONFIGS.items():
        cluster = "[cluster]\nmin_cluster_size = 5\n" if name == "update" else ""
        (folder / f"{name}.toml").write_text(f'name = "{name}-run"\n{base}{vectors}{sections}{cluster}')
        yield [name, f"{name}.toml"]
    yield ["similar", "d1", "--index", "index-run"]
    yield ["outliers", "--index", "index-run"]
    yield ["runs"]
    yield ["show", "trial"]
    yield ["compare", "trial", "update-run"]
    yield ["documents", "trial", "--topic", "0", "-o", "documents.xlsx"]
    yield ["export", "trial", "-o", "exported"]
    yield ["store", "ls"]
    yield ["store", "verify"]
    yield ["store", "gc", "--dry-run"]
    yield ["config", "explain", "cluster"]


SOME = {"run", "plan", "show", "documents"}
"""Commands of the quick test: one that runs a flow, one that reads a config, two that read a run."""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_commands_run_beside_hostile_modules(
    folder: Path, prefect_server: PrefectServer, every: bool
) -> None:
    ended: dict[str, Outcome] = {}
    for words in commands(folder):
        if not every and words[0] not in SOME:
            continue
        ended[words[0]] = run_apart(*words, cwd=folder, **prefect_server.environment)
        assert ended[words[0]].code == 0, (words, ended[words[0]].err)
    assert not any("imported" in outcome.err for outcome in ended.values())


@pytest.mark.slow
def test_serve_runs_beside_hostile_modules(folder: Path, prefect_server: PrefectServer) -> None:
    (folder / "serve.toml").write_text('[[schedules]]\nname = "often"\nconfig = "config.toml"\nevery_s = 2\n')
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            command("serve", "serve.toml"), cwd=folder, env=clean_environment(**prefect_server.environment),
            stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not (folder / "runs/trial/latest/run.json").exists():
            assert time.monotonic() < until, (folder / "said").read_text()
            assert "Crashed" not in (folder / "said").read_text()
            time.sleep(0.2)
    finally:
        process.terminate()
        process.wait(60)
    assert "imported" not in (folder / "said").read_text()
