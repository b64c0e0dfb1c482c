"""Tuning with a store: the adapter and the tuned model as artifacts, later stages that name them, and refusals."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.fakes import planted_corpus, save_documents, tiny_model
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.flows.tune_embeddings import TuneEmbeddingsConfig
from topicflow.configs.sections.embed import PrecomputedEmbed, SentenceTransformersEmbed
from topicflow.configs.sections.label import LabelConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.configs.sections.tuning import (
    AdapterTune,
    ClassExamples,
    FullTune,
    MeasureConfig,
    PairExamples,
    SplitExamples,
    TripletExamples,
)
from topicflow.flows.planning.plan import chain_recipes
from topicflow.tasks.core.learning.residual import ResidualHead
from topicflow.tasks.encoding.adapters import find_adapter, load_adapter, save_adapter
from topicflow.tasks.encoding.embed import embed, embed_texts
from topicflow.tasks.encoding.encoder_files import find_encoder
from topicflow.tasks.encoding.encoders import load_encoder
from topicflow.tasks.encoding.float_encoder import SentenceTransformersEncoder
from topicflow.tasks.errors import ArtifactError, ConfigError, DataError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.publish.tuning import publish_tuned_run, tuned_encoding
from topicflow.tasks.runs.records import RunId, record_failure
from topicflow.tasks.runs.retention import collect_garbage
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics import label as labelling
from topicflow.tasks.tuning.example_set import ExampleSet, read_examples
from topicflow.tasks.tuning.examples import HELD_OUT, examples
from topicflow.tasks.tuning.measure_spaces import measure, measure_space
from topicflow.tasks.tuning.tune import fit_adapter, tune

CORPUS = planted_corpus(n_per_topic=50, n_noise=0, seed=1)
LABELS = [str(topic) for topic in CORPUS.truth]
BLURRED = CORPUS.embeddings + 0.45 * np.random.default_rng(4).normal(size=CORPUS.embeddings.shape).astype(
    np.float32
)
"""Vectors of which three of sixteen dimensions tell the topics apart."""


VECTORS = {"method": "precomputed", "column": "v"}


def made(returned: object) -> ArtifactRef:
    return returned  # type: ignore[return-value]


class Line:
    """The stages of a tuning on a tiny encoder, called one by one."""

    def __init__(self, store: ArtifactStore, tiny: Path, runs: Path, **tuning: Any) -> None:
        self.store, self.runtime = store, RuntimeConfig(device="cpu", runs=str(runs), store=str(store.root))
        self.documents = save_documents(store, CORPUS.texts, truth=LABELS, v=BLURRED.tolist())
        labels = runs.parent / "labels.parquet"
        pl.DataFrame({"doc_id": [f"d{i}" for i in range(len(LABELS))], "label": LABELS}).write_parquet(labels)
        self.config = TuneEmbeddingsConfig(
            **{
                "load": {"path": "documents.parquet"},
                "examples": {"path": str(labels)},
                "embed": {"model": str(tiny)},
                "measure": {"neighbors": (5, 20)},
                "runtime": self.runtime.model_dump(),
                **tuning,
            }
        )

    def run(self) -> dict[str, ArtifactRef]:
        config, runtime, store = self.config, self.runtime, self.store
        chosen = made(
            examples.fn(Context(store, config.seed, runtime), self.documents, config.examples, config.split)
        )
        raw = made(embed.fn(Context(store, runtime=runtime), self.documents, config.embed))
        trained = (self.documents, raw, chosen, config.embed)
        tuned = made(tune.fn(Context(store, config.seed, runtime), *trained, config.tune))
        encoding = tuned_encoding(store, config, tuned)
        moved = made(embed.fn(Context(store, runtime=runtime), self.documents, encoding))
        spaces = (chosen, raw, moved, (config.embed, encoding))
        judged = made(measure.fn(Context(store, config.seed, runtime), *spaces, config.measure))
        return {
            "load": self.documents, "examples": chosen, "embed": raw, "tune": tuned, "embed_again": moved,
            "measure": judged,
        }  # fmt: skip

    def publish(self, stages: dict[str, ArtifactRef]) -> dict[str, Any]:
        return publish_tuned_run(self.store, self.config, stages, RunId.new(self.config.name))


@pytest.fixture
def line(store: ArtifactStore, tiny: Path, tmp_path: Path) -> Line:
    return Line(store, tiny, tmp_path / "runs")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that any model has embedded."""
    asked: list[str] = []
    encode = SentenceTransformersEncoder.encode

    def counted(self: SentenceTransformersEncoder, texts: list[str]) -> object:
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(SentenceTransformersEncoder, "encode", counted)
    return asked


