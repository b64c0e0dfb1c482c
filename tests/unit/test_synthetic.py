"""Synthetic examples: made and asked questions, the filter, what is trained and measured on them, and what is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from tests.chat_server import ChatServer
from tests.embedding_server import EmbeddingServer, error
from tests.fakes import save_documents, tiny_model
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.embed import ApiEmbed, SentenceTransformersEmbed
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import AdapterTune, SplitExamples, SyntheticExamples
from topicflow.tasks.core.learning.residual import ResidualHead
from topicflow.tasks.core.learning.similarity import document_ranks, retrieval_figures
from topicflow.tasks.encoding.adapters import load_adapter, save_adapter
from topicflow.tasks.encoding.embed import embed, embed_texts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.errors import ConfigError, DataError, StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.tuning import publish_tuned_run, tuned_encoding
from topicflow.tasks.runs.records import RunId
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.servers import pace
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.tuning.asked_questions import PassageQuestion
from topicflow.tasks.tuning.example_set import query_vectors, read_examples
from topicflow.tasks.tuning.examples import HELD_OUT, TRAINING
from topicflow.tasks.tuning.made_questions import Passage, made_questions
from topicflow.tasks.tuning.measure_spaces import measure
from topicflow.tasks.tuning.synthetic import Embedded, synthetic
from topicflow.tasks.tuning.tune import fit_adapter, tune
from topicflow.tasks.tuning.word_weights import ranks_by_words, weigh_words

N = 40
RNG = np.random.default_rng(5)
WORDS = np.array([f"w{number:02d}" for number in range(90)])
TEXTS = [
    f"{' '.join(RNG.choice(WORDS, 4))}\n\n{' '.join(RNG.choice(WORDS, 9))}. {' '.join(RNG.choice(WORDS, 9))}."
    for _ in range(N)
]
"""A title of four words and two sentences."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a hundredth as long between tries."""
    monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.005)


@pytest.fixture
def vectors_by() -> Iterator[ApiEmbed]:
    """An encoder whose vectors are sums of the vectors of words."""
    with EmbeddingServer(dim=24) as server:
        yield ApiEmbed(method="api", url=server.url, model="words")


def made(returned: Any) -> ArtifactRef:
    return returned


class Line:
    """The stages of a tuning, called one by one."""

    tuning: ClassVar[dict[str, Any]] = {"epochs": 3}

    def __init__(
        self, store: ArtifactStore, encoding: ApiEmbed | SentenceTransformersEmbed, **examples: Any
    ) -> None:
        self.store, self.runtime = store, RuntimeConfig(device="cpu", store=str(store.root))
        self.documents = save_documents(store, TEXTS)
        self.config = TuneEmbeddingsConfig(
            load={"path": "documents.parquet"}, embed=encoding, examples={"method": "synthetic", **examples},
            tune=self.tuning, runtime={**self.runtime.model_dump(), "runs": str(store.root.parent / "runs")},
        )  # fmt: skip

    def context(self, seed: int = 42) -> Context:
        return Context(self.store, seed, self.runtime)

    def examples(self, seed: int = 42) -> ArtifactRef:
        self.raw = made(embed.fn(self.context(), self.documents, self.config.embed))
        chosen = self.config.examples
        assert isinstance(chosen, SyntheticExamples)
        embedded = Embedded(self.documents, self.raw, self.config.embed, "\n\n")
        return made(synthetic.fn(self.context(seed), embedded, chosen, SplitExamples()))

    def run(self) -> dict[str, ArtifactRef]:
        chosen, config = self.examples(), self.config
        tuned = made(tune.fn(self.context(), self.documents, self.raw, chosen, config.embed, config.tune))
        encoding = tuned_encoding(self.store, config, tuned)
        moved = made(embed.fn(self.context(), self.documents, encoding))
        spaces = (chosen, self.raw, moved, (config.embed, encoding))
        return {
            "load": self.documents, "embed": self.raw, "examples": chosen, "tune": tuned, "embed_again": moved,
            "measure": made(measure.fn(self.context(), *spaces, config.measure)),
        }  # fmt: skip

    def pairs(self, ref: ArtifactRef) -> pl.DataFrame:
        return self.store.table(ref, "pairs").collect()


# --- questions without a model ---


