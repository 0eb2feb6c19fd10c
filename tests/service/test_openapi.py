"""The OpenAPI document, and what a fuzzer that reads it finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fanin.schemes import SCHEMES
from fanin_service.settings import Settings
from tests.service.servers import Running, running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path in ("/v1/weights", "/v1/recipes"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert {"$ref": "#/components/schemas/Recipe"} in body["anyOf"]
    assert {model.__name__ for model in SCHEMES.values()} < schemas.keys()
    fields = {field for model in SCHEMES.values() for field in model.model_fields} | {"seed", "stream"}
    for method in ("get", "head"):
        assert {each["name"] for each in document["paths"]["/v1/weights"][method]["parameters"]} == fields
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "default" in operation["responses"], (path, method)


def test_every_reference_leads_somewhere(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for child in node.values():
                yield from references(child)
        elif isinstance(node, list):
            for child in node:
                yield from references(child)

    for reference in references(document):
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_docs(client: httpx.Client) -> None:
    assert "swagger" in client.get("/docs").text


@pytest.fixture(scope="module")
def small_server() -> Iterator[Running]:
    """Files small enough to be read by a fuzzer."""
    with running(Settings(max_file_bytes=1 << 20)) as server:
        yield server


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzed(small_server: Running, mode: GenerationMode) -> None:
    """Requests that the document allows, and requests that it forbids: no 500, and only answers that it describes."""
    api = schemathesis.openapi.from_url(f"{small_server.url}/openapi.json")
    fuzzed = set()
    for result in api.get_all_operations():
        operation = result.ok()

        @settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy(generation_mode=mode))
        def fuzz(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        # An operation without input has none that is wrong.
        with suppress(Unsatisfiable):
            fuzz()
            fuzzed.add(operation.label)
    assert {"POST /v1/weights", "GET /v1/weights", "HEAD /v1/weights", "POST /v1/recipes"} <= fuzzed
