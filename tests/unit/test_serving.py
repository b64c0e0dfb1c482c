"""The schedules that `topicflow serve` accepts and refuses, and what it sends to Prefect."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from topicflow.configs.flows.serving import RetentionConfig, ServeConfig
from topicflow.configs.read import load_config
from topicflow.flows.running import serving
from topicflow.tasks.errors import ConfigError, StageError

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str) -> ServeConfig:
    path = folder / "serve.toml"
    path.write_text(text)
    return load_config(path, (), ServeConfig)


def test_the_shipped_schedules_load() -> None:
    path = ROOT / "deployments/serve.toml"
    config = load_config(path, (), ServeConfig)
    (schedule,) = config.schedules
    parameters = serving._parameters(schedule, path.parent)
    assert (schedule.name, parameters["config"]["name"]) == ("nightly", "quickstart")
    assert config.retention is not None
    assert config.retention.policy == RetentionConfig(keep_runs=14, keep_days=30)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('cron = "0 3 * *"', "not a cron expression"),
        ('cron = "61 3 * * *"', "not a cron expression"),
        ('cron = "0 3 * * *"\nevery_s = 5', "give either cron or every_s"),
        ("", "give either cron or every_s"),
        ("every_s = 0", "every_s: input should be greater than or equal to 1"),
        ('cron = "0 3 * * *"\ntimezone = "Berlin"', "such as Europe/Berlin"),
        ('cron = "0 3 * * *"\noverlap = "both"', "overlap: input should be 'skip' or 'queue'"),
        ('crom = "0 3 * * *"', "did you mean 'cron'"),
    ],
)
def test_a_schedule_that_is_wrong_is_named(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"serve\.toml: ") as refused:
        read(tmp_path, f'[[schedules]]\nname = "a"\nconfig = "c.toml"\n{lines}\n')
    assert message in str(refused.value)


def test_two_schedules_of_one_name_are_refused(tmp_path: Path) -> None:
    one = '[[schedules]]\nname = "a"\nconfig = "c.toml"\nevery_s = 5\n'
    with pytest.raises(ValueError, match="two schedules have the name a"):
        read(tmp_path, one + one)


def test_a_schedule_of_no_flow_or_no_config_is_refused(tmp_path: Path) -> None:
    config = read(tmp_path, '[[schedules]]\nname = "a"\nflow = "topics"\nconfig = "c.toml"\nevery_s = 5\n')
    with pytest.raises(ConfigError, match=r"^schedule a: no flow 'topics'; there are: topic_model"):
        serving.serve(config, tmp_path)
    config = read(tmp_path, '[[schedules]]\nname = "a"\nconfig = "c.toml"\nevery_s = 5\n')
    with pytest.raises(ConfigError, match=r"schedule a: .*c\.toml: no such config file"):
        serving.serve(config, tmp_path)


@pytest.mark.parametrize(("overlap", "strategy"), [("skip", "CANCEL_NEW"), ("queue", "ENQUEUE")])
def test_what_prefect_receives(tmp_path: Path, overlap: str, strategy: str) -> None:
    text = '[[schedules]]\nname = "a"\nconfig = "c.toml"\ncron = "0 3 * * *"\ntimezone = "Europe/Berlin"\n'
    (schedule,) = read(tmp_path, f'{text}overlap = "{overlap}"\nset = ["seed=7"]\n').schedules
    (tmp_path / "c.toml").write_text('[load]\npath = "a.csv"\n')
    parameters = serving._parameters(schedule, tmp_path)
    made: Any = asyncio.run(serving._deployment(serving._flow("topic_model"), "a", schedule, parameters))
    assert made.parameters["config"]["seed"] == 7
    assert made.entrypoint == "topicflow.flows.topic_model.topic_model"
    assert (made.concurrency_limit, made.concurrency_options.collision_strategy.value) == (1, strategy)
    (when,) = made.schedules
    assert (when.schedule.cron, when.schedule.timezone) == ("0 3 * * *", "Europe/Berlin")


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StageError, match=f"PREFECT_API_URL=http://127.0.0.1:{port}/api"):
            serving._check_free(port)
    serving._check_free(port)
