"""Docstrings: names of installed packages -> a corpus of the first paragraphs of their public docstrings.

The sources are parsed and never imported: no code of a package runs.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import gc
import importlib.util
import inspect
import pkgutil
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from topicflow.tasks.errors import DataError, first_line
from topicflow.tasks.log import LOG
from topicflow.tasks.store.artifacts import canonical_json, digest, file_digest

if TYPE_CHECKING:
    import polars as pl

SCHEME = "docstrings://"

SHORTEST, LONGEST = 40, 400
"""Characters of a first paragraph: below 40 it repeats little more than the name, above 400 it is not a summary."""

_LEFT_OUT = {
    "tests",
    "test",
    "testing",
    "_vendor",
    "vendor",
    "_externals",
    "externals",
    "extern",
    "benchmarks",
    "_testing",
}
"""Folders and modules that contain tests or copies of other packages."""

_NO_SENTENCE = re.compile(r"^\.\. |>>>|---|===")
"""First paragraphs that are a directive, an example or a section heading."""

_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r":math:`[^`]*`"), " "),  # TeX is useless in keywords
    (re.compile(r":[\w:+-]+:`~[^`]*?([^`.]+)`"), r"\1"),  # :func:`~scipy.linalg.svd` -> svd
    (re.compile(r":[\w:+-]+:`([^`<]+?)\s*<[^`>]*>`"), r"\1"),  # :ref:`User Guide <metrics>` -> User Guide
    (re.compile(r":[\w:+-]+:`!?([^`]*)`"), r"\1"),  # :class:`Figure` -> Figure
    (re.compile(r"``(.+?)``"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),  # `SciPy <https://scipy.org>`_ -> SciPy
    (re.compile(r"`([^`]+)`_{0,2}"), r"\1"),
    (re.compile(r"(?<![\w*])(\*{1,2})(?=[^\s*])(.+?)(?<=[^\s*])\1(?![\w*])"), r"\2"),  # *x*, **x**
    (re.compile(r"\[\d+\]_"), " "),  # citations
    (re.compile(r"::$"), ":"),
    (re.compile(r"\s+([,.;:])(?=\s|$)"), r"\1"),  # a space that removed markup leaves before a comma
    (re.compile(r"\s+"), " "),
)


def is_docstrings(path: str) -> bool:
    """Return whether a path is a corpus of docstrings."""
    return path.startswith(SCHEME)


def packages_of(path: str) -> tuple[str, ...]:
    """Return the package names of a docstrings:// path, each once.

    Raises
    ------
    DataError
        If the path contains no package name.
    """
    names = tuple(
        dict.fromkeys(name.strip() for name in path.removeprefix(SCHEME).split(",") if name.strip())
    )
    if not names:
        msg = f"load: {path}: no package name; expected {SCHEME}numpy,scipy"
        raise DataError(msg)
    return names


def fingerprint(packages: Sequence[str]) -> str:
    """Return a digest of the packages' versions, or of their sources if they have no version.

    Raises
    ------
    DataError
        If a package is not installed.
    """
    versions = [[name, _version(name) or _sources_digest(name)] for name in packages]
    return digest(canonical_json(["docstrings", versions]))


def collect(packages: Sequence[str]) -> pl.DataFrame:
    """Return the corpus: text, name (qualified) and package; each text once, at its first occurrence.

    Parameters
    ----------
    packages : sequence of str
        Import names, such as `sklearn`; also subpackages (`scipy.stats`).

    Raises
    ------
    DataError
        If a package is not installed.
    """
    import polars as pl

    schema = dict.fromkeys(("text", "name", "package"), pl.String)
    with _without_garbage_collection():
        rows = [(text, name, package) for package in packages for text, name in _summaries(package)]
    return pl.DataFrame(rows, schema=schema, orient="row").unique("text", keep="first", maintain_order=True)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause Python's search for cycles: syntax trees have none, and it takes a tenth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def plain_summary(docstring: str) -> str:
    """Return a docstring's first paragraph as plain text on one line, without reStructuredText markup."""
    paragraph = re.split(r"\n\s*\n", inspect.cleandoc(docstring), maxsplit=1)[0]
    text = " ".join(paragraph.split())
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def _summaries(package: str) -> Iterator[tuple[str, str]]:
    """Yield (text, qualified name) of a package's public functions, classes and methods, in the order of its files."""
    root = _root(package)
    for path in _sources(root):
        module = _module_name(package, root, path)
        for name, docstring in _docstrings(path):
            text = plain_summary(docstring)
            if SHORTEST <= len(text) <= LONGEST and not _NO_SENTENCE.search(text):
                yield text, f"{module}.{name}"


