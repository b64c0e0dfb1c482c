#!/usr/bin/env bash
# Guess, written down first: hdbscan gives every row of finite input a finite outlier score (GLOSH); rows that occur many
# times, such as copies of one text, are a dense cluster and change nothing for the rows far from it.
#
# Seen: if one row occurs more than min_samples times, the outlier scores of noise rows are NaN.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    hdbscan==0.8.44 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
"$work/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import hdbscan
import numpy as np

warnings.filterwarnings("ignore")
print("hdbscan", version("hdbscan"), "numpy", np.__version__)


def scores(n_copies: int) -> tuple[int, int]:
    """Return how many rows are noise, and how many of these have no finite outlier score."""
    rng = np.random.default_rng(0)
    clusters = [rng.normal(center, 0.3, (60, 5)) for center in (-3.0, 3.0)]
    scattered = rng.uniform(-8.0, 8.0, (30, 5))
    copies = np.repeat(clusters[0][:1], n_copies, axis=0)
    model = hdbscan.HDBSCAN(min_cluster_size=10, min_samples=5).fit(np.vstack([*clusters, scattered, copies]))
    noise = model.labels_ == -1
    return int(noise.sum()), int((~np.isfinite(model.outlier_scores_[noise])).sum())


print("expected: no row has a score that is not finite, with copies or without")
found = {n: scores(n) for n in (0, 3, 20)}
for n, (noise, not_finite) in found.items():
    print(f"{n:2d} copies of one row: {noise} noise rows, {not_finite} of them without a finite score")
surprising = found[0][1] == 0 and found[20][0] > 0 and found[20][1] == found[20][0]
print("as recorded" if surprising else "CHANGED: look at findings/README.md")
sys.exit(0 if surprising else 1)
PYTHON
