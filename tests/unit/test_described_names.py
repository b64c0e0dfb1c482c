"""Described names: what docstrings list as parameters or attributes is what functions take and objects have."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure import module_of, parse, source_files

SECTION = re.compile(r"\n(?:Parameters|Attributes)\n-+\n(.*?)(?=\n\n\w+\n---|\Z)", re.DOTALL)


def described(docstring: str) -> Iterator[str]:
    """Yield the names that a docstring lists."""
    for section in SECTION.findall(docstring):
        for line in section.splitlines():
            if line and not line.startswith(" "):
                yield from (name.strip().lstrip("*") for name in line.split(" : ")[0].split(","))


def taken(arguments: ast.arguments) -> set[str]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return {each.arg for each in [*every, arguments.vararg, arguments.kwarg] if each is not None}


def names_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the parameters of a function, or those of a class with the attributes of its objects."""
    if not isinstance(node, ast.ClassDef):
        return taken(node.args)
    names = {
        each.target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for each in node.body:
        if isinstance(each, ast.FunctionDef):
            names.add(each.name)
            if each.name == "__init__":
                names |= taken(each.args) | set(re.findall(r"self\.(\w+)", ast.unparse(each)))
    return names


@pytest.mark.parametrize("path", source_files(), ids=module_of)
def test_docstrings_list_names_that_exist(path: Path) -> None:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            listed = set(described(ast.get_docstring(node) or ""))
            assert listed <= names_of(node), f"{node.name} describes what it lacks"
