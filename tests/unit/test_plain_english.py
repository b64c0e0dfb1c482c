"""Plain English: no text of the project uses a word of the word list, and files still to rewrite are listed."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WORD_LIST = "CONTRIBUTING.md"
"""The file with the section "Word list"."""

NOT_YET_REWRITTEN: frozenset[str] = frozenset()
"""Files with words to avoid. The list must shrink: the test fails for a listed file that has none."""

Fragment = tuple[int, str]
"""The first line of a text in its file, and the text with single spaces."""


@dataclass(frozen=True)
class Word:
    """A word to avoid and what to write instead."""

    avoid: str
    write: str
    pattern: re.Pattern[str]


def word_list() -> list[Word]:
    """Return the words of the word list."""
    return [Word(avoid, write, _pattern(avoid)) for avoid, write in _rows(ROOT / WORD_LIST)]


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the cells of the table under the heading "Word list"; an escaped bar belongs to its cell."""
    section = path.read_text(encoding="utf-8").partition("## Word list")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip("| "))]
        if cells[0] not in {"avoid", ""} and not set(cells[0]) <= {"-", ":"}:
            yield cells[0], cells[1]


def _pattern(avoid: str) -> re.Pattern[str]:
    if avoid.startswith("/") and avoid.endswith("/"):
        return re.compile(avoid[1:-1], re.IGNORECASE)
    return re.compile(rf"(?<!\w){re.escape(avoid)}(?!\w)", re.IGNORECASE)


# --- the texts of each kind of file ---


def texts_of(path: Path) -> list[Fragment]:
    """Return the texts of a file that a person reads, without names in code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = [*_strings(text), *_comments(text)]
    elif path.suffix == ".js":
        found = list(_script_texts(text))
    elif path.name == "CHANGELOG.md":
        newest = re.search(r"^## .*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        found = list(_paragraphs(newest[0], text[: newest.start()].count("\n") + 1)) if newest else []
    elif path.suffix in {".md", ".html"}:
        found = list(_paragraphs(text, 1))
    else:
        found = list(_hash_comments(text))
    return [(line, " ".join(each.split())) for line, each in found]


def _strings(source: str) -> Iterator[Fragment]:
    """Yield strings with a space, f-strings with {} for their values."""
    tree = ast.parse(source)
    inside = {
        id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
            continue
        text = node.value if isinstance(node, ast.Constant) and id(node) not in inside else None
        if isinstance(text, str) and " " in text.strip():
            yield node.lineno, text


def _comments(source: str) -> Iterator[Fragment]:
    """Yield comments; comment lines that follow each other are one text."""
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line, alone = token.start[0], token.line.lstrip().startswith("#")
        if block and not (alone and line == last + 1):
            yield start, " ".join(block)
            block = []
        start = line if not block else start
        last = line if alone else 0
        block.append(token.string.lstrip("# "))
    if block:
        yield start, " ".join(block)


def _script_texts(source: str) -> Iterator[Fragment]:
    """Yield comments and strings of a script, templates with {} for their values."""
    pattern = r"//(?P<comment>[^\n]*)|\"(?P<double>(?:[^\"\\\n]|\\.)*)\"|`(?P<template>(?:[^`\\]|\\.)*)`"
    for found in re.finditer(pattern, source):
        text = found["comment"] or found["double"] or re.sub(r"\$\{[^{}]*\}", "{}", found["template"] or "")
        if " " in text.strip():
            yield source[: found.start()].count("\n") + 1, text


def _paragraphs(text: str, first: int) -> Iterator[Fragment]:
    """Yield paragraphs, list items and rows of a page, without its tags."""
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], first):
        if lines and re.match(r"\s*($|[-*|#<]|\d+\. |```)", line):
            yield number - len(lines), " ".join(lines)
            lines = []
        if plain := re.sub(r"</?\w+|>", " ", line).strip():
            lines.append(plain)


def _hash_comments(text: str) -> Iterator[Fragment]:
    """Yield comments and descriptions; comment lines that follow each other are one text."""
    lines: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        alone = line.lstrip().startswith("#")
        if lines and not alone:
            yield number - len(lines), " ".join(lines)
            lines = []
        if alone:
            lines.append(line.strip().lstrip("# "))
        else:
            described = re.match(r"\s*description: (.*)", line)
            yield number, described[1] if described else line.partition(" #")[2]


# --- the check ---


def checked_files() -> list[Path]:
    """Return every file with texts that a person reads."""
    folders = ("configs", "tasks", "flows", "deployments")
    endings = {".py", ".toml", ".yaml", ".html", ".js"}
    found = [
        path
        for name in folders
        for path in sorted((ROOT / name).rglob("*"))
        if path.suffix in endings or path.name == "Dockerfile"
    ]
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "tests/benchmarks/README.md"]
    return [*found, *(page for page in pages if page.is_file()), *sorted((ROOT / "docs").rglob("*.md"))]


FILES = [path.relative_to(ROOT).as_posix() for path in checked_files()]
WORDS = word_list()


def hits(name: str) -> list[str]:
    """Return a line for each word to avoid in a file."""
    return [
        f"{name}:{line}: {found[0]!r} in {text[max(0, found.start() - 40) : found.end() + 40]!r}; write: {word.write}"
        for line, text in texts_of(ROOT / name)
        for word in WORDS
        for found in word.pattern.finditer(text)
    ]


def test_there_is_a_word_list() -> None:
    assert len(WORDS) > 40
    assert {"so many", "amid"} <= {word.avoid for word in WORDS}


def test_no_file_has_a_word_to_avoid() -> None:
    found = {name: hits(name) for name in FILES}
    lines = [line for name in FILES if name not in NOT_YET_REWRITTEN for line in found[name]]
    assert not lines, "\n".join(lines)
    rewritten = [name for name in NOT_YET_REWRITTEN if not found[name]]
    assert rewritten == [], "remove these from NOT_YET_REWRITTEN"


def test_the_list_of_files_to_rewrite_has_no_other_names() -> None:
    assert set(FILES) >= NOT_YET_REWRITTEN


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", '"""Documents are\n    told to topics."""\ntold = {"told": 1}\n', [1]),
        ("a.py", 'msg = f"{n} rows told"\n', [1]),
        ("a.py", "x = 1\n# documents that are\n# told\ny = 2  # told twice\n", [2, 4]),
        ("a.js", "const told = 1;\n// is told\nconst b = `${told} was told`;\n", [2, 3]),
        ("a.toml", "told = 1  # is told\n# a\n# told\n", [1, 2]),
        ("a.md", "# A\n\nA row is\ntold.\n\n- told\n", [3, 6]),
        ("a.html", "<p>\nIt is told.</p>\n", [2]),
        ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n- told\n\n## [0.1.0]\n\n- told\n", [5]),
    ],
)
def test_texts_are_found_and_names_are_not(tmp_path: Path, name: str, text: str, found: list[int]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    lines = [line for line, each in texts_of(tmp_path / name) if re.search(r"\btold\b", each)]
    assert lines == found
