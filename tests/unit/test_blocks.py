"""Blocks: the number of threads that this process may use, of a kind that ends with it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from topicflow.tasks.core.vectors.blocks import gathered, give_back, n_cores
from topicflow.tasks.store.resources import highest_peak_bytes, measured

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


def resident(path: Path) -> int:
    """Return how many kB of a mapped file count as memory of this process."""
    lines = Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if line.endswith(str(path))]
    return sum(
        int(lines[j].split()[1]) for i in starts for j in range(i, i + 6) if lines[j].startswith("Rss:")
    )


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's account of mapped memory")
def test_pages_that_were_read_are_given_back_and_keep_their_content(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    values = np.arange(3_000_000, dtype=np.float32).reshape(-1, 100)
    np.save(path, values)
    mapped = np.load(path, mmap_mode="r")
    assert mapped.sum(dtype=np.float64) == values.sum(dtype=np.float64)
    assert resident(path) >= 11_000
    give_back(mapped[10_000:])
    assert resident(path) < 5_000  # where pages are large, a little more than asked is given back
    give_back(np.asarray(mapped))
    assert resident(path) < 200
    np.testing.assert_array_equal(mapped, values)
    give_back(mapped[::2])  # not one piece: stays
    assert resident(path) >= 11_000
    give_back(values)
    give_back(values[5:9].copy())
    rows = np.random.default_rng(0).permutation(30_000)[:6_000]
    give_back(mapped)
    np.testing.assert_array_equal(gathered(mapped, rows), values[rows])
    assert resident(path) < 200
    np.testing.assert_array_equal(gathered(mapped, rows[:0]), values[:0])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux resets the mark")
def test_the_peak_of_a_process_outlasts_the_stages_that_it_measures() -> None:
    with measured() as large:
        np.ones(50_000_000, np.float32).sum()
    with measured() as small:
        pass
    assert small.peak_rss_bytes < large.peak_rss_bytes - 100_000_000
    assert highest_peak_bytes() >= large.peak_rss_bytes
