"""Encoder: a section `embed` and a device -> whether the encoder can be loaded here, without loading it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from topicflow.configs.sections.embed import (
    ApiEmbed,
    EmbedConfig,
    ImagesEmbed,
    PrecomputedEmbed,
    SentenceTransformersEmbed,
)
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import check_integers, too_long
from topicflow.tasks.encoding.images import missing_pillow
from topicflow.tasks.encoding.model_files.bert_shape import ON_CPUS
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.devices import missing_device
from topicflow.tasks.servers.endpoint import endpoint_of


def check_encoder(config: EmbedConfig, device: str) -> None:
    """Check that the encoder's files, device and packages are there, and that it reads texts as long as asked for.

    A model of the hub is downloaded if it is not on this machine. A server is not asked.

    Raises
    ------
    ConfigError, DataError
        What the stage `embed` would raise.
    """
    if isinstance(config, PrecomputedEmbed):
        if config.path is not None and not Path(config.path).is_file():
            msg = f"embed: {config.path}: no such file; set embed.path to a .npy file"
            raise DataError(msg)
    elif isinstance(config, ApiEmbed):
        endpoint_of(config, "embed")
    elif isinstance(config, ImagesEmbed):
        if find_spec("PIL") is None:
            raise missing_pillow()
        _check_device(device)
    else:
        files = find_encoder(config, device, keep=False)
        if isinstance(config, SentenceTransformersEmbed):
            _check_device("cpu" if files.precision in ON_CPUS else device)
            if (most := _longest(files.folder)) and (config.max_seq_length or 0) > most:
                raise too_long(config, files, most)
            check_integers(files, config)


def _check_device(device: str) -> None:
    if (why := missing_device(device)) is not None:
        msg = f"runtime.device={device!r}: {why}; set it to 'auto' or 'cpu'"
        raise ConfigError(msg)


def _longest(folder: Path) -> int | None:
    """Return the longest input, in tokens, for which a model has places; None if its files do not say that."""
    for path in (folder / "config.json", *sorted(folder.glob("0_*/config.json"))):
        if path.is_file():
            found = json.loads(path.read_bytes()).get("max_position_embeddings")
            return found if isinstance(found, int) else None
    return None
