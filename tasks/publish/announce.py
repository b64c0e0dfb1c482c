"""Announce: a run that failed its gates -> a Prefect event and a POST to a webhook that say why.

The webhook's URL may contain a token. It is read from an environment variable or a Prefect Secret block when it is
needed, and no message has it.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from topicflow.configs.sections.gates import GatesConfig
from topicflow.tasks.execution.reporting import answers
from topicflow.tasks.log import LOG
from topicflow.tasks.runs.history import RunRecord, is_published

EVENT = "topicflow.run.rejected"
"""The event's name, for automations."""

TRIES, TIMEOUT_S = 3, 10.0
"""Tries of the webhook, with 1 and 2 seconds between them."""


def rejection(record: RunRecord) -> dict[str, Any]:
    """Return the announcement of a run that failed its gates: JSON values, no text of a document."""
    message = {
        "event": EVENT,
        "name": record["name"],
        "run_id": record["run_id"],
        "flow": record["flow"],
        "failed": record["gates"]["failed"],
        "checks": record["gates"]["checks"],
        "n_documents": record["n_documents"],
    }
    return message | ({"n_new": record["update"]["n_new"]} if "update" in record else {})


def announce(record: RunRecord, config: GatesConfig | None) -> None:
    """Announce a run if it failed its gates; a failed delivery is only logged."""
    if config is None or is_published(record) or record.get("tried"):
        return
    message = rejection(record)
    emit(message)
    url = webhook_url(config)
    if url:
        if problem := post(url, message):
            LOG.warning("gate: the message to the webhook was not delivered: %s", problem)
        else:
            LOG.info("gate: the message to the webhook was delivered")


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
    """Emit the Prefect event; automations can react to it. A run without a server has none to emit it to."""
    from prefect.events import emit_event
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return
    resource = {
        "prefect.resource.id": f"topicflow.run.{message['name']}.{message['run_id']}",
        "name": message["name"],
    }
    emit_event(event=EVENT, resource=resource, payload=message)
