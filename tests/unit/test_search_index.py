"""Search index: results equal brute force, filters lose nothing, generations follow each other, bad input is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import rewrite_manifest, tiny_model
from tests.indexes import brute, build, documents_table, index_config, run
from tests.record_stage_code import ROOT
from topicflow.configs.sections.embed import SentenceTransformersEmbed
from topicflow.tasks.core.learning.residual import ResidualHead
from topicflow.tasks.encoding.adapters import save_adapter
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.errors import ArtifactError, ConfigError
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.search import ranking
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.search.index_files import IndexFiles
from topicflow.tasks.search.locate import find_index
from topicflow.tasks.search.outliers import find_outliers
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe
from topicflow.tasks.store.verify import verify_artifacts

TABLE = documents_table(600)
VECTORS = np.array(TABLE["vector"].to_list(), np.float32)
QUERY = VECTORS[5] + np.float32(0.1)
UNIT = QUERY / np.linalg.norm(QUERY)


def rows_of(hits: list[Any]) -> list[int]:
    return [int(hit.doc_id.removeprefix("d")) for hit in hits]


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index without a graph."""
    return build(tmp_path_factory.mktemp("exact"), TABLE)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index of 5,000 documents with a graph."""
    return build(tmp_path_factory.mktemp("graph"), documents_table(5000), method="hnsw", lexical=False)


@pytest.fixture(scope="module")
def textual(tmp_path_factory: pytest.TempPathFactory) -> SearchIndex:
    """An index of texts by a small model with prompts."""
    folder = tmp_path_factory.mktemp("textual")
    model = tiny_model(folder / "model", {"query": "ask: ", "document": "doc: "}, max_seq_length=32)
    return build(folder, TABLE.drop("vector"), {"model": str(model), "precision": "float32"})


# --- answers ---


def test_vectors_find_what_brute_force_finds(exact: SearchIndex) -> None:
    hits = exact.search(QUERY, 10)
    assert rows_of(hits) == brute(VECTORS, UNIT, 10)
    assert [hit.score for hit in hits] == pytest.approx((VECTORS[rows_of(hits)] @ UNIT).tolist(), abs=1e-6)
    assert hits[0].similarity == pytest.approx(hits[0].score)
    first = TABLE.row(rows_of(hits)[0], named=True)
    assert (hits[0].text, hits[0].fields) == (
        first["text"],
        {"id": first["id"], "bucket": first["bucket"], "kind": first["kind"]},
    )
    assert hits[0].topic is None


def test_similar_documents_are_others(exact: SearchIndex) -> None:
    hits = exact.similar("d7", 5)
    assert rows_of(hits) == brute(VECTORS, VECTORS[7], 6)[1:]
    kept = exact.similar("d7", 5, where="kind = 'even'")
    assert rows_of(kept) == brute(VECTORS, VECTORS[7], 5, (np.arange(600) % 2 == 0) & (np.arange(600) != 7))


def test_outliers_are_farthest_from_their_neighbours(exact: SearchIndex) -> None:
    similarities = VECTORS @ VECTORS.T
    np.fill_diagonal(similarities, -np.inf)
    scores = 1 - np.sort(similarities, axis=1)[:, -4:].mean(axis=1)
    found = find_outliers(exact, 5, n_neighbors=4)
    assert [int(each.hit.doc_id[1:]) for each in found] == np.argsort(-scores, kind="stable")[:5].tolist()
    assert [each.hit.score for each in found] == pytest.approx(np.sort(scores)[::-1][:5].tolist(), abs=1e-5)
    first = found[0]
    row = int(first.hit.doc_id[1:])
    assert rows_of(first.neighbors) == np.argsort(-similarities[row], kind="stable")[:3].tolist()
    odd = find_outliers(exact, 5, n_neighbors=4, where="kind = 'odd'")
    order = np.argsort(-scores, kind="stable")
    assert [int(each.hit.doc_id[1:]) for each in odd] == order[order % 2 == 1][:5].tolist()


def test_k_beyond_the_corpus_gives_all(exact: SearchIndex) -> None:
    assert sorted(rows_of(exact.search(QUERY, 10_000))) == list(range(600))
    assert len(exact.search(QUERY, 700, where="bucket = 3")) == 6


def test_the_graph_reaches_the_recall_that_was_asked_for(graph: SearchIndex) -> None:
    meta = graph.files.meta
    assert (meta["method"], meta["codes"]) == ("hnsw", "int8")
    assert meta["recall"] >= 0.98
    assert set(meta["latency_ms"]) == {"p50", "p95", "p99"}
    vectors = np.array(documents_table(5000)["vector"].to_list(), np.float32)
    queries = vectors[::50]
    found, _ = graph.nearest(queries, 10)
    true = [brute(vectors, query, 10) for query in queries]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true, strict=True)]) >= 0.98


@pytest.mark.parametrize("most", [0, 20_000], ids=["by-the-graph", "compared-with-all"])
@pytest.mark.parametrize("where", ["bucket = 42", "bucket in (1, 2, 3, 4, 5)", "kind = 'odd'"])
def test_a_filter_loses_nothing(
    graph: SearchIndex, monkeypatch: pytest.MonkeyPatch, where: str, most: int
) -> None:
    monkeypatch.setattr(ranking, "EXACT_KEPT", most)
    table = documents_table(5000)
    vectors = np.array(table["vector"].to_list(), np.float32)
    kept = graph.filtered(where)
    assert kept is not None
    queries = vectors[1::97]
    found, _ = graph.nearest(queries, 10, kept)
    true = [brute(vectors, query, 10, kept) for query in queries]
    assert kept[found].all()
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true, strict=True)])
    assert recall == 1.0 if most else recall >= 0.99


def test_a_filter_far_from_the_query_still_finds_k(
    graph: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "EXACT_KEPT", 0)
    vectors = np.array(documents_table(5000)["vector"].to_list(), np.float32)
    kept = np.zeros(5000, bool)
    kept[np.argsort(vectors @ vectors[0])[:50]] = True  # the 1 % least similar to it
    found, _ = graph.nearest(vectors[:1], 10, kept)
    assert found[0].tolist() == brute(vectors, vectors[0], 10, kept)


def test_words_and_meaning_are_fused(textual: SearchIndex) -> None:
    words = textual.search("horse n17", 5, mode="bm25")
    assert words[0].doc_id == "d17"
    assert all("horse" in hit.text.split() or hit.doc_id == "d17" for hit in words)
    assert words[0].similarity is None
    dense = {hit.doc_id: rank for rank, hit in enumerate(textual.search("horse n17", 200, mode="dense"))}
    by_words = {hit.doc_id: rank for rank, hit in enumerate(textual.search("horse n17", 200, mode="bm25"))}
    fused = {
        each: sum(1 / (11 + ranks[each]) for ranks in (dense, by_words) if each in ranks)
        for each in dense | by_words
    }
    hits = textual.search("horse n17", 10)
    assert [hit.score for hit in hits] == pytest.approx(sorted(fused.values(), reverse=True)[:10])
    assert [fused[hit.doc_id] for hit in hits] == pytest.approx([hit.score for hit in hits])
    assert {hit.fields["kind"] for hit in textual.search("horse", 20, where="kind = 'odd'")} == {"odd"}


def test_queries_are_put_with_the_query_prompt(textual: SearchIndex) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(textual.files.meta["embed"]["model"], device="cpu")
    as_query = model.encode_query("red tea", normalize_embeddings=True)
    as_document = model.encode_document("red tea", normalize_embeddings=True)
    np.testing.assert_allclose(textual.encode("red tea"), as_query, atol=1e-6)
    np.testing.assert_allclose(textual.queries.encode_documents(["red tea"])[0], as_document, atol=1e-6)
    assert float(as_query @ as_document) < 0.999
    space = textual.files.meta["space"]
    assert space.keys() == {
        "encoder", "model", "revision", "precision", "prompt", "query_prompt", "query_model", "normalized", "adapter",
        "dim",
    }  # fmt: skip
    assert (space["precision"], space["normalized"], space["dim"]) == ("float32", True, 32)


def test_a_query_longer_than_the_encoder_reads_is_reported(textual: SearchIndex) -> None:
    assert not textual.search("red tea", 1).truncated
    long = textual.search("red " * 40, 1)
    assert long.truncated
    assert len(long) == 1
    assert not textual.search("red " * 40, 1, mode="bm25").truncated


# --- generations ---


def test_documents_come_and_go_as_in_a_fresh_index(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:500])
    before = SearchIndex.open(tmp_path / "runs/search/latest")
    fresh = TABLE[500:].rename({"id": "doc_id"}).with_columns(id="doc_id")
    index.add(fresh.drop("vector"), VECTORS[500:])
    index.remove([f"d{row}" for row in range(0, 600, 7)])
    left = np.arange(600) % 7 != 0
    assert len(index) == int(left.sum())
    assert rows_of(index.search(QUERY, 20)) == brute(VECTORS, UNIT, 20, left)
    assert rows_of(index.similar("d8", 9)) == [
        row for row in brute(VECTORS, VECTORS[8], 10, left) if row != 8
    ]
    assert rows_of(before.search(QUERY, 20)) == brute(VECTORS[:500], UNIT, 20)  # who has the old one keeps it
    again = SearchIndex.open(tmp_path / "runs/search")
    assert rows_of(again.search(QUERY, 20)) == brute(VECTORS, UNIT, 20, left)
    assert again.files.meta["parts"] == [500, 100]
    other = tmp_path / "other"
    other.mkdir()
    anew = build(other, TABLE.filter(pl.Series(left)))
    words = ranking.query_words(index._open, "red horse")
    grown, fresh_one = (ranking.by_words(each._open, words, 50, None)[0] for each in (index, anew))
    assert index.documents["doc_id"][grown].to_list() == anew.documents["doc_id"][fresh_one].to_list()
    assert [found.problem for found in verify_artifacts(index.store) if found.problem] == []


def test_a_document_of_a_known_id_is_replaced(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:50])
    index.add([{"doc_id": "d3", "text": "another text"}], VECTORS[300:301])
    assert len(index) == 50
    found = index.search(VECTORS[300], 1)[0]
    assert (found.doc_id, found.text, found.fields["kind"]) == ("d3", "another text", None)


def test_a_graph_grows_too(tmp_path: Path) -> None:
    table = documents_table(1500)
    vectors = np.array(table["vector"].to_list(), np.float32)
    index = build(tmp_path, table[:1000], method="hnsw", lexical=False)
    assert index.graph is not None
    index.add(table[1000:].select("text", doc_id="id"), vectors[1000:])
    index.remove([f"d{row}" for row in range(0, 1500, 3)])
    left = np.arange(1500) % 3 != 0
    queries = vectors[::30]
    for most in (0, 20_000):
        ranking.EXACT_KEPT, kept = most, ranking.EXACT_KEPT
        try:
            found, _ = index.nearest(queries, 10)
        finally:
            ranking.EXACT_KEPT = kept
        true = [brute(vectors, query, 10, left) for query in queries]
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), true, strict=True)])
        assert recall == 1.0 if most else recall >= 0.97


def test_the_flow_adds_changes_and_computes_nothing_without_changes(tmp_path: Path) -> None:
    first = build(tmp_path, TABLE[:500])
    same = run(index_config(tmp_path))
    assert same.files.ref == first.files.ref
    changed = TABLE[20:520].with_columns(
        kind=pl.when(pl.col("id") == "d30").then(pl.lit("new")).otherwise("kind")
    )
    grown = build(tmp_path, changed)
    meta = grown.files.meta
    assert (meta["base"], meta["added"], meta["removed"], meta["parts"]) == (
        first.files.ref.key,
        21,
        21,
        [500, 21],
    )
    assert len(grown) == 500
    kept = np.isin(np.arange(600), np.arange(20, 520))
    assert rows_of(grown.search(QUERY, 30)) == brute(VECTORS, UNIT, 30, kept)
    assert [hit.doc_id for hit in grown.search(QUERY, 3, where="kind = 'new'")] == ["d30"]
    anew = build(tmp_path, changed, updates="rebuild")
    assert anew.files.meta["parts"] == [500]
    assert rows_of(anew.search(QUERY, 30)) == rows_of(grown.search(QUERY, 30))
    other = build(tmp_path, TABLE[300:600].with_columns(text="kind"))
    assert other.files.meta["base"] is None  # little is left of it: built from scratch


def test_a_change_that_is_cut_short_leaves_the_old_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = build(tmp_path, TABLE[:50])
    monkeypatch.setattr(ArtifactStore, "_commit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        index.remove(["d1"])
    monkeypatch.undo()
    again = SearchIndex.open(tmp_path / "runs/search/latest")
    assert len(again) == 50
    assert [hit.doc_id for hit in again.similar("d1", 1)] == [hit.doc_id for hit in index.similar("d1", 1)]


KILLED = """
import sys, time
from topicflow.tasks.search.index import SearchIndex
from topicflow.tasks.store.artifact_store import ArtifactStore, Recipe

