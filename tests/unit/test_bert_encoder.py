"""Bert encoder: the vectors of sentence-transformers, bit for bit, without its import."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open

from tests.fakes import change_json, tiny_model
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.encoding import encoders
from topicflow.tasks.encoding.bert import Bert
from topicflow.tasks.encoding.bert_encoder import COMPARED, BertEncoder
from topicflow.tasks.encoding.encoder_files import PACKAGED, find_encoder
from topicflow.tasks.encoding.encoders import encoder_of, load_encoder, load_model
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.encoding.model_files.bert_shape import names_in, read_shape
from topicflow.tasks.errors import ConfigError

TEXTS = [*COMPARED, "", "battery life", "it's a [SEP] test"]


def both(**options: Any) -> tuple[BertEncoder, SentenceTransformersEncoder]:
    """Return the packaged model without and with sentence-transformers."""
    config = SentenceTransformersEmbed(precision="float32", **options)
    files = find_encoder(config, "cpu")
    ours = load_encoder.__wrapped__(files, config)
    assert isinstance(ours, BertEncoder)
    return ours, encoder_of(load_model(files, config, None), files, config)


@pytest.mark.parametrize("options", [{}, {"prompt": "title: "}, {"max_seq_length": 300}])
def test_documents_have_the_vectors_of_sentence_transformers(options: dict[str, Any]) -> None:
    ours, theirs = both(**options)
    for found, expected in zip(ours.encode(TEXTS), theirs.encode(TEXTS), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Two threads for torch, for any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("number", [0, 1])
def test_a_vector_does_not_depend_on_the_other_texts(number: int) -> None:
    """On two threads, products of 129 to 199 tokens once rounded differently from those of more or fewer."""
    encoder = both()[number]
    words = ("battery", "screen", "courier", "refund")
    texts = [f"{word} {'life is short ' * n}" for n in (1, 7, 20, 49, 60) for word in words]
    together = encoder.encode(texts)[0]
    for some in (texts[:3], texts[2:9], texts[11:13], *([text] for text in texts[12:])):
        rows = [texts.index(text) for text in some]
        np.testing.assert_array_equal(encoder.encode(some)[0], together[rows])


def test_queries_have_the_vectors_of_sentence_transformers() -> None:
    ours, theirs = both()
    for prompt in (None, "query: "):
        found, lengths = ours.encode_queries(TEXTS, prompt)
        expected, counted = theirs.encode_queries(TEXTS, prompt)
        np.testing.assert_allclose(found, expected, atol=2e-6)
        np.testing.assert_array_equal(lengths, counted)


def test_a_query_imports_neither_torch_nor_prefect() -> None:
    code = (
        "import sys\n"
        "import topicflow.tasks.search.index\n"
        "from topicflow.configs.sections.embed import SentenceTransformersEmbed as Embed\n"
        "from topicflow.tasks.encoding.encoder_files import find_encoder\n"
        "from topicflow.tasks.encoding.encoders import load_encoder\n"
        "load_encoder(find_encoder(Embed(), 'cpu'), Embed()).encode_queries(['battery life'])\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_queries_are_pooled_as_documents_are_and_cut_to_the_dimensions(
    pooling: str, tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    change_json(folder / "1_Pooling" / "config.json", pooling_mode=pooling)
    config = SentenceTransformersEmbed(model=str(folder), dim=8, precision="float32")
    encoder = load_encoder.__wrapped__(find_encoder(config, "cpu"), config)
    assert isinstance(encoder, BertEncoder)
    documents, queries = encoder.encode(TEXTS)[0], encoder.encode_queries(TEXTS)[0]
    assert documents.shape == queries.shape == (len(TEXTS), 8)
    np.testing.assert_allclose(queries, documents, atol=2e-6)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random BERT in a folder."""
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"hidden_act": "relu"}),
        ("sentence_bert_config.json", {"do_lower_case": True}),
        ("config_sentence_transformers.json", {"prompts": {"query": "query: "}}),
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
    ],
)
def test_other_models_are_left_to_sentence_transformers(
    file: str, changes: dict[str, Any], tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    assert read_shape(folder) is not None
    change_json(folder / file, **changes)
    assert read_shape(folder) is None


def test_a_damaged_file_is_found_and_refused_when_it_is_loaded(tmp_path: Path) -> None:
    packaged = find_encoder(SentenceTransformersEmbed(precision="float32"), "cpu").folder
    folder = tmp_path / "model"
    shutil.copytree(packaged, folder)
    (folder / "model.safetensors").write_bytes((packaged / "model.safetensors").read_bytes()[:5000])
    for precision in ("auto", "float32"):
        config = SentenceTransformersEmbed(model=str(folder), precision=precision)
        files = find_encoder(config, "cpu")
        assert files.precision == "float32"
        with pytest.raises(ConfigError, match="cannot be loaded as a sentence-transformers model"):
            load_encoder.__wrapped__(files, config)


def test_a_config_without_a_size_is_left_to_sentence_transformers(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    for changed in ({"intermediate_size": None}, {"hidden_size": "32"}):
        change_json(folder / "config.json", **changed)
        assert read_shape(folder) is None


def test_a_model_of_unknown_origin_is_compared_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    config = SentenceTransformersEmbed(model=str(tiny), precision="float32")
    files, loaded = find_encoder(config, "cpu"), []

    def load(*given: Any) -> Any:
        loaded.append(given)
        return load_model(*given)

    monkeypatch.setattr(encoders, "load_model", load)
    for _ in range(2):
        ours = load_encoder.__wrapped__(files, config)
        assert isinstance(ours, BertEncoder)
    assert len(loaded) == 1
    theirs = encoder_of(load_model(files, config, None), files, config)
    np.testing.assert_array_equal(ours.encode(TEXTS)[0], theirs.encode(TEXTS)[0])
    np.testing.assert_allclose(ours.encode_queries(TEXTS)[0], theirs.encode_queries(TEXTS)[0], atol=2e-6)


def test_a_model_with_other_vectors_is_left_to_sentence_transformers(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    call = Bert.__call__
    monkeypatch.setattr(Bert, "__call__", lambda self, batches: call(self, [ids.flip(1) for ids in batches]))
    config = SentenceTransformersEmbed(model=str(tiny), precision="float32")
    found = load_encoder.__wrapped__(find_encoder(config, "cpu"), config)
    assert type(found) is SentenceTransformersEncoder


def test_the_packaged_model_is_found_by_its_name() -> None:
    config = SentenceTransformersEmbed(model=PACKAGED)
    assert isinstance(load_encoder.__wrapped__(find_encoder(config, "cpu"), config), BertEncoder)


# --- the names in a file of weights ---


def test_the_names_of_weights_are_those_that_the_library_finds(tiny: Path) -> None:
    path = tiny / "model.safetensors"
    with safe_open(path, "numpy") as file:
        assert names_in(path) == set(file.keys())
    code = (
        "import sys; from pathlib import Path; from topicflow.tasks.encoding.model_files import bert_shape as shapes\n"
        f"shapes.has_vnni = lambda: True; shapes.own_shape(Path({str(tiny)!r}), None)\n"
        f"print(len(shapes.names_in(Path({str(path)!r}))) > 9, 'numpy' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True False\n"


@pytest.mark.parametrize(
    "header",
    [
        b"", b"{", b"[]", b"7", b'{"a": 1}', b'{"a": {}}', b'{"a": {"data_offsets": []}}', b"\xff", b"{}",
        b'{"a": {"data_offsets": [0, 5]}}', b'{"a": {"data_offsets": [0, "4"]}}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_has_no_weights(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"four")
    assert names_in(path) == set()
    with pytest.raises(SafetensorError), safe_open(path, "numpy"):
        pass
    path.write_bytes(b"\xff" * 20)  # a header of 2**64 bytes
    assert names_in(path) == set()
