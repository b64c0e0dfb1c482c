"""Reporting: what Prefect receives about a run. A server that is away never changes the result of the work.

A server that was killed or cut off refuses connections; a slow one accepts them, and Prefect's own client waits for it.
Each request to a server that is away is tried for a minute, so the server is checked first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from topicflow.tasks.errors import first_line
from topicflow.tasks.log import LOG

CONNECT_S = 5.0
"""Seconds to wait until the server accepts a connection."""

RETURN_S = 8.0
"""Seconds to wait at the end of a run for a server that is away: it may be restarting."""

POLL_S = 1.0

_away = threading.Event()
"""Set if the server of this process was away at the end of a run."""


def is_away() -> bool:
    """Return whether the server of this process was away at the end of a run; it then receives nothing more."""
    return _away.is_set()


def report(what: str, tell: Callable[[], object]) -> None:
    """Call a function that reports something to Prefect; a failure is only one line in the log.

    Parameters
    ----------
    what : str
        What is reported, for the log.
    tell : callable
        Makes the requests.
    """
    import httpx
    from prefect.exceptions import PrefectException

    if not answers():
        LOG.warning("Prefect's server does not answer and did not receive %s", what)
        return
    try:
        tell()
    except (httpx.HTTPError, PrefectException, OSError) as error:
        LOG.warning("Prefect's server did not receive %s (%s)", what, first_line(error))


def server_is_there() -> bool:
    """Return whether the server accepts connections now or within RETURN_S; if not, `is_away` is true from now on."""
    until = time.monotonic() + RETURN_S
    while not (there := answers()) and time.monotonic() < until:
        time.sleep(POLL_S)
    if not there:
        _away.set()
    return there


def answers() -> bool:
    """Return whether the server accepts connections; true if this process has no server."""
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
