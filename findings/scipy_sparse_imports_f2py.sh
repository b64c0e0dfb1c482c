#!/usr/bin/env bash
# Guess, written down first: `import scipy.sparse` after `import numpy` loads scipy's own modules; the parts of numpy that numpy loads only when they
# are used, such as f2py, which wraps Fortran, stay unloaded.
#
# Seen: scipy 1.17.1 loads all of them. Its layer for other array libraries takes every name of numpy 2.4.6 (`from numpy import *`), and numpy counts
# its lazy modules among its names: 60 modules, 17 of them f2py with its parser of Fortran, besides ctypeslib, testing, polynomial, typing and the
# deprecated numpy.core. They are most of the time of the import (.73, median of five), so a program that only wants a csr_matrix, as most of this
# field do, waits for a Fortran parser.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import statistics
import subprocess
import sys

LOADED = """
import sys
import numpy
before = set(sys.modules)
import scipy.sparse
print(*sorted(name for name in set(sys.modules) - before if name.startswith("numpy.")))
"""


def seconds_of(code):
    """Return the cumulative seconds of each import in a fresh process."""
    said = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    rows = [line.removeprefix("import time:").split("|") for line in said.stderr.splitlines()]
    return {name.strip(): int(total) / 1e6 for _, total, name in rows[1:]}


import numpy
import scipy

subprocess.run([sys.executable, "-c", "import scipy.sparse"], check=True)  # bytecode is written
loaded = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout.split()
shares = []
for _ in range(5):
    taken = seconds_of("import numpy; import scipy.sparse")
    shares.append(taken["scipy._lib.array_api_compat.numpy"] / taken["scipy.sparse"])
print("scipy", scipy.__version__, "numpy", numpy.__version__)
print(f"import scipy.sparse loads {len(loaded)} modules of numpy, of f2py {sum(name.startswith('numpy.f2py') for name in loaded)}:")
print(*[name for name in loaded if name.count(".") == 1])
print(f"share of the layer for other array libraries in the time of the import: {statistics.median(shares):.2f}")
sys.exit(0 if "numpy.f2py.crackfortran" in loaded and statistics.median(shares) > 0.4 else 1)
PYTHON
