"""The HTTP interface, fuzzed from its own schema: no failure, whatever comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from starlette.testclient import TestClient

from conftest import PITCHES, TOY
from gansynth import load
from gansynth.serve.app import create_app
from gansynth.serve.operations import Operations
from gansynth.serve.routes import make_schema

schemathesis.openapi.media_type("audio/midi", st.binary(max_size=200))

TOY_SHAPE = SimpleNamespace(latent_size=TOY["latent_vector_size"], pitches=tuple(PITCHES))
SCHEMA = make_schema(Operations, TOY_SHAPE)
OPERATIONS = [(path, method) for path, item in SCHEMA["paths"].items() for method in item]


@pytest.fixture(scope="module")
def client(toy_model: Path) -> Iterator[TestClient]:
    app = create_app(load(toy_model, "cpu"), str(toy_model), measure=False)
    with TestClient(app, raise_server_exceptions=False) as it:
        yield it


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_the_schema_has(
    client: TestClient, path: str, method: str, mode: GenerationMode
) -> None:
    assert client.get("/openapi.json").json() == SCHEMA
    operation = schemathesis.openapi.from_dict(SCHEMA)[path][method]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        request = case.as_transport_kwargs(base_url="http://testserver")
        known = {"method", "url", "headers", "params", "json"}
        data = {"content": request["data"]} if request.get("data") else {}
        answer = client.request(**{k: v for k, v in request.items() if k in known}, **data)
        described = SCHEMA["paths"][path][method]["responses"]
        assert str(answer.status_code) in described, answer.text
        media = answer.headers["content-type"].partition(";")[0]
        if answer.status_code != 200:
            assert media == "application/json"
            assert answer.json()["error"].strip()
        elif not path.startswith("/api/downloads"):
            assert media in described["200"]["content"]

    if mode == GenerationMode.NEGATIVE and not operation_takes_something(path, method):
        pytest.skip("there is nothing to get wrong")
    ask()


def operation_takes_something(path: str, method: str) -> bool:
    operation = SCHEMA["paths"][path][method]
    return bool(operation["parameters"]) or "requestBody" in operation
