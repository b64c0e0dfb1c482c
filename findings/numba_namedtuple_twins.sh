#!/usr/bin/env bash
# Guess, written down first: a compiled function that takes a named tuple of arrays is called in a few microseconds, whatever other named tuples
# the process has used before.
#
# Seen: in numba 0.68.1 two named tuple classes with equal names, fields and types of fields, as two copies of a module have them, share the
# entry by which a call finds its compiled code. A function that is compiled for the class that came second takes the slow way in every call: 180
# instead of 2 microseconds. Which of the two is fast depends only on which one the process used first, in any function. The result is right. With
# another name or other fields it is fast. Comparing two versions of a kernel in one process therefore punishes the version loaded last.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import sys
import time
from collections import namedtuple

import numba
import numpy as np


def microseconds(name):
    arrays = namedtuple(name, "first second")(np.zeros(3), np.ones(3))

    @numba.njit
    def added(pair):
        return pair.first[0] + pair.second[0]

    assert added(arrays) == 1.0
    best = np.inf
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(400):
            added(arrays)
        best = min(best, time.perf_counter() - started)
    return 1e6 * best / 400


first, twin, other = (microseconds(name) for name in ("Pair", "Pair", "Other"))
print("numba", numba.__version__)
print(f"a call with the first class {first:.1f} us, with its twin {twin:.1f}, with a class of another name {other:.1f}")
sys.exit(0 if twin > 10 * first and other < 3 * first else 1)
PYTHON
