"""Wanted: which topics and which groups of topics are to be named, and the names that the others keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wanted:
    """Which topics and groups are to be named.

    Attributes
    ----------
    topics : tuple of int, optional
        Numbers of the topics; all if None.
    taken : mapping of int to str
        Names that the other topics keep.
    groups : tuple of int, optional
        Numbers of the groups of the tree; all if None.
    taken_by_groups : mapping of int to str
        Names that the other groups keep.
    """

    topics: tuple[int, ...] | None = None
    taken: Mapping[int, str] = field(default_factory=dict)
    groups: tuple[int, ...] | None = None
    taken_by_groups: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_nothing(self) -> bool:
        """Whether no topic and no group is to be named."""
        return self.topics == () and self.groups == ()


EVERY = Wanted()
