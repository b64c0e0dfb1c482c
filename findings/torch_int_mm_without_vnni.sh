#!/usr/bin/env bash
# Guess, written down first: on any x86 processor a product of int8 matrices takes at most as long as the same product in float32.
#
# Seen: torch 2.13.0 uses oneDNN for `torch._int_mm` only on processors with AVX-512 VNNI (its pull request 136942, after oneDNN's sums overflowed
# elsewhere); on others, such as an AMD Zen 3, it is a loop without vectors and takes 20 to 35 times as long as float32. Up to 1,024 dimensions the
# float32 product of the same codes is exact, because every partial sum is an integer below 2^24.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
codes = torch.randint(-127, 128, (1024, 384), dtype=torch.int8, generator=generator)
items = torch.randint(-127, 128, (256, 384), dtype=torch.int8, generator=generator)


def nanoseconds(multiply):
    multiply()
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1e9 / (len(codes) * len(items))


integers = nanoseconds(lambda: torch._int_mm(codes, items.T))
floats = nanoseconds(lambda: codes.float() @ items.float().T)
same = bool((torch._int_mm(codes, items.T) == (codes.float() @ items.float().T).int()).all())
has_vnni = torch.cpu._is_vnni_supported()
print("torch", torch.__version__, torch.backends.cpu.get_cpu_capability(), "with VNNI" if has_vnni else "without VNNI")
print(f"nanoseconds for a pair of 384 dimensions: int8 {integers:.1f}, float32 {floats:.1f}; equal: {same}")
sys.exit(0 if same and (integers < floats if has_vnni else integers > 5 * floats) else 1)
PYTHON