def test_an_adapter_is_made_once_and_moves_vectors_that_are_there(line: Line, encoded: list[str]) -> None:
    first = line.run()
    assert sorted(encoded) == sorted(CORPUS.texts)  # nothing is embedded again for the tuned space
    again = line.run()
    assert again == first
    assert all(ref.cached for stage, ref in again.items() if stage != "load")
    store, tuned = line.store, first["tune"]
    assert tuned.kind == "adapters"
    about = store.json(tuned, "adapter")
    assert about["encoder"] == find_encoder(line.config.embed, "cpu").key
    assert (about["format"], about["dim"], about["loss"], about["n_training"]) == (1, 32, "softmax", 90)
    files = find_adapter(store, SentenceTransformersEmbed(adapter=tuned.key), about["encoder"], line.runtime)
    assert files is not None
    raw = np.asarray(store.array(first["embed"], "embeddings"))
    moved = np.asarray(store.array(first["embed_again"], "embeddings"))
    np.testing.assert_array_equal(moved, load_adapter(store, files.ref).apply(raw))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1.0, atol=1e-5)
    metrics = store.json(first["measure"], "metrics")
    assert metrics["tuned_top_20"] > metrics["raw_top_20"] + 0.1
    assert metrics["n_held_out"] == 45
    assert metrics["chance"] == pytest.approx(14 / 44)


def test_another_loss_or_seed_is_another_adapter_and_equal_ones_have_equal_bits(
    line: Line, tmp_path: Path, tiny: Path
) -> None:
    first = line.run()["tune"]
    elsewhere = Line(ArtifactStore(tmp_path / "other"), tiny, tmp_path / "runs").run()["tune"]
    assert elsewhere == first
    paths = [line.store.path(first, "adapter.safetensors"), tmp_path / "other" / "adapters" / first.key]
    assert paths[0].read_bytes() == (paths[1] / "adapter.safetensors").read_bytes()
    for tuning in ({"tune": {"loss": "group", "epochs": 2}}, {"seed": 7}):
        assert Line(line.store, tiny, tmp_path / "runs", **tuning).run()["tune"] != first


def test_held_out_documents_are_never_trained_on(line: Line) -> None:
    stages = line.run()
    chosen = stages["examples"]
    held = np.flatnonzero(np.asarray(line.store.array(chosen, "roles")) == HELD_OUT)
    found = read_examples(line.store, chosen, stages["embed"], line.config.embed, line.runtime)
    blind = np.array(found.vectors)
    blind[held] = 0.0
    before, _ = fit_adapter(found, line.config.tune, 1)
    after, _ = fit_adapter(type(found)(blind, found.roles, found.classes), line.config.tune, 1)
    np.testing.assert_array_equal(before.weight, after.weight)
    assert found.vectors[held].any()


# --- named by later runs ---


