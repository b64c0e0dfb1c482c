#!/usr/bin/env bash
# Guess, written down first: in a compiled function `a[i:j] = b` takes about as long to compile as the loop that it stands for, at most a few
# tenths of a second more.
#
# Seen: numba 0.68.1 compiles with it the text of an error about shapes that do not match, and so its own implementation of formatting texts: 36
# functions of `numba.cpython.unicode` and `numba.cpython.builtins`, 4.2 s of the processor (AMD EPYC); the loop .15 s and none of them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import sys
import time

import numba
import numpy as np
from numba.core import event

compiled = event.RecordingListener()
event.register("numba:compile", compiled)


@numba.njit
def by_loop(target, source, start):
    for place in range(len(source)):
        target[start + place] = source[place]


@numba.njit
def by_slice(target, source, start):
    target[start : start + len(source)] = source


@numba.njit
def warm(values):
    return values.sum()


def measured(function):
    compiled.buffer.clear()
    started = time.process_time()
    function(np.zeros(9), np.ones(3), 2)
    seconds = time.process_time() - started
    modules = [each.data["dispatcher"].py_func.__module__ for _, each in compiled.buffer if each.is_start]
    return seconds, sum(module in ("numba.cpython.unicode", "numba.cpython.builtins") for module in modules)


warm(np.ones(3))  # the first compilation of a process loads the compiler
loop, slices = measured(by_loop), measured(by_slice)
print("numba", numba.__version__)
print(f"loop: {loop[0]:.2f} s, {loop[1]} functions of texts; slice: {slices[0]:.2f} s, {slices[1]} functions of texts")
sys.exit(0 if loop[1] == 0 and slices[1] > 20 and slices[0] > 5 * loop[0] else 1)
PYTHON
