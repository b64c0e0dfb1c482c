"""Pooling: the files of a sentence-transformers model -> how it makes one vector from the vectors of a text's tokens.

A model of a transformer, mean, first- or last-token pooling, and optional normalisation needs nothing else of
sentence-transformers: our own loop or another runtime can run it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topicflow.tasks.encoding.model_files.model_settings import read_json

POOLED_ALONE = ("mean", "cls", "lasttoken")
"""Poolings that need no more than the vectors of one text's tokens."""

PLAIN = (("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize"))


@dataclass(frozen=True)
class Pooling:
    """The contents of modules.json and of the pooling's own file.

    Attributes
    ----------
    modules : tuple of str
        Kinds of the modules in order; empty without a modules.json.
    mode : str
        `mean`, `cls`, `lasttoken`, another mode's name, `several`, `… without the prompt`, or empty for other modules.
    """

    modules: tuple[str, ...]
    mode: str

    @property
    def is_plain(self) -> bool:
        """Whether the model is a transformer, a pooling of `POOLED_ALONE`, and optional normalisation."""
        return self.modules in PLAIN and self.mode in POOLED_ALONE

    @property
    def normalizes(self) -> bool:
        """Whether the model itself returns unit vectors."""
        return self.modules[-1:] == ("Normalize",)


def read_pooling(folder: Path) -> Pooling:
    """Return the pooling of a folder's model; reads both forms of its file, the older one with a flag for each mode."""
    listed = read_json(folder / "modules.json")
    modules = tuple(str(module.get("type", "")).rpartition(".")[2] for module in listed)
    if modules not in PLAIN:
        return Pooling(modules, "")
    pooling = read_json(folder / listed[1]["path"] / "config.json")
    old = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    named = [mode for key, mode in old.items() if pooling.get(key)]
    others = [key for key, on in pooling.items() if key.startswith("pooling_mode_") and on and key not in old]
    mode = pooling.get("pooling_mode") or (named[0] if len(named) == 1 and not others else "several")
    if not isinstance(mode, str):
        mode = "several"
    if pooling.get("include_prompt") is False:
        mode = f"{mode} without the prompt"
    return Pooling(modules, mode)