def test_a_run_its_folder_or_its_key_name_the_adapter_and_keys_hold_its_content(line: Line) -> None:
    stages = line.run()
    record = line.publish(stages)
    key, folder = stages["tune"].key, Path(line.runtime.runs) / "tuned" / record["run_id"]
    assert record["adapter"] == key
    names = (key, "tuned", f"tuned/{record['run_id']}", record["run_id"], str(folder), "tuned/latest")
    keys = set()
    for name in names:
        config = TopicModelConfig(
            load={"path": "a"},
            embed={**line.config.embed.model_dump(), "adapter": name},
            runtime=line.runtime,
        )
        chain = chain_recipes(line.store, config, line.documents)
        keys.add(chain["embed"].key)
        assert chain["embed"].identity["adapter"] == key
    assert keys == {stages["embed_again"].key}
    plain = TopicModelConfig(load={"path": "a"}, embed=line.config.embed, runtime=line.runtime)
    before, after = (chain_recipes(line.store, c, line.documents) for c in (plain, config))
    assert {stage for stage in before if before[stage].key == after[stage].key} == {"count"}
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["config.toml", "examples.parquet", "metrics.json", "run.json"]
    table = pl.read_parquet(folder / "examples.parquet")
    assert table["role"].value_counts(sort=True)["role"].to_list() == ["training", "held out", "validation"]
    assert table["label"].to_list() == LABELS


