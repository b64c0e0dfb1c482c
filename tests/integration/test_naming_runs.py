"""Names in whole runs: table, CSV, report, BERTopic model, record, console; plan and reruns; updates keep names."""

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.chat_server import ChatServer
from tests.commands import Outcome, PrefectServer, clean_environment, command, run_apart, write_corpus
from tests.fakes import Corpus
from tests.updates import N_FIRST, config_of, new_topic, story, tell
from topicflow.configs.read import dump_config
from topicflow.tasks.store.artifact_store import ArtifactStore

Command = Callable[..., Outcome]


def named_by(folder: Path) -> dict[str, str]:
    return dict(pl.read_parquet(folder / "topics.parquet").select("name", "named_by").iter_rows())


def test_a_run_with_names_as_it_is_typed(topicflow: Command, tmp_path: Path, corpus: Corpus) -> None:
    plain = write_corpus(tmp_path, corpus)
    before = topicflow("run", plain, "--json").record
    assert "named_by" not in pl.read_parquet(tmp_path / "runs/trial/latest/topics.parquet").columns
    with ChatServer() as server:
        config = tmp_path / "named.toml"
        section = f'[names]\nurl = "{server.url}"\nmodel = "m"\ncorpus = "lists"\n'
        config.write_text(plain.read_text() + section)
        planned = topicflow("plan", config)
        (line,) = (line for line in planned.out.splitlines() if line.startswith("name "))
        assert line.startswith(
            f"name       compute  first run; 3 calls to {server.url} and one for each group of alike"
        )
        assert "characters of 18 documents leave the machine" in line
        assert [line.split()[0] for line in planned.out.splitlines() if " compute " in line] == [
            "name",
            "report",
        ]
        assert server.bodies == []

        shown = topicflow("run", config)
        assert shown.code == 0, shown.err
        assert len(server.bodies) == 3
        folder = tmp_path / "runs/trial/latest"
        names = named_by(folder)
        assert set(names.values()) == {"model"}
        assert all(" and " in name for name in names)
        for name in names:
            assert name in shown.out
            assert name in (folder / "topics.csv").read_text()
            assert name in (folder / "report.html").read_text()
        labels = json.loads((folder / "model/topics.json").read_text())["custom_labels"]
        assert set(names) == set(labels) - {"no topic"}
        record = json.loads((folder / "run.json").read_text())
        stages = [stage["stage"] for stage in record["stages"]]
        assert stages.index("name") == stages.index("label") + 1
        states = {stage["stage"]: stage["state"] for stage in record["stages"]}
        assert {stage for stage, state in states.items() if state == "computed"} == {"name", "report"}

        keys = {stage["stage"]: stage["key"] for stage in record["stages"]}
        old = {stage["stage"]: stage["key"] for stage in before["stages"]}
        assert {stage for stage in old if old[stage] != keys[stage]} == {
            "report"
        }  # without [names] nothing changes
        again = topicflow("run", config, "--json").record
        assert {stage["state"] for stage in again["stages"]} == {"cached"}
        assert len(server.bodies) == 3
        plan = json.loads(topicflow("plan", config, "--set", "names.corpus=bags", "--json").out)
        (step,) = (step for step in plan if step["stage"] == "name")
        assert step["cost"]["n_calls"] == 3
        assert step["reason"] == "config changed: corpus lists -> bags"


def test_a_budget_and_a_server_that_is_away_are_lines(
    topicflow: Command, tmp_path: Path, corpus: Corpus
) -> None:
    plain = write_corpus(tmp_path, corpus)
    with ChatServer() as server:
        config = tmp_path / "named.toml"
        config.write_text(plain.read_text() + f'[names]\nurl = "{server.url}"\nmodel = "m"\n')
        part = topicflow("run", config, "--publish", "--set", "names.max_calls=2")
        assert part.code == 0
        sent, *said = part.errors
        assert sent.startswith(
            f"names: 3 calls to {server.url} and one for each group of alike names, about "
        )
        assert said == [
            (
                "note: 2 of 3 topics are named by the model (not asked: the 2 calls of names.max_calls are sent); "
                "run again to go on."
            )
        ]
        assert sorted(named_by(tmp_path / "runs/trial/latest").values()) == ["keywords", "model", "model"]
    away = topicflow("run", config, "--publish", "--set", "names.retries=0")
    assert away.code == 1
    line = away.errors[-1]
    assert "names: http://127.0.0.1" in line
    assert "start the server or correct names.url, and run again" in line


