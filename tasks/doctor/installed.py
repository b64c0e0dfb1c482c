"""Installed: the versions of topicflow and its libraries, whether they fit, and which extras are there."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

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
    always = [each for each in required if _is_asked(each)]
    wrong = [said for each in always if (said := misfit(each))]
    if wrong:
        yield Finding("libraries", f"{'; '.join(wrong)}; pip install topicflow again", "problem")
    else:
        yield Finding("libraries", f"all {len(always)} are there and fit")
    yield _extras([each for each in required if not _is_asked(each)])


def misfit(required: Requirement) -> str | None:
    """Return why a requirement is not met; None if it is."""
    found = _version(required.name)
    if found is None:
        return f"{required.name} is not installed"
    if required.specifier.contains(found, prereleases=True):
        return None
    return f"{required.name} {found} does not fit, {required.specifier} is needed"


def _extras(optional: list[Requirement]) -> Finding:
    """Return which extras are there, and what each of the others lacks."""
    names = sorted(set(metadata("topicflow").get_all("Provides-Extra", ())) - NOT_EXTRAS)
    lacking = {
        name: [each.name for each in optional if _is_asked(each, name) and misfit(each)] for name in names
    }
    there = [name for name in names if not lacking[name]]
    away = [f"{name} ({', '.join(packages)})" for name, packages in lacking.items() if packages]
    said = f"{' '.join(there) or 'none'}" + (f"; not installed: {', '.join(away)}" if away else "")
    return Finding("extras", said, "note" if away else "ok")


def _is_asked(required: Requirement, extra: str = "") -> bool:
    """Return whether an extra, or topicflow itself, asks for a requirement on this machine."""
    return required.marker is None or required.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
