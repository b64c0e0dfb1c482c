"""Workers: chunks of a stage's work -> their results in order, here or on a Dask or Ray cluster.

A stage runs in the process of the flow. Work over chunks is sent through one of Prefect's task runners, opened inside
the stage, so that the chunks appear as task runs below it. The flow itself keeps its own runner: the stages in between
(neighbours, layout, clusters) need the whole corpus on one machine, which small workers could not provide. Tasks
receive only references; data is exchanged through the store, which every worker must reach.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.errors import ConfigError, StageError, first_line
from topicflow.tasks.execution.devices import resolve_device

MAX_TASKS = 256
"""Maximum task runs of a stage: each takes a few kilobytes in Prefect's database and a few requests to its server."""

CONNECT_S = 10
"""Seconds to wait for an answer of a cluster."""

WORKERS_S = 60
"""Seconds to wait for the first worker of a cluster."""

_Chunk = TypeVar("_Chunk")
_Out = TypeVar("_Out")


def check_engine(runtime: RuntimeConfig) -> None:
    """Raise ConfigError if the engine's package is not installed."""
    if runtime.engine != "threads" and find_spec(f"prefect_{runtime.engine}") is None:
        msg = (
            f"runtime.engine='{runtime.engine}' needs the package prefect-{runtime.engine}; "
            f"pip install 'topicflow[{runtime.engine}]'"
        )
        raise ConfigError(msg)


@contextlib.contextmanager
def started(runtime: RuntimeConfig) -> Iterator[RuntimeConfig]:
    """Yield `runtime` with the address of its cluster; without an address start a cluster on this machine.

    A cluster on this machine has a worker for each GPU, or for every four cores, each with one thread; it is stopped
    at the end of the block.

    Raises
    ------
    ConfigError
        If the engine's package is not installed.
    StageError
        If the cluster does not answer or has no workers.
    """
    if runtime.engine == "threads":
        yield runtime
        return
    check_engine(runtime)
    with (_dask if runtime.engine == "dask" else _ray)(runtime) as address:
        yield runtime.model_copy(update={"address": address})


def on_cluster(runtime: RuntimeConfig) -> bool:
    """Return whether chunks are sent to the workers of a cluster; `runtime` comes from `started`."""
    return runtime.engine != "threads" and runtime.address is not None


def map_chunks(
    name: str, function: Callable[[_Chunk], _Out], chunks: Sequence[_Chunk], runtime: RuntimeConfig
) -> Iterator[_Out]:
    """Yield `function` of each chunk in order, one after the other in this process or on all workers of a cluster.

    Parameters
    ----------
    name : str
        Name of the task runs.
    function : callable
        A function of a module, or a `functools.partial` of one, because it is sent by name. It uses the available
        cores itself, reads from and writes to the store, and finds what an earlier attempt at the same chunk stored.
    chunks : sequence
        Arguments of the function: numbers or references, a few bytes each.
    runtime : RuntimeConfig
        The settings that `started` yields; without an address this process does the work.

    Raises
    ------
    StageError
        If the workers of a chunk die repeatedly. Errors of the function are raised unchanged.
    """
    if not on_cluster(runtime):
        yield from map(function, chunks)
        return
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    work = task(name=name, cache_policy=NO_CACHE, persist_result=False)(_each)
    size = -(-len(chunks) // MAX_TASKS) or 1
    groups = [tuple(chunks[start : start + size]) for start in range(0, len(chunks), size)]
    with _runner(runtime) as runner, _worker_errors_in_one_line(name), _gpu_of_its_own(runtime):
        futures = [runner.submit(work, {"function": function, "chunks": group}) for group in groups]
        for future in futures:
            yield from _awaited(future, name, runtime)


def _awaited(future: Any, name: str, runtime: RuntimeConfig) -> Any:  # noqa: ANN401  (a future of either package)
    """Return a future's result; raise StageError if the cluster has had no worker for WORKERS_S."""
    while True:
        try:
            return future.result(timeout=WORKERS_S)
        except TimeoutError:
            if _has_workers(runtime):
                continue
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=WORKERS_S)  # a supervisor may restart them
        if not _has_workers(runtime):
            msg = (
                f"{name}: the cluster at {runtime.address} has had no worker for {WORKERS_S} s; start workers, then "
                "run the same command again: finished work is kept"
            )
            raise StageError(msg)


def _has_workers(runtime: RuntimeConfig) -> bool:
    """Return whether the cluster has a worker; Ray's head itself fails the task if there is none."""
    if runtime.engine != "dask":
        return True
    with _dask_client(runtime.address) as client:
        return bool(client.scheduler_info()["workers"])


def _each(function: Callable[[_Chunk], _Out], chunks: tuple[_Chunk, ...]) -> list[_Out]:
    return [function(chunk) for chunk in chunks]