@pytest.mark.slow
def test_a_killed_run_loses_only_the_call_under_way(
    tmp_path: Path, corpus: Corpus, prefect_server: PrefectServer
) -> None:
    third, killed, environment = threading.Event(), threading.Event(), prefect_server.environment

    def wait(number: int, _prompt: str) -> object:
        if number == 3:
            third.set()
            killed.wait(60)
        return ...

    plain = write_corpus(tmp_path, corpus)
    with ChatServer(say=wait) as server:
        config = tmp_path / "named.toml"
        config.write_text(
            plain.read_text() + f'[names]\nurl = "{server.url}"\nmodel = "m"\nn_concurrent = 1\n'
        )
        with (tmp_path / "said.txt").open("wb") as said:
            process = subprocess.Popen(
                command("run", config),
                cwd=tmp_path,
                env=clean_environment(**environment),
                stdout=said,
                stderr=said,
            )
        assert third.wait(120), (tmp_path / "said.txt").read_text()
        process.kill()
        process.wait(20)
        killed.set()
        server.say = None
        done = run_apart("run", config, cwd=tmp_path, **environment)
        assert done.code == 0, done.err
        assert len(server.bodies) == 4
        assert server.bodies[3]["messages"] == server.bodies[2]["messages"]
    assert set(named_by(tmp_path / "runs/trial/latest").values()) == {"model"}


def test_a_name_is_a_text_wherever_it_is_shown(topicflow: Command, tmp_path: Path, corpus: Corpus) -> None:
    def say(_number: int, prompt: str) -> object:
        return json.dumps({"name": "=Tea </script><b>x"}) if "tea" in prompt.partition("\n\n")[0] else ...

    plain = write_corpus(tmp_path, corpus)
    with ChatServer(say=say) as server:
        config = tmp_path / "named.toml"
        config.write_text(plain.read_text() + f'[names]\nurl = "{server.url}"\nmodel = "m"\n')
        shown = topicflow("run", config)
    assert "=Tea </script><b>x" in shown.out
    folder = tmp_path / "runs/trial/latest"
    assert "=Tea </script><b>x" in named_by(folder)
    assert "</script><b>x" not in (folder / "report.html").read_text()
    assert not any(
        line.split(",")[2].startswith("=") for line in (folder / "topics.csv").read_text().splitlines()
    )


@pytest.fixture
def chat() -> "ChatServer":
    return ChatServer()


def test_updates_ask_for_new_topics_only_and_a_persons_names_win(tmp_path: Path, chat: ChatServer) -> None:
    with chat as server:
        names = {"url": server.url, "model": "m", "n_concurrent": 1}
        latest = tmp_path / "runs/story/latest"
        tell(config_of(tmp_path, story()[:N_FIRST]))
        first = named_by(latest)
        assert set(first.values()) == {"keywords"}

        tell(config_of(tmp_path, story()[:150], names=names))  # the section came later
        second = named_by(latest)
        assert set(second.values()) == {"model"}
        assert len(server.bodies) == 3
        assert all(name in (latest / "report.html").read_text() for name in second)

        ids = pl.read_parquet(latest / "topics.parquet").select("topic", "name")
        mine = ids["topic"][0]
        (tmp_path / "runs/story/topic_names.toml").write_text(f'[names]\n{mine} = "Mine"\n')
        grown = pl.concat([story(), new_topic(60, axis=9, start=180)])
        record = tell(config_of(tmp_path, grown, names=names, drift={"min_documents": 10, "refit_after": 1}))
        assert record["update"]["refit"], record["update"]
        third = pl.read_parquet(latest / "topics.parquet")
        kept = dict(ids.iter_rows())
        now = dict(third.select("topic", "name").iter_rows())
        assert {topic: now[topic] for topic in kept} == {**kept, mine: "Mine"}
        new = set(now) - set(kept)
        assert len(new) == len(server.bodies) - 3 == 1
        assert "rocket" in server.prompts[-1]
        assert dict(third.select("topic", "named_by").iter_rows()) == dict.fromkeys(now, "model") | {
            mine: "person"
        }
        labels = json.loads((latest / "model/topics.json").read_text())["custom_labels"]
        assert set(now.values()) <= set(labels)
    state = [stage for stage in record["stages"] if stage["stage"] == "name"]
    assert len(state) == 1
    assert ArtifactStore(tmp_path / "store").state("names", state[0]["key"]) == "hit"


def test_an_update_with_names_as_it_is_typed(topicflow: Command, tmp_path: Path, chat: ChatServer) -> None:
    with chat as server:
        config = tmp_path / "update.toml"
        names = {"url": server.url, "model": "m"}
        config.write_text(dump_config(config_of(tmp_path, story()[:N_FIRST], names=names)))
        record = topicflow("update", config, "--json").record
        assert len(server.bodies) == 3
    assert [stage["rows"] for stage in record["stages"] if stage["stage"] == "name"] == [3]
    assert set(named_by(tmp_path / "runs/story/latest").values()) == {"model"}
