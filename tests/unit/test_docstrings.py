"""Docstrings: markup, what counts as public, where packages are found, and what identifies their sources."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from topicflow.configs.sections.load import LoadConfig
from topicflow.tasks.documents import docstrings
from topicflow.tasks.documents.docstrings import collect, fingerprint, packages_of, plain_summary
from topicflow.tasks.documents.load import load
from topicflow.tasks.errors import DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactStore

LONG = "Return something that is described in more than forty characters"

MODULE = f'''"""{LONG}: a module is not taken."""
raise RuntimeError("sources are parsed, not run")

def public(x):
    """{LONG},
    here on two lines.

    A second paragraph.
    """
    def inner():
        """{LONG}: an inner function."""

def _private():
    """{LONG}: private."""

async def later():
    """{LONG}, later."""

def short():
    """Too short."""

def repeated():
    """{LONG},   here on two lines."""

def directive():
    """.. deprecated:: 1.2 {LONG}"""

class Thing:
    """{LONG}: a class."""

    @property
    def size(self):
        """{LONG}: a property."""

    def __init__(self):
        """{LONG}: a dunder method."""

class _Hidden:
    def method(self):
        """{LONG}: of a private class."""

try:
    import nothing
except ImportError:
    pass
else:
    def optional():
        """{LONG}: optional."""
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `plantedpkg` on the path, without a distribution."""
    folder = tmp_path / "site" / "plantedpkg"
    for name, source in {
        "__init__.py": f'def top():\n    """{LONG}: top."""\n',
        "sub/__init__.py": "",
        "sub/module.py": MODULE,
        "broken.py": "def (",
        "tests/test_module.py": f'def helper():\n    """{LONG}: in a test folder."""\n',
        "test_side.py": f'def helper():\n    """{LONG}: in a test file."""\n',
        "_vendor/other.py": f'def other():\n    """{LONG}: of another package."""\n',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    monkeypatch.syspath_prepend(str(folder.parent))
    importlib.invalidate_caches()
    return folder


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Fold  white\n    space.\n\n    Not this.", "Fold white space."),
        ("Use ``x`` and `y` or **strong** and *weak* words.", "Use x and y or strong and weak words."),
        ("See :class:`Foo`, :func:`~a.b.svd` and :py:meth:`~C.m`.", "See Foo, svd and m."),
        (
            "Read the :ref:`User Guide <metrics>` or `SciPy <https://scipy.org>`_.",
            "Read the User Guide or SciPy.",
        ),
        ("A link_ with `several words`_ [1]_.", "A link_ with several words."),
        ("The norm :math:`\\|x\\|_2` of a vector::", "The norm of a vector:"),
        ("Compute a**2 * b, or f(*args, **kwargs).", "Compute a**2 * b, or f(*args, **kwargs)."),
    ],
)
def test_plain_summary(docstring: str, expected: str) -> None:
    assert plain_summary(docstring) == expected


def test_public_first_paragraphs_once_each_in_order(package: Path) -> None:
    found = collect(["plantedpkg"])
    assert "plantedpkg" not in sys.modules
    assert found["name"].to_list() == [
        "plantedpkg.top",
        "plantedpkg.sub.module.public",
        "plantedpkg.sub.module.later",
        "plantedpkg.sub.module.Thing",
        "plantedpkg.sub.module.Thing.size",
        "plantedpkg.sub.module.optional",
    ]
    assert found["text"][1] == f"{LONG}, here on two lines."
    assert set(found["package"]) == {"plantedpkg"}
    assert collect(["plantedpkg.sub"]).height == 5
    assert collect(["plantedpkg.sub.module"])["name"][0] == "plantedpkg.sub.module.public"


def test_all_branches_of_a_module_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["body", "handler", "star", "otherwise", "last", "inside"]
    sources = {name: f'def {name}():\n        """{LONG}: {name}."""\n' for name in names}
    module = (
        f"try:\n    {sources['body']}except ImportError:\n    {sources['handler']}else:\n    {sources['otherwise']}"
        f"finally:\n    {sources['last']}"
        f"try:\n    pass\nexcept* OSError:\n    {sources['star']}with open('x'):\n    {sources['inside']}"
    )
    (tmp_path / "branches_of_a_test.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    found = collect(["branches_of_a_test"])["name"].str.split(".").list.last().to_list()
    assert found == ["body", "handler", "otherwise", "last", "star", "inside"]


def test_a_file_that_cannot_be_parsed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "broken_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(f'def fine():\n    """{LONG}."""\n')
    (folder / "python2.py").write_text("print 'old'\n")
    monkeypatch.syspath_prepend(tmp_path)
    with caplog.at_level("WARNING", "topicflow"):
        assert collect(["broken_of_a_test"]).height == 1
    (line,) = caplog.messages
    assert line.startswith(f"load: {folder / 'python2.py'}: not read, because this Python cannot parse it (")


def test_length_bounds_are_inclusive(package: Path) -> None:
    texts = ["x" * 39, "y" * 40, "z" * 400, "w" * 401]
    (package / "__init__.py").write_text(
        "".join(f'def f{i}():\n    """{t}"""\n' for i, t in enumerate(texts))
    )
    lengths = collect(["plantedpkg"])["text"].str.len_chars().to_list()
    assert lengths[:2] == [40, 400]


def test_fingerprint_follows_sources_where_no_distribution_vouches(package: Path) -> None:
    before = fingerprint(["plantedpkg"])
    assert fingerprint(["plantedpkg"]) == before
    (package / "tests" / "test_module.py").write_text("changed = 1\n")
    assert fingerprint(["plantedpkg"]) == before
    (package / "sub" / "module.py").write_text("changed = 1\n")
    assert fingerprint(["plantedpkg"]) != before


def test_fingerprint_is_the_version_where_a_distribution_lists_the_package(package: Path) -> None:
    info = package.parent / "Planted_Pkg-1.0.dist-info"
    info.mkdir()
    (info / "RECORD").write_text("other/__init__.py,,\nplantedpkg/__init__.py,sha256=x,1\n")
    before = fingerprint(["plantedpkg.sub"])
    (package / "sub" / "module.py").write_text("changed = 1\n")
    assert fingerprint(["plantedpkg.sub"]) == before
    info.rename(package.parent / "Planted_Pkg-1.1.dist-info")
    assert fingerprint(["plantedpkg.sub"]) != before


def test_installed_packages_have_versions() -> None:
    assert docstrings._version("numpy") == f"numpy-{np.__version__}"
    assert docstrings._version("sklearn").startswith("scikit_learn-")  # type: ignore[union-attr]
    assert docstrings._version("json") is None


def test_unknown_packages_are_one_line() -> None:
    with pytest.raises(
        DataError, match="the Python sources of a package 'numpyy' are not installed; did you mean 'numpy'"
    ):
        fingerprint(["numpyy"])
    for name in ("../etc", "sys", "numpy.nothing_here"):
        with pytest.raises(DataError, match="the Python sources of a package"):
            collect([name])
    with pytest.raises(DataError, match="no package name"):
        packages_of("docstrings:// , ")
    assert packages_of("docstrings://numpy, scipy,numpy") == ("numpy", "scipy")


def test_the_corpus_loads_with_packages_as_labels(store: ArtifactStore, package: Path) -> None:
    config = LoadConfig(path="docstrings://json,plantedpkg", label_column="package")
    ref = load.fn(Context(store), config)
    found = store.table(ref, "documents").collect()
    assert set(found["label"]) == {"json", "plantedpkg"}
    assert found["text"].n_unique() == found.height == ref.rows
    assert load.fn(Context(store), config).cached
