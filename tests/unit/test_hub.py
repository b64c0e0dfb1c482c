"""Models of the hub: a download that was interrupted continues; a complete one is not asked for again."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.model_files.hub import missing_file
from topicflow.tasks.errors import ConfigError

NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "1_Pooling")


class Hub:
    """A hub with one model; the folder on this machine has what earlier downloads left."""

    def __init__(self, model: Path, here: Path) -> None:
        self.model, self.here, self.n_downloads, self.is_reachable = model, here, 0, True

    def snapshot_download(self, name: str, *, local_files_only: bool = False, **_others: object) -> str:
        if local_files_only:
            if not self.here.exists():
                raise LocalEntryNotFoundError(name)
            return str(self.here)
        if not self.is_reachable:
            raise ConnectionError("no route")
        self.n_downloads += 1
        shutil.copytree(self.model, self.here, dirs_exist_ok=True)
        return str(self.here)


@pytest.fixture
def hub(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with the tiny model."""
    made = Hub(tiny, tmp_path / "snapshot")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    return made


def leave_out(folder: Path, name: str) -> None:
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


CONFIG = SentenceTransformersEmbed(model="nobody/tiny", precision="float32")


@pytest.mark.parametrize("name", NEEDED)
def test_an_interrupted_download_continues(hub: Hub, tiny: Path, name: str) -> None:
    shutil.copytree(tiny, hub.here)
    leave_out(hub.here, name)
    found = find_encoder(CONFIG, "cpu")
    assert hub.n_downloads == 1
    assert (found.folder / name).exists()


def test_a_complete_model_is_used_without_the_hub(hub: Hub) -> None:
    first = find_encoder(CONFIG, "cpu")
    hub.is_reachable = False
    assert find_encoder(CONFIG, "cpu") == first
    assert hub.n_downloads == 1


def test_a_part_of_a_model_and_no_hub_is_one_line(hub: Hub, tiny: Path) -> None:
    shutil.copytree(tiny, hub.here)
    leave_out(hub.here, "model.safetensors")
    hub.is_reachable = False
    with pytest.raises(ConfigError) as error:
        find_encoder(CONFIG, "cpu")
    assert str(error.value) == (
        f"embed: model 'nobody/tiny' was downloaded in part (model.safetensors is missing in {hub.here}), and the "
        "hub is not reachable (ConnectionError); embed.model='all-MiniLM-L6-v2' is installed and needs no download"
    )


def test_weights_in_several_files_are_all_needed(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    entries = ", ".join(f'"weight{place}": "{name}"' for place, name in enumerate(names))
    (folder / "model.safetensors.index.json").write_text(f'{{"weight_map": {{{entries}}}}}')
    assert missing_file(folder) == names[1]
    (folder / names[1]).touch()
    assert missing_file(folder) == ""
