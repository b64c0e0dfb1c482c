#!/usr/bin/env bash
# Guess, written down first: EVoC gives rows that are equal bit for bit the same label, because they do not differ.
#
# Seen: copies of one row are spread over several clusters and noise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check evoc==0.3.2 numpy==2.4.6 scikit-learn==1.9.1
NUMBA_NUM_THREADS=1 "$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import evoc
import numpy as np

warnings.filterwarnings("ignore")
print("evoc", version("evoc"), "numpy", np.__version__)

rng = np.random.default_rng(0)
centers = rng.normal(size=(8, 64))
rows = np.repeat(centers, 150, axis=0) + rng.normal(scale=0.35, size=(1200, 64))
copies = np.repeat(rows[:1], 200, axis=0)  # one text that occurs two hundred times
vectors = np.vstack([rows, copies]).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
vectors[1200:] = vectors[0]

labels = evoc.EVoC(random_state=0).fit_predict(vectors)
own = labels[1200:]
print("expected: the 200 equal rows have one label")
print("labels of the 200 equal rows (-1 is noise):", dict(zip(*map(np.ndarray.tolist, np.unique(own, return_counts=True)))))
surprising = len(np.unique(own)) > 1
print("as recorded" if surprising else "CHANGED: look at findings/README.md")
sys.exit(0 if surprising else 1)
PYTHON
