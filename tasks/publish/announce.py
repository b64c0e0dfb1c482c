"""Announce: a run that its gates hold back -> a Prefect event; the webhook gets a POST when the series changes.

| the run before | this run | event | webhook |
|---|---|---|---|
| published, or none | held | `topicflow.run.rejected` | held, and why |
| held | held | `topicflow.run.rejected` | nothing: it was told |
| held | published | `topicflow.run.accepted` | published again |
| published, or none | published | nothing | nothing |

The webhook's URL may contain a token. It is read from an environment variable or a Prefect Secret block when it is
needed, and no message has it.
"""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from topicflow.configs.sections.gates import GatesConfig
from topicflow.tasks.execution.prefect_runs import flow_run_id, has_prefect
from topicflow.tasks.execution.reporting import answers
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import RunRecord, Unreadable, each_run, is_completed, is_published

EVENT, ACCEPTED = "topicflow.run.rejected", "topicflow.run.accepted"
"""The events' names, for automations: a run that is held back, and the first that is published after one."""

TRIES, TIMEOUT_S = 3, 10.0
"""Tries of the webhook, with 1 and 2 seconds between them."""


def was_held(runs: Path, name: str, run_id: str | None = None) -> bool:
    """Return whether gates held back the last completed run of a name; `run_id` is a run that does not count.

    False if there is no such run, or if a newer record cannot be read.
    """
    for found in each_run(runs, name):
        if isinstance(found, Unreadable):
            return False
        if found["run_id"] != run_id and is_completed(found) and not found.get("tried"):
            return not is_published(found)
    return False


def announcement(record: RunRecord, link: str) -> dict[str, Any]:
    """Return the announcement of a run: JSON values, no text of a document.

    `text` says everything in one line, which chat programs show; `link` leads to the run.
    """
    held, host, failed = not is_published(record), socket.gethostname(), record["gates"]["failed"]
    outcome = (
        f"not published: {'; '.join(failed)}" if held else "published again: its gates hold nothing back"
    )
    message = {
        "event": EVENT if held else ACCEPTED,
        "text": f"topicflow: {record['name']} on {host} is {outcome}. {link}",
        "link": link,
        "host": host,
        "name": record["name"],
        "run_id": record["run_id"],
        "flow": record["flow"],
        "failed": failed,
        "checks": record["gates"]["checks"],
        "n_documents": record["n_documents"],
    }
    return message | ({"n_new": record["update"]["n_new"]} if "update" in record else {})


def announce(record: RunRecord, config: GatesConfig | None, runs: Path) -> None:
    """Announce a run that its gates hold back, and the first one after it that is published.

    A failed delivery is only logged.

    Parameters
    ----------
    record : dict
        The run's record.
    config : GatesConfig or None
        The limits, and whom to inform.
    runs : Path
        The folder of runs; the run before decides whether anything changed.
    """
    if config is None or record.get("tried"):
        return
    before, now = was_held(runs, record["name"], record["run_id"]), not is_published(record)
    if not (before or now):
        return
    message = announcement(record, link_of(record, runs))
    emit(message)
    url = webhook_url(config) if before != now else None
    if url:
        if problem := post(url, message):
            LOG.warning("gate: the message to the webhook was not delivered: %s", problem)
        else:
            LOG.info("gate: the message to the webhook was delivered")


def link_of(record: RunRecord, runs: Path) -> str:
    """Return the address of the run's page if Prefect's UI is known, of its report on this machine otherwise."""
    if flow_run := flow_run_id():
        from prefect.settings import PREFECT_UI_URL

        if ui := str(PREFECT_UI_URL.value() or ""):
            return "/".join((ui.rstrip("/"), "runs/flow-run", flow_run))
    folder = runs / str(record["name"]) / str(record["run_id"])
    return (folder / "report.html").resolve().as_uri()


def webhook_url(config: GatesConfig) -> str | None:
    """Return the webhook's URL; None if none is configured, or if it is not set, which is logged."""
    if config.webhook_env is not None:
        if not (url := os.environ.get(config.webhook_env)):
            LOG.warning(
                "gate: the environment variable %s (gates.webhook_env) is not set", config.webhook_env
            )
        return url or None
    if config.webhook_block is None:
        return None
    from prefect.blocks.system import Secret

    if not answers():
        LOG.warning("gate: Prefect's server does not answer, so gates.webhook_block cannot be read")
        return None
    try:
        return str(Secret.load(config.webhook_block).get())  # type: ignore[union-attr]
    except ValueError:
        LOG.warning("gate: there is no Prefect Secret block %r (gates.webhook_block)", config.webhook_block)
        return None


def post(url: str, message: dict[str, Any]) -> str:
    """Return why a JSON message could not be posted, without the URL; empty if it was accepted."""
    if urlsplit(url).scheme not in {"http", "https"}:
        return "its URL is neither http nor https"
    request = urllib.request.Request(  # noqa: S310  (the scheme was checked)
        url, json.dumps(message).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    problem = ""
    for number in range(TRIES):
        if number:
            time.sleep(2.0 ** (number - 1))
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
                return ""
        except urllib.error.HTTPError as error:
            problem = f"it answered {error.code}"
            if error.code < 500:  # another try would get the same answer
                return problem
        except (OSError, ValueError) as error:
            problem = f"it cannot be reached ({type(getattr(error, 'reason', error)).__name__})"
    return problem


def emit(message: dict[str, Any]) -> None:
    """Emit the Prefect event that the message names, for automations; a run without a server has none to emit it to."""
    if not has_prefect():
        return
    from prefect.events import emit_event
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return
    resource = {
        "prefect.resource.id": f"topicflow.run.{message['name']}.{message['run_id']}",
        "name": message["name"],
    }
    emit_event(event=message["event"], resource=resource, payload=message)
