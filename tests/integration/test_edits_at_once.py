"""Two `topicflow edit` commands at once: neither loses the other's edit."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.updates import N_FIRST, config_of, story, tell
from topicflow.configs.read import dump_config
from topicflow.tasks.edits.change_file import change_file
from topicflow.tasks.edits.edits_file import read_edits

SLOW = """
import sys, time
from pathlib import Path
from topicflow.tasks.edits.change_file import change_file

def slow(text):
    if sys.argv[2] == "first":
        Path(sys.argv[1] + ".inside").touch()
        time.sleep(1.0)
    return text + sys.argv[2] + "\\n"

change_file(Path(sys.argv[1]), slow)
"""


def test_a_change_waits_for_the_one_that_has_read_the_file(tmp_path: Path) -> None:
    file, inside = tmp_path / "edits.toml", tmp_path / "edits.toml.inside"
    first = subprocess.Popen([sys.executable, "-c", SLOW, str(file), "first"])
    for _ in range(600):
        if inside.exists():
            break
        time.sleep(0.05)
    second = subprocess.Popen([sys.executable, "-c", SLOW, str(file), "second"])
    assert (first.wait(60), second.wait(60)) == (0, 0)
    assert file.read_text() == "first\nsecond\n"
    assert {path.name for path in tmp_path.iterdir()} == {file.name, inside.name}  # no lock file is left


def test_a_change_sees_what_a_person_saved_meanwhile(tmp_path: Path) -> None:
    file, seen = tmp_path / "edits.toml", []

    def change(text: str) -> str:
        seen.append(text)
        if len(seen) == 1:
            file.write_text("a person's line\n")  # an editor takes no lock
        return text + "ours\n"

    change_file(file, change)
    assert seen == ["", "a person's line\n"]
    assert file.read_text() == "a person's line\nours\n"


def test_two_commands_at_once_leave_both_edits(tmp_path: Path) -> None:
    config = config_of(tmp_path, story()[:N_FIRST])
    tell(config)
    path, file = tmp_path / "update.toml", tmp_path / "topics_edits.toml"
    path.write_text(dump_config(config))
    command = [sys.executable, "-m", "topicflow.flows.commands.cli", "edit", str(path), "rename"]
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    both = [
        subprocess.Popen([*command, str(topic), f"Name {topic}"], stdout=subprocess.PIPE) for topic in (0, 1)
    ]
    time.sleep(3.0)  # long enough for both to come to the file
    assert all(each.poll() is None for each in both)
    os.close(handle)
    for each in both:
        each.communicate(timeout=60)
        assert each.returncode == 0
    assert sorted(str(edit) for edit in read_edits(file)) == ['rename 0 "Name 0"', 'rename 1 "Name 1"']
