"""Record a hash of each stage's code beside its version: `make record-stages`, after bumping a version or on purpose.

A stage's code is its file and every file of the project that it imports, directly or not; docstrings and comments do
not count. What keeps, moves and tells results without computing any is left out (`BESIDE_THE_NUMBERS`), and so is the
config, whose values are in the keys. tests/unit/test_structure.py compares.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "unit" / "stage_code.json"

STAGE_FILES: dict[str, str] = {
    "load": "documents/load",
    "embed": "encoding/embed",
    "neighbors": "topics/neighbors",
    "reduce": "topics/reduce",
    "cluster": "topics/cluster",
    "count": "topics/count",
    "label": "topics/label",
    "given": "given/given",
    "pull": "given/pull",
    "seeds": "given/seeds",
    "edit": "edits/edit",
    "rename": "edits/rename",
    "move": "edits/move",
    "name": "naming/name",
    "tree": "tree/tree",
    "evaluate": "topics/evaluate",
    "periods": "periods/periods",
    "groups": "periods/groups",
    "shares": "shares/shares",
    "report": "report/report",
    "similar_vectors": "duplicates/similar_vectors",
    "similar_texts": "duplicates/similar_texts",
    "deduplicate": "duplicates/deduplicate",
    "labelled_texts": "classify/labelled_texts",
    "compare_methods": "classify/compare_methods",
    "train": "classify/train",
    "predict": "classify/predict",
    "examples": "tuning/examples",
    "synthetic": "tuning/synthetic",
    "tune": "tuning/tune",
    "measure": "tuning/measure_spaces",
    "index": "search/build_stage",
    "new_documents": "updates/new_documents",
    "adopt": "updates/adopt",
    "assign": "updates/assign",
    "drift": "updates/drift",
    "merge_batches": "updates/merge_batches",
    "match": "updates/match_topics",
    "match_tree": "updates/match_tree",
    "overview": "updates/overview",
    "gate": "publish/gate",
    "setting": "sweeps/fit",
    "sweep": "sweeps/sweep",
    "draw": "sweeps/draw",
    "confirm": "sweeps/confirm",
    "page": "sweeps/page",
}
"""The file of each stage in `tasks/`, by the name that its recipes have."""

BESIDE_THE_NUMBERS = ("configs", "tasks.store", "tasks.execution", "tasks.runs", "tasks.errors", "tasks.log")
"""Code that decides no result: values of the config, places of artifacts, workers, messages."""

PAGE = "tasks/report/page"
"""Folder of what the report's page is made of, beside its code."""

SWEEP_PAGE = ("sweep_page.html", "sweep_page.css", "sweep_page.js")
"""What the page of a sweep is made of, beside its code and the report's style."""


def recipe_modules() -> list[ModuleType]:
    """Return the module of recipes of every family."""
    families = sorted(path.parent.name for path in (ROOT / "tasks").glob("*/recipes.py"))
    return [import_module(f"topicflow.tasks.{family}.recipes") for family in families]


def all_versions() -> dict[str, int]:
    """Return the version of every stage."""
    return {stage: version for module in recipe_modules() for stage, version in module.VERSIONS.items()}


def stage_code(stage: str, root: Path = ROOT) -> str:
    """Return the hash of a stage's code."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in stage_files(stage, root):
        text = path.read_text(encoding="utf-8")
        hasher.update(path.relative_to(root).as_posix().encode())
        hasher.update((shape_of(text) if path.suffix == ".py" else text).encode())
    return hasher.hexdigest()


@cache
def shape_of(code: str) -> str:
    """Return the shape of a file's code; stages share most of their files."""
    return shape(ast.parse(code))


def stage_files(stage: str, root: Path = ROOT) -> list[Path]:
    """Return the files that decide a stage's result, its own first."""
    files = [root / "tasks" / f"{STAGE_FILES[stage]}.py"]
    for path in files:  # grows while it is read
        files += [other for other in imported_files(path, root) if other not in files]
    if root / "tasks" / "report" / "report_page.py" in files:
        files += sorted((root / PAGE).iterdir())
    if files[0].name == "page.py":
        files += [root / "tasks" / "sweeps" / name for name in SWEEP_PAGE]
    return [files[0], *sorted(files[1:])]


def imported_files(path: Path, root: Path = ROOT) -> list[Path]:
    """Return the project's files that a file imports, except those that do not change numbers."""
    found = set()
    for module in modules_of(path.read_text(encoding="utf-8")):
        name = module.removeprefix("topicflow.")
        if name == module or name.endswith(".recipes") or _is_beside(name):
            continue
        file = root / f"{name.replace('.', '/')}.py"
        if file.is_file():
            found.add(file)
    return sorted(found)


@cache
def modules_of(code: str) -> list[str]:
    """Return the modules that a file's code imports."""
    return list(imported_modules(ast.parse(code)))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a tree imports, anywhere in it; each `from a import b` as a.b too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_beside(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in BESIDE_THE_NUMBERS)


def shape(node: Any) -> str:
    """Return a syntax tree as text without docstrings, places and empty fields, the same in every Python.

    Of what is imported from the project itself only the names count: a file may move.
    """
    if isinstance(node, list):
        return "[" + ",".join(shape(item) for item in node if not _is_text(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    if isinstance(node, ast.ImportFrom) and str(node.module).startswith("topicflow"):
        fields = [(name, value) for name, value in fields if name == "names"]
    return f"{type(node).__name__}({','.join(f'{name}={shape(value)}' for name, value in fields)})"


def _is_text(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def recorded() -> dict[str, dict[str, Any]]:
    """Return version and hash of each stage as they were recorded."""
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the record."""
    versions = all_versions()
    stages = {stage: {"version": versions[stage], "code": stage_code(stage)} for stage in STAGE_FILES}
    RECORD.write_text(json.dumps(stages, indent=2) + "\n", encoding="utf-8")
    print(f"recorded {len(stages)} stages in {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
