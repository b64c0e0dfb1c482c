"""Every flow says what it did not read: rows without text, and texts longer than its encoder reads."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.commands import Outcome
from tests.fakes import planted_corpus

Topicflow = Callable[..., Outcome]
FLOWS = {
    "run": "topic_model",
    "dedup": "deduplicate",
    "classify": "train_classifier",
    "tune": "tune_embeddings",
    "index": "build_index",
    "update": "update_topics",
}
SECTIONS = {
    "run": '[reduce]\nmethod = "pca"\n[map]\nn_epochs = 5\n[cluster]\nmethod = "kmeans"\nn_clusters = 3\n',
    "dedup": "",
    "classify": "[setfit]\nenabled = false\n[compare]\nshots = []\n",
    "tune": '[measure]\nneighbors = [5]\ntopics = "none"\n',
    "index": "",
    "update": '[reduce]\nmethod = "pca"\n[map]\nn_epochs = 5\n[cluster]\nmethod = "kmeans"\nn_clusters = 3\n',
}
EMPTY = "3 of 103 rows without text: left out (rows 100, 101, 102, counted from 0)."
CUT = (
    "documents are longer than the 16 tokens that the encoder reads; the rest of them is not in the vectors."
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with a corpus of short texts, seven long ones and three rows without text, and a config per flow."""
    made = tmp_path_factory.mktemp("losses")
    corpus = planted_corpus(n_per_topic=31, n_noise=0)
    short = [" ".join(text.split()[:2]) for text in corpus.texts]
    texts = [*short, *(f"{text} " + "zz " * 40 for text in short[:7]), None, "", " \n"]
    labels = [*(str(topic) for topic in corpus.truth), *["0"] * 10]
    table = pl.DataFrame({"id": [f"d{i}" for i in range(103)], "text": texts, "label": labels})
    table.write_parquet(made / "documents.parquet")
    for command, sections in SECTIONS.items():
        label = 'label_column = "label"\n' if command in {"classify", "tune"} else ""
        (made / f"{command}.toml").write_text(
            f'name = "{command}"\n[load]\npath = "documents.parquet"\nid_column = "id"\n{label}'
            f'[embed]\nmodel = "{tiny}"\nprecision = "float32"\n{sections}'
        )
    return made


@pytest.mark.parametrize("command", FLOWS)
def test_unread_input_is_reported(
    topicflow: Topicflow, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    outcome = topicflow(command, f"{command}.toml")
    assert outcome.code == 0, outcome.err
    notes = [line for line in outcome.errors if line.startswith("note: ")]
    assert notes[0] == f"note: {EMPTY}"
    assert f" of 100 {CUT}" in notes[1]
    latest = folder / "runs" / command / "latest"
    record = json.loads((latest / "run.json").read_bytes())
    assert record["flow"] == FLOWS[command]
    assert [f"note: {remark}" for remark in record["remarks"]] == notes
    log = (latest / "run.log").read_text()
    for note in notes:
        assert note.removeprefix("note: ") in log
    metrics = json.loads((latest / "metrics.json").read_bytes())
    assert (metrics["n_empty"], metrics["max_tokens"]) == (3, 16)
    assert 7 <= metrics["n_cut"] < 100
    assert notes[1].startswith(f"note: {metrics['n_cut']} of 100 ")
    if (page := latest / "report.html").exists():
        assert json.dumps(record["remarks"][1])[1:40] in page.read_text()
    assert page.exists() == (command in {"run", "update"})


def test_long_texts_are_dropped_by_their_whole_texts_alone(
    topicflow: Topicflow, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    head = " ".join(f"clause{number}" for number in range(30))
    ends = [" ".join(f"{word}{number}" for number in range(80)) for word in ("one", "two")]
    texts = [f"{head} {ends[0]}", f"{head} {ends[1]}", f"{head} {ends[0]} and more"]
    pl.DataFrame({"text": texts}).write_parquet("licences.parquet")
    for method in ("embedding", "both"):
        Path("dedup.toml").write_text(
            f'[load]\npath = "licences.parquet"\n[embed]\nmodel = "{tiny}"\n[deduplicate]\nmethod = "{method}"\n'
        )
        outcome = topicflow("dedup", "dedup.toml")
        assert outcome.code == 0, outcome.err
        kept = pl.read_parquet("runs/duplicates/latest/documents.parquet")["kept"].to_list()
        assert kept == [True, True, False]
        assert "3 of 3 documents are longer than the 16 tokens" in outcome.err
        assert "1 of 1 duplicates known by the first 16 tokens of long texts alone" in outcome.err
