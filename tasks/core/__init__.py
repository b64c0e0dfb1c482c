"""The computations themselves, free of stores and flows."""

import os

os.environ.setdefault("NUMBA_THREADING_LAYER_PRIORITY", "omp tbb workqueue")
# OpenVINO brings a TBB that numba would prefer; on one core the process then never ended (numba unloads it at exit).
