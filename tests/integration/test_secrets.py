"""Secrets and document texts stay out of records, logs and Prefect's API, in runs that succeed and runs that fail."""

import json
import sqlite3
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.commands import PrefectServer, run_apart, write_config
from tests.fakes import Corpus
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import parse_config

PASSWORD = "hunter2-swordfish"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA0123456789SECRET",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-K7MDENG",
    "AWS_SESSION_TOKEN": "token-of-a-session",
    "WEBHOOK_URL": "https://hooks.example/T000/B000/XXXXXXXX",
}
UNIQUE = "zyzzyva"
"""A word of the documents that is nowhere else, and is not a keyword: every text has another."""


def everything_told(server: PrefectServer, name: str) -> str:
    """Return everything that Prefect's API shows about the newest flow run of a name."""
    run = server.newest_flow_run(name)
    of_run = {"flow_run_id": {"any_": [run["id"]]}}
    return json.dumps(
        [
            run,
            server.ask("logs/filter", {"logs": of_run, "limit": 200}),
            server.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}, "limit": 200}),
            server.ask(f"flow_run_states/?flow_run_id={run['id']}"),
            [
                found
                for found in server.ask("artifacts/filter", {"artifacts": of_run})
                if not str(found["key"]).endswith("-topics")
            ],
        ]
    )


def query_config(folder: Path, query: str, name: str) -> Path:
    """Return a config over a query's rows, with vectors from a file."""
    config = write_config(folder, f'query = "{query}"\nconnection_env = "DB_URL"')
    text = config.read_text().replace('"trial"', f'"{name}"')
    config.write_text(text.replace('column = "vector"', f'path = "{folder / "vectors.npy"}"'))
    return config


def kept_in(folder: Path) -> str:
    """Return the texts of the last run that people read: record, config, log."""
    (run,) = folder.glob("runs/*/2*")
    return "".join((run / name).read_text() for name in ("run.json", "config.toml", "run.log"))


@pytest.fixture
def rows(tmp_path: Path, corpus: Corpus) -> str:
    """The URL of a database of documents; the name of its file is the secret."""
    np.save(tmp_path / "vectors.npy", corpus.embeddings)
    path = tmp_path / f"{PASSWORD}.db"
    with sqlite3.connect(path) as database:
        database.execute("create table documents (text)")
        texts = [(f"{text} {UNIQUE}{row}",) for row, text in enumerate(corpus.texts)]
        database.executemany("insert into documents values (?)", texts)
    return f"sqlite:///{path}"


def test_a_run_that_succeeds(prefect_server: PrefectServer, tmp_path: Path, rows: str) -> None:
    config = query_config(tmp_path, "select text from documents", "quiet")
    outcome = run_apart("run", config, cwd=tmp_path, **prefect_server.environment, **SECRETS, DB_URL=rows)
    assert outcome.code == 0, outcome.err
    shown = everything_told(prefect_server, "quiet")
    assert "cluster    computed" in shown  # the log has reached the server
    told = outcome.out + outcome.err + kept_in(tmp_path) + shown
    assert 'connection_env = "DB_URL"' in told
    for secret in (PASSWORD, rows, *SECRETS.values()):
        assert secret not in told
    assert UNIQUE not in told


def test_a_run_that_fails(prefect_server: PrefectServer, tmp_path: Path) -> None:
    url = f"postgresql+psycopg://reader:{PASSWORD}@127.0.0.1:9/nothing"  # nobody listens there
    np.save(
        tmp_path / "vectors.npy", np.ones((2, 4), np.float32)
    )  # a run looks for it before it reads anything
    config = query_config(tmp_path, "select 1", "loud")
    config.write_text(config.read_text().replace("[runtime]", "[runtime]\nretries = 0"))
    outcome = run_apart("run", config, cwd=tmp_path, **prefect_server.environment, **SECRETS, DB_URL=url)
    assert outcome.code == 1
    assert "DB_URL" in outcome.err
    told = outcome.out + outcome.err + kept_in(tmp_path) + everything_told(prefect_server, "loud")
    for secret in (PASSWORD, *SECRETS.values()):
        assert secret not in told


@pytest.mark.parametrize(
    ("section", "line", "said"),
    [
        (
            "load",
            f'query = "select 1"\nconnection_env = "postgresql://me:{PASSWORD}@host/db"',
            "without credentials",
        ),
        ("load", f'path = "s3://AKIA:{PASSWORD}@bucket/a.parquet"', "without credentials"),
        ("runtime", f'store = "S3://AKIA:{PASSWORD}@bucket/topics"', "without credentials"),
        (
            "load",
            f'path = "https://b.s3.amazonaws.com/a.csv?X-Amz-Signature={PASSWORD}"',
            "without credentials",
        ),
    ],
)
def test_a_secret_in_a_config_is_refused_and_not_repeated(section: str, line: str, said: str) -> None:
    values = {"load": {"path": "a.csv"}, section: tomllib.loads(line)}
    with pytest.raises(ValueError, match=said) as refused:
        parse_config(values, TopicModelConfig, "c.toml")
    assert f"{section}." in str(refused.value)
    assert PASSWORD not in str(refused.value)
