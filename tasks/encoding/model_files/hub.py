"""Hub: a model's name on the Hugging Face hub -> its folder on this machine, complete.

A download that was interrupted leaves a folder with some of the files, which the hub's client takes for the model when
it looks on this machine only. So a folder is used only if no file is missing; otherwise the download continues.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from topicflow.tasks.errors import ConfigError

PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*/config.json", "*/model.safetensors")
"""Files of a model that are downloaded."""

WITHOUT_FILES = ("Normalize",)
"""Modules of sentence-transformers whose folders may be empty."""

WORDS = ("tokenizer.json", "vocab.txt", "*.model", "vocab.json")
"""Files of which one has the tokens."""


def from_hub(name: str, shown: str, revision: str | None, instead: str) -> Path:
    """Return the folder of a model: the one on this machine if it is complete, or one that is downloaded.

    Parameters
    ----------
    name : str
        The model's name on the hub.
    shown : str
        Its name in the config.
    revision : str, optional
        The revision; the newest if None.
    instead : str
        The model that needs no download, for the message.

    Raises
    ------
    ConfigError
        If the model is not complete here, and the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns, folder = list(PATTERNS), None
    try:
        with contextlib.suppress(LocalEntryNotFoundError):
            folder = Path(
                snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True)
            )
        if folder is None or missing_file(folder):
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client raises a dozen kinds of errors; all mean the same for a run
        found = "is neither a folder here nor reachable on the hub"
        if folder is not None:
            lacking = f"{missing_file(folder)} is missing in {folder}"
            found = f"was downloaded in part ({lacking}), and the hub is not reachable"
        msg = (
            f"embed: model {shown!r} {found} ({type(error).__name__}); "
            f"embed.model={instead!r} is installed and needs no download"
        )
        raise ConfigError(msg) from error
    return folder


def missing_file(folder: Path) -> str:
    """Return what a model in a folder needs and does not have: a file or folder; an empty string if nothing is missing.

    Of one model in several files, each file is needed; of a tokenizer, any file with tokens is enough.
    """
    modules = _modules(folder)
    is_transformer = any(not each["path"] and each["type"].endswith("Transformer") for each in modules)
    configs = ("config.json", "adapter_config.json")  # the second for a LoRA adapter of another model
    if (is_transformer or not modules) and not any((folder / name).exists() for name in configs):
        return "config.json"
    for index in sorted(folder.rglob("*.safetensors.index.json")):
        for name in sorted(set(json.loads(index.read_bytes())["weight_map"].values())):
            if not (index.parent / name).exists():
                return str(name)
    if not any(folder.rglob("*.safetensors")):
        return "model.safetensors"
    has_words = any(any(folder.rglob(pattern)) for pattern in WORDS)
    if not has_words and not (folder / "preprocessor_config.json").exists():  # a model of images has none
        return "tokenizer.json"
    own = [each["path"] for each in modules if each["path"] and not each["type"].endswith(WITHOUT_FILES)]
    return next((path for path in own if not any((folder / path).glob("*"))), "")


def _modules(folder: Path) -> list[dict[str, str]]:
    """Return the modules of a sentence-transformers model, each with its type and its folder; none of other models."""
    try:
        found: list[dict[str, str]] = json.loads((folder / "modules.json").read_bytes())
    except FileNotFoundError:
        return []
    return found
