"""Corruptions at use: each file of each flow's store and runs by six ways, and what the commands that read it do.

    python -m tests.campaigns.corruptions_at_use [--every 1] [--flow NAME] [--lines FILE] > table.json

Before each command the folder is put back and the file is damaged. A command is right if it gives the answer that it
gives without damage (what is damaged was made again, or was not read), or lines that name the file; a flow that says
that the same command makes it again must then do so. All else is a fault: a wrong answer, a traceback, a signal. Each
flow runs in a forked child, which a signal ends and nothing else. Damage that no command read must be named by `store
verify`, unless people fill the file in. Prints JSON: the number of commands by outcome, and each fault; exit 1 where
there is one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.peer import machine
from tests.campaigns.corruptions import WAYS, another_of_its_kind, files_of, verified
from tests.campaigns.uses import CASES, COMMANDS, Answer, UsedCase, fewer_documents, inside, use
from tests.forked_commands import forked_commands
from topicflow.tasks.runs.run_files import FILLED_IN

SAID, SAME, AGAIN, UNREAD = "one line", "right answer", "made again", "not read"
"""Outcomes of a command; a right answer leaves the file made again, or as it was damaged."""


def make(case: UsedCase, folder: Path) -> None:
    """Make a case in folder/whole, and in folder/whole/other from fewer documents.

    It is made in folder/place, where the commands run: a record has the absolute path of its store.
    """
    for place, change in ((folder / "place", None), (folder / "other", fewer_documents)):
        place.mkdir(parents=True)
        with inside(place):
            case.write(place)
            if change is not None:
                change(place)
            for command in case.before:
                code, _, err = use(command)
                assert code == 0, err
    (folder / "place").rename(folder / "whole")
    (folder / "other").rename(folder / "whole/other")


def restore(folder: Path) -> Path:
    """Return folder/place after making it a copy of folder/whole."""
    place = folder / "place"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(folder / "whole", place, symlinks=True, ignore=shutil.ignore_patterns("other"))
    return place


def tries(case: UsedCase, folder: Path, every: int) -> Iterator[tuple[Path, str, bytes | None]]:
    """Yield each file of a case, the name of a way, and the damaged bytes; every n-th of them."""
    whole, number = folder / "whole", 0
    for file in files_of(whole):
        content, other = (whole / file).read_bytes(), another_of_its_kind(whole, file)
        for name, way in WAYS.items():
            damaged = way(content, other)
            if damaged != content:
                number += 1
                if number % every == 0:
                    yield file, name, damaged


def damage(folder: Path, file: Path, damaged: bytes | None) -> Path:
    """Return folder/place as `restore` does, with other bytes in a file, or without it."""
    place = restore(folder)
    (place / file).unlink()
    if damaged is not None:
        (place / file).write_bytes(damaged)
    return place


def judged(folder: Path, command: str, expected: Answer, file: Path, damaged: bytes | None) -> str:
    """Return the outcome of a command on a damaged file; any other words are a fault."""
    with inside(damage(folder, file, damaged)):
        code, out, err = use(command)
    if "Traceback" in out + err or "not foreseen" in err:
        return f"traceback: {(err or out).strip().splitlines()[-1]}"
    if code:
        return _refused(folder, command, expected, file, (code, out, err))
    if out != expected[1] and _named(file, _without(out + err, expected[1])):
        return SAID
    if out != expected[1]:
        return f"wrong answer: {_difference(out, expected[1])}"
    path = folder / "place" / file
    return SAME if path.exists() and path.read_bytes() != damaged else UNREAD


def _refused(folder: Path, command: str, expected: Answer, file: Path, answer: Answer) -> str:
    """Return the outcome of a command that ended with an error."""
    lines = [line for line in answer[2].splitlines() if not line.startswith("note: ")]
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"exit code {answer[0]}: {answer[2][-300:]}"
    if not _named(file, lines[0]):
        return f"not named: {lines[0]}"
    if command.partition(" ")[0] in COMMANDS and "same command" in lines[0]:
        with inside(folder / "place"):
            again = use(command)
        return AGAIN if again[:2] == expected[:2] else f"not made again: {again[2][-300:] or 'wrong answer'}"
    return SAID


def _without(said: str, expected: str) -> str:
    """Return the lines that are not expected."""
    return "\n".join(line for line in said.splitlines() if line not in expected.splitlines())


def _named(file: Path, line: str) -> bool:
    """Return whether a line names a file, or the artifact or run to which it belongs."""
    return file.name in line or (len(file.parts) > 2 and file.parts[2] in line)


def _difference(out: str, expected: str) -> str:
    """Return where two answers differ first."""
    at = next(
        (i for i, (a, b) in enumerate(zip(out, expected, strict=False)) if a != b),
        min(len(out), len(expected)),
    )
    return f"{out[max(0, at - 60) : at + 60]!r}, expected {expected[max(0, at - 60) : at + 60]!r}"


def work(flow: str, folder: str, every: int, lines: str, start: int) -> None:
    """Try each damage of a case from the `start`-th on; write a line before and after each."""
    case, place = next(case for case in CASES if case.flow == flow), Path(folder)
    if not (place / "whole").exists():
        make(case, place)
    expected = {}
    for command in case.uses:
        with inside(restore(place)):
            expected[command] = use(command)
        assert expected[command][0] == 0, f"{command}: {expected[command][2]}"
    with Path(lines).open("a", encoding="utf-8") as file:
        for number, (path, way, damaged) in enumerate(tries(case, place, every)):
            if number < start:
                continue
            print(
                json.dumps({"begun": number, "flow": flow, "file": str(path), "way": way}),
                file=file,
                flush=True,
            )
            found = {
                command: judged(place, command, expected[command], path, damaged) for command in case.uses
            }
            if set(found.values()) <= {UNREAD} and path.name not in FILLED_IN:
                answer = _verify(place, path, damaged)
                found["store verify"] = SAID if answer == "noticed" else f"passed over: {answer}"
            row = {"number": number, "flow": flow, "file": str(path), "way": way, "found": found}
            print(json.dumps(row), file=file, flush=True)


def _verify(folder: Path, file: Path, damaged: bytes | None) -> str:
    place = damage(folder, file, damaged)
    with inside(place):
        return verified(place, file.parts[min(2, len(file.parts) - 1)])


def campaign(flows: list[str], folder: Path, every: int, lines: Path) -> list[dict[str, Any]]:
    """Return what came of every damage; a child that a signal ended is a fault, and the next one goes on."""
    rows: list[dict[str, Any]] = []
    with forked_commands(folder / "said") as commands:
        for flow in flows:
            start, code = 0, -1
            while code < 0:
                arguments = {
                    "flow": flow,
                    "folder": str(folder / flow),
                    "every": every,
                    "lines": str(lines),
                    "start": start,
                }
                code = commands.call("tests.campaigns.corruptions_at_use:work", 7200.0, **arguments)
                last = json.loads(lines.read_text().splitlines()[-1]) if lines.exists() else {}
                assert code <= 0, (folder / "said/err").read_text()
                if code < 0:
                    start = last["begun"] + 1
                    with lines.open("a") as file:
                        print(json.dumps({**last, "found": {"process": f"signal {-code}"}}), file=file)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    return [row for row in rows if "found" in row]


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number of damages by flow, of commands by outcome, and each fault."""
    good = {SAID, SAME, AGAIN, UNREAD}
    faults = [
        {**{name: row[name] for name in ("flow", "file", "way")}, "command": command, "outcome": outcome}
        for row in rows
        for command, outcome in row["found"].items()
        if outcome not in good
    ]
    outcomes = Counter(
        outcome if outcome in good else "fault" for row in rows for outcome in row["found"].values()
    )
    unread = sorted({row["file"] for row in rows if "store verify" in row["found"]})
    return {
        "machine": machine(), "damages": Counter(row["flow"] for row in rows), "commands": outcomes,
        "only_verify": unread, "faults": faults,
    }  # fmt: skip


def main() -> None:
    """Print the table; exit 1 where a command was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="Try every n-th damage alone.")
    parser.add_argument("--flow", default="", help="Only the flow of this name.")
    parser.add_argument("--lines", type=Path, help="A file of results, one a line, to which these are added.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        flows = [case.flow for case in CASES if asked.flow in case.flow]
        lines = asked.lines or Path(scratch) / "lines.jsonl"
        found = table(campaign(flows, Path(scratch), asked.every, lines))
    print(json.dumps(found, indent=1))
    sys.exit(bool(found["faults"]))


if __name__ == "__main__":
    main()