def test_a_question_is_the_title_the_first_sentence_or_the_salient_words() -> None:
    text = "Wing flutter at speed\n\nThe wing moves a lot. The tail and the wing stay. The end."
    weights = weigh_words([[text, "the wing of a bird", "the tail of the end"]])
    passage = Passage.of(text, "\n\n")
    found = made_questions(passage, ("title", "sentence", "words"), weights)
    assert (found["title"], found["sentence"]) == ("Wing flutter at speed", "The wing moves a lot.")
    assert found["words"] == "wing flutter at speed moves lot and stay"
    plain = Passage.of("One sentence only", "\n\n")
    assert made_questions(plain, ("title", "sentence"), weights) == {}
    assert Passage.of(f"{'long ' * 90}\n\nrest", "\n\n").title == ""


def test_ranks_by_words_are_those_of_bm25_computed_for_each_text() -> None:
    texts = ["red red tea", "red milk", "tea milk cat dog", "red tea", "red tea"]
    weights = weigh_words([texts[:2], texts[2:]])
    lengths = [len(text.split()) for text in texts]

    def score(question: str, text: str) -> float:
        total = 0.0
        for word in set(question.split()):
            n = sum(word in each.split() for each in texts)
            count = text.split().count(word)
            norm = 1.5 * (0.25 + 0.75 * len(text.split()) / np.mean(lengths))
            total += np.log(1 + (5 - n + 0.5) / (n + 0.5)) * count / (count + norm) if n else 0.0
        return total

    questions, own = ["red tea", "milk cat", "red tea", "bird"], [0, 1, 4, 2]
    ranks = ranks_by_words(questions, [texts[row] for row in own], [texts[:2], texts[2:]], weights)
    for question, row, rank in zip(questions[:3], own, ranks.tolist(), strict=False):
        better = sum(score(question, text) > score(question, texts[row]) + 1e-9 for text in texts)
        assert rank == 1 + better
    assert ranks[3] == np.iinfo(np.int64).max  # no word of it is known


def test_ranks_and_figures_of_documents_are_those_of_all_cosines() -> None:
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(300, 8)).astype(np.float32)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    documents[7] = documents[3]
    own = np.array([3, 7, 250])
    queries = documents[own] + 0.3 * rng.normal(size=(3, 8)).astype(np.float32)
    ranks = document_ranks(queries, documents, own)
    cosines = queries @ documents.T
    assert ranks.tolist() == [
        1 + int((row > row[place] + 1e-5).sum()) for row, place in zip(cosines, own, strict=True)
    ]
    figures = retrieval_figures(np.array([1, 3, 11]))
    assert figures == pytest.approx(
        {"ndcg_at_10": (1 + 0.5) / 3, "mean_reciprocal_rank": (1 + 1 / 3 + 1 / 11) / 3, "recall_at_10": 2 / 3}
    )


# --- the stage ---


def test_a_question_is_kept_if_it_finds_its_document_and_no_document_has_two_roles(
    store: ArtifactStore, vectors_by: ApiEmbed, caplog: pytest.LogCaptureFixture
) -> None:
    line = Line(
        store, vectors_by, kinds=("title", "words"), found_by="vectors", found_within=2, n_passages=30
    )
    with caplog.at_level("INFO"):
        ref = line.examples()
    pairs, meta = line.pairs(ref), store.meta(ref)
    assert (meta["n_passages"], meta["n_questions"]) == (30, 60)
    vectors, documents = (
        embed_texts(store, texts, vectors_by, line.runtime) for texts in (pairs["question"], pl.Series(TEXTS))
    )
    own = pairs["doc_id"].str.strip_prefix("d").cast(pl.Int64).to_numpy()
    assert pairs["rank_by_vectors"].to_list() == document_ranks(vectors, documents, own).tolist()
    assert (pairs["kept"] == (pairs["rank_by_vectors"] <= 2)).all()
    assert 0 < meta["n_dropped"] == int((~pairs["kept"]).sum()) < 60
    assert f"60 questions about 30 passages; {meta['n_dropped']} dropped" in caplog.text
    found = read_examples(store, ref, line.raw, vectors_by, line.runtime)
    roles = {TRAINING: set(), HELD_OUT: set()}
    for role in roles:
        roles[role] = set(found.rows_of_items[found.linked(role)[0][:, 1]].tolist())
    assert not roles[TRAINING] & roles[HELD_OUT]
    assert meta["n_training"] + meta["n_validation"] + meta["n_held_out"] == int(pairs["kept"].sum())