def stop(*_):
    print("written", flush=True)
    time.sleep(600)
ArtifactStore._commit = stop
SearchIndex.open(sys.argv[1]).remove(["d1", "d2"])
"""


def test_a_kill_while_it_changes_leaves_the_old_index(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:50])
    latest = tmp_path / "runs/search/latest"
    before = latest.resolve()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(latest)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    assert list((tmp_path / "store/.staging").iterdir())
    process.kill()
    assert process.wait() == -9
    assert latest.resolve() == before
    again = SearchIndex.open(latest)
    assert [hit.doc_id for hit in again.similar("d1", 5)] == [hit.doc_id for hit in index.similar("d1", 5)]
    again.remove(["d1", "d2"])
    assert len(SearchIndex.open(latest)) == 48


def test_two_processes_that_change_an_index_lose_no_changes(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:50])
    other = SearchIndex.open(tmp_path / "runs/search/latest")
    index.remove(["d1"])
    with pytest.raises(ArtifactError, match=r"has changed .* open it again"):
        other.remove(["d2"])


def test_gc_keeps_what_the_newest_run_names(tmp_path: Path) -> None:
    index = build(tmp_path, TABLE[:50])
    index.remove(["d1"])
    series = tmp_path / "runs/search"
    (old,) = (folder for folder in series.glob("2*") if folder != (series / "latest").resolve())
    shutil.rmtree(old)
    gone = collect_garbage(index.store, [tmp_path / "runs"], 0.0)
    assert [artifact.kind for artifact in gone] == ["indexes"]
    assert len(SearchIndex.open(tmp_path / "runs/search").search(QUERY, 60)) == 49


# --- bad input ---


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query(textual: SearchIndex, query: str) -> None:
    with pytest.raises(ConfigError, match=r"^search: the query is empty; give some words$"):
        textual.search(query)


@pytest.mark.parametrize(
    ("vector", "said"),
    [
        (np.ones(5), "the query's vector has 5 dimensions, the index 16: another space"),
        (np.ones((2, 16)), "has 2×16 dimensions, the index 16"),
        (np.zeros(16), "contains only zeros"),
        (np.full(16, np.nan), "contains NaN or infinite values"),
    ],
)
def test_query_vectors_that_are_refused(exact: SearchIndex, vector: np.ndarray, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        exact.search(vector)


def test_questions_that_are_refused(exact: SearchIndex, graph: SearchIndex, textual: SearchIndex) -> None:
    cases = [
        (lambda: exact.search("words"), "its vectors are precomputed and no model is set for queries"),
        (lambda: exact.search(QUERY, 0), "search: k=0, expected 1 or more"),
        (lambda: exact.search(QUERY, mode="hybrid"), "a vector has no words"),
        (lambda: graph.search("a", mode="bm25"), "the index has no words"),
        (lambda: exact.search(QUERY, where="kind = "), "filter: column 7: expected a value, found the end"),
        (lambda: exact.search(QUERY, where="knd = 'a'"), "no column 'knd'; did you mean 'kind'"),
        (lambda: exact.similar("d9999"), "index: no document 'd9999'; ids are like 'd0'"),
        (lambda: exact.topics(QUERY), "the index has no topics; set index.topics"),
        (lambda: find_outliers(exact, 0), "outliers: k=0, expected 1 or more"),
        (lambda: textual.search("a", rerank="no/model"), "rerank: 'no/model' is neither a folder"),
        (lambda: SearchIndex.open("nowhere"), "nowhere: no index here"),
        (
            lambda: find_index(Path("nowhere"), None),
            "nowhere: no published run of build_index; make one with `topicflow index CONFIG`",
        ),
    ]
    for call, said in cases:
        with pytest.raises(ConfigError) as raised:
            call()
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([{"text": " "}], "each document to add needs a text"),
        ([{"doc_id": "a"}], "each document to add needs a text"),
        ([{"text": "a", "colour": 1}], "have a column 'colour', the index has: doc_id, text"),
        ([{"text": "a", "doc_id": "x"}, {"text": "b", "doc_id": "x"}], "repeat the id 'x'"),
        ([{"text": "a", "bucket": "many"}], "do not fit the index's columns"),
        ([{"text": "a"}, {"text": "b"}], "1 vectors for 2 documents"),
    ],
)
def test_documents_that_cannot_be_added(
    exact: SearchIndex, documents: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        exact.add(documents, VECTORS[:1])
    assert len(exact) == 600


def test_a_model_that_was_changed_is_another_space(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model")
    build(tmp_path, TABLE[:20].drop("vector"), {"model": str(model), "precision": "float32"})
    assert SearchIndex.open(tmp_path / "runs/search").search("red")
    path = model / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prompts": {"query": "changed: "}}))
    with pytest.raises(
        ConfigError, match=r"were embedded by .*another space; restore the model or index again"
    ):
        SearchIndex.open(tmp_path / "runs/search").search("red")


def test_precomputed_vectors_are_asked_for_by_a_named_model(tmp_path: Path, tiny: Path) -> None:
    wide = TABLE[:40].with_columns(vector=pl.Series(np.random.default_rng(0).normal(size=(40, 32)).tolist()))
    assert build(tmp_path, wide, query_model=str(tiny)).search("red tea", 3, mode="dense")
    narrow = build(tmp_path, TABLE[:40], query_model=str(tiny))
    with pytest.raises(ConfigError, match="gives 32 dimensions, the index has 16: another space"):
        narrow.search("red tea")


def change_meta(index: SearchIndex, **changes: Any) -> None:
    folder = index.store.folder("indexes", index.files.ref.key)
    rewrite_manifest(folder, lambda manifest: manifest["meta"].update(changes))


def test_an_adapter_moves_documents_and_queries(tmp_path: Path, tiny: Path) -> None:
    section = {"model": str(tiny), "precision": "float32"}
    encoder = find_encoder(SentenceTransformersEmbed(**section), "cpu").key
    store = ArtifactStore(tmp_path / "store")
    turn = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    head = ResidualHead(turn, np.zeros(32, np.float32), 0.5)
    with store.writing(Recipe("tune", "adapters", 1)) as writer:
        save_adapter(writer, head, {"encoder": encoder, "model": "tiny"})
    index = build(tmp_path, TABLE[:40].drop("vector"), {**section, "adapter": writer.key})
    assert index.files.meta["space"]["adapter"] == writer.key
    plain = index.queries.encoder.encode_queries(["red tea"])[0]
    np.testing.assert_allclose(index.encode("red tea"), head.apply(plain)[0], atol=1e-6)
    assert abs(float(index.encode("red tea") @ plain[0])) < 0.99
    hits = index.search(TABLE["text"][7], 3, mode="dense")
    assert (hits[0].doc_id, hits[0].score) == ("d7", pytest.approx(1.0, abs=1e-5))
    store.discard("adapters", writer.key)
    with pytest.raises(ConfigError, match=r"its vectors need the adapter .* which is not in the store"):
        SearchIndex.open(tmp_path / "runs/search").search("red")


def test_a_newer_and_a_damaged_index(tmp_path: Path) -> None:
    index = build(tmp_path, documents_table(300), method="hnsw")
    folder = index.store.folder("indexes", index.files.ref.key)
    change_meta(index, format=99)
    with pytest.raises(ArtifactError, match=r"has format 99, this version reads up to 1; upgrade topicflow"):
        SearchIndex.open(tmp_path / "runs/search")
    change_meta(index, format=1)
    graph = folder / "graph.usearch"
    content = graph.read_bytes()
    graph.write_bytes(b"\0" * len(content))
    with pytest.raises(ArtifactError, match=r"graph\.usearch is damaged \(it is not what was written\)"):
        SearchIndex.open(tmp_path / "runs/search")
    graph.write_bytes(content[:-1])
    with pytest.raises(
        ArtifactError, match=r"is corrupt: graph\.usearch .* `topicflow index CONFIG` makes it again"
    ):
        SearchIndex.open(folder)
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="is missing"):
        IndexFiles.open(index.store, index.files.ref.key)
