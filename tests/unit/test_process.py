"""The token of a process: constant in it, different in each other one, for any id."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.commands import clean_environment
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.store.process import process_token, staging_name

SAY = "from topicflow.tasks.store.process import process_token; print(process_token())"


def test_a_process_has_one_token_and_another_process_another() -> None:
    others = {
        subprocess.run(
            [sys.executable, "-c", SAY], env=clean_environment(), capture_output=True, text=True, check=True
        ).stdout.strip()
        for _ in range(2)
    }
    assert process_token() == process_token()
    assert len({process_token(), *others}) == 3


def test_a_process_with_the_same_id_elsewhere_has_another_token(tmp_path: Path) -> None:
    """Like two containers, whose first process has the id 1 and whose hosts may have the same name."""
    same_id = f"import os; os.getpid = lambda: {os.getpid()}; {SAY}"
    done = subprocess.run(
        [sys.executable, "-c", same_id], env=clean_environment(), capture_output=True, text=True, check=True,
        cwd=tmp_path,
    )  # fmt: skip
    host, pid, _ = process_token().rsplit("-", 2)
    assert done.stdout.startswith(f"{host}-{pid}-")
    assert done.stdout.strip() != process_token()


def test_a_forked_child_has_its_own() -> None:
    process_token()
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, process_token().encode())
        os._exit(0)
    os.wait()
    assert os.read(reading, 1000).decode() != process_token()
    os.close(reading)
    os.close(writing)


def test_staging_names_contain_the_token(store: ArtifactStore) -> None:
    recipe = Recipe(stage="cluster", kind="labels", version=1)
    with store.writing(recipe) as writer:
        writer.save_array("labels", np.arange(3))
        assert writer.folder.name.startswith(f"{process_token()}-")
    assert staging_name() != staging_name()
