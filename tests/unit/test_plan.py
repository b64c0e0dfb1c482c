"""Plan: what a run would compute, what is a hit, and why; without importing the heavy libraries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.commands import HEAVY, OTHER_FLOWS, imported_by
from tests.runs import edit
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import dump_config
from topicflow.flows.planning.plan import chain_recipes, plan_topic_model
from topicflow.flows.planning.plans import PLANS, plan_of
from topicflow.flows.planning.stages import STAGES, stages_of
from topicflow.flows.planning.steps import explain_miss
from topicflow.tasks.documents import recipes
from topicflow.tasks.documents.load import load
from topicflow.tasks.errors import DamagedError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.runs.records import RunId, run_folder, write_json
from topicflow.tasks.store import files, recipe_parts
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore, Recipe
from topicflow.tasks.topics.recipes import VERSIONS

CHAIN = STAGES[1:]


class Project:
    """A corpus in a file, a store and runs, with every artifact that a run would leave."""

    def __init__(self, folder: Path, tiny: Path) -> None:
        self.folder, self.tiny = folder, tiny
        self.store = ArtifactStore(folder / "store")
        self.write(["one text", "two texts", "three"])

    def write(self, texts: list[str], name: str = "docs.parquet") -> None:
        pl.DataFrame({"text": texts, "other": [t.upper() for t in texts]}).write_parquet(self.folder / name)

    def config(self, **changes: Any) -> TopicModelConfig:
        values: dict[str, Any] = {
            "load": {"path": str(self.folder / "docs.parquet")},
            "embed": {"model": str(self.tiny), "precision": "float32"},
            "runtime": {"store": str(self.store.root), "runs": str(self.folder / "runs")},
        }
        for section, fields in changes.items():
            values[section] = {**values.get(section, {}), **fields} if isinstance(fields, dict) else fields
        return TopicModelConfig(**values)

    def run(self, **changes: Any) -> dict[str, Recipe]:
        """Write the artifacts and the record of a run into the store and the runs."""
        config = self.config(**changes)
        documents = load.fn(Context(self.store, runtime=config.runtime), config.load)
        chain = chain_recipes(self.store, config, documents)
        for recipe in chain.values():
            with self.store.writing(recipe) as writer:
                writer.save_array("planted", np.zeros(3))
        kept = {"load": recipes.documents(config.load), **chain}
        keys = {stage: documents.key if stage == "load" else recipe.key for stage, recipe in kept.items()}
        run = RunId.new(config.name)
        stages = [
            {"stage": stage, "kind": recipe.kind, "key": keys[stage], "recipe": recipe.as_dict()}
            for stage, recipe in kept.items()
        ]
        record = {"run_id": run.run_id, "name": run.name, "state": "completed", "stages": stages}
        with run_folder(self.folder / "runs", run) as folder:
            write_json(folder / "run.json", record)
        return chain

    def plan(self, **changes: Any) -> dict[str, str]:
        steps = plan_topic_model(self.config(**changes))
        assert [step.stage for step in steps] == list(stages_of(self.config(**changes)))
        assert all(step.is_hit == (step.reason == "hit") for step in steps)
        return {step.stage: step.reason for step in steps if not step.is_hit}


@pytest.fixture
def project(tmp_path: Path, tiny: Path) -> Project:
    return Project(tmp_path, tiny)


def test_a_first_run_computes_all(project: Project) -> None:
    assert project.plan() == dict.fromkeys(STAGES, "first run")


def test_nothing_changed_is_all_hits(project: Project) -> None:
    project.run()
    assert project.plan() == {}
    assert project.plan(runtime={"n_threads": 1, "chunk_rows": 5, "device": "cpu"}) == {}


def test_a_moved_input_with_the_same_bytes_is_all_hits(project: Project) -> None:
    project.run()
    (project.folder / "docs.parquet").rename(project.folder / "moved.parquet")
    assert project.plan(load={"path": str(project.folder / "moved.parquet")}) == {}


def test_a_changed_value_is_reported_with_its_old_value(project: Project) -> None:
    project.run(cluster={"min_cluster_size": 10})
    follows = {
        "label": "input changed: labels",
        "evaluate": "input changed: labels, topics",
        "report": "input changed: labels, topics, metrics",
    }
    assert project.plan(cluster={"min_cluster_size": 50}) == {
        "cluster": "config changed: min_cluster_size 10 -> 50",
        **follows,
    }
    assert project.plan(cluster={"min_cluster_size": 10, "min_samples": 3, "selection": "leaf"}) == {
        "cluster": "config changed: min_samples unset -> 3, selection eom -> leaf",
        **follows,
    }


def test_a_gate_is_a_step_of_its_own_and_changes_no_other(project: Project) -> None:
    project.run(gates={"min_topics": 1})
    assert project.plan() == {}
    (last,) = (project.folder / "runs/topics").glob("*/run.json")
    edit(last, published=False)  # none was published yet
    assert project.plan(gates={"min_topics": 1, "webhook_env": "HOOK"}) == {}
    assert project.plan(gates={"min_topics": 2}) == {"gate": "config changed: min_topics 1 -> 2"}
    edit(last, published=True, metrics={"n_topics": 3})
    assert project.plan(gates={"min_topics": 1}) == {"gate": "input changed: before"}
    project.write(["other"])
    assert project.plan(gates={"min_topics": 1})["gate"] == "input changed"


def test_a_changed_seed_is_reported(project: Project) -> None:
    project.run(seed=1)
    found = project.plan(seed=2)
    assert {stage for stage, why in found.items() if why == "config changed: seed 1 -> 2"} == {
        "map", "evaluate",
    }  # fmt: skip
    assert "label" not in found  # topics do not depend on the seed


def test_a_changed_version_is_reported(project: Project, bump: Callable[..., None]) -> None:
    project.run()
    bump("cluster", to=99)
    assert project.plan()["cluster"] == f"version changed: {VERSIONS['cluster']} -> 99"


def test_a_changed_library_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.run()
    real = recipe_parts.version
    monkeypatch.setattr(recipe_parts, "version", lambda name: "99.0" if name == "hdbscan" else real(name))
    assert project.plan()["cluster"] == f"version changed: hdbscan {real('hdbscan')} -> 99.0"


def test_a_changed_encoder_is_reported(project: Project) -> None:
    project.run()
    assert project.plan(embed={"prompt": "p: "})["embed"].startswith(
        "config changed: prompt unset -> p: ; ver"
    )


def test_missing_or_damaged_artifacts_are_reported_and_later_stages_stay_hits(project: Project) -> None:
    chain = project.run()
    folders = {stage: project.store.folder(recipe.kind, recipe.key) for stage, recipe in chain.items()}
    (folders["cluster"] / "planted.npy").write_bytes(b"cut")
    project.store.discard(chain["map"].kind, chain["map"].key)
    assert project.plan() == {"cluster": "corrupt: planted.npy has 3 bytes, expected 152", "map": "missing"}


def test_artifacts_set_aside_as_damaged_are_reported(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = project.run()
    monkeypatch.setattr(files, "_sound", {})
    (documents,) = (project.store.root / "documents").iterdir()
    planted = project.store.folder(chain["cluster"].kind, chain["cluster"].key) / "planted.npy"
    for path in (planted, documents / "documents" / "part-00000.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert project.plan() == {}  # a hit looks at sizes
    with pytest.raises(DamagedError):
        project.store.array(ArtifactRef("labels", chain["cluster"].key, "cluster"), "planted")
    reason = "corrupt: {} changed since written; it was set aside"
    assert project.plan() == {"cluster": reason.format("planted.npy")}
    with pytest.raises(DamagedError):
        project.store.table(ArtifactRef("documents", documents.name, "load"), "documents")
    assert project.plan()["load"] == reason.format("documents/part-00000.parquet")


def test_a_changed_input_is_reported(project: Project) -> None:
    project.run()
    project.write(["one text", "two texts", "three", "four"])
    assert project.plan() == dict.fromkeys(STAGES, "input changed")


def test_a_changed_value_of_load_is_reported(project: Project) -> None:
    project.run()
    assert project.plan(load={"limit": 2}) == {
        "load": "config changed: limit unset -> 2",
        **dict.fromkeys(CHAIN, "input changed"),
    }


def test_missing_or_damaged_documents_are_reported(project: Project) -> None:
    project.run()
    (folder,) = (project.store.root / "documents").iterdir()
    part = next(folder.glob("documents/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert project.plan()["load"].startswith("corrupt: documents/part-00000.parquet has ")
    project.store.discard("documents", folder.name)
    assert project.plan()["load"] == "missing"
    (record,) = (project.store.root / "sources").iterdir()
    (record / "documents.json").write_bytes(b"")
    assert project.plan()["load"] == "corrupt: documents.json has 0 bytes, expected " + str(
        project.store.manifest("sources", record.name)["files"]["documents.json"]["bytes"]
    )


def test_another_store_lacks_what_the_last_run_left_in_its_own(project: Project) -> None:
    project.run()
    found = project.plan(runtime={"store": str(project.folder / "new")})
    assert found["load"] == "missing"


def test_a_miss_is_explained_from_the_recipe_before() -> None:
    before = Recipe("s", "k", 1, {"a": 1, "b": None}, {"x": "1"}, {"lib": "1"}, 3)
    assert explain_miss(before, None) == "first run"
    assert explain_miss(before, before.as_dict()) == "missing"
    assert (
        explain_miss(Recipe("t", *list(vars(before).values())[1:]), before.as_dict())
        == "stage changed: s -> t"
    )
    now = Recipe("s", "k", 2, {"a": 2, "c": 5}, {"x": "2"}, {"lib": "2"}, 4)
    assert explain_miss(now, before.as_dict()) == (
        "config changed: a 1 -> 2, c unset -> 5, seed 3 -> 4; version changed: 1 -> 2; version changed: lib 1 -> 2"
    )
    assert explain_miss(
        Recipe("s", "k", 1, {"a": 1, "b": None}, {"x": "2"}, {"lib": "1"}, 3), before.as_dict()
    ) == ("input changed: x")


def imported_by_plan(project: Project, avoided: set[str]) -> str:
    """Return which of the modules to avoid the plan of a run of hits imports, as text."""
    project.run()
    path = project.folder / "hits.toml"
    path.write_text(dump_config(project.config()), encoding="utf-8")
    *shown, found = imported_by(["plan", str(path)], project.folder, avoided)
    assert "0 would be computed" in shown[-1]
    return found


def test_a_plan_of_hits_imports_no_heavy_library_and_no_other_flow(project: Project) -> None:
    others = {f"topicflow.configs.flows.{flow}" for flow in OTHER_FLOWS} | {"topicflow.flows.commands.search"}
    assert imported_by_plan(project, HEAVY | others | {"numpy", "polars"}) == "[]"


def test_the_modules_of_a_command_are_seen(project: Project) -> None:
    assert imported_by_plan(project, {"pydantic", "numpy"}) == "['pydantic']"


def test_every_plan_is_there() -> None:
    assert {flow: plan_of(flow).__name__ for flow in PLANS} == {
        "topic_model": "plan_topic_model", "deduplicate": "plan_deduplicate", "build_index": "plan_index",
        "sweep": "plan_sweep", "update_topics": "plan_update",
    }  # fmt: skip
    assert "tune_embeddings" not in PLANS
