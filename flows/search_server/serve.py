"""Serve: the search server as a process: its address and token, its start, and its stop by a signal."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from topicflow.flows.running.watching import say_line
from topicflow.tasks.errors import ConfigError, StageError

BACKLOG = 2048
"""Connections that may wait until they are accepted."""

MOST_FILES = 65_536
"""Files that the process may open, each connection is one; many systems give a process 1,024 unless it asks."""

KEEP_ALIVE_S = 75.0
"""Seconds for which a connection without requests is kept: longer than clients keep theirs, so that none is cut off."""

STOP_S = 20.0
"""Seconds for requests to end after a signal."""


@dataclass(frozen=True)
class Options:
    """How the search server is started.

    Attributes
    ----------
    indexes : tuple of str
        How the user names the runs of the indexes; the newest index if empty.
    runs : Path
        The folder of runs.
    host, port : str, int
        Where it listens; port 0 is any free one.
    token_env : str or None
        Name of the environment variable with the token.
    """

    indexes: tuple[str, ...]
    runs: Path
    host: str
    port: int
    token_env: str | None


def serve_search(options: Options) -> None:
    """Serve indexes until SIGTERM or SIGINT.

    Raises
    ------
    ConfigError
        If there is no such index, the token is missing, or the address is open to other machines without a token.
    ArtifactError
        If an index cannot be opened.
    StageError
        If the address cannot be used.
    """
    if importlib.util.find_spec("mcp") is None:
        msg = "serve --search needs the package mcp; pip install 'topicflow[server]'"
        raise ConfigError(msg)
    token = None if options.token_env is None else read_token(options.token_env)
    bound, is_local = _bind(options.host, options.port, has_token=token is not None)
    with bound:
        _serve(options, bound, token, is_local=is_local)


def read_token(variable: str) -> str:
    """Return the token that an environment variable holds; raise ConfigError if it is none."""
    token = os.environ.get(variable, "")
    if not token:
        msg = f"--token-env {variable}: this environment variable is not set; set it to a long random text"
        raise ConfigError(msg)
    if not token.isascii() or not token.isprintable() or " " in token:
        msg = f"--token-env {variable}: its value cannot be sent in a header; use ASCII letters, digits and -._~"
        raise ConfigError(msg)
    return token


def _bind(host: str, port: int, *, has_token: bool) -> tuple[socket.socket, bool]:
    """Return a socket at an address, and whether only this machine reaches it."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        msg = f"--host {host}: no such address; use 127.0.0.1, or an address of this machine"
        raise ConfigError(msg) from None
    is_local = ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    if not is_local and not has_token:
        msg = (
            f"--host {host}: other machines can reach this address and no token is set; name the environment variable "
            "with a token with --token-env, or leave --host out"
        )
        raise ConfigError(msg)
    # With protocol 0 asyncio leaves out TCP_NODELAY, and each answer waits 40 ms: findings/asyncio_socket_delay.sh
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(BACKLOG)  # now, so that two servers cannot have the same port
    except OSError as error:
        bound.close()
        msg = f"serve: {host}:{port} cannot be used ({(error.strerror or str(error)).lower()}); choose another --port"
        raise StageError(msg) from None
    return bound, is_local


def _serve(options: Options, bound: socket.socket, token: str | None, *, is_local: bool) -> None:
    import uvicorn

    from topicflow.flows.search_server.guard import Guard
    from topicflow.flows.search_server.http_api import http_app
    from topicflow.flows.search_server.library import Library
    from topicflow.flows.search_server.mcp_api import McpEndpoint
    from topicflow.flows.search_server.service import Service

    library = Library(options.runs, options.indexes)
    for served in library.served.values():
        say_line(f"{served.name}: {served.said()}")
    service = Service(library)
    app = Guard(http_app(service, McpEndpoint(service)), service.figures, token)
    host, port = bound.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    say_line(f"HTTP: {address}, described at {address}/openapi.json; MCP: {address}/mcp")
    if not is_local:
        say_line(
            "warning: the token and the documents travel unencrypted; put a proxy with TLS before this address"
        )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn stops at a signal, and then sends it once more
        signal.signal(number, lambda *_: None)
    for name in ("uvicorn.error", "mcp"):  # they would write a line, or a traceback, for each odd request
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _allow_many_connections()
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, backlog=BACKLOG, lifespan="on",
        timeout_keep_alive=int(KEEP_ALIVE_S), timeout_graceful_shutdown=int(STOP_S), ws="none",
    )  # fmt: skip
    say_line("serving; Ctrl-C or SIGTERM stops")
    uvicorn.Server(config).run(sockets=[bound])
    say_line("stopped")


def _allow_many_connections() -> None:
    """Raise the number of files that this process may open, connections included, as far as the system allows."""
    if importlib.util.find_spec("resource") is None:  # on Windows there is no such number
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
