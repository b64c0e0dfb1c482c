"""Work folder: the step by which a worker's run learns what the relative paths of its config are relative to.

Prefect's process worker starts each run in a temporary folder and deletes that with all that is in it. `prefect.yaml`
has this step in `pull`, with the folder where the deployments were made.
"""

from __future__ import annotations

import os
from pathlib import Path

from topicflow.configs.paths import WORK_FOLDER


def remember(folder: str) -> dict[str, str]:
    """Return the folder that relative paths are relative to, after naming it to the run that follows.

    What the worker's environment names comes first: a container has folders of its own.

    Parameters
    ----------
    folder : str
        An absolute path.

    Raises
    ------
    ValueError
        When there is no such folder on the worker's machine.
    """
    named = os.environ.setdefault(WORK_FOLDER, folder)
    if not Path(named).is_absolute() or not Path(named).is_dir():
        msg = (
            f"{WORK_FOLDER}={named}: no such folder on the worker's machine; name one in the work pool's environment, "
            "or deploy from a folder that is there"
        )
        raise ValueError(msg)
    return {"folder": named}
