"""Deployment files: every flow has an entry that loads, and images are checked as far as possible without Docker."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from topicflow.configs.flows.names import FLOWS

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())
COMPOSE = yaml.safe_load((ROOT / "deployments/compose.yaml").read_text())
DOCKERFILE = (ROOT / "deployments/Dockerfile").read_text()


def entries() -> dict[str, Any]:
    return {entry["entrypoint"]: entry for entry in DEPLOYMENTS["deployments"]}


@pytest.mark.parametrize("flow", [*FLOWS, "clean_store"])
def test_every_flow_is_deployed_by_module_and_loads(flow: str) -> None:
    entry = entries()[f"topicflow.flows.{flow}.{flow}"]
    loaded: Flow[..., Any] = load_flow_from_entrypoint(entry["entrypoint"])
    assert (loaded.name, entry["name"]) == (flow, flow.replace("_", "-"))
    assert entry["description"]
    assert entry["work_pool"]["name"] == "topicflow"
    assert set(loaded.parameters.properties) == {"config"}


def test_every_deployment_has_a_flow() -> None:
    assert set(entries()) == {f"topicflow.flows.{flow}.{flow}" for flow in (*FLOWS, "clean_store")}


def test_the_schedules_in_comments_are_ready_to_use() -> None:
    """Without the comment signs it is YAML that Prefect reads, with a cron, a time zone and a valid config."""
    text = (ROOT / "deployments/prefect.yaml").read_text()
    head, _, body = text.partition("\ndeployments:\n")
    used = yaml.safe_load(f"{head}\ndeployments:\n{re.sub(r'(?m)^    # ', '    ', body)}")
    scheduled = [entry for entry in used["deployments"] if entry.get("schedules")]
    assert [entry["name"] for entry in scheduled] == [entry["name"] for entry in DEPLOYMENTS["deployments"]]
    for entry in scheduled:
        (schedule,) = entry["schedules"]
        assert re.fullmatch(r"(\S+ ){4}\S+", schedule["cron"])
        assert schedule["timezone"]
        assert entry["concurrency_limit"]["collision_strategy"] in {"CANCEL_NEW", "ENQUEUE"}
        flow = load_flow_from_entrypoint(entry["entrypoint"])
        flow.validate_parameters(entry["parameters"])


# --- images -------------------------------------------------------------------------------------------------


def instructions() -> Iterator[tuple[str, str]]:
    """Yield each instruction of the Dockerfile with its arguments in one line."""
    plain = "\n".join(line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#"))
    for line in plain.replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, " ".join(rest.split())


def test_the_dockerfile_is_well_formed() -> None:
    known = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "CMD"}
    assert {word for word, _ in instructions()} <= known
    stages: list[str] = []
    for word, rest in instructions():
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image.startswith("python:${PYTHON}") or image in stages
            stages.append(name)
        if word == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines()
    assert stages == ["base", "cpu", "cuda"]
    for stage in ("cpu", "cuda"):
        own = DOCKERFILE.partition(f" AS {stage}\n")[2].partition("\nFROM ")[0]
        assert "USER topicflow" in own
        assert "--constraint constraints.txt" in own


def test_the_extras_of_the_images_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r'EXTRAS="([^"]+)"', DOCKERFILE)
    assert len(named) == 2
    assert {name for line in named for name in line.split(",")} <= set(extras)


def test_the_compose_file_holds_together() -> None:
    services = COMPOSE["services"]
    built = {service["image"] for service in services.values() if "build" in service}
    assert built == {"topicflow:cpu", "topicflow:cuda"}
    for name, service in services.items():
        assert service["image"] in built or re.fullmatch(r"postgres:\d+", service["image"]), name
        assert set(service.get("depends_on", {})) <= set(services)
        for dependency, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[dependency]
        if "build" in service:
            assert (
                ROOT / "deployments" / service["build"]["context"] / service["build"]["dockerfile"]
            ).exists()
            assert f" AS {service['build']['target']}\n" in DOCKERFILE
        for volume in service.get("volumes", []):
            source = volume.split(":")[0] if not volume.startswith("${") else ""
            assert source in {"", *COMPOSE["volumes"]}
    assert services["worker-gpu"]["profiles"] == ["gpu"]


def test_no_secret_is_written_down() -> None:
    """Each variable with a secret is passed by name, or asked for; none has a value in the file."""
    text = (ROOT / "deployments/compose.yaml").read_text()
    environment = COMPOSE["services"]["worker"]["environment"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DB_URL"):
        assert environment[name] is None
    passwords = re.findall(r"(?m)PASSWORD: (.+)$|://prefect:(.+?)@", text)
    assert len(passwords) == 2
    assert {"".join(found) for found in passwords} == {"${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD}"}


def test_the_prefect_of_the_images_is_the_one_that_is_pinned() -> None:
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert pinned["prefect"] == version("prefect")
    assert pinned["SQLAlchemy"].startswith("2.0.")  # with 2.1 Prefect's scheduler inserts no run