def _runner(runtime: RuntimeConfig) -> Any:  # noqa: ANN401  (the packages are installed only with their extras)
    """Return Prefect's runner for the cluster at the runtime's address."""
    if runtime.engine == "dask":
        from prefect_dask import DaskTaskRunner

        return DaskTaskRunner(address=runtime.address, client_kwargs={"timeout": CONNECT_S})
    from prefect_ray import RayTaskRunner

    return RayTaskRunner(address=runtime.address)


@contextlib.contextmanager
def _dask(runtime: RuntimeConfig) -> Iterator[str]:
    """Yield the address of a Dask scheduler that answers and has a worker."""
    with contextlib.ExitStack() as stack:
        address = runtime.address or stack.enter_context(_local_dask(runtime)).scheduler_address
        try:
            with _dask_client(address) as client:
                client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError:
            msg = f"runtime.address: the Dask scheduler {address} has no worker after {WORKERS_S} s; start workers"
            raise StageError(msg) from None
        except (OSError, ValueError) as error:
            msg = (
                f"runtime.address: no Dask scheduler answers at {address} ({first_line(error)}); start one there, or "
                "remove runtime.address to start a cluster on this machine"
            )
            raise StageError(msg) from None
        yield address


def _dask_client(address: str | None) -> Any:  # noqa: ANN401  (distributed has no types)
    """Return a client of a scheduler.

    distributed (2026.8) gives the client's own thread ten seconds to start and then raises AssertionError: a machine
    that stood still for so long is asked once more.
    """
    import distributed

    with contextlib.suppress(AssertionError):
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)


def _local_dask(runtime: RuntimeConfig) -> Any:  # noqa: ANN401  (distributed has no types)
    """Return a Dask cluster on this machine: processes with one thread, each with a GPU or its share of the cores."""
    from distributed import Nanny, Scheduler, SpecCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    n_gpus = _n_gpus(runtime)
    n_workers = runtime.n_workers or n_gpus or max(1, n_cores() // 4)
    shares = _threads(runtime, n_workers)

    def worker(number: int) -> dict[str, Any]:
        gpu = {"CUDA_VISIBLE_DEVICES": str(number % n_gpus)} if n_gpus else {}
        options = {
            "nthreads": 1,
            "memory_limit": 0,
            "env": {**shares, **gpu},
            "silence_logs": logging.CRITICAL,
        }
        return {"cls": Nanny, "options": options}

    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": False}}
    return SpecCluster(
        scheduler=scheduler,
        workers={number: worker(number) for number in range(n_workers)},
        silence_logs=False,
    )


def _threads(runtime: RuntimeConfig, n_workers: int) -> dict[str, str]:
    """Return the environment of a worker on this machine: `runtime.n_threads`, or its share of the cores."""
    threads = str(runtime.n_threads or max(1, n_cores() // n_workers))
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


@contextlib.contextmanager
def _ray(runtime: RuntimeConfig) -> Iterator[str]:
    """Yield the address of the Ray cluster to which this process is connected during the block."""
    import ray

    n_workers = runtime.n_workers or max(1, n_cores() // 4)
    # without these Ray gives each task one thread
    local = {
        "num_cpus": n_workers,
        "include_dashboard": False,
        "runtime_env": {"env_vars": _threads(runtime, n_workers)},
    }
    try:
        context = ray.init(
            address=runtime.address or "local", namespace="prefect", log_to_driver=False, logging_level="ERROR",
            **({} if runtime.address else local),
        )  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        msg = (
            f"runtime.address: no Ray cluster answers at {runtime.address} ({first_line(error)}); start one there, or "
            "remove runtime.address to start a cluster on this machine"
        )
        raise StageError(msg) from None
    try:
        yield runtime.address or str(context.address_info["address"])
    finally:
        ray.shutdown()


def _n_gpus(runtime: RuntimeConfig) -> int:
    """Return the number of GPUs for the encoder on this machine; 0 if it runs on the CPU."""
    if resolve_device(runtime.device) != "cuda":
        return 0
    import torch

    return torch.cuda.device_count()


@contextlib.contextmanager
def _gpu_of_its_own(runtime: RuntimeConfig) -> Iterator[None]:
    """Give each task of Ray its own GPU; each worker of Dask was started with its own."""
    if runtime.engine != "ray" or not _n_gpus(runtime):
        yield
        return
    from prefect_ray.context import remote_options

    with remote_options(num_gpus=1):
        yield


@contextlib.contextmanager
def _worker_errors_in_one_line(name: str) -> Iterator[None]:
    """Turn a scheduler's errors about workers that died or left into a StageError."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ not in {
            "KilledWorker",
            "WorkerCrashedError",
            "CancelledError",
            "NoValidWorkerError",
        }:
            raise
        msg = (
            f"{name}: the workers of a chunk died ({first_line(error)[:200]}); check their memory and logs, then run "
            "the same command again: finished work is kept"
        )
        raise StageError(msg) from error
