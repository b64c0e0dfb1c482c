"""Credentials: what counts as one; no field of any config accepts one, and no message repeats it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tests.commands import Outcome
from topicflow.configs.fields.base import Section
from topicflow.configs.fields.secrets import PATTERN, holds_credentials
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import RetentionConfig, ServeConfig
from topicflow.configs.flows.topic_model import TopicModelConfig
from topicflow.configs.read import apply_override, load_config, parse_config
from topicflow.configs.sections.load import LoadConfig

PASSWORD = "hunter2-swordfish"
SECRET = [
    f"postgresql+psycopg://user:{PASSWORD}@host/db",
    f"S3://AKIA:{PASSWORD}@bucket/a.parquet",
    f"s3://AKIA:wJal/{PASSWORD}+x@bucket/a.parquet",
    "s3://AKIA@bucket/a.parquet",
    f"HTTPS://me:{PASSWORD}@host/a.csv",
    f"simplecache::s3://AKIA:{PASSWORD}@bucket/a.csv",
    f"//me:{PASSWORD}@host/share",
    f"s3:/AKIA:{PASSWORD}@bucket/a.parquet",  # what a path makes of a URL
    f"https://b.s3.amazonaws.com/a.csv?X-Amz-Algorithm=AWS4&X-Amz-Signature={PASSWORD}",
    f"https://b.s3.amazonaws.com/a.csv?X-Amz-Credential=AKIA/{PASSWORD}/s3",
    f"https://b.s3.amazonaws.com/a.csv?x-amz-security-token={PASSWORD}",
    f"https://b.s3.amazonaws.com/a.csv?AWSAccessKeyId=AKIA&Signature={PASSWORD}",
    f"https://b.s3.amazonaws.com/a.csv?X%2DAmz%2DSignature={PASSWORD}",
    f"https://a.blob.core.windows.net/c/a.csv?sv=2024&sp=r&sig={PASSWORD}",
    f"https://storage.googleapis.com/b/a.csv?X-Goog-Signature={PASSWORD}",
    f"https://host/a.csv?page=1&access_token={PASSWORD}",
    f"https://host/a.csv?token={PASSWORD}",
    f"https://host/a.csv?apiKey={PASSWORD}",
    f"https://host/a.csv#id_token={PASSWORD}",
    f"postgresql://host/db?user=me&password={PASSWORD}",
    f"az://container/a.csv?SharedAccessSignature=&sas={PASSWORD}",
]
OPEN = [
    "data/a.csv",
    "C:/data/me@home/a.csv",
    "data/part-?.csv",
    "s3://bucket/part-?.parquet",
    "s3://bucket/topics@2024/a.parquet",
    "hf://datasets/user/name@main/a.parquet",
    "tcp://127.0.0.1:8786",
    "tcp://[::1]:8786",
    "http://localhost:9000/bucket",
    "docstrings://numpy,polars",
    "https://host/a.csv?page=2&design=new&keyboard=us&tokens=7",
    "https://host/a.csv?token=",
    "me@example.org",
    "openai/clip-vit-base-patch32",
    "query: ",
]


@pytest.mark.parametrize("text", SECRET)
def test_credentials_of_any_scheme_and_case_are_known(text: str) -> None:
    assert holds_credentials(text)
    assert holds_credentials(f"['{text}', 'b.csv']")


@pytest.mark.parametrize("text", OPEN)
def test_paths_and_urls_without_credentials_are_left_alone(text: str) -> None:
    assert not holds_credentials(text)
    assert LoadConfig(path=text).path == text
    assert re.search(PATTERN, text)


def test_the_pattern_of_forms_refuses_users_and_most_presigned_urls() -> None:
    refused = [text for text in SECRET if not re.search(PATTERN, text)]
    assert len(refused) >= 15
    assert {text for text in SECRET if re.match(r"[A-Za-z0-9+]+://[^/?]*@", text)} <= set(refused)


def text_fields(
    model: type[BaseModel], where: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the place of each field that accepts any text, from the schema, and whether it is a list."""
    schema = model.model_json_schema()

    def walk(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        for variant in node.get("anyOf", []):
            yield from walk(variant, path)
        if "const" in node.get("properties", {}).get("method", {}):
            path = (*path, f"method={node['properties']['method']['const']}")
        for name, field in node.get("properties", {}).items():
            yield from walk(field, (*path, name))
        if node.get("type") == "string" and not node.keys() & {"const", "enum"}:
            yield path, False
        if node.get("type") == "array" and node.get("items", {}).get("type") == "string":
            yield path, True

    yield from walk(schema, where)


FIELDS = sorted(
    {
        (model.__name__, path, listed)
        for model in (*FLOWS.values(), ServeConfig, RetentionConfig)
        for path, listed in text_fields(model)
    }
)


def test_many_fields_take_texts() -> None:
    names = {path[-1] for _, path, _ in FIELDS}
    assert {"path", "store", "model", "classifier", "adapter", "run", "root", "address", "query"} <= names
    assert len(FIELDS) > 60


MODELS = {model.__name__: model for model in (*FLOWS.values(), ServeConfig, RetentionConfig)}


@pytest.mark.parametrize("name", MODELS)
def test_no_field_of_any_config_takes_a_url_with_credentials(name: str) -> None:
    for path, listed in ((path, listed) for each, path, listed in FIELDS if each == name):
        for url in (SECRET[0], SECRET[8]):
            values: dict[str, Any] = {"load": {"path": "a.csv"}} if MODELS[name] in FLOWS.values() else {}
            section = values
            for part in path[:-1]:
                if part.startswith("method="):
                    section["method"] = part.removeprefix("method=")
                else:
                    section = section.setdefault(part, {})
            section[path[-1]] = [url] if listed else url
            with pytest.raises(ValueError, match=re.escape(path[-1])) as refused:
                parse_config(values, MODELS[name], "c.toml")
            assert PASSWORD not in str(refused.value), path


def test_a_schedule_changes_no_value_to_a_url_with_credentials() -> None:
    changed = {"name": "a", "config": "a.toml", "cron": "0 3 * * *", "set": [f"load.path={SECRET[1]}"]}
    with pytest.raises(ValueError, match=r"schedules.*without credentials") as refused:
        parse_config({"schedules": [changed]}, ServeConfig, "serve.toml")
    assert PASSWORD not in str(refused.value)


def test_an_error_of_a_library_hides_the_value() -> None:
    class Place(Section):
        url: str

    with pytest.raises(ValidationError) as refused:
        Place(url=SECRET[0])
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "override", [SECRET[0], f"name.x={SECRET[1]}", f"load.path={SECRET[8]}", f"{SECRET[1]}=3"]
)
def test_an_override_is_not_repeated(override: str) -> None:
    def apply() -> None:
        values: dict[str, Any] = {"name": "n", "load": {"path": "a.csv"}}
        apply_override(values, override)
        parse_config(values, TopicModelConfig, "c.toml")

    with pytest.raises(ValueError, match=r"credentials") as refused:
        apply()
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "values", [{"load": SECRET[0]}, {"load": {"path": "a", "text_column": {"x": SECRET[0]}}}]
)
def test_a_value_of_the_wrong_type_is_not_repeated(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="load") as refused:
        parse_config(values, TopicModelConfig, "c.toml")
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("place", [SECRET[0], SECRET[1], SECRET[8]])
@pytest.mark.parametrize(
    "command",
    [
        ("store", "ls", "--store"),
        ("init",),
        ("run",),
        ("run", "c.toml", "--store"),
        ("run", "c.toml", "--set"),
    ],
)
def test_no_command_repeats_one(
    command: tuple[str, ...], place: str, run_here: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text('[load]\npath = "a.csv"\n')
    outcome: Outcome = run_here(*command, place)
    assert outcome.code == 2
    assert PASSWORD not in outcome.out + outcome.err
    assert "credentials" in outcome.err or ("--set" in command and "unknown key" in outcome.err)
    assert outcome.err.count("\n") == 1


def test_a_config_file_in_a_url_is_not_repeated() -> None:
    from pathlib import Path

    with pytest.raises(ValueError, match="without credentials") as refused:
        load_config(Path(SECRET[1]))
    assert PASSWORD not in str(refused.value)


def test_the_schema_of_every_flow_is_json() -> None:
    for model in FLOWS.values():
        assert (
            PATTERN
            in json.loads(json.dumps(model.model_json_schema()))["$defs"]["RuntimeConfig"]["properties"][
                "store"
            ]["pattern"]
        )
