"""Fixtures of the tests that run against real servers."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.clusters import Cluster, dask_cluster
from tests.commands import PrefectServer, clean_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def deployed_from(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the deployments are made."""
    return tmp_path_factory.mktemp("deployed")


@pytest.fixture(scope="module")
def deployment(prefect_server: PrefectServer, deployed_from: Path) -> str:
    """The id of the deployment that deployments/prefect.yaml describes, on the server."""
    shutil.copy(ROOT / "deployments/prefect.yaml", deployed_from / "prefect.yaml")
    deploy = [
        sys.executable,
        "-m",
        "prefect",
        "--no-prompt",
        "deploy",
        "--all",
    ]
    pool = [
        sys.executable,
        "-m",
        "prefect",
        "work-pool",
        "create",
        "topicflow",
        "--type",
        "process",
        "--overwrite",
    ]
    for command in (pool, deploy):
        done = subprocess.run(
            command, cwd=deployed_from, capture_output=True, text=True, timeout=120, check=False,
            env=clean_environment(**prefect_server.environment, PWD=str(deployed_from)),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    return str(prefect_server.ask("deployments/name/topic_model/topic-model")["id"])


@pytest.fixture
def preload() -> str:
    """The code that the workers of `cluster` run first; a module may have its own."""
    return ""


@pytest.fixture
def cluster(tmp_path: Path, prefect_server: PrefectServer, preload: str) -> Iterator[Cluster]:
    """A Dask scheduler with two worker processes."""
    with dask_cluster(tmp_path, prefect_server, preload) as started:
        yield started


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The address of a server that speaks S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the S3 server without any bucket, and the environment that leads to it."""
    for variable in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    client = boto3.client("s3")
    for bucket in client.list_buckets()["Buckets"]:
        for found in client.list_objects_v2(Bucket=bucket["Name"]).get("Contents", ()):
            client.delete_object(Bucket=bucket["Name"], Key=found["Key"])
        client.delete_bucket(Bucket=bucket["Name"])
    return client
