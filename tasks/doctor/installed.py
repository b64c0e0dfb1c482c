"""Installed: the versions of topicflow and its libraries, whether they fit, and which extras are there."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from topicflow.tasks.doctor.finding import Finding

SHOWN = ("prefect", "polars", "numpy", "numba", "torch", "sentence-transformers", "bertopic")
"""The libraries whose versions are printed."""

NOT_EXTRAS = {"dev", "bench"}
"""Extras of people who work on topicflow itself."""


def installed() -> Iterator[Finding]:
    """Yield the versions, the libraries that do not fit, and the extras."""
    shown = ", ".join(f"{name} {_version(name) or 'missing'}" for name in SHOWN)
    yield Finding(
        "versions", f"topicflow {version('topicflow')}, Python {platform.python_version()}, {shown}"
    )
    required = [Requirement(line) for line in requires("topicflow") or ()]
    always = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [said for each in always if (said := misfit(each))]
    if wrong:
        yield Finding("libraries", f"{'; '.join(wrong)}; pip install topicflow again", "problem")
    else:
        yield Finding("libraries", f"all {len(always)} are there and fit")
    yield _extras(required)


def misfit(required: Requirement) -> str | None:
    """Return why a requirement is not met; None if it is."""
    found = _version(required.name)
    if found is None:
        return f"{required.name} is not installed"
    if required.specifier.contains(found, prereleases=True):
        return None
    return f"{required.name} {found} does not fit, {required.specifier} is needed"


def _extras(required: list[Requirement]) -> Finding:
    """Return which extras are there, and what each of the others lacks."""
    names = sorted({name for each in required for name in _extras_of(each)} - NOT_EXTRAS)
    lacking = {
        name: [each.name for each in required if name in _extras_of(each) and misfit(each)] for name in names
    }
    there = [name for name in names if not lacking[name]]
    away = [f"{name} ({', '.join(packages)})" for name, packages in lacking.items() if packages]
    said = f"{' '.join(there) or 'none'}" + (f"; not installed: {', '.join(away)}" if away else "")
    return Finding("extras", said, "note" if away else "ok")


def _extras_of(required: Requirement) -> list[str]:
    """Return the extras that ask for a requirement on this machine."""
    marker = required.marker
    if marker is None or marker.evaluate({"extra": ""}) or "extra" not in str(marker):
        return []
    named = str(marker).split("extra ==")[1:]
    found = [each.split('"')[1] for each in named if '"' in each]
    return [name for name in found if marker.evaluate({"extra": name})]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
