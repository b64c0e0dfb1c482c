#!/usr/bin/env bash
# Guess, written down first: the function that LLVM has for one instruction of the processor, called in a loop with as many sums as it takes to keep
# both ports busy, is compiled to that instruction, as it is for every other one of AVX-512 VNNI.
#
# Seen: for Sapphire, Emerald and Granite Rapids llvmlite 0.50.0 (LLVM 22.1) makes `vpdpwssd`, which adds products of two int16 to a sum, into `vpmaddwd`
# and `vpaddd`: 22 of 24 in the loop of a product of matrices. A pass that shortens chains of dependent instructions does it; it does not count that
# the other sums fill the time between. For Cascade Lake, Ice Lake and Zen 4, whose models in LLVM have `fast-dpwssd`, the instruction stays, and so
# does `vpdpbusd`, the same for bytes, everywhere. With `+fast-dpwssd` given as a feature, and in inline assembly, it stays on all. numba takes the name
# of the processor and not that feature: a kernel with 24 sums ran at 101 GMAC a second on one core of an Emerald Rapids, and at 185 with the instruction
# (2026-11-30, two runs some minutes apart).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check llvmlite==0.50.0 2> "$work/pip.log"
"$work/venv/bin/python" - <<'PYTHON'
import sys

import llvmlite
import llvmlite.binding as llvm

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()


def loop(instruction, n_rows):
    """Return the loop of a product of matrices: `n_rows` numbers of 32 bits of one side, two registers of the other."""
    name, kind = f"@llvm.x86.avx512.{instruction}.512", "<16 x i32>"
    sums = [(row, half) for row in range(n_rows) for half in range(2)]
    lines = [f"declare {kind} {name}({kind}, {kind}, {kind})", "define void @add(ptr %rows, ptr %columns, i64 %stride, i64 %n, ptr %out) {"]
    lines += ["start:", "br label %loop", "loop:", "%at = phi i64 [0, %start], [%next, %loop]"]
    lines += [f"%s{row}_{half} = phi {kind} [zeroinitializer, %start], [%t{row}_{half}, %loop]" for row, half in sums]
    lines += ["%twice = shl i64 %at, 1", "%twice1 = add i64 %twice, 1"]
    lines += [f"%c0 = getelementptr {kind}, ptr %columns, i64 %twice", f"%c1 = getelementptr {kind}, ptr %columns, i64 %twice1"]
    lines += [f"%y0 = load {kind}, ptr %c0, align 4", f"%y1 = load {kind}, ptr %c1, align 4"]
    for row in range(n_rows):
        lines += [f"%m{row} = mul i64 %stride, {row}", f"%p{row} = add i64 %m{row}, %at", f"%r{row} = getelementptr i32, ptr %rows, i64 %p{row}"]
        lines += [f"%v{row} = load i32, ptr %r{row}, align 4", f"%i{row} = insertelement {kind} undef, i32 %v{row}, i32 0"]
        lines += [f"%x{row} = shufflevector {kind} %i{row}, {kind} undef, {kind} zeroinitializer"]
        lines += [f"%t{row}_{half} = call {kind} {name}({kind} %s{row}_{half}, {kind} %x{row}, {kind} %y{half})" for half in range(2)]
    lines += ["%next = add i64 %at, 1", "%more = icmp slt i64 %next, %n", "br i1 %more, label %loop, label %done", "done:"]
    for number, (row, half) in enumerate(sums):
        lines += [f"%o{number} = getelementptr {kind}, ptr %out, i64 {number}", f"store {kind} %t{row}_{half}, ptr %o{number}, align 4"]
    return "\n".join([*lines, "ret void", "}"])


def counted(instruction, n_rows, cpu, features=""):
    """Return how often the instruction, and how often the pair instead of it, is in the code for a processor."""
    target = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu=cpu, features=features, opt=3)
    module = llvm.parse_assembly(loop(instruction, n_rows))
    module.verify()
    text = machine.emit_assembly(module)
    return text.count(f"\t{instruction}\t"), text.count("\tvpmaddwd\t")


print("llvmlite", llvmlite.__version__, "LLVM", ".".join(map(str, llvm.llvm_version_info)))
seen = {}
for cpu in ("cascadelake", "icelake-server", "znver4", "sapphirerapids", "emeraldrapids", "graniterapids"):
    for instruction in ("vpdpwssd", "vpdpbusd"):
        seen[cpu, instruction] = found = counted(instruction, 12, cpu)
        print(f"{cpu:15} {instruction}, 24 sums: {found[0]:2} times the instruction, {found[1]:2} times vpmaddwd")
kept = counted("vpdpwssd", 12, "sapphirerapids", "+fast-dpwssd")
print(f"with +fast-dpwssd   {'':12}: {kept[0]:2} times the instruction, {kept[1]:2} times vpmaddwd")
split = {cpu for (cpu, instruction), found in seen.items() if instruction == "vpdpwssd" and found[1] > 0}
whole = all(found == (24, 0) for (_, instruction), found in seen.items() if instruction == "vpdpbusd")
sys.exit(0 if split == {"sapphirerapids", "emeraldrapids", "graniterapids"} and whole and kept == (24, 0) else 1)
PYTHON
