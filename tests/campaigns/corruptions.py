"""Corruptions: each file of a store, a run folder and an index by six ways, and what `store verify` says.

    python -m tests.campaigns.corruptions [--every 1] > table.json

A small index and its run are made without a server. Each file in turn has one bit flipped, is cut, emptied, removed,
grown, or replaced by another of its kind; then `topicflow store verify` runs in this process, so that a signal would
end the campaign. Noticed is exit code 1, or 2 and one line, with the damage named. Prints JSON; exit 1 where damage was
passed over, or is a fault.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.peer import machine
from tests.campaigns.odd_corpora import typed
from tests.indexes import build, documents_table

Way = Callable[[bytes, bytes], bytes | None]


def flipped(content: bytes, _: bytes) -> bytes:
    """Return content with one bit changed, at a place drawn from its length."""
    changed = bytearray(content)
    if changed:
        changed[random.Random(len(changed)).randrange(len(changed))] ^= 16
    return bytes(changed)


WAYS: dict[str, Way] = {
    "one bit": flipped,
    "truncated": lambda content, _: content[: len(content) // 2],
    "emptied": lambda _, __: b"",
    "removed": lambda _, __: None,
    "grown": lambda content, _: content + b"\0" * 16,
    "replaced": lambda _, other: other,
}


def make(folder: Path) -> None:
    """Make an index and its run in folder/store and folder/runs, and another of other documents in folder/other."""
    for place, rows in ((folder, 120), (folder / "other", 150)):
        place.mkdir(parents=True, exist_ok=True)
        build(place, documents_table(rows), method="hnsw")


def files_of(folder: Path) -> list[Path]:
    """Return the files of the artifacts and of the run, relative to the folder."""
    found = [folder / "store/format.json", *folder.glob("store/*/*/**/*"), *folder.glob("runs/*/*/**/*")]
    return sorted(
        path.relative_to(folder)
        for path in found
        if path.is_file() and not any(part.is_symlink() for part in path.parents)
        and not path.relative_to(folder).parts[1].startswith(".")
    )  # fmt: skip


def another_of_its_kind(folder: Path, file: Path) -> bytes:
    """Return the bytes of a file of the same name in the other store or runs; of none, other bytes."""
    top, kind, rest = file.parts[0], file.parts[1], file.parts[3:]
    for path in sorted((folder / "other" / top / kind).glob("/".join(["*", *rest]))):
        if set(file.parts[2:3]) & set(path.parts):  # the same artifact, made again: no damage
            continue
        if path.is_file() and path.read_bytes() != (folder / file).read_bytes():
            return path.read_bytes()
    return b"other" + (folder / file).read_bytes()[5:]


def tries(folder: Path, every: int = 1) -> Iterator[dict[str, str]]:
    """Yield what came of each file by each way, or of every n-th."""
    number = 0
    for file in files_of(folder):
        content, other = (folder / file).read_bytes(), another_of_its_kind(folder, file)
        for name, way in WAYS.items():
            damaged = way(content, other)
            if damaged == content:
                continue
            number += 1
            if number % every == 0:
                yield {"file": file.as_posix(), "way": name, "outcome": tried(folder, file, damaged)}


def tried(folder: Path, file: Path, damaged: bytes | None) -> str:
    """Return `noticed`, or what it was instead, for a damaged file, and put the file back."""
    path, kept = folder / file, folder / "kept"
    shutil.copy2(path, kept)
    try:
        if damaged is None:
            path.unlink()
        else:
            path.write_bytes(damaged)
        return verified(folder, file.parts[min(2, len(file.parts) - 1)])
    finally:
        shutil.copy2(kept, path)


def verified(folder: Path, name: str = "") -> str:
    """Return what `store verify` says of a folder: `noticed` where it names what is damaged, `clean`, or `fault`."""
    code, out, err = typed("store", "verify", "--store", folder / "store", "--runs", folder / "runs")
    refused = code == 2 and len(err.splitlines()) == 1
    if "Traceback" in out + err or "not foreseen" in err or not (code in {0, 1} or refused):
        return "fault"
    if not code:
        return "clean"
    return "noticed" if name in out + err else "not named"


def main() -> None:
    """Print the table; exit 1 where a corruption was missed or is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="Try every n-th corruption alone.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder)
        whole = verified(folder)
        table = list(tries(folder, asked.every))
    summary = Counter(f"{'/'.join(row['file'].split('/')[:2])}: {row['outcome']}" for row in table)
    others = [row for row in table if row["outcome"] != "noticed"]
    print(
        json.dumps({"machine": machine(), "undamaged": whole, "summary": summary, "others": others}, indent=1)
    )
    sys.exit(bool(others) or whole != "clean")


if __name__ == "__main__":
    main()
