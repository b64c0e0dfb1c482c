"""Questions and hypothetical answers of a real model behind a real server: the protocol is tested, not the beauty."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.indexes import index_config, run
from tests.real_servers import llama_cpp_chat
from topicflow.configs.sections.index import HypotheticalConfig
from topicflow.configs.sections.tuning import QuestionServer
from topicflow.tasks.store.artifact_store import ArtifactStore
from topicflow.tasks.tuning.asked_questions import ask_questions

pytestmark = pytest.mark.slow

TEXTS = [
    "The tail of the glider broke because the screws that hold it were loose. A second inspection found rust.",
    "Tea loses its taste in warm water. Boiling water brings out more of the bitter parts of the leaves.",
]


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_cpp_chat(1024) as url:
        yield url


def test_questions_are_written_once(llama: str, store: ArtifactStore) -> None:
    server = QuestionServer(
        url=llama, model="smollm2", n_concurrent=1, n_questions=1, answer_tokens=48, tries=3
    )
    found = ask_questions(store, pl.Series(TEXTS), server)
    assert (found.n_waiting, len(found.keys)) == (0, 2)
    assert 2 <= found.n_calls <= 6
    written = [question for own in found.questions for question in own]
    assert len(written) == 2 - found.n_unanswered
    assert all(3 <= len(question.split()) <= 40 for question in written)
    again = ask_questions(store, pl.Series(TEXTS), server)
    assert (again.n_calls, again.questions) == (0, found.questions)


def test_a_passage_is_written_and_moves_the_search(llama: str, tmp_path: Path, tiny: Path) -> None:
    pl.DataFrame({"id": ["a", "b"], "text": TEXTS}).write_parquet(tmp_path / "documents.parquet")
    section = HypotheticalConfig(url=llama, model="smollm2", max_words=30, answer_tokens=60, timeout_s=120)
    config = index_config(tmp_path, {"model": str(tiny), "precision": "float32"})
    index = run(config.model_copy(update={"hypothetical": section}))
    plain, found = (
        index.search("why did the tail break?", 2, mode="dense", expand=way)
        for way in ("none", "hypothetical")
    )
    assert found.note == ""
    assert [hit.score for hit in found] != pytest.approx([hit.score for hit in plain], abs=1e-4)
