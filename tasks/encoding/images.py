"""Images: a column of image files -> embeddings (n_docs, dim) float32 in a space shared with text queries (CLIP).

A model embeds each image only once: the bytes of a file identify its vector, not its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from topicflow.configs.sections.embed import ImagesEmbed, SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.tasks.documents.columns import require_column
from topicflow.tasks.documents.formats.read_errors import readable
from topicflow.tasks.encoding import recipes
from topicflow.tasks.encoding.encoder_files import EncoderFiles, find_encoder
from topicflow.tasks.encoding.encoders import load_model
from topicflow.tasks.encoding.vector_store import VectorStore
from topicflow.tasks.errors import ConfigError, DataError, first_line
from topicflow.tasks.execution.progress import track
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe, digest
from topicflow.tasks.store.digests import Digests

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHUNK_IMAGES = 256
"""Images embedded between two commits; a killed run loses at most these."""

BATCH_IMAGES = 16


def find_image_encoder(config: ImagesEmbed, device: str = "auto") -> EncoderFiles:
    """Return the files and key of the model that embeds images; raises the errors of `find_encoder`."""
    return find_encoder(as_text_model(config), device)


def as_text_model(config: ImagesEmbed) -> SentenceTransformersEmbed:
    """Return the config of the same model for texts, because queries are texts."""
    return SentenceTransformersEmbed(model=config.model, revision=config.revision, precision="float32")


def image_paths(store: ArtifactStore, documents: ArtifactRef, config: ImagesEmbed) -> list[Path]:
    """Return the file of each document's image.

    Raises
    ------
    DataError
        If the column is missing or contains no paths, or a file does not exist or is not in `root`.
    """
    own = store.table(documents, "columns")
    schema = own.collect_schema()
    require_column("embed", config.column, schema, "embed.column")
    if not isinstance(schema[config.column], pl.String):
        msg = f"embed: column {config.column!r} is {schema[config.column]}, expected paths of image files"
        raise DataError(msg)
    names = own.select(config.column).collect()[config.column].to_list()
    root = Path(config.root).expanduser()
    inside = None if config.allow_outside_root else Inside(root)
    return [
        _image_path(root, name, inside, f"column {config.column!r}, document {row}")
        for row, name in enumerate(names)
    ]


def _image_path(root: Path, name: str | None, inside: Inside | None, where: str) -> Path:
    """Return the path of an image; raise DataError if it is not a file, or is outside `inside`."""
    path = root / name if name else None
    if path is not None and inside is not None and not inside.holds(path):
        msg = (
            f"embed: {where}: {name!r} is outside embed.root={str(root)!r}; name another root, or set "
            "embed.allow_outside_root=true"
        )
        raise DataError(msg)
    if path is None or not path.is_file():
        what = f"{path} does not exist" if path else "there is no path"
        msg = f"embed: {where}: {what}; paths are relative to embed.root"
        raise DataError(msg)
    return path


class Inside:
    """Finds out which files are in a folder, through links and `..`; each folder is looked up once."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._folders: dict[Path, bool] = {}

    def holds(self, path: Path) -> bool:
        """Return whether a path leads to a file in the folder; the file may be missing."""
        if path.is_symlink():
            return path.resolve().is_relative_to(self._root)
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = folder.resolve().is_relative_to(self._root)
        return self._folders[folder] and path.name not in {"", ".."}


def image_recipe(store: ArtifactStore, documents: ArtifactRef, config: ImagesEmbed, device: str) -> Recipe:
    """Return the recipe of the embeddings of the documents' images; the bytes decide it, not the paths."""
    digests = file_digests(image_paths(store, documents, config))
    return recipes.embed(config, digest(digests.tobytes()), find_image_encoder(config, device).key)


def embed_images(
    store: ArtifactStore, documents: ArtifactRef, config: ImagesEmbed, runtime: RuntimeConfig
) -> ArtifactRef:
    """Return the embeddings artifact of images, embedding only those that this model has not embedded before."""
    recipe = image_recipe(store, documents, config, runtime.device)
    if found := store.find(recipe):
        return found
    files = find_image_encoder(config, runtime.device)
    paths = image_paths(store, documents, config)
    digests = file_digests(paths)
    vectors = VectorStore(store, f"images-{files.key}")
    with store.writing(recipe) as writer:
        missing = np.flatnonzero(vectors.locate(digests)[:, 0] < 0)
        missing = missing[np.sort(np.unique(digests[missing], axis=0, return_index=True)[1])]
        if len(missing):
            _embed_missing(
                paths, digests, missing, vectors, load_images_model(files, config, runtime), config.model
            )
        places = vectors.locate(digests)
        embeddings = writer.open_array("embeddings", (documents.rows, vectors.dim), "float32")
        vectors.gather(places, embeddings)
        writer.rows = documents.rows
        writer.meta = {
            "encoder": f"images-{files.key}",
            "model": files.name,
            "revision": files.revision,
            "device": files.device,
            "precision": files.precision,
            "n_embedded": len(missing),
            "truncated_share": None,
            "chunks": vectors.keys(np.unique(places[:, 0]).tolist()),
        }
    return store.committed(recipe, writer)


def _embed_missing(
    paths: Sequence[Path],
    digests: Digests,
    missing: NDArray[np.intp],
    vectors: VectorStore,
    model: SentenceTransformer,
    name: str,
) -> None:
    with track("embed", len(missing), unit="images") as progress:
        for start in range(0, len(missing), CHUNK_IMAGES):
            rows = missing[start : start + CHUNK_IMAGES]
            found = encode_images(model, [paths[row] for row in rows], name)
            vectors.add(digests[rows], found, np.zeros(len(rows), np.int32))
            progress.advance(len(rows))


def encode_images(model: SentenceTransformer, paths: Sequence[Path], name: str) -> NDArray[np.float32]:
    """Return unit vectors (n, dim) of image files.

    Raises
    ------
    DataError
        If a file is not an image.
    ConfigError
        If the model cannot read images, or pillow is not installed.
    """
    images = [_open(path) for path in paths]
    try:
        found: Any = model.encode(
            images, batch_size=BATCH_IMAGES, show_progress_bar=False, convert_to_numpy=True
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"embed: {name} cannot read images ({reason}); set embed.model to a CLIP model"
        raise ConfigError(msg) from error
    vectors = np.asarray(found, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return units


def missing_pillow() -> ConfigError:
    """Return the error for images without the package that reads them."""
    return ConfigError(
        "embed: method='images' needs pillow to read image files; pip install 'topicflow[images]'"
    )


def _open(path: Path) -> Any:  # noqa: ANN401  (an image of PIL)
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise missing_pillow() from None
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # what pillow raises on damage
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else first_line(error)
        msg = f"embed: {path} cannot be read ({reason}); correct or leave out this document"
        raise DataError(msg) from None


def file_digests(paths: Sequence[Path]) -> Digests:
    """Return the digests (n, 2) uint64 of files' bytes."""
    raw = bytearray()
    for path in paths:
        with readable(str(path)), path.open("rb") as file:
            raw += hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    return np.frombuffer(bytes(raw), dtype="<u8").reshape(-1, 2)


def load_images_model(
    files: EncoderFiles, config: ImagesEmbed, runtime: RuntimeConfig
) -> SentenceTransformer:
    """Return the loaded model."""
    return load_model(files, as_text_model(config), runtime.n_threads)
