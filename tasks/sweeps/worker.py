"""Worker: a process that fits settings for a sweep: one line of JSON in, one line of JSON out.

    {"common": {…}}                           once: where the store is, the corpus, the seed
    {"settings": [[1, {…}], [2, {…}]]}        fit these; {"1": {"key": …}, "2": {"refused": …}} comes back
    {"settings": …, "draw": 3}                the same on the third draw of the documents

It ends when its input ends: also if the process of the run was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.errors import StageError, first_line
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.memo import remembering
from topicflow.tasks.store.artifact_store import ArtifactRef, open_store
from topicflow.tasks.store.local import STAGING
from topicflow.tasks.store.process import process_token

Outcome = dict[str, Any]
"""What became of a setting: the `key` of its result, or `refused` with the reason."""


def common_of(
    context: Context, corpus: Mapping[str, Any], seeds: int, n_threads: int | None
) -> dict[str, Any]:
    """Return what all settings of a sweep share, as JSON values; every process works alone on its settings."""
    alone = {"engine": "threads", "address": None, "n_threads": n_threads}
    runtime = {**context.runtime.model_dump(mode="json"), **alone}
    return {"runtime": runtime, "seed": context.seed, "corpus": dict(corpus), "seeds": seeds}


def fit_unit(common: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Outcome]:
    """Return the outcome of each setting by its number, computing what the store lacks."""
    from topicflow.tasks.sweeps.draw import fit_draw
    from topicflow.tasks.sweeps.fit import Corpus, fit_setting

    runtime = RuntimeConfig.model_validate(common["runtime"])
    context = Context(open_store(runtime), common["seed"], runtime)
    refs = {name: ArtifactRef(**common["corpus"][name]) for name in ("documents", "embeddings", "counts")}
    corpus, draw = Corpus(**refs, encoder=common["corpus"]["encoder"]), asked.get("draw")
    outcomes: dict[str, Outcome] = {}
    with remembering():
        for number, values in asked["settings"]:
            config = TopicModelConfig.model_validate(values)
            try:
                if draw is None:
                    made = fit_setting(context, corpus, config, common["seeds"])
                else:
                    made = fit_draw(context, corpus, config, draw)
            except StageError as error:
                outcomes[str(number)] = {"refused": first_line(error)}
            else:
                outcomes[str(number)] = {"key": made.key}
    return outcomes


def main() -> None:
    """Fit the settings of each line until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run's process decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not stand among the answers
    lines: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=[lines], daemon=True).start()
    common = lines.get()["common"]
    with remembering():
        while True:
            asked = lines.get()
            try:
                answer: dict[str, Any] = fit_unit(common, asked)
            except Exception as error:  # noqa: BLE001  (the run's process raises it)
                answer = {"failed": f"{type(error).__name__}: {first_line(error)}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _read(lines: queue.Queue[dict[str, Any]]) -> None:
    """Hand on each line; end the process at the end of the input, with what it was writing."""
    runtime = None
    for line in sys.stdin:
        asked = json.loads(line)
        runtime = asked.get("common", {}).get("runtime", runtime)
        lines.put(asked)
    if runtime is not None:
        with contextlib.suppress(Exception):
            store = open_store(RuntimeConfig.model_validate(runtime))
            for folder in (store.root / STAGING).glob(f"{process_token()}-*"):
                shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    main()
