"""The structure of the code, measured: `python -m tests.structure [ROOT]` prints its counts as JSON.

ROOT is a checkout of this project, this one if none; an older one is measured by the same rules.
"""

import ast
import json
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("configs", "tasks", "flows", "deployments")
PACKAGE = "topicflow"

FACES = {"tasks.search_index"}
"""Former places of what users import, which only import it from its new place; they go with the next release."""

REPEATED_LINES = 6
"""Lines in a row, blank ones and imports left out, that count as repeated when they stand elsewhere too."""

MANY_PARAMETERS = 7


def source_files(root: Path = ROOT) -> list[Path]:
    """Return the Python files of the product."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a file, which callers must not change."""
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(code: str) -> ast.Module:
    return ast.parse(code)


def module_of(path: Path, root: Path = ROOT) -> str:
    """Return a file's module without the package's name: `tasks.topics.cluster`."""
    return ".".join(path.relative_to(root).with_suffix("").parts)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the modules of ours that a tree imports, without the package's name; `from a import b` is a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_own(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports of ours are absolute"
            yield _own(str(node.module))
            yield from (_own(f"{node.module}.{alias.name}") for alias in node.names)


def _own(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


def import_graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Return for each module our modules that it imports, anywhere in it."""
    files = {module_of(path, root): path for path in source_files(root) if path.stem != "__init__"}
    files = {module: path for module, path in files.items() if root != ROOT or module not in FACES}
    return {
        name: {other for other in imported(parse(path)) if other in files} for name, path in files.items()
    }


def folder_of(module: str) -> str:
    """Return the folder of a module."""
    return module.rpartition(".")[0]


def folder_graph(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return for each folder the other folders that its modules import."""
    folders: dict[str, set[str]] = defaultdict(set)
    for module, others in graph.items():
        folders[folder_of(module)] |= {folder_of(other) for other in others} - {folder_of(module)}
    return dict(folders)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's strongly connected components of at least two)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def functions(root: Path = ROOT) -> Iterator[tuple[str, int, int]]:
    """Yield name, lines and parameters of every function."""
    for path in source_files(root):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                n_parameters = len([each for each in arguments if each.arg not in {"self", "cls"}])
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield f"{module_of(path, root)}.{node.name}", lines, n_parameters


def repeated_lines(root: Path = ROOT) -> int:
    """Return the number of lines in runs of REPEATED_LINES that occur more than once."""
    runs: dict[tuple[str, ...], list[tuple[Path, int]]] = defaultdict(list)
    for path in source_files(root):
        kept = list(_code_lines(path))
        for start in range(len(kept) - REPEATED_LINES + 1):
            part = kept[start : start + REPEATED_LINES]
            runs[tuple(line for _, line in part)].append((path, part[0][0]))
    repeated = {place for places in runs.values() if len(places) > 1 for place in places}
    return len({(path, line + k) for path, line in repeated for k in range(REPEATED_LINES)})


def _code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of lines with content: no blank lines, comments, imports, lone brackets."""
    imports = {
        line
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if number not in imports and len(text) > 2 and not text.startswith("#"):
            yield number, text


def counts(root: Path = ROOT) -> dict[str, Any]:
    """Return the counts of a checkout."""
    files = [path for path in source_files(root) if path.stem != "__init__"]
    lines = {module_of(path, root): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    folders = Counter(folder_of(module) for module in lines)
    graph = import_graph(root)
    made = list(functions(root))
    largest = max(made, key=lambda each: each[1])
    return {
        "files": len(files),
        "lines": sum(lines.values()),
        "folders": len(folders),
        "fullest_folder": dict(folders.most_common(1)),
        "circles_of_files": circles(graph),
        "circles_of_folders": circles(folder_graph(graph)),
        "median_file_lines": statistics.median(lines.values()),
        "largest_file": max(lines.items(), key=lambda each: each[1]),
        "median_function_lines": statistics.median(each[1] for each in made),
        "largest_function": largest[:2],
        "functions_over_50_lines": sum(each[1] > 50 for each in made),
        "functions_of_7_and_more_parameters": sum(each[2] >= MANY_PARAMETERS for each in made),
        "lines_repeated": repeated_lines(root),
    }


if __name__ == "__main__":
    print(json.dumps(counts(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT), indent=2))