@pytest.mark.parametrize("found_by", ["vectors", "words", "either", "both"])
def test_each_ranking_can_decide(store: ArtifactStore, vectors_by: ApiEmbed, found_by: str) -> None:
    line = Line(store, vectors_by, found_by=found_by, found_within=1, kinds=("sentence",))
    pairs = line.pairs(line.examples())
    near = {name: (pairs[f"rank_by_{name}"] <= 1).fill_null(value=False) for name in ("vectors", "words")}
    wanted = {**near, "either": near["vectors"] | near["words"], "both": near["vectors"] & near["words"]}
    assert pairs["kept"].to_list() == wanted[found_by].to_list()
    if found_by in near:
        other = "words" if found_by == "vectors" else "vectors"
        assert pairs[f"rank_by_{other}"].null_count() == pairs.height  # not computed


def test_the_seed_decides_everything(tmp_path: Path, vectors_by: ApiEmbed) -> None:
    lines = [Line(ArtifactStore(tmp_path / name), vectors_by, n_passages=20) for name in ("a", "b")]
    first, same = (line.examples() for line in lines)
    assert first.key == same.key
    for name in ("pairs", "texts"):
        a, b = (line.store.table(first, name).collect() for line in lines)
        assert a.equals(b)
    assert lines[0].examples().cached
    other = lines[0].examples(seed=1)
    assert other.key != first.key
    assert not lines[0].pairs(other)["doc_id"].equals(lines[0].pairs(first)["doc_id"])


def test_an_adapter_is_trained_and_measured_on_them_and_the_run_says_that_they_are_made(
    store: ArtifactStore, vectors_by: ApiEmbed
) -> None:
    line = Line(store, vectors_by)
    stages = line.run()
    about = store.json(stages["tune"], "adapter")
    assert about["loss"] == "ranking"
    examples = read_examples(store, stages["examples"], line.raw, vectors_by, line.runtime)
    whole, how = fit_adapter(examples, AdapterTune(epochs=3, strength=1.0), line.config.seed)
    assert about["gate"] == pytest.approx(0.25 * how["gate"])  # a quarter, unless a strength is set
    shown = load_adapter(store, stages["tune"])
    np.testing.assert_allclose(shown.weight, whole.weight)
    metrics = store.json(stages["measure"], "metrics")
    names = {name for name in metrics if name.startswith(("raw_", "tuned_"))}
    figures = ("ndcg_at_10", "mean_reciprocal_rank", "recall_at_10")
    assert names == {f"{space}_synthetic_{figure}" for space in ("raw", "tuned") for figure in figures}
    assert 0.5 < metrics["raw_synthetic_recall_at_10"] <= 1
    record = publish_tuned_run(store, line.config, stages, RunId.new("made"))
    assert (
        f"{metrics['n_dropped']} of {metrics['n_questions']} made questions were dropped"
        in record["remarks"][0]
    )
    assert "say nothing sure about queries of people" in record["remarks"][0]
    folder = Path(line.config.runtime.runs) / "made" / record["run_id"]
    table = pl.read_parquet(folder / "examples.parquet")
    assert table.columns == ["question", "passage", "role"]
    assert (table["role"] == "held out").sum() == metrics["n_held_out"]
    assert pl.read_parquet(folder / "questions.parquet").height == metrics["n_questions"]


@pytest.mark.slow
def test_all_weights_of_an_encoder_can_be_tuned_on_made_questions(store: ArtifactStore, tiny: Path) -> None:
    class Full(Line):
        tuning: ClassVar[dict[str, Any]] = {"method": "full", "max_steps": 2, "batch_size": 8}

    stages = Full(store, SentenceTransformersEmbed(model=str(tiny)), n_passages=30, found_within=N).run()
    assert store.meta(stages["tune"])["loss"] == "ranking"
    metrics = store.json(stages["measure"], "metrics")
    assert metrics["tuned_synthetic_mean_reciprocal_rank"] != metrics["raw_synthetic_mean_reciprocal_rank"]


