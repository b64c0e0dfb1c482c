#!/usr/bin/env bash
# Guess, written down first: uvicorn answers as fast on a socket that is bound beforehand (to learn a free port, or to say
# early that a port is taken) as on the same host and port given as options.
#
# Seen: on a socket of `socket.socket(AF_INET, SOCK_STREAM)` each answer of a kept connection takes 40 ms longer. Its
# protocol is 0, and asyncio sets TCP_NODELAY only where it is IPPROTO_TCP, as it is for hosts and ports. uvicorn writes
# head and body of an answer one after the other, so that the body waits for the client's delayed acknowledgement.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 h11==0.16.0
"$work/venv/bin/python" - <<'PYTHON'
import http.client
import platform
import socket
import statistics
import sys
import threading
import time
from importlib.metadata import version

import uvicorn

print("Python", platform.python_version(), platform.system(), "uvicorn", version("uvicorn"))


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"found"})


def median_ms(protocol: int | None) -> float:
    """Return the median time of an answer; the socket is uvicorn's own if the protocol is None."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol or 0)
    bound.bind(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    if protocol is None:
        bound.close()
    config = uvicorn.Config(app, port=port, log_level="critical", lifespan="off", http="h11")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run, args=(None if protocol is None else [bound],))
    running.start()
    while not server.started:
        time.sleep(0.01)
    client, took = http.client.HTTPConnection("127.0.0.1", port), []
    for _ in range(30):
        began = time.perf_counter()
        client.request("GET", "/")
        assert client.getresponse().read() == b"found"
        took.append((time.perf_counter() - began) * 1000)
    client.close()
    server.should_exit = True
    running.join()
    return statistics.median(took)


own, tcp, plain = median_ms(None), median_ms(socket.IPPROTO_TCP), median_ms(0)
print("expected: about the same time for an answer in all three ways")
print(f"  host and port:                                  {own:5.1f} ms")
print(f"  socket.socket(AF_INET, SOCK_STREAM, IPPROTO_TCP): {tcp:3.1f} ms")
print(f"  socket.socket(AF_INET, SOCK_STREAM):            {plain:5.1f} ms")
surprising = plain > 30 and plain > own + 25 and plain > tcp + 25
print("as recorded" if surprising else "CHANGED: look at findings/README.md")
sys.exit(0 if surprising else 1)
PYTHON
