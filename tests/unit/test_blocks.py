"""Blocks: the number of threads that this process may use, of a kind that ends with it."""

import os
import subprocess
import sys

import pytest

from topicflow.tasks.core.vectors.blocks import n_cores

ON_ONE_CORE = """
import os

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import openvino  # brings a TBB, which numba would take

import numba
import numpy as np
from topicflow.tasks.core.vectors.blocks import n_cores


@numba.njit(parallel=True)
def fill(values):  # as umap-learn's layout: it asks for threads
    for i in numba.prange(len(values)):
        values[i] = i


fill(np.zeros(3))
print(n_cores(), numba.threading_layer())
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores"
)
def test_on_one_core_beside_openvino_a_process_counts_one_and_takes_no_tbb() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ON_ONE_CORE], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout.split() == ["1", "omp"]


def test_there_is_a_core() -> None:
    assert 1 <= n_cores() <= (os.cpu_count() or 1)
