"""Reporting: what Prefect is told of a run. That its server is away never becomes the outcome of the work.

A server that was killed or cut off refuses connections; one that is only slow takes them, and Prefect's own client
waits for it. A request to one that is away is tried for a minute, and so is each behind it: so it is asked first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from topicflow.tasks.errors import first_line
from topicflow.tasks.log import LOG

CONNECT_S = 5.0
"""Seconds that a server has to take a connection."""

RETURN_S = 8.0
"""Seconds for which a server that is away is waited for at the end of a run: it may be starting again."""

POLL_S = 1.0

_away = threading.Event()
"""Set once the server of this process was away at the end of a run."""


def is_away() -> bool:
    """True when the server of this process was away at the end of a run, and is told nothing any more."""
    return _away.is_set()


def report(what: str, tell: Callable[[], object]) -> None:
    """Call a function that tells Prefect of something; what cannot be told is one line in the log and harms nothing.

    Parameters
    ----------
    what : str
        What is told, for the line.
    tell : callable
        Makes the requests.
    """
    import httpx
    from prefect.exceptions import PrefectException

    if not answers():
        LOG.warning("Prefect's server does not answer and was not told of %s", what)
        return
    try:
        tell()
    except (httpx.HTTPError, PrefectException, OSError) as error:
        LOG.warning("Prefect's server was not told of %s (%s)", what, first_line(error))


def server_is_there() -> bool:
    """Return whether the server takes connections, now or within RETURN_S; where it does not, `is_away` from now on."""
    until = time.monotonic() + RETURN_S
    while not (there := answers()) and time.monotonic() < until:
        time.sleep(POLL_S)
    if not there:
        _away.set()
    return there


def answers() -> bool:
    """Return whether the server takes connections; true where this process has none to ask."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    if is_away() or not PREFECT_API_URL.value():
        return not is_away()
    settings = {"timeout": httpx.Timeout(CONNECT_S, read=60.0)}
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(httpx_settings=settings, sync_client=True) as client,
    ):
        problem = client.api_healthcheck()
    return not isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout)