def test_a_plan_resolves_an_adapter_without_torch(line: Line) -> None:
    line.publish(line.run())
    config = {
        "load": {"path": "a"}, "embed": {**line.config.embed.model_dump(), "adapter": "tuned"},
        "runtime": line.runtime.model_dump(),
    }  # fmt: skip
    code = (
        "import json, sys\n"
        "from topicflow.configs.flows.topic_model import TopicModelConfig\n"
        "from topicflow.flows.planning.plan import chain_recipes\n"
        "from topicflow.tasks.store.artifact_store import ArtifactRef, open_store\n"
        f"config = TopicModelConfig(**json.loads({json.dumps(config)!r}))\n"
        f"documents = ArtifactRef('documents', {line.documents.key!r}, 'load')\n"
        "chain = chain_recipes(open_store(config.runtime), config, documents)\n"
        "print(chain['embed'].identity['adapter'], 'torch' in sys.modules, 'prefect' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split()[1:] == ["False", "False"]


def test_an_adapter_of_another_encoder_or_none_is_refused_in_one_line(line: Line, tmp_path: Path) -> None:
    key = line.run()["tune"].key
    other = SentenceTransformersEmbed(
        model=str(tiny_model(tmp_path / "other", max_seq_length=8)), adapter=key
    )
    with pytest.raises(
        ConfigError, match=r"embed: adapter .* belongs to .*tune an adapter for this one$"
    ) as refused:
        embed.fn(Context(line.store, runtime=line.runtime), line.documents, other)
    assert "\n" not in str(refused.value)
    vectors = PrecomputedEmbed(method="precomputed", column="v", adapter=key)
    with pytest.raises(ConfigError, match="the encoder of this config is precomputed vectors"):
        find_adapter(line.store, vectors, "precomputed", line.runtime)
    for name, message in (
        ("nothing", r"embed\.adapter: .*no run"),
        ("0" * 32, r"embed\.adapter: 0+ is not in .*missing\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            embed.fn(
                Context(line.store, runtime=line.runtime),
                line.documents,
                other.model_copy(update={"adapter": name}),
            )


def test_an_adapter_by_its_series_name_is_the_published_runs(line: Line) -> None:
    stages = line.run()
    line.publish(stages)
    record_failure(line.config, RunId.new(line.config.name), "tune: no labels")
    encoder = find_encoder(line.config.embed, "cpu").key
    found = find_adapter(
        line.store, SentenceTransformersEmbed(adapter=line.config.name), encoder, line.runtime
    )
    assert found is not None
    assert found.key == stages["tune"].key


def test_precomputed_vectors_take_an_adapter_of_their_width(store: ArtifactStore, tmp_path: Path) -> None:
    recipe, head = (
        Recipe("tune", "adapters", 1),
        ResidualHead(np.eye(3, dtype=np.float32), np.ones(3, np.float32), 0.5),
    )
    with store.writing(recipe) as writer:
        save_adapter(writer, head, {"encoder": "precomputed", "model": "precomputed vectors"})
    config = PrecomputedEmbed(method="precomputed", column="v", adapter=recipe.key)
    vectors = np.eye(3, dtype=np.float32)
    documents = save_documents(store, ["a", "b", "c"], v=vectors.tolist())
    found = made(embed.fn(Context(store), documents, config))
    np.testing.assert_allclose(store.array(found, "embeddings"), head.apply(vectors), atol=1e-6)
    wide = save_documents(store, ["a", "b"], name="wide", v=np.eye(2, 4).tolist())
    with pytest.raises(ConfigError, match="the adapter expects 3 dimensions, found 4"):
        embed.fn(Context(store), wide, config)


@pytest.mark.parametrize("name", ["adapter.json", "adapter.safetensors"])
def test_a_damaged_adapter_names_the_command_that_makes_it(
    store: ArtifactStore, tmp_path: Path, name: str
) -> None:
    """It once promised that the same command makes it again, which a run that reads an adapter does not."""
    head = ResidualHead(np.eye(4, dtype=np.float32), np.zeros(4, np.float32), 0.5)
    with store.writing(Recipe("tune", "adapters", 1)) as writer:
        save_adapter(writer, head, {"encoder": "precomputed", "model": "precomputed vectors"})
    ref = store.committed(Recipe("tune", "adapters", 1), writer)
    path = store.path(ref, name)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    named = PrecomputedEmbed(method="precomputed", path=str(tmp_path / "v.npy"), adapter=ref.key)
    with pytest.raises(ArtifactError, match=r"is damaged .*; `topicflow tune` with the adapter's config"):
        load_adapter(store, find_adapter(store, named, "precomputed", RuntimeConfig()).ref)


def test_words_are_compared_with_topics_in_the_moved_space(line: Line) -> None:
    key = line.run()["tune"].key
    moved = line.config.embed.model_copy(update={"adapter": key})
    store, files = line.store, find_encoder(moved, "cpu")
    candidates = [[("cat", 1.0), ("tea", 0.5)]]
    with store.writing(Recipe("label", "trial", 1)) as writer:
        found = labelling._embed_words(store, writer, candidates, files, moved, line.runtime)
    words = pl.Series(["cat", "tea"])
    expected = embed_texts(store, words, moved, line.runtime)
    raw, _ = load_encoder(files, moved).encode(["cat", "tea"])
    np.testing.assert_array_equal(np.stack([found["cat"], found["tea"]]), expected)
    assert np.abs(expected - raw).max() > 0.01
    assert LabelConfig(representation="keybert").representation == "keybert"


def test_cleaning_keeps_the_adapter_of_a_run_that_was_made_with_it(line: Line) -> None:
    stages = line.run()
    folder = Path(line.runtime.runs) / "reviews" / "20260101-000000-aaaaaa"
    folder.mkdir(parents=True)
    moved = {"stage": "embed", "kind": "embeddings", "key": stages["embed_again"].key}
    record = {"run_id": folder.name, "name": "reviews", "state": "completed", "stages": [moved]}
    (folder / "run.json").write_text(json.dumps(record))
    removed = {(one.kind, one.key) for one in collect_garbage(line.store, [folder.parents[1]], 0.0)}
    assert ("judgements", stages["measure"].key) in removed
    assert ("adapters", stages["tune"].key) not in removed


# --- pairs, triplets, full tuning ---


def linked(tmp_path: Path, kind: str) -> PairExamples | TripletExamples:
    rng, n = np.random.default_rng(0), 1200
    a, group = (
        rng.integers(0, len(LABELS), n),
        np.arange(len(LABELS)) % 15,
    )  # links stay within fifteen groups
    same = [rng.choice(np.flatnonzero((CORPUS.truth == CORPUS.truth[i]) & (group == group[i]))) for i in a]
    other = [rng.choice(np.flatnonzero((CORPUS.truth != CORPUS.truth[i]) & (group == group[i]))) for i in a]
    names = [[f"d{i}" for i in rows] for rows in (a, same, other)]
    path = str(tmp_path / f"{kind}.parquet")
    if kind == "triplets":
        keep = [i for i in range(n) if a[i] != same[i]]
        columns = dict(zip(("id_anchor", "id_positive", "id_negative"), names, strict=True))
        pl.DataFrame({name: [ids[i] for i in keep] for name, ids in columns.items()}).write_parquet(path)
        return TripletExamples(method="triplets", path=path)
    similar = [1] * n + [0] * n
    pairs = pl.DataFrame({"id_a": names[0] * 2, "id_b": names[1] + names[2], "similar": similar})
    pairs.unique(["id_a", "id_b"], maintain_order=True).write_parquet(path)
    return PairExamples(method="pairs", path=path)


@pytest.mark.parametrize(("kind", "figure"), [("pairs", "roc_auc"), ("triplets", "triplet_accuracy")])
def test_pairs_and_triplets_tune_what_held_out_ones_measure(
    store: ArtifactStore, tiny: Path, tmp_path: Path, kind: str, figure: str
) -> None:
    given = {
        "examples": linked(tmp_path, kind).model_dump(),
        "tune": {"margin": 0.5, "epochs": 40},
        "embed": VECTORS,
    }
    line = Line(store, tiny, tmp_path / "runs", split={"held_out": 0.4, "validation": 0.0}, **given)
    stages = line.run()
    metrics = store.json(stages["measure"], "metrics")
    assert metrics[f"tuned_{figure}"] > metrics[f"raw_{figure}"]
    assert metrics["n_left_aside"] == 0  # what hangs together has one role
    record = line.publish(stages)
    table = pl.read_parquet(Path(line.runtime.runs) / "tuned" / record["run_id"] / "examples.parquet")
    assert table.height == sum(
        metrics[name] for name in ("n_training", "n_validation", "n_held_out", "n_left_aside")
    )


def partners(tmp_path: Path, kind: str) -> PairExamples:
    """Pairs of documents of one topic, or of any two topics with a score, without any other label."""
    rng, n = np.random.default_rng(0), len(LABELS)
    group = np.arange(n) % 15  # pairs stay within fifteen groups
    a = np.repeat(np.arange(n), 4)
    b = np.array([rng.choice(np.flatnonzero((group == group[i]) & (np.arange(n) != i))) for i in a])
    same = CORPUS.truth[a] == CORPUS.truth[b]
    keep = same if kind == "positives" else np.ones(len(a), bool)
    columns = {"anchor": [CORPUS.texts[i] for i in a[keep]], "positive": [CORPUS.texts[i] for i in b[keep]]}
    if kind == "graded":
        columns = {
            "text_a": columns["anchor"],
            "text_b": columns["positive"],
            "score": (3.5 * same + 1).tolist(),
        }
    path = str(tmp_path / f"{kind}.parquet")
    pl.DataFrame(columns).unique(maintain_order=True).write_parquet(path)
    return PairExamples(method="pairs", path=path)


@pytest.mark.parametrize(
    ("kind", "figure", "loss"),
    [("positives", "mean_reciprocal_rank", "ranking"), ("graded", "spearman", "graded")],
)
@pytest.mark.parametrize("method", ["adapter", "full"])
def test_positive_pairs_alone_and_graded_ones_tune_what_is_measured(
    store: ArtifactStore, tiny: Path, tmp_path: Path, kind: str, figure: str, loss: str, method: str
) -> None:
    tuning = {"epochs": 30} if method == "adapter" else {"method": "full", "epochs": 3, "learning_rate": 1e-3}
    given = {"examples": partners(tmp_path, kind).model_dump(), "tune": tuning}
    line = Line(store, tiny, tmp_path / "runs", split={"held_out": 0.4, "validation": 0.2}, **given)
    stages = line.run()
    assert store.meta(stages["tune"])["loss"] == loss
    metrics = store.json(stages["measure"], "metrics")
    assert metrics[f"tuned_{figure}"] > metrics[f"raw_{figure}"]
    if method == "adapter":
        head = load_adapter(store, stages["tune"])
        assert np.abs(head.weight).max() * abs(head.gate) > 1e-3  # an adapter of zeros teaches nothing
    record = line.publish(stages)
    table = pl.read_parquet(Path(line.runtime.runs) / "tuned" / record["run_id"] / "examples.parquet")
    assert ("score" in table.columns) == (kind == "graded")


def test_one_pair_has_no_other_to_compare_with() -> None:
    found = ExampleSet(
        np.eye(4, dtype=np.float32), np.array([0, 0, 2, 2], np.int8), np.full(4, -1),
        np.array([[0, 1], [2, 3]]), np.array([0, 2], np.int8), np.array([True, True]),
    )  # fmt: skip
    with pytest.raises(DataError, match="one pair is left to train on, without another"):
        fit_adapter(found, AdapterTune(), 1)
    unlike = dataclasses.replace(found, similar=np.array([False, True]))
    with pytest.raises(DataError, match="no similar pair is left to train on"):
        fit_adapter(unlike, AdapterTune(), 1)


def test_full_tuning_gives_a_model_that_embed_can_name(
    store: ArtifactStore, tiny: Path, tmp_path: Path
) -> None:
    tuning = {"tune": {"method": "full", "epochs": 2, "learning_rate": 1e-3}}
    line = Line(store, tiny, tmp_path / "runs", **tuning)
    stages = line.run()
    assert stages["tune"].kind == "models"
    folder = store.path(stages["tune"], "model")
    assert (folder / "model.safetensors").exists()
    assert not [path for path in folder.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]
    assert len(store.meta(stages["tune"])["losses"]) == 2
    metrics = store.json(stages["measure"], "metrics")
    assert metrics["tuned_top_20"] > metrics["raw_top_20"]
    record = line.publish(stages)
    named = embed_texts(
        store, pl.Series(CORPUS.texts[:3]), SentenceTransformersEmbed(model=record["model"]), line.runtime
    )
    np.testing.assert_allclose(named, store.array(stages["embed_again"], "embeddings")[:3], atol=1e-6)
    with pytest.raises(ConfigError, match=r"tuned tuned the whole encoder; set embed\.model to its folder"):
        find_adapter(store, SentenceTransformersEmbed(adapter="tuned"), "any", line.runtime)


def test_topics_of_the_pipeline_are_measured_too(line: Line) -> None:
    stages = line.run()
    found = read_examples(
        line.store, stages["examples"], stages["embed_again"], line.config.embed, line.runtime
    )
    figures = measure_space(found, MeasureConfig(neighbors=(5,), topics="pipeline"), 1, line.runtime)
    assert set(figures) == {"top_5", "probe_accuracy", "probe_macro_f1", "nmi", "outlier_share"}
    assert 0 < figures["nmi"] <= 1


# --- configs that do not fit together ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "no labels; set load.label_column, or examples.path"),
        (
            {"examples": ClassExamples(path="l.csv"), "embed": {"adapter": "a"}},
            "tuning starts from the encoder's own",
        ),
        (
            {
                "examples": ClassExamples(path="l.csv"),
                "embed": {"method": "static"},
                "tune": FullTune(method="full"),
            },
            "tune.method='full' trains a model; embed.method='static' has none",
        ),
        (
            {"examples": PairExamples(method="pairs", path="p.csv"), "tune": AdapterTune(loss="group")},
            "tune.loss='group' needs classes; examples.method='pairs' takes 'contrastive'",
        ),
        (
            {"load": {"path": "a", "split": {}}, "examples": ClassExamples(path="l.csv")},
            "examples are whole documents",
        ),
        (
            {"split": SplitExamples(), "measure": {"neighbors": (0,)}},
            "must be one or more different numbers of at least 1",
        ),
    ],
)
def test_configs_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TuneEmbeddingsConfig(**{"load": {"path": "a"}, **changes})
