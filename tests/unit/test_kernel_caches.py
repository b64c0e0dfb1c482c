"""Kernel caches: a compiled kernel goes with every source that it contains code of, and stays otherwise."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topicflow.tasks.core.kernel_caches import STAMPS, remove_stale

SOURCES = {
    "registers/loads.py": "LANES = 16\n",
    "integers/sums.py": "from topicflow.tasks.core.registers.loads import LANES\n",
    "integers/bert.py": "def kernel():\n    from topicflow.tasks.core.integers.sums import add\n",
    "words/counts.py": "import numpy as np\n",
}
KERNELS = ("integers/sums.add-3.py311", "integers/bert.kernel-1.py311", "words/counts.count-9.py311")


@pytest.fixture
def core(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / "core" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "core"


def compile_all(core: Path, cache: Path | None) -> None:
    for name in KERNELS:
        folder, kernel = name.split("/")
        place = core / folder / "__pycache__" if cache is None else cache / f"{folder}_0123"
        place.mkdir(parents=True, exist_ok=True)
        for kind in ("nbi", "1.nbc", "2.nbc"):
            (place / f"{kernel}.{kind}").write_bytes(b"code")


def left(core: Path, cache: Path | None) -> set[str]:
    return {path.name.split(".")[0] for path in (cache or core).rglob("*.nb[ic]")}


@pytest.mark.parametrize(
    ("changed", "kept"),
    [
        ("registers/loads.py", {"counts"}),
        ("integers/sums.py", {"counts"}),
        ("integers/bert.py", {"sums", "counts"}),
        ("words/counts.py", {"sums", "bert"}),
    ],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_change_removes_what_contains_it(
    changed: str, kept: set[str], elsewhere: bool, core: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache" if elsewhere else None
    remove_stale(core, cache)
    compile_all(core, cache)
    remove_stale(core, cache)
    assert left(core, cache) == {"sums", "bert", "counts"}
    path = core / changed
    path.write_text(SOURCES[changed] + "# a line more\n")
    os.utime(path, ns=(1, 1))  # an archive's times may be older than those of the kernels
    remove_stale(core, cache)
    assert left(core, cache) == kept
    compile_all(core, cache)
    remove_stale(core, cache)
    assert left(core, cache) == {"sums", "bert", "counts"}


@pytest.mark.parametrize("stamps", [None, b"", b"[]", b'{"words/counts.py": 3}'])
def test_kernels_of_unknown_sources_are_removed_once(stamps: bytes | None, core: Path) -> None:
    compile_all(core, None)
    if stamps is not None:
        (core / "__pycache__").mkdir()
        (core / "__pycache__" / STAMPS).write_bytes(stamps)
    remove_stale(core)
    assert left(core, None) == set()
    assert [path.name for path in (core / "__pycache__").iterdir()] == [STAMPS]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_cannot_be_written_is_no_error(core: Path) -> None:
    core.chmod(0o500)
    remove_stale(core)


def test_the_kernels_of_this_installation_are_checked_when_one_is_imported() -> None:
    import topicflow.tasks.core

    beside = Path(topicflow.tasks.core.__file__).parent / "__pycache__"
    assert (Path(os.environ.get("NUMBA_CACHE_DIR") or beside) / STAMPS).is_file()
