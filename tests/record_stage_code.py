"""Record a hash of each stage's code beside its version: `make record-stages`, after bumping a version or on purpose.

A stage's code is its file, the `tasks.core` modules it uses, and what is listed here; docstrings and comments do
not count. tests/unit/test_structure.py compares.
"""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.recipes import VERSIONS

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests" / "unit" / "stage_code.json"

BESIDE: dict[str, list[str]] = {
    "load": ["sources.py", "textfiles.py", "database.py", "timestamps.py", "docstrings.py"],
    "embed": [
        "encoders.py",
        "encoder_cache.py",
        "float_encoder.py",
        "pooling.py",
        "quantized.py",
        "static_encoder.py",
        "tokens.py",
        "vectors.py",
        "digests.py",
        "batches.py",
        "images.py",
    ],
    "assign": ["lookup.py"],
    "neighbors": ["lookup.py", "sample.py"],
    "count": ["words.py", "tally.py"],
    "label": ["model_files.py"],
    "cluster": ["classes.py", "spaces.py"],
    "annotate": ["label_sources.py", "spaces.py"],
    "contest": ["contrastive.py"],
    "train": ["contrastive.py", "classifiers.py"],
    "predict": ["classifiers.py", "spaces.py"],
    "index": ["index_generation.py", "index_build.py", "index_files.py", "index_topics.py"],
    "report": [
        "report_duplicates.py",
        "report_page.py",
        "report_*.js",
        "report_page.css",
        "report_page.html",
    ],
}
"""Files that decide a stage's result beside its own."""


def stage_code(stage: str, root: Path = ROOT) -> str:
    """Return the hash of a stage's code."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in stage_files(stage, root):
        text = path.read_text(encoding="utf-8")
        hasher.update(path.name.encode())
        hasher.update((shape(ast.parse(text)) if path.suffix == ".py" else text).encode())
    return hasher.hexdigest()


def stage_files(stage: str, root: Path = ROOT) -> list[Path]:
    """Return the files that decide a stage's result, its own first."""
    tasks = root / "tasks"
    files = [tasks / f"{stage}.py"]
    for pattern in BESIDE.get(stage, []):
        files += [path for path in sorted(tasks.glob(pattern)) if path not in files]
    waiting = [path for path in files if path.suffix == ".py"]
    while waiting:
        for core in core_modules(waiting.pop(), root):
            if core not in files:
                files.append(core)
                waiting.append(core)
    return files


def core_modules(path: Path, root: Path = ROOT) -> list[Path]:
    """Return the files of `tasks.core` that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tasks.core":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tasks.core."):
            names.add(str(node.module).removeprefix("tasks.core."))
    return [root / "tasks" / "core" / f"{name}.py" for name in sorted(names)]


def shape(node: Any) -> str:
    """Return a syntax tree as text without docstrings, places and empty fields, the same in every Python."""
    if isinstance(node, list):
        return "[" + ",".join(shape(item) for item in node if not _is_text(item)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
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
    stages = {stage: {"version": version, "code": stage_code(stage)} for stage, version in VERSIONS.items()}
    RECORD.write_text(json.dumps(stages, indent=2) + "\n", encoding="utf-8")
    print(f"recorded {len(stages)} stages in {RECORD.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
