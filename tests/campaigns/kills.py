"""Kills: each flow's command is killed at random moments, the same command runs again, and all is as without a kill.

    python -m tests.campaigns.kills [--kills 28] [--seed 0] [--flow NAME] [--lines FILE] > table.json

SIGKILL to the process group of the command line, against a Prefect server that stays. Every second kill comes at a
moment drawn uniformly from the seconds after the first write; the others come before a write drawn uniformly from all
writes (files opened, renamed, removed), where a half-done change would show. A command that ended before its kill does
not count and is drawn again. What must be the same as in an undisturbed run: the artifacts (keys and file digests), the
files of the published run, `latest`, the work that is left for a third run. Prints JSON: the number of tries that were
wrong, lost something, made an artifact twice, left files that `store gc` does not delete, or waited for a lease; exit 1
if there is one. With --lines, each try is added to a file, and the table is made of all tries in it.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.peer import machine
from tests.campaigns.kill_cases import CASES, KillCase
from tests.campaigns.states import State, collect_garbage, complete_artifacts, damaged, state_of
from tests.commands import serving
from tests.forked_commands import KILLED, Ended, ForkedCommands, forked_commands

FAULTS = ("wrong", "lost", "made twice", "left over", "blocked")


@dataclass(frozen=True)
class Try:
    """A kill and what came of it; `faults` is empty if all was as without a kill."""

    flow: str
    seed: int
    number: int
    moment: str
    n_complete: int
    published: bool
    faults: dict[str, list[str]] = field(default_factory=dict)


class Campaign:
    """A case in its folder, which is the same for all of its tries, so that paths in results are the same."""

    def __init__(self, case: KillCase, folder: Path, commands: ForkedCommands) -> None:
        self.case, self.commands = case, commands
        self.before, self.place = folder / "before", folder / "place"
        self.place.mkdir(parents=True)
        case.write(self.place)
        for each in case.before:
            self._good(each)
        shutil.copytree(self.place, self.before, symlinks=True)
        self.n_before = state_of(self.before).n_runs
        self.n_sources = len(list((self.before / "store/sources").glob("*")))
        self.undisturbed = self._good(case.command)
        collect_garbage(self.place)
        self._expected = {1: state_of(self.place)}

    def _good(self, command: str) -> Ended:
        ended = self.commands.run(shlex.split(command), self.place)
        assert ended.outcome.code == 0, ended.outcome.err
        return ended

    def _restore(self) -> None:
        shutil.rmtree(self.place)
        shutil.copytree(self.before, self.place, symlinks=True)

    def expected(self, n_times: int) -> State:
        """Return the state after the command has ended once or twice; a kill may come after the run is published."""
        if n_times not in self._expected:
            self._restore()
            for _ in range(n_times):
                self._good(self.case.command)
            collect_garbage(self.place)
            self._expected[n_times] = state_of(self.place)
        return self._expected[n_times]

    def try_kill(self, seed: int, number: int) -> Try:
        """Return what came of a kill at a moment that the seed and the number decide."""
        draw = random.Random(f"{self.case.flow} {seed} {number}")
        words, first = shlex.split(self.case.command), self.undisturbed
        while True:
            self._restore()
            if number % 2:
                moment = {"after_s": draw.uniform(0, first.seconds)}
                killed = self.commands.run(words, self.place, after_s=moment["after_s"])
            else:
                moment = {"before_write": draw.randint(1, first.n_writes)}
                killed = self.commands.run(words, self.place, before_write=int(moment["before_write"]))
            if killed.outcome.code == KILLED:
                break
        said = ", ".join(f"{name} {value:.4g}" for name, value in moment.items())
        published = state_of(self.place).n_runs > self.n_before
        there = complete_artifacts(self.place / "store")
        faults = {"wrong": [f"at the kill: {each}" for each in damaged(self.place)]}
        if not faults["wrong"]:
            faults = self._compared(published, there, self.commands.run(words, self.place))
        found = {name: values for name, values in faults.items() if values}
        return Try(self.case.flow, seed, number, said, len(there), published, found)

    def _compared(self, published: bool, there: set[tuple[str, str]], again: Ended) -> dict[str, list[str]]:
        """Return the faults of the command that followed a kill, and of `store gc` after it."""
        out, waits = again.outcome, "another run is making it"
        if out.code == KILLED or waits in out.err:
            return {"blocked": [out.err[-200:] or "killed after the timeout"]}
        if out.code or any(word in out.err for word in ("Traceback", "not foreseen", "warning")):
            return {"wrong": [f"exit code {out.code}: {out.err[-300:]}"]}
        collect_garbage(self.place)
        state, broken = state_of(self.place), damaged(self.place)
        expected = self.expected(2 if published else 1)
        return {
            "made twice": recomputed(out.out, there, self.n_sources) if self.case.makes_a_run else [],
            "lost": state.lacks(expected),
            "wrong": [*state.differs_from(expected), *broken],
            "left over": state.left_over,
        }


def recomputed(out: str, there: set[tuple[str, str]], n_sources: int) -> list[str]:
    """Return the stages that were computed although their artifact was complete.

    The documents of `load` count only with a source record more than the `n_sources` before: without it the input is
    read again, to the same documents. A run without new documents shows the stages of the run before.
    """
    record = json.loads(out)
    if record.get("state") == "unchanged":
        return []
    has_source = sum(kind == "sources" for kind, _ in there) > n_sources
    return [
        stage["stage"]
        for stage in record["stages"]
        if (stage["kind"], stage["key"]) in there and stage["state"] != "cached"
        if stage["kind"] != "documents" or has_source
    ]


@contextmanager
def campaigns(cases: Sequence[KillCase], folder: Path) -> Iterator[Iterator[Campaign]]:
    """Yield the campaigns of cases, against one server and with one process that forks; each is made when asked for."""
    with (
        serving(folder / "home") as server,
        forked_commands(folder / "said", **server.environment) as commands,
    ):
        yield (Campaign(case, folder / case.flow, commands) for case in cases)


def table(tries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the table of tries: the number by flow, and of those with each fault."""
    return {
        "machine": machine(),
        "kills": len(tries),
        "by_flow": Counter(each["flow"] for each in tries),
        "already_published": sum(each["published"] for each in tries),
        "faults": {name: sum(name in each["faults"] for each in tries) for name in FAULTS},
        "others": [each for each in tries if each["faults"]],
    }


def main() -> None:
    """Print the table; exit 1 where a try is a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=28, help="In all, in turn over the flows.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flow", default="", help="Only the flow of this name.")
    parser.add_argument("--lines", type=Path, help="A file of tries, one a line, to which these are added.")
    asked = parser.parse_args()
    cases = [case for case in CASES if asked.flow in case.flow]
    with tempfile.TemporaryDirectory() as scratch, campaigns(cases, Path(scratch)) as each:
        lines = asked.lines or Path(scratch) / "tries.jsonl"
        for place, campaign in enumerate(each):
            for number in range(len(range(place, asked.kills, len(cases)))):
                found = campaign.try_kill(asked.seed, number)
                with lines.open("a") as file:
                    file.write(json.dumps(asdict(found)) + "\n")
                print(f"{found.flow} {found.moment}: {found.faults or 'as without a kill'}", file=sys.stderr)
        tries = [json.loads(line) for line in lines.read_text().splitlines()]
    print(json.dumps(table(tries), indent=1))
    sys.exit(any(each["faults"] for each in tries))


if __name__ == "__main__":
    main()
