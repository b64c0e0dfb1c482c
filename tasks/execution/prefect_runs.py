"""Prefect's runs: the ids of the flow run and the task run around the code that asks, without importing Prefect."""

from __future__ import annotations

import sys


def has_prefect() -> bool:
    """Return whether this process has imported Prefect; one that has not is in none of its runs."""
    return "prefect" in sys.modules


def flow_run_id() -> str | None:
    """Return the id of Prefect's flow run, or None outside of one."""
    return _id_of("flow_run")


def task_run_id() -> str | None:
    """Return the id of Prefect's task run, or None outside of one."""
    return _id_of("task_run")


def _id_of(run: str) -> str | None:
    if not has_prefect():
        return None
    import prefect.runtime

    found: str | None = getattr(prefect.runtime, run).id
    return found
