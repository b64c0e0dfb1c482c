"""Encoder cache: made once, checked byte by byte, and errors are named."""

from pathlib import Path

import pytest

from topicflow.tasks.encoding.encoder_cache import encoder_cache, kept
from topicflow.tasks.errors import ConfigError
from topicflow.tasks.store.artifact_store import ArtifactWriter, Recipe

RECIPE = Recipe("embed", "toy", 1)


def make(writer: ArtifactWriter) -> None:
    writer.path("table.bin").write_bytes(b"0123456789")


def refuse(_: ArtifactWriter) -> None:
    raise AssertionError


@pytest.mark.parametrize("damage", [b"0123456780", b"01234", None])
def test_what_is_damaged_is_named_and_made_again(
    damage: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = kept(RECIPE, make, tmp_path) / "table.bin"
    assert kept(RECIPE, refuse, tmp_path) == table.parent
    assert caplog.text == ""
    table.chmod(0o600)
    table.parent.chmod(0o700)
    table.write_bytes(damage) if damage else table.unlink()
    assert kept(RECIPE, make, tmp_path) == table.parent
    assert table.read_bytes() == b"0123456789"
    assert "is damaged (" in caplog.text
    assert "table.bin" in caplog.text
    kept(RECIPE, refuse, tmp_path)


def test_another_recipe_has_files_of_its_own(tmp_path: Path) -> None:
    folders = [kept(Recipe("embed", "toy", 1, identity={"encoder": key}), make, tmp_path) for key in "ab"]
    assert folders[0] != folders[1]


def test_a_cache_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert encoder_cache() == tmp_path / "file" / "topicflow" / "encoders"
    with pytest.raises(
        ConfigError,
        match=r"^embed: the cache of encoders cannot be used \([^\n]*\); set XDG_CACHE_HOME to a ",
    ):
        kept(RECIPE, make)
