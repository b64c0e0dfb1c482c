"""Model settings: what a sentence-transformers folder says of its model -> the prompt of a task, and notes for people.

Reads only small JSON files, so that a plan answers quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topicflow.configs.sections.embed import SentenceTransformersEmbed

TASK_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "clustering": ("clustering",),
    "classification": ("classification",),
    "document": ("document", "passage", "corpus"),
    "query": ("query",),
}
"""Names that models give to their prompt of a task, in order of preference; capital letters do not matter."""

NEED_PROMPTS = ("nomic-embed", "e5-", "instructor-", "gte-qwen", "stella", "bge-multilingual-gemma")
"""Parts of the names of models that are trained with prompts, and whose files may not have them."""

NO_LIMIT = 10**6
"""Tokenizers write 10**30 for "no limit"."""


@dataclass(frozen=True)
class ModelSettings:
    """What the files of a model say of it.

    Attributes
    ----------
    prompts : mapping of str to str
        The model's own prompts by name, without empty ones.
    default_prompt_name : str or None
        The prompt that the model uses for texts of no task.
    truncate_dim : int or None
        Number of dimensions that the model's authors keep of each vector.
    similarity : str
        How the model compares vectors: `cosine`, `dot`, `euclidean` or `manhattan`.
    pads_left : bool
        Whether its tokenizer fills a batch on the left.
    """

    prompts: Mapping[str, str]
    default_prompt_name: str | None = None
    truncate_dim: int | None = None
    similarity: str = "cosine"
    pads_left: bool = False

    def prompt_of(self, task: str | None) -> str | None:
        """Return the prompt of a task; None if the task has none, so that the prompt for documents is used."""
        if task == "none":
            return ""
        if task in {None, "document"}:
            return None
        return next((self.prompts[name] for name in self._names(str(task))), None)

    def document_prompt(self) -> str:
        """Return the prompt for documents as `encode_document` chooses it; empty if there is none."""
        names = (*TASK_PROMPTS["document"], self.default_prompt_name or "")
        return next((self.prompts[name] for name in names if name in self.prompts), "")

    def _names(self, task: str) -> list[str]:
        """Return the names of the model's prompts for a task."""
        return [own for wanted in TASK_PROMPTS[task] for own in sorted(self.prompts) if own.lower() == wanted]


def read_settings(folder: Path) -> ModelSettings:
    """Return the settings of a folder's model; those of a model without files of sentence-transformers are empty."""
    own = read_json(folder / "config_sentence_transformers.json")
    prompts = own.get("prompts") or {}
    cut = own.get("truncate_dim")
    return ModelSettings(
        prompts={name: text for name, text in prompts.items() if isinstance(text, str) and text},
        default_prompt_name=own.get("default_prompt_name"),
        truncate_dim=cut if isinstance(cut, int) else None,
        similarity=str(own.get("similarity_fn_name") or "cosine"),
        pads_left=read_json(folder / "tokenizer_config.json").get("padding_side") == "left",
    )


def read_max_tokens(folder: Path) -> int | None:
    """Return the longest input in tokens of a folder's model; None if there is no limit.

    Notes
    -----
    As sentence-transformers: the model's own setting, or else the lower of the tokenizer's limit and the number of
    places for which the transformer has vectors. A Router is limited as its layers for documents are.
    """
    place = _transformer_folder(folder)
    own = read_json(place / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(own, int):
        return own
    limits = (
        read_json(place / "tokenizer_config.json").get("model_max_length"),
        read_json(place / "config.json").get("max_position_embeddings"),
    )
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < NO_LIMIT]
    return min(known, default=None)


def base_model(folder: Path) -> tuple[str, str | None] | None:
    """Return folder or hub name, and revision, of the model that a LoRA adapter's folder changes; None for others."""
    adapter = read_json(_transformer_folder(folder) / "adapter_config.json")
    base = adapter.get("base_model_name_or_path")
    return (base, adapter.get("revision")) if isinstance(base, str) else None


def _transformer_folder(folder: Path) -> Path:
    """Return the folder of a model's transformer: of the one for documents, if queries have their own."""
    routed = sorted(folder.glob("document_*_Transformer"))
    if routed:
        return routed[0]
    modules = (
        json.loads((folder / "modules.json").read_bytes()) if (folder / "modules.json").is_file() else []
    )
    return folder / str(modules[0].get("path", "")) if modules else folder


def prompt_of(config: SentenceTransformersEmbed, settings: ModelSettings) -> str | None:
    """Return the text that a config puts before each document; None for the model's own prompt for documents."""
    return config.prompt if config.prompt is not None else settings.prompt_of(config.task)


def settings_notes(config: SentenceTransformersEmbed, settings: ModelSettings) -> list[str]:
    """Return what a person should know about the way in which a model's texts become vectors.

    Parameters
    ----------
    config : SentenceTransformersEmbed
        The section; its flow has set `task` if the user did not.
    settings : ModelSettings
        What the model's files say.
    """
    notes = []
    task = config.task
    prompt = settings.prompt_of(task)
    if config.prompt is None and task not in {None, "none", "document"} and settings.prompts:
        if prompt is not None:
            notes.append(
                f"{config.model} has a prompt for {task}, which is put before each text: {prompt!r}. "
                'embed.task = "document" uses its prompt for documents'
            )
        else:
            own = ", ".join(sorted(settings.prompts))
            used = settings.document_prompt()
            instead = f"its prompt for documents is used ({used!r})" if used else "no prompt is used"
            notes.append(f"{config.model} has no prompt for {task} (it has: {own}); {instead}")
    name = config.model.rsplit("/", 1)[-1].lower()
    is_bare = config.prompt is None and task != "none" and not settings.prompts
    if is_bare and any(part in name for part in NEED_PROMPTS):
        notes.append(
            f"models such as {config.model} are trained with a prompt before each text, and its files have none; "
            'its page says which: set embed.prompt, or embed.task = "none" to use none'
        )
    if settings.similarity != "cosine":
        notes.append(
            f"{config.model} compares vectors by {settings.similarity}; here all vectors have unit length and are "
            "compared by cosine"
        )
    if settings.pads_left:
        notes.append(
            f"the tokenizer of {config.model} fills batches on the left, so that in other programs a text's vector "
            "may depend on the batch; here each batch has texts of one length"
        )
    return notes


def read_json(path: Path) -> Any:  # noqa: ANN401  (JSON)
    """Return the content of a model's JSON file; an empty dict if there is none."""
    return json.loads(path.read_bytes()) if path.is_file() else {}
