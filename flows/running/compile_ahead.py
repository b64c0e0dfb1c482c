"""Compile ahead: while a first run loads and embeds, another process compiles the kernels of its later stages.

The process runs the same sections of the config on invented documents, in a temporary folder and without a server: the
kernels then have the types that the run needs, and numba keeps them where the run looks for each one. It uses only what
the run leaves of the cores, it ends with the run, and if it fails, the run compiles what it needs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import tomli_w

from topicflow.configs.flows.base import FlowConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import load_config
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.flows.running.modules import SAFE_PATH
from topicflow.tasks.core.vectors.blocks import n_cores
from topicflow.tasks.encoding.model_files.bert_shape import own_precisions
from topicflow.tasks.execution.compiled import is_compiled

STAGES = ("neighbors", "reduce", "cluster", "count")
"""A stage of each folder of kernels that a topic model uses."""

SECTIONS = ("neighbors", "reduce", "map", "cluster", "count", "label", "tree", "shares", "evaluate", "report")
"""Sections whose values decide which kernels a run needs, and with which types."""

N_DOCUMENTS, DIM, N_WORDS = 600, 64, 400

LEAST_NICE = 19
"""The nice value of a process that gets only what others leave: embedding keeps all cores that it can use."""


@contextlib.contextmanager
def compiling_ahead(config: FlowConfig) -> Iterator[None]:
    """Let another process compile during the block, if kernels are missing and a second core is there."""
    if not _pays(config):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="topicflow-compile-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "config.toml"
        path.write_text(tomli_w.dumps(_practice(config, Path(folder))), encoding="utf-8")
        environment = {**os.environ, SAFE_PATH: "1", "PREFECT_HOME": folder}
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "topicflow.flows.running.compile_ahead", *_encoder_kernels(config), str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()


def _pays(config: FlowConfig) -> bool:
    is_slow = config.flow in ("topic_model", "update_topics") and config.runtime.engine == "threads"
    return is_slow and n_cores() > 1 and not all(map(is_compiled, STAGES))


def _encoder_kernels(config: FlowConfig) -> list[str]:
    """Return the precision of our own encoder that the run may need first, as an argument of the process."""
    embedding, own = getattr(config, "embed", None), own_precisions()
    if not isinstance(embedding, SentenceTransformersEmbed):
        return []
    return [
        name for name in own if name == embedding.precision or (embedding.precision, name) == ("auto", own[0])
    ]


def _compile_encoder(precision: str) -> None:
    if precision == "bfloat16":
        from topicflow.tasks.core.tiles import bert_tiles

        bert_tiles.compile_kernel()
    else:
        from topicflow.tasks.core.integers import bert_integers

        bert_integers.compile_kernel(in_words=precision == "int16")


def _practice(config: FlowConfig, folder: Path) -> dict[str, object]:
    """Return the values of a config with the same sections over the documents that `main` invents."""
    given = config.model_dump(mode="json", exclude_none=True)
    sections = {name: given[name] for name in SECTIONS if name in given}
    if sections.get("cluster", {}).get("method") == "classes":  # no kernel of a cluster stage
        del sections["cluster"]
    return {
        "name": "compile",
        "load": {"path": str(folder / "documents.parquet")},
        "embed": {"method": "precomputed", "column": "vector"},
        "runtime": {"store": str(folder / "store"), "runs": str(folder / "runs"), "n_threads": 1},
        **sections,
    }


def _write_documents(path: Path) -> None:
    """Write invented texts with vectors around some centres."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    topic = rng.integers(6, size=N_DOCUMENTS)
    words = np.array([f"word{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(N_WORDS)])
    texts = [
        " ".join(words[(rng.integers(N_WORDS // 6, size=12) * 6 + k) % N_WORDS]) + f" isn't naïve, {row}"
        for row, k in enumerate(topic)
    ]
    vectors = rng.normal(size=(6, DIM))[topic] + 0.3 * rng.normal(size=(N_DOCUMENTS, DIM))
    table = pl.DataFrame({"text": texts, "vector": vectors.astype(np.float32).tolist()})
    pl.concat([table, table.head(3)]).write_parquet(path)  # some are equal, as in most corpora


def _compile(config: TopicModelConfig) -> None:
    from topicflow.flows.running.current import current_run
    from topicflow.flows.running.direct import directly

    flow = importlib.import_module(f"topicflow.flows.{config.flow}")
    with current_run(config), directly():
        getattr(flow, config.flow).fn(config)


def _end_with_input(folder: Path) -> None:
    """End this process when its standard input ends, without its folder: its parent was killed."""
    os.read(sys.stdin.fileno(), 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """Compile what the config needs whose path is the last argument: the encoder, the stages, other neighbours."""
    os.nice(LEAST_NICE)
    path = Path(sys.argv[-1])
    threading.Thread(target=_end_with_input, args=[path.parent], daemon=True).start()
    for precision in sys.argv[1:-1]:
        if precision in own_precisions():
            _compile_encoder(precision)
    _write_documents(path.parent / "documents.parquet")
    config = load_config(path, [], TopicModelConfig)
    _compile(config)
    if config.neighbors.method == "auto":  # more documents than these are compared in another way
        _compile(load_config(path, ["neighbors.method=descent"], TopicModelConfig))


if __name__ == "__main__":
    main()
