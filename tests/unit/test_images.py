"""Images: a column of files is embedded once per image, searched by text, and clustered; other files are named."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.fakes import save_documents, tiny_clip, tiny_model
from tests.indexes import build
from topicflow.configs.sections.embed import ImagesEmbed
from topicflow.tasks.encoding.embed import embed
from topicflow.tasks.encoding.images import (
    as_text_model,
    encode_images,
    find_image_encoder,
    image_recipe,
    load_model,
)
from topicflow.tasks.errors import ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore
from topicflow.tasks.topics.cluster import cluster_points

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small CLIP."""
    return tiny_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four plain pictures of each of three colours, each with its own shade."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        for shade in range(4):
            shaded = tuple(max(0, value - 5 * shade) for value in colour)
            Image.new("RGB", (40, 36), shaded).save(folder / f"{name}{shade}.png")
    return folder


def documents(store: ArtifactStore, pictures: Path, *more: str) -> ArtifactRef:
    names = [f"{colour}{shade}.png" for colour in COLOURS for shade in range(4)] + list(more)
    texts = [f"picture {name}" for name in names]
    return save_documents(store, texts, name=f"{len(names)} pictures", image=names)


def test_images_are_embedded_once_and_as_the_model_does(
    store: ArtifactStore, clip: Path, pictures: Path
) -> None:
    config = ImagesEmbed(method="images", model=str(clip), root=str(pictures))
    ref = embed.fn(Context(store), documents(store, pictures), config)
    vectors, meta = np.asarray(store.array(ref, "embeddings")), store.meta(ref)
    assert vectors.shape == (12, 24)
    assert meta["n_embedded"] == 12
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    model = load_model(find_image_encoder(config, "cpu"), as_text_model(config), None)
    with Image.open(pictures / "green2.png") as image:
        direct = model.encode([image.convert("RGB")])[0]
    np.testing.assert_allclose(vectors[6], direct / np.linalg.norm(direct), atol=1e-5)
    (pictures / "copy.png").write_bytes((pictures / "green2.png").read_bytes())
    more = documents(store, pictures, "copy.png")
    again = embed.fn(Context(store), more, config)
    assert store.meta(again)["n_embedded"] == 0  # by its bytes, in any place
    np.testing.assert_array_equal(store.array(again, "embeddings")[-1], vectors[6])
    assert embed.fn(Context(store), more, config).cached


def test_images_are_searched_by_text_and_clustered(tmp_path: Path, clip: Path, pictures: Path) -> None:
    names = [f"{colour}{shade}.png" for colour in COLOURS for shade in range(4)]
    table = pl.DataFrame({"id": names, "text": ["a picture"] * 12, "image": names})
    section = {"method": "images", "model": str(clip), "root": str(pictures)}
    index = build(tmp_path, table, section)
    vector = index.encode("a red thing")
    vectors = index.vectors.gather(np.arange(12))
    hits = index.search("a red thing", 12, mode="dense")
    assert [hit.doc_id for hit in hits] == [
        names[row] for row in np.argsort(-(vectors @ vector), kind="stable")
    ]
    assert {hit.doc_id[:3] for hit in index.similar("red0.png", 3)} == {"red"}
    assert hits[0].fields["image"] == hits[0].doc_id
    from topicflow.configs.sections.cluster import KMeansCluster

    labels = cluster_points(vectors, KMeansCluster(method="kmeans", n_clusters=3), 0).labels
    assert len({tuple(labels[start : start + 4]) for start in (0, 4, 8)}) == 3
    assert all(len(set(labels[start : start + 4].tolist())) == 1 for start in (0, 4, 8))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"column": "photo"}, "no column 'photo' (embed.column); there are: 'text', 'image'"),
        (
            {"root": "nowhere"},
            "column 'image', document 0: nowhere/red0.png does not exist; paths are relative to",
        ),
    ],
)
def test_images_that_are_not_there(
    store: ArtifactStore, clip: Path, pictures: Path, changes: dict[str, str], said: str
) -> None:
    config = ImagesEmbed(**{"method": "images", "model": str(clip), "root": str(pictures), **changes})
    with pytest.raises(DataError) as raised:
        embed.fn(Context(store), documents(store, pictures), config)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "name",
    [
        "{outside}/secret.png",
        "../outside/secret.png",
        "link.png",
        "folder/secret.png",
        "..",
        "folder/../../outside/secret.png",
    ],
)
def test_files_outside_of_the_root_are_not_read(
    store: ArtifactStore, clip: Path, tmp_path: Path, name: str
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    Image.new("RGB", (40, 36), COLOURS["red"]).save(outside / "secret.png")
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    named = name.format(outside=outside)
    ref = save_documents(store, ["a picture"], image=[named])
    config = ImagesEmbed(method="images", model=str(clip), root=str(root))
    with pytest.raises(DataError) as raised:
        embed.fn(Context(store), ref, config)
    assert f"column 'image', document 0: {named!r} is outside embed.root" in str(raised.value)
    assert "set embed.allow_outside_root=true" in str(raised.value)
    if (root / named).is_file():
        allowed = config.model_copy(update={"allow_outside_root": True})
        assert embed.fn(Context(store), ref, allowed).rows == 1


def test_paths_that_lead_back_into_the_root_are_read(
    store: ArtifactStore, clip: Path, pictures: Path
) -> None:
    (pictures / "again").mkdir(exist_ok=True)
    if not (pictures / "again/alias.png").exists():
        (pictures / "again/alias.png").symlink_to(pictures / "red1.png")
    names = [str(pictures / "red0.png"), "again/../red0.png", "again/alias.png"]
    config = ImagesEmbed(method="images", model=str(clip), root=str(pictures))
    ref = embed.fn(Context(store), save_documents(store, ["a"] * 3, image=names), config)
    vectors = np.asarray(store.array(ref, "embeddings"))
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert image_recipe(store, save_documents(store, ["a"] * 3, image=names), config, "cpu").key == ref.key
    allowed = config.model_copy(update={"allow_outside_root": True})
    assert image_recipe(store, save_documents(store, ["a"] * 3, image=names), allowed, "cpu").key == ref.key


def test_files_and_models_that_know_no_images(tmp_path: Path, clip: Path, pictures: Path) -> None:
    config = ImagesEmbed(method="images", model=str(clip))
    model = load_model(find_image_encoder(config, "cpu"), as_text_model(config), None)
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"a\.png cannot be read \(it is not an image\)"):
        encode_images(model, [tmp_path / "a.png"], "clip")
    text = ImagesEmbed(method="images", model=str(tiny_model(tmp_path / "text")))
    reads_text = load_model(find_image_encoder(text, "cpu"), as_text_model(text), None)
    with pytest.raises(ConfigError, match=r"cannot read images .*set embed.model to a CLIP model"):
        encode_images(reads_text, [pictures / "red0.png"], "text")
