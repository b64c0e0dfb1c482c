"""The computations themselves, without stores and flows."""

import os

os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
# OpenVINO brings its own TBB, which numba would prefer. On one core the process then did not end: numba unloads it at
# exit.
