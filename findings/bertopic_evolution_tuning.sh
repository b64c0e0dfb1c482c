#!/usr/bin/env bash
# Guess, written down first: topics_over_time(evolution_tuning=True) gives other words than with False, because the
# documentation says that the c-TF-IDF of a period is averaged with that of the period before.
#
# Seen: the averaged rows are assigned to a temporary matrix (`c_tf_idf.tolil()[...] = ...`), so they are lost.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps bertopic==0.17.4 2> "$work/pip.log"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 scipy tqdm plotly pyyaml 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import sys
from datetime import datetime

import bertopic
import numpy as np
from bertopic import BERTopic
from bertopic.backend import BaseEmbedder
from bertopic.cluster import BaseCluster
from bertopic.dimensionality import BaseDimensionalityReduction

texts = ["river bank water river"] * 5 + ["river flood dam flood"] * 5 + ["tea milk cup tea"] * 5 + ["tea coffee bean"] * 5
topics = [0] * 10 + [1] * 10
times = ([datetime(2024, 1, 1)] * 5 + [datetime(2024, 2, 1)] * 5) * 2
model = BERTopic(
    embedding_model=BaseEmbedder(), umap_model=BaseDimensionalityReduction(), hdbscan_model=BaseCluster()
)
model.fit(texts, embeddings=np.zeros((len(texts), 2)), y=topics)
found = {
    tuned: model.topics_over_time(texts, times, global_tuning=False, evolution_tuning=tuned)["Words"]
    for tuned in (False, True)
}
# a set: equal weights are in any order, and only the tuned weights are normalised
words = {tuned: [sorted(set(row.split(", ")) - {""}) for row in rows] for tuned, rows in found.items()}
same = words[False] == words[True]
print("bertopic", bertopic.__version__)
print("expected: in February the tuned topics also have words of January")
print("without tuning:", words[False])
print("with tuning:   ", words[True])
print("seen:", "the same words, the tuning has no effect" if same else "other words")
sys.exit(0 if same else 1)
PYTHON
