"""Pages: README, CONTRIBUTING, docs and the like -> their code blocks, commands, headings and links.

A block that no test runs has a comment just above it: `<!-- not run: reason -->`. A TOML block whose first line is a
comment with a file name (`# search.toml`) is a whole file. A block that begins with `# new file:`, `# end of file:` or
`+++` changes the code; tests/integration/test_add_a_stage.py applies it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^```(\w*)\s*$")
_NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
_FILE = re.compile(r"^# ([\w./-]+\.toml)$")
_CHANGE = re.compile(r"^(# new file: |# end of file: |\+\+\+ )(\S+)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A code block: where it begins, its language, its text, and why no test runs it, empty if one does."""

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def place(self) -> str:
        """Its place, for messages."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of its file, None if it is part of one."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None

    @property
    def change(self) -> tuple[str, str] | None:
        """Its change of a file of the code (`new`, `end` or `edit`) and the file; None if it has none."""
        found = _CHANGE.match(self.text.partition("\n")[0])
        kinds = {"# new file: ": "new", "# end of file: ": "end", "+++ ": "edit"}
        return (kinds[found[1]], found[2]) if found else None


@dataclass(frozen=True)
class Shown:
    """A command of a console block and the lines that the page shows below it."""

    block: Block
    command: str
    output: tuple[str, ...]


def pages() -> list[Path]:
    """Return the pages that a person reads."""
    single = (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "findings/README.md",
        "tests/benchmarks/README.md",
    )
    return [*(ROOT / name for name in single), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str] | None = None
    for number, line in enumerate(lines):
        if not (fence := _FENCE.match(line)):
            continue
        if opened is None:
            opened = (number, fence[1])
            continue
        begin, language = opened
        reason = _NOT_RUN.match(lines[begin - 1]) if begin else None
        text = "\n".join(lines[begin + 1 : number])
        found.append(Block(page, begin + 1, language, text, reason[1] if reason else ""))
        opened = None
    assert opened is None, f"{page}: a code block is not closed"
    return found


def commands(block: Block) -> Iterator[Shown]:
    """Yield the commands of a console block, each with its output."""
    parts = re.split(r"(?m)^\$ ", block.text)
    assert not parts[0].strip(), f"{block.place}: a console block begins with a command"
    for part in parts[1:]:
        command, *output = part.rstrip("\n").split("\n")
        yield Shown(block, command, tuple(output))


def missing_output(shown: Shown, printed: str) -> list[str]:
    """Return the lines that a page shows and a command did not print; `…` stands for anything."""
    lines = [line.rstrip() for line in printed.splitlines()]
    wanted = [line.rstrip() for line in shown.output if line.strip() not in {"", "…"}]
    return [line for line in wanted if not any(_matches(line, other) for other in lines)]


def _matches(pattern: str, line: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line) is not None


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for line in _outside_blocks(page):
        if heading := re.match(r"#{1,6} (.+)", line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            anchor = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
            number = 0
            while (name := anchor if not number else f"{anchor}-{number}") in found:
                number += 1
            found.add(name)
    return found


def links(page: Path) -> list[str]:
    """Return the targets of a page's links within the project: `topics.md#the-files`."""
    targets = [target for line in _outside_blocks(page) for target in _LINK.findall(line)]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def _outside_blocks(page: Path) -> Iterator[str]:
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield line
