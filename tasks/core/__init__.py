"""The computations themselves, without stores and flows."""

import os
from pathlib import Path

from topicflow.tasks.core.kernel_caches import remove_stale

os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
# OpenVINO brings its own TBB, which numba would prefer. On one core the process then did not end: numba unloads it at
# exit.

_KEPT = os.environ.get("NUMBA_CACHE_DIR")
remove_stale(Path(__file__).parent, Path(_KEPT) if _KEPT else None)