def test_questions_have_the_prompt_of_queries_and_pass_through_the_adapter(
    store: ArtifactStore, tmp_path: Path
) -> None:
    model = tiny_model(tmp_path / "model", prompts={"query": "ask: ", "document": "say: "})
    config = SentenceTransformersEmbed(model=str(model), precision="float32", task="document")
    runtime, texts = RuntimeConfig(device="cpu"), pl.Series(["red tea", "milk"])
    files = find_encoder(config, "cpu", store)
    asked = load_encoder(files, config, None).encode_queries(texts.to_list(), None)[0]
    plain = query_vectors(store, texts, config, runtime)
    np.testing.assert_allclose(plain, asked, atol=1e-5)
    assert np.abs(plain - embed_texts(store, texts, config, runtime)).max() > 1e-3  # the prompt of documents
    head = ResidualHead(
        np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32), np.zeros(32, np.float32), 0.1
    )
    recipe = Recipe("tune", "adapters", 1, {})
    with store.writing(recipe) as writer:
        save_adapter(writer, head, {"encoder": files.key, "model": "m"})
    adapter = store.committed(recipe, writer)
    moved = query_vectors(store, texts, config.model_copy(update={"adapter": adapter.key}), runtime)
    np.testing.assert_allclose(moved, head.apply(plain), atol=1e-6)


