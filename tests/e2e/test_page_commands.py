"""The commands, config files and Python of README and docs, page by page, in a folder of small inputs.

Each page begins with the reviews, their config and a run of it, and its blocks follow each other. A command must print
what the page shows below it, an `error:` too. A block that is not run says why (see tests/pages.py).
"""

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Outcome
from tests.pages import ROOT, Block, Shown, blocks, commands, missing_output, pages
from tests.reviews import write_inputs
from tests.search_servers import search_server

Topicflow = Callable[..., Outcome]

RUN = {"console", "python", "toml", "csv"}
PAGES = [page for page in pages() if any(block.language in RUN for block in blocks(page))]

QUICKER = {"classify": ("--set", "setfit.enabled=false", "--set", "compare.n_splits=2")}
"""What a command is given besides, where its page's own numbers take minutes; test_classify.py trains SetFit."""

LONG = {
    "CONTRIBUTING",
    "architecture",
    "classes",
    "duplicates",
    "edits",
    "embeddings",
    "given-topics",
    "loading",
    "over-time",
    "python",
    "search",
    "search_server",
    "shaping-topics",
    "sweeps",
    "topics",
    "tuning",
    "updates",
    "walkthrough",
}
"""Pages of seven seconds and more: `make test-slow`."""

SHELL = {"cat", "ls", "head", "curl"}
"""Programs that are run as they are."""

SERVED_AT = "127.0.0.1:8765"
"""The address of a search server on pages; tests start it at a free port."""


class SearchServers:
    """The search servers that a page starts; they stop at its end."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack, self._place = stack, SERVED_AT

    def start(self, shown: Shown, folder: Path, arguments: list[str]) -> None:
        """Start one, and compare its lines with those of the page."""
        server = self._stack.enter_context(search_server(folder, *arguments))
        self._place = server.address.removeprefix("http://")
        said = "\n".join(server.lines).replace(self._place, SERVED_AT)
        assert missing_output(shown, said) == [], f"{shown.block.place}\n{said}"

    def real(self, text: str) -> str:
        """Return the text of a page with the address of the last server that was started."""
        return text.replace(SERVED_AT, self._place)


@pytest.fixture
def servers() -> Iterator[SearchServers]:
    """The search servers of a page."""
    with contextlib.ExitStack() as stack:
        yield SearchServers(stack)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs and the shipped configs; the first page adds the reviews' config and a run of it."""
    folder = tmp_path_factory.mktemp("prepared")
    write_inputs(folder)
    for name in ("configs", "deployments"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*/")
        )
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, topicflow: Topicflow, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page's own copy of the prepared folder."""
    if not (prepared / "reviews.toml").exists():
        monkeypatch.chdir(prepared)
        for arguments in (("init", "reviews.csv"), ("run", "reviews.toml")):
            outcome = topicflow(*arguments)
            assert outcome.code == 0, outcome.err
    shutil.copytree(prepared, tmp_path / "page", symlinks=True)
    monkeypatch.chdir(tmp_path / "page")
    return tmp_path / "page"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page, id=page.relative_to(ROOT).as_posix(), marks=pytest.mark.slow if page.stem in LONG else ()
        )
        for page in PAGES
    ],
)
def test_the_blocks_of_a_page_do_what_it_shows(
    page: Path,
    folder: Path,
    topicflow: Topicflow,
    monkeypatch: pytest.MonkeyPatch,
    servers: SearchServers,
) -> None:
    for block in blocks(page):
        if block.reason or block.change or block.language not in RUN:
            continue
        if block.language == "console":
            for shown in commands(block):
                _run(shown, folder, topicflow, monkeypatch, servers)
        elif block.language == "python":
            exec(compile(servers.real(block.text), block.place, "exec"), {})
        elif block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def _run(
    shown: Shown,
    folder: Path,
    topicflow: Topicflow,
    monkeypatch: pytest.MonkeyPatch,
    servers: SearchServers,
) -> None:
    """Run one command and compare its output with the lines below it on the page."""
    program, *arguments = shlex.split(servers.real(shown.command), comments=True)
    place = f"{shown.block.place}: {shown.command}"
    if (program, *arguments[:2]) == ("topicflow", "serve", "--search"):
        servers.start(shown, folder, arguments[2:])
    elif program == "topicflow":
        if arguments[0] == "init" and "--output" not in arguments:  # each page has its config already
            (folder / f"{Path(arguments[1]).stem}.toml").unlink(missing_ok=True)
        outcome = topicflow(*arguments, *QUICKER.get(arguments[0], ()))
        wants_error = any(line.startswith("error: ") for line in shown.output)
        assert (outcome.code != 0) == wants_error, f"{place}\n{outcome.out}\n{outcome.err}"
        assert missing_output(shown, f"{outcome.out}\n{outcome.err}") == [], (
            f"{place}\n{outcome.out}{outcome.err}"
        )
        assert "Traceback" not in outcome.err
    elif program == "export":
        for assignment in arguments:
            monkeypatch.setenv(*assignment.split("=", 1))
    elif program == "python":
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{place}\n{done.stderr}"
    elif program in SHELL:
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{place}\n{done.stderr}"
        assert missing_output(shown, done.stdout) == [], f"{place}\n{done.stdout}"
    else:
        _check_apart(program, arguments, place)


def _check_apart(program: str, arguments: list[str], place: str) -> None:
    """Compare commands that install, or run everything, with the Makefile and pyproject.toml; .ci/run runs them."""
    if program == "make":
        assert arguments, place
        assert set(arguments) <= _targets(), place
    elif program == "pip":
        named = re.findall(r"topicflow\[([\w,]+)\]", " ".join(arguments))
        assert named, place
        assert set(named[0].split(",")) <= set(_project()["optional-dependencies"]), place
    else:
        assert program == "source", (
            f"{place}: no test knows this program; say with a comment why it is not run"
        )
        assert arguments == [".venv/bin/activate"], place


def _targets() -> set[str]:
    return set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def test_a_command_that_no_test_knows_and_output_that_is_not_printed_are_found(
    folder: Path, topicflow: Topicflow, monkeypatch: pytest.MonkeyPatch, servers: SearchServers
) -> None:
    block = Block(ROOT / "README.md", 1, "console", "", "")
    for command, output in (
        ("terraform apply", ()),
        ("make moonrise", ()),
        ("pip install 'topicflow[moon]'", ()),
        ("ls reviews.csv", ("reviews.tsv",)),
        ("topicflow runs", ("error: no runs",)),
        ("topicflow plan nowhere.toml", ()),
    ):
        with pytest.raises(AssertionError):
            _run(Shown(block, command, output), folder, topicflow, monkeypatch, servers)