def _docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, docstring) of the public objects in a file; nothing, and a warning, if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        LOG.warning("load: %s: not read, because this Python cannot parse it (%s)", path, first_line(error))
        return
    yield from _public(tree.body, prefix="")


def _public(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.TryStar | ast.With):
            yield from _public(_inside(node), prefix)
        if not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) or node.name.startswith("_"):
            continue
        if docstring := ast.get_docstring(node, clean=False):
            yield prefix + node.name, docstring
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{prefix}{node.name}.")


def _inside(node: ast.If | ast.Try | ast.TryStar | ast.With) -> list[ast.stmt]:
    """Return the statements of all branches of a statement, in the order of the file."""
    if isinstance(node, ast.With):
        return node.body
    if isinstance(node, ast.If):
        return [*node.body, *node.orelse]
    handled = [statement for handler in node.handlers for statement in handler.body]
    return [*node.body, *handled, *node.orelse, *node.finalbody]


# --- locations of packages -------------------------------------------------------------------------------------


def _root(package: str) -> Path:
    """Return the folder of a package, or the file of a module, without importing it.

    Raises
    ------
    DataError
        If it is not installed.
    """
    top, *below = package.split(".")
    spec = importlib.util.find_spec(top) if top.isidentifier() else None
    if spec is not None:
        locations = [Path(place) for place in spec.submodule_search_locations or ()]
        candidates = [location.joinpath(*below) for location in locations]
        candidates += [candidate.with_suffix(".py") for candidate in candidates if below]
        candidates += [Path(spec.origin)] if spec.origin and not locations and not below else []
        for candidate in candidates:
            if candidate.is_dir() or (candidate.suffix == ".py" and candidate.is_file()):
                return candidate
    near = difflib.get_close_matches(top, [module.name for module in pkgutil.iter_modules()], n=1)
    hint = (
        f"did you mean {near[0]!r}?" if near and near[0] != top else "install it or remove it from load.path"
    )
    msg = f"load: {SCHEME}{package}: the Python sources of a package {package!r} are not installed; {hint}"
    raise DataError(msg)


def _sources(root: Path) -> list[Path]:
    """Return a package's source files in order, without tests and vendored copies."""
    if root.is_file():
        return [root]
    found = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    return [root / path for path in found if not _is_left_out(path)]


def _is_left_out(path: Path) -> bool:
    names = [*path.parts[:-1], path.stem]
    return bool(_LEFT_OUT.intersection(names)) or path.stem.startswith("test_")


def _module_name(package: str, root: Path, path: Path) -> str:
    if root.is_file():
        return package
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _version(package: str) -> str | None:
    """Return the name and version of the distribution whose record lists the package's sources; None if there is none.

    Notes
    -----
    Reads the records next to the package instead of `importlib.metadata.packages_distributions`, which takes 0.5 s with
    150 distributions. An editable install lists no sources and therefore has no version here.
    """
    root = _root(package)
    top = package.split(".", maxsplit=1)[0]
    site = root if root.is_file() else next(parent for parent in [root, *root.parents] if parent.name == top)
    wanted = (site.name if root.is_file() else f"{top}/__init__.py") + ","
    for record in sorted(site.parent.glob("*.dist-info/RECORD")):
        lines = record.read_text(encoding="utf-8")
        if lines.startswith(wanted) or f"\n{wanted}" in lines:
            return record.parent.name.removesuffix(".dist-info")
    return None


def _sources_digest(package: str) -> str:
    root = _root(package)
    base = root.parent if root.is_file() else root
    files = [[path.relative_to(base).as_posix(), file_digest(path)] for path in _sources(root)]
    return digest(canonical_json(files))
