"""Topic names: keywords, earlier names and a person's names (runs/<name>/topic_names.toml) -> each topic's name.

    [names]
    17 = "Immigration"

A name in this file is used from the next run on, through every refit, until it is changed; "" removes it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from topicflow.tasks.errors import ConfigError
from topicflow.tasks.log import LOG
from topicflow.tasks.updates.topic_state import Name

FILE = "topic_names.toml"


def read_names(series: Path) -> dict[int, str]:
    """Return the names that a person gave in the folder of a series, by topic id; none without the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, or contains anything but names by topic id.
    """
    path = series / FILE
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        msg = f"{path}: cannot be read as a TOML file: {error}"
        raise ConfigError(msg) from None
    named = values.get("names", {})
    wrong = [key for key in values if key != "names"]
    wrong += [
        key for key, name in (named.items() if isinstance(named, dict) else ()) if not _is_name(key, name)
    ]
    if wrong or not isinstance(named, dict):
        found = f"found {wrong[0]!r}" if wrong else "found no table [names]"
        msg = f'{path}: {found}; expected lines like 17 = "Immigration" below [names], the topic\'s id and its name'
        raise ConfigError(msg)
    return {int(key): name.strip() for key, name in named.items()}


def _is_name(key: str, name: object) -> bool:
    return key.isdecimal() and isinstance(name, str) and len(name) <= 200


def name_topics(
    ids: Sequence[int], keywords: Sequence[str], before: Mapping[int, Name], given: Mapping[int, str]
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
    given : mapping of int to str
        Names that a person gave; an empty name removes a given name.
    """
    own = dict(zip(ids, keywords, strict=True))
    names = {
        number: name
        for number, name in before.items()
        if not (name.by == "person" and given.get(number) == "")
    }
    names |= {
        number: Name(name, "person") for number, name in given.items() if name and number in {*ids, *before}
    }
    taken = {name.name for name in names.values()}
    for number, name in own.items():
        if number not in names:
            names[number] = Name(name if name not in taken else f"{name} ({number})")
            taken.add(names[number].name)
    unknown = sorted(set(given) - set(names))
    if unknown:
        LOG.warning("%s names topics that never existed: %s", FILE, ", ".join(map(str, unknown)))
    return dict(sorted(names.items()))
