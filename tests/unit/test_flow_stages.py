"""Stages of a flow: names, order, retries of reading, and what a publisher gets; without a Prefect server."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from prefect.client.schemas.actions import ArtifactCreate

from tests.record_stage_code import all_versions
from topicflow.configs.flows.build_index import BuildIndexConfig
from topicflow.configs.sections.runtime import RuntimeConfig
from topicflow.flows.running.current import current_run
from topicflow.flows.running.stages import Stages
from topicflow.tasks.errors import StageError
from topicflow.tasks.execution.context import Context
from topicflow.tasks.execution.progress import artifact_key
from topicflow.tasks.store.artifact_store import ArtifactRef, ArtifactStore


@dataclass
class Fake:
    """A task that calls its function at once and records how it was called."""

    name: str
    function: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    def with_options(self, **options: Any) -> "Fake":
        self.options |= options
        return self

    @property
    def task(self) -> "Fake":
        return self

    def submit(self, *given: Any, **named: Any) -> "Fake":
        self.calls.append((given, named))
        return self

    def result(self) -> Any:
        given, named = self.calls[-1]
        return self.function(*given, **named)


def stage(name: str, rows: int = 3) -> Any:
    return Fake(
        name, lambda _context, **named: ArtifactRef(f"{name}s", named.get("key", "k"), name, rows=rows)
    )


@pytest.fixture
def stages(store: ArtifactStore) -> Stages:
    return Stages(Context(store, 7, RuntimeConfig(retries=4)))


def test_a_stage_gets_the_context_and_its_artifact_the_name_of_the_task(stages: Stages) -> None:
    embed = stage("embed")
    found = stages.run(embed, key="one")
    assert embed.calls == [((stages.context,), {"key": "one"})]
    assert stages.made == {"embed": found}
    assert found.key == "one"


def test_a_stage_may_have_an_input_called_name(stages: Stages) -> None:
    report = stage("report")
    stages.run(report, name="reviews", key="page")
    assert report.calls == [((stages.context,), {"name": "reviews", "key": "page"})]


def test_artifacts_are_kept_in_order_and_a_second_one_of_a_name_replaces_the_first(stages: Stages) -> None:
    count, embed = stage("count"), stage("embed")
    stages.run(count, key="new")
    stages.run_as("embed_all", embed, key="all")
    stages.run(count, key="every")
    assert [(name, ref.key) for name, ref in stages.made.items()] == [
        ("count", "every"),
        ("embed_all", "all"),
    ]


def test_only_stages_that_read_from_outside_are_tried_again(stages: Stages) -> None:
    load, embed = stage("load"), stage("embed")
    stages.run(load)
    stages.run_as("load_against", load)
    stages.run(embed)
    assert (load.options, embed.options) == ({"retries": 4}, {})
    assert list(stages.made) == ["load", "load_against", "embed"]


def test_a_stage_without_memory_is_named_and_leaves_no_artifact(stages: Stages) -> None:
    def fail(_context: Context) -> None:
        raise MemoryError

    with pytest.raises(StageError, match=r"^against: out of memory"):
        stages.run_as("against", Fake("embed", fail))  # type: ignore[arg-type]
    assert stages.made == {}


def test_a_publisher_gets_the_store_everything_made_and_the_current_run(stages: Stages) -> None:
    config = BuildIndexConfig(load={"path": "a.csv"}, name="idx")
    made = stages.run(stage("load"))
    publish = Fake("publish", lambda *given: {"given": given})
    with current_run(config) as current:
        record = stages.publish(publish, config, "more")  # type: ignore[arg-type]
    assert record["given"] == (stages.context.store, config, {"load": made}, "more", current.run)


@pytest.mark.parametrize("stage", ["embed_all", "embed_again", *all_versions()])
def test_prefect_takes_the_key_of_a_stages_progress(stage: str) -> None:
    assert ArtifactCreate(key=artifact_key(stage)).key == artifact_key(stage)
