"""Modules: the files of a working folder that may have settings of Prefect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from topicflow.flows.running.modules import has_settings_file


@pytest.mark.parametrize(
    ("name", "text", "may"),
    [
        ("pyproject.toml", b'[project]\nname = "reviews"\ndependencies = ["prefect"]\n[tool.ruff]\n', False),
        ("pyproject.toml", b'[tool.prefect.api]\nurl = "http://127.0.0.1:4200/api"\n', True),
        ("pyproject.toml", b'[ tool ]\nprefect = { api = { url = "http://127.0.0.1:4200/api" } }\n', True),
        ("pyproject.toml", b"[tool", True),
        ("pyproject.toml", b"\xff", True),
        (".env", b"DATABASE_URL=postgresql://localhost\n# deployed with Prefect\n", False),
        (".env", b"export prefect_api_url=http://127.0.0.1:4200/api\n", True),
        ("prefect.toml", b"", True),
        ("setup.cfg", b"[tool.prefect]\n", False),
    ],
)
def test_a_file_that_sets_nothing_of_prefect_is_no_settings_file(
    name: str, text: bytes, may: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not has_settings_file()
    (tmp_path / name).write_bytes(text)
    assert has_settings_file() is may


@pytest.mark.parametrize(("tool", "answer"), [("ruff", "False False"), ("prefect", "True True")])
def test_prefect_is_not_imported_to_find_out_that_a_project_has_no_server(
    tool: str, answer: str, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.{tool}.api]\nurl = "http://127.0.0.1:4200/api"\n')
    code = (
        "import sys; from topicflow.flows.running.start import server_is_configured\n"
        "print(server_is_configured(), 'prefect' in sys.modules)"
    )
    environment = {"PATH": "", "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "home")}
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert found.stdout == f"{answer}\n"
