"""`topicflow doctor`: one line for each finding, and an exit code that says whether runs would fail."""

import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from tests.commands import Outcome
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.doctor import installed, machine, places
from topicflow.tasks.doctor.finding import Finding

CPUINFO = "model name\t: A processor\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8 amx_bf16\n"


def test_a_machine_that_is_ready(tmp_path: Path, run_here: Callable[..., Outcome]) -> None:
    said = run_here("doctor", "--store", tmp_path / "store", "--runs", tmp_path / "runs")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[-1] == "nothing is wrong"
    subjects = [line[8:21].strip() for line in lines if line.startswith(("ok ", "note "))]
    assert subjects == [
        "versions", "libraries", "extras", "machine", "instructions", "device", "kernels", "store", "runs", "server",
    ]  # fmt: skip
    assert f"prefect {version('prefect')}" in said.out
    assert len(lines) <= 24  # one screen
    assert list(tmp_path.iterdir()) == []


def test_what_would_fail_is_a_problem(
    tmp_path: Path, run_here: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "c.toml").write_text('[load]\npath = "d.csv"\n[count]\nstop_words = "klingon"\n')
    monkeypatch.setattr(
        "topicflow.tasks.doctor.machine.missing_device", lambda _: "this machine has no NVIDIA GPU"
    )
    said = run_here(
        "doctor", tmp_path / "c.toml", "--runs", tmp_path / "file", "--store", tmp_path / "s", "--json"
    )
    problems = {
        each["subject"]: each["found"] for each in reversed(said.record) if each["grade"] == "problem"
    }
    assert said.code == 1
    assert problems["config"].startswith("count.stop_words: no list for 'klingon'")
    assert problems["runs"].endswith("cannot be written; choose another --runs")
    assert problems["device"] == "runtime.device='auto': this machine has no NVIDIA GPU"
    wrong = run_here("doctor", tmp_path / "c.toml", "--flow", "deduplicate", "--store", tmp_path / "s")
    assert "unknown key 'count'" in " ".join(wrong.out.split())
    assert wrong.code == 1


def test_a_full_disk_and_a_bucket_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    found = list(places.places(RuntimeConfig(store=str(tmp_path / "a"), runs=str(tmp_path / "b"))))
    assert [(each.subject, each.grade) for each in found] == [("store", "problem"), ("runs", "problem")]
    assert found[0].found.endswith("1.0 GiB free: less than 2 GiB; free space")
    monkeypatch.setattr("topicflow.tasks.store.bucket.find_spec", lambda _: None)
    (store, _) = places.places(RuntimeConfig(store="s3://bucket/store", runs=str(tmp_path)))
    assert (store.grade, "pip install 'topicflow[s3]'" in store.found) == ("problem", True)


def test_instructions_are_named() -> None:
    found = machine.instructions(CPUINFO).found
    assert found == "AVX2, AVX-512, VNNI (512), AMX bfloat16, AMX int8"
    assert "gains little" in machine.instructions("flags : avx2\n").found
    assert machine.instructions("").found == "not known on this system"


def test_kernels_count_as_compiled_as_long_as_their_file_does_not_change(tmp_path: Path) -> None:
    file = tmp_path / "loops.py"
    file.write_text(
        "@njit(nogil=True, cache=True)  # why\ndef one(x):\n    pass\n\n\n@njit(cache=True)\ndef two():\n    pass\n"
    )
    assert machine.kernels(tmp_path).found.startswith("0 of 2 are compiled")
    (tmp_path / "__pycache__").mkdir()
    for name in ("one", "two"):
        (tmp_path / "__pycache__" / f"loops.{name}-2.py311.nbi").write_bytes(b"")
    assert machine.kernels(tmp_path) == Finding("kernels", "all 2 are compiled")
    later = file.stat().st_mtime + 60
    os.utime(file, (later, later))
    assert machine.kernels(tmp_path).grade == "note"


def test_a_library_that_does_not_fit_is_named() -> None:
    assert installed.misfit(Requirement("numpy>=1")) is None
    assert installed.misfit(Requirement("numpy<1")) == f"numpy {version('numpy')} does not fit, <1 is needed"
    assert installed.misfit(Requirement("no-such-library-here")) == "no-such-library-here is not installed"


@pytest.fixture
def prefect() -> Iterator[str]:
    """The URL of what answers as a Prefect server of version 3.0.0."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps("3.0.0" if "version" in self.path else True).encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    listening = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}/api"
    listening.shutdown()
    listening.server_close()


def test_a_server(prefect: str) -> None:
    assert places.server(None, "3.0.0").grade == "ok"
    assert places.server(prefect, "3.0.0") == Finding("server", f"{prefect} answers, Prefect 3.0.0")
    assert places.server(prefect, "3.1.0").grade == "note"
    gone = places.server("http://127.0.0.1:1/api", "3.0.0")
    assert (gone.grade, "does not answer (ConnectError)" in gone.found) == ("problem", True)