def test_a_tuning_for_search_takes_the_prompt_for_documents_unless_the_user_sets_one() -> None:
    load, examples = {"path": "a.parquet"}, {"method": "synthetic"}
    config = TuneEmbeddingsConfig(load=load, examples=examples)
    assert config.embed.task == "document"
    assert TuneEmbeddingsConfig.model_validate(config.model_dump()).embed.task == "document"
    set_task = TuneEmbeddingsConfig(load=load, examples=examples, embed={"task": "none"})
    assert set_task.embed.task == "none"
    labelled = TuneEmbeddingsConfig(load={**load, "label_column": "x"})
    assert labelled.embed.task == "clustering"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": {"kinds": ["model"]}}, 'kinds: "model" needs examples.server'),
        (
            {"examples": {"kinds": ["title"], "server": {"url": "http://x/v1", "model": "m"}}},
            '"model" is not among the kinds',
        ),
        ({"embed": {"method": "precomputed", "column": "v"}}, "'precomputed' has no encoder for them"),
        ({"tune": {"loss": "softmax"}}, "examples.method='synthetic' takes 'contrastive'"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    values = {"load": {"path": "a.parquet"}, **changes}
    with pytest.raises(ValidationError, match=message):
        TuneEmbeddingsConfig(**{**values, "examples": {"method": "synthetic", **changes.get("examples", {})}})


def test_no_question_left_says_what_to_change(store: ArtifactStore, vectors_by: ApiEmbed) -> None:
    line = Line(store, vectors_by, kinds=("title",), n_passages=10)
    line.documents = save_documents(store, ["no title and one sentence"] * 12, "untitled")
    with pytest.raises(DataError, match=r"no question is left to train on: 0 were made and 0 dropped"):
        line.examples()


# --- questions of a model ---


def answer(number: int, prompt: str) -> str:
    """Ask for the first three words of the second sentence."""
    passage = prompt.split("<<<")[1].split(">>>", maxsplit=1)[0]
    words = passage.split(". ")[1].split()
    return json.dumps(
        {"1": f"what is {words[0]} {words[1]} {number}?", "2": f"where are {words[2]} {words[3]}?"}
    )


def served(server: ChatServer, **values: Any) -> dict[str, Any]:
    return {"url": server.url, "model": "m", "n_concurrent": 1, **values}


def test_a_model_is_asked_once_for_each_passage_and_never_again(
    store: ArtifactStore, vectors_by: ApiEmbed, caplog: pytest.LogCaptureFixture
) -> None:
    with ChatServer(say=answer) as server, caplog.at_level("INFO"):
        line = Line(
            store, vectors_by, server=served(server, corpus="reports", language="German"), n_passages=12
        )
        ref = line.examples()
        assert len(server.prompts) == 12
        assert "collection of reports" in server.prompts[0]
        assert "2 different search queries in German" in server.prompts[0]
        assert "12 calls to http" in caplog.text
        meta = store.meta(ref)
        assert (meta["n_questions"], meta["n_calls"], len(meta["beside"])) == (24, 12, 12)
        assert set(line.pairs(ref)["kind"]) == {"model"}
        wider = Line(
            store,
            vectors_by,
            server=served(server, corpus="reports", language="German"),
            n_passages=12,
            found_within=30,
        )
        assert store.meta(wider.examples())["n_questions"] == 24
        more = Line(
            store, vectors_by, server=served(server, corpus="reports", language="German"), n_passages=N
        )
        assert store.meta(more.examples())["n_calls"] == N - 12
        assert len(server.prompts) == N


def test_a_server_that_fails_keeps_the_answers_before_and_a_budget_is_said(
    store: ArtifactStore, vectors_by: ApiEmbed
) -> None:
    def fails(number: int, prompt: str) -> Any:
        return answer(number, prompt) if number <= 5 else error(503, "overloaded")

    with ChatServer(say=fails) as server:
        line = Line(store, vectors_by, server=served(server, retries=0), n_passages=20)
        with pytest.raises(StageError, match=r"^examples\.server: .* 5 answers came before, and are kept"):
            line.examples()
        server.say = answer
        limited = Line(store, vectors_by, server=served(server, max_calls=10), n_passages=20)
        stages = limited.run()
        meta = store.meta(stages["examples"])
        assert (meta["n_waiting"], meta["n_calls"], meta["n_questions"]) == (5, 10, 30)
        record = publish_tuned_run(store, limited.config, stages, RunId.new("limited"))
        assert (
            "no questions yet about 5 of 20 documents (not asked: the 10 calls of examples.server.max_calls"
            in record["remarks"][1]
        )
        complete = limited.examples()
        assert complete.key != stages["examples"].key
        assert (store.meta(complete)["n_waiting"], len(server.prompts)) == (0, 6 + 15)
    assert set(map(tuple, meta["beside"])) <= {(entry.kind, entry.key) for entry in store.entries()}


def test_answers_of_kept_runs_are_not_garbage(store: ArtifactStore, vectors_by: ApiEmbed) -> None:
    with ChatServer(say=answer) as server:
        line = Line(store, vectors_by, server=served(server), n_passages=12)
        publish_tuned_run(store, line.config, line.run(), RunId.new("kept"))
    collect_garbage(store, [Path(line.config.runtime.runs)], 0.0)
    assert sum(entry.kind == "answers" for entry in store.entries()) == 12


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            '{"1": "What is tea made of?", "2": "How hot is tea?"}',
            ("What is tea made of?", "How hot is tea?"),
        ),
        ('Here: ```{"1": "1. What is tea made of?"}```', ("What is tea made of?",)),
        ('{"1": "What is tea made of?", "2": "what is tea MADE of?"}', ("What is tea made of?",)),
        ('{"1": "Green tea is hot", "2": "tea"}', None),  # copied, and too short
        ('{"1": "What does the passage say?"}', None),
        ("", None),
        ("What is tea made of?", None),
    ],
)
def test_questions_are_read_and_checked(said: str, found: tuple[str, ...] | None) -> None:
    config = SyntheticExamples(method="synthetic", server={"url": "http://x/v1", "model": "m"}).server
    asked = PassageQuestion("Green tea is hot and good.", config)
    questions, fault = asked.read(said)
    assert questions == found
    assert (fault == "") == (found is not None)
    assert asked.rescue("- What is tea made of?\n- So") == ("What is tea made of?",)
    assert asked.restored(asked.kept(found)) == found


def test_unusable_answers_and_a_wrong_model_are_said(store: ArtifactStore, vectors_by: ApiEmbed) -> None:
    def silent(number: int, prompt: str) -> Any:
        return answer(number, prompt) if "w0" in prompt.split("<<<")[1][:40] else "no"

    with ChatServer(say=silent, models=["m"]) as server:
        line = Line(store, vectors_by, server=served(server, tries=1), n_passages=N)
        stages = line.run()
        n_unanswered = store.meta(stages["examples"])["n_unanswered"]
        assert 0 < n_unanswered < N
        record = publish_tuned_run(store, line.config, stages, RunId.new("some"))
        assert (
            record["remarks"][1]
            == f"The model gave no usable question about {n_unanswered} of {N} documents."
        )
        wrong = Line(store, vectors_by, server={**served(server), "model": "other"}, n_passages=11)
        with pytest.raises(ConfigError, match=r"^examples\.server: http\S+ has no model 'other'"):
            wrong.examples()
