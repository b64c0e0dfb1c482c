"""Work folder: the step that tells a worker's run the folder for the relative paths of its config.

Prefect's process worker starts each run in a temporary folder and deletes it with everything in it. `prefect.yaml`
has this step in `pull`, with the folder where the deployments were made.
"""

from __future__ import annotations

import os
from pathlib import Path

from topicflow.configs.paths import WORK_FOLDER


def remember(folder: str) -> dict[str, str]:
    """Set the folder for relative paths in the environment of the run, and return it.

    A folder that the worker's environment already names is kept: a container has its own folders.

    Parameters
    ----------
    folder : str
        An absolute path.

    Raises
    ------
    ValueError
        If there is no such folder on the worker's machine.
    """
    named = os.environ.setdefault(WORK_FOLDER, folder)
    if not Path(named).is_absolute() or not Path(named).is_dir():
        msg = (
            f"{WORK_FOLDER}={named}: no such folder on the worker's machine; name one in the work pool's environment, "
            "or deploy from a folder that exists there"
        )
        raise ValueError(msg)
    return {"folder": named}
