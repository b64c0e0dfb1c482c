"""Units: settings -> groups that share their labels, each the work of one process at a time, and who takes which next.

Two processes never wait long for the same artifact: settings with equal labels are one unit, and a process takes units
with the reduced vectors that it has at hand, or else vectors that no other process is working on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from topicflow.tasks.store.artifacts import Recipe
from topicflow.tasks.sweeps.settings import Setting


@dataclass(frozen=True)
class Unit:
    """Settings with the same labels: their numbers, and the keys of the graph and of the reduced vectors."""

    numbers: tuple[int, ...]
    neighbors: str
    reduced: str
    draw: int | None = None
    """The draw that the settings are fitted on; None for all documents."""


def units_of(settings: Iterable[Setting], recipes: Mapping[int, Mapping[str, Recipe]]) -> list[Unit]:
    """Return the units of settings; units with the same graph, and then with the same reduced vectors, are together."""
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for setting in settings:
        keys = recipes[setting.number]
        groups[keys["neighbors"].key, keys["reduce"].key, keys["cluster"].key].append(setting.number)
    firsts = {
        key: place for place, key in enumerate(dict.fromkeys(each for group in groups for each in group[:2]))
    }
    ordered = sorted(groups, key=lambda group: (firsts[group[0]], firsts[group[1]]))
    return [Unit(tuple(groups[group]), group[0], group[1]) for group in ordered]


@dataclass
class Queue:
    """The units that are left; each process takes the next one for it."""

    left: list[Unit]
    busy: dict[int, str] = field(default_factory=dict)
    """The reduced vectors that each process used last."""

    def take(self, process: int) -> Unit | None:
        """Return the next unit for a process, None if none is left."""
        if not self.left:
            self.busy.pop(process, None)
            return None
        own = self.busy.pop(process, None)
        others = set(self.busy.values())
        same = [unit for unit in self.left if unit.reduced == own]
        free = [unit for unit in self.left if unit.reduced not in others]
        unit = (same or free or self.left)[0]
        self.left.remove(unit)
        self.busy[process] = unit.reduced
        return unit
