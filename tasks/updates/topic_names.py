"""Topic names: keywords, earlier names and a person's names (runs/<name>/topic_names.toml) -> each topic's name.

    [names]
    17 = "Immigration"

A name in this file is used from the next run on, through every refit, until it is changed; "" removes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from topicflow.tasks.edits.names_file import FILE
from topicflow.tasks.log import LOG
from topicflow.tasks.updates.topic_state import Name


@dataclass(frozen=True)
class GivenNames:
    """Names that a person gave, by topic id.

    Attributes
    ----------
    in_file : mapping of int to str
        Those in topic_names.toml; an empty one removes a name.
    by_edits, in_config : mapping of int to str
        Those of edits, and those of given topics.
    """

    in_file: Mapping[int, str] = field(default_factory=dict)
    by_edits: Mapping[int, str] = field(default_factory=dict)
    in_config: Mapping[int, str] = field(default_factory=dict)


def name_topics(
    ids: Sequence[int], keywords: Sequence[str], before: Mapping[int, Name], given: GivenNames
) -> dict[int, Name]:
    """Return the names of all topics so far, by id.

    Parameters
    ----------
    ids : sequence of int
        Lasting ids of the fit's topics.
    keywords : sequence of str
        Names that the fit made from their keywords, for topics that have no name yet.
    before : mapping of int to Name
        Names so far, also of topics that died.
    given : GivenNames
        Names that a person gave. A name in the file stays until it is changed there; one of an edit or of a given topic
        is gone with it.
    """
    own = dict(zip(ids, keywords, strict=True))
    names = {
        number: name
        for number, name in before.items()
        if name.by not in {"edit", "given"} and not (name.by == "person" and given.in_file.get(number) == "")
    }
    names |= {
        number: Name(name, "given")
        for number, name in given.in_config.items()
        if number not in names or names[number].by != "person"
    }
    names |= {
        number: Name(name, "person")
        for number, name in given.in_file.items()
        if name and number in {*ids, *before}
    }
    names |= {number: Name(name, "edit") for number, name in given.by_edits.items()}
    taken = {name.name for name in names.values()}
    for number, name in own.items():
        if number not in names:
            names[number] = Name(name if name not in taken else f"{name} ({number})")
            taken.add(names[number].name)
    unknown = sorted(set(given.in_file) - set(names))
    if unknown:
        LOG.warning("%s names topics that never existed: %s", FILE, ", ".join(map(str, unknown)))
    return dict(sorted(names.items()))
