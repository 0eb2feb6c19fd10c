"""The OpenAPI document, and a fuzzer that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fanin import FileLayout
from fanin.dialects import DIALECTS, parameters_of
from fanin.file import archive
from fanin.schemes import SCHEMES
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from tests.support.servers import Running, running

KEYWORDS = {
    *("$ref", "additionalProperties", "anyOf", "const", "default", "description", "discriminator", "enum"),
    *("examples", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties"),
    *("maximum", "minItems", "minLength", "minProperties", "minimum", "oneOf", "pattern", "patternProperties"),
    *("prefixItems", "properties", "propertyNames", "required", "title", "type", "uniqueItems"),
}
"""Keywords of JSON Schema 2020-12 and OpenAPI 3.1."""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@schemathesis.serializer(archive.MEDIA_TYPE)
def in_an_archive(_: object, value: Any) -> bytes:
    """Return an archive with the fuzzer's value as the recipe of the model."""
    return archive.pack({"recipe.json": value if isinstance(value, bytes) else str(value).encode()})


def test_document(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for path in ("/v1/weights", "/v1/recipes"):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert {"$ref": "#/components/schemas/Recipe"} in body["anyOf"]
    assert {model.__name__ for model in SCHEMES.values()} < schemas.keys()
    fields = {field for model in SCHEMES.values() for field in model.model_fields} | {"seed", "stream"}
    fields.remove("parts")  # objects, which no query spells
    for library in DIALECTS.values():
        fields |= {"dialect"}.union(*map(parameters_of, library.initializers.values()))
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


def test_schemas_use_only_keywords_of_json_schema(client: httpx.Client) -> None:
    """Pydantic writes a bound after a validator as `ge` or `max_length`, which is not a keyword of JSON Schema."""
    document = client.get("/openapi.json").json()

    def keywords(schema: Any) -> Iterator[str]:
        if not isinstance(schema, dict):
            return
        yield from schema
        for name in ("properties", "$defs"):
            for each in schema.get(name, {}).values():
                yield from keywords(each)
        for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
            for each in schema.get(name, []):
                yield from keywords(each)
        for name in ("items", "additionalProperties"):
            yield from keywords(schema.get(name))

    found = {word for schema in document["components"]["schemas"].values() for word in keywords(schema)}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                found |= set(keywords(parameter["schema"]))
    assert found <= KEYWORDS


def test_a_tensor_has_no_defaults_that_its_recipe_decides(client: httpx.Client) -> None:
    """A client that sends the defaults it finds would override the recipe's layout, and get another distribution."""
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for model in SCHEMES.values():
        for name in ("dtype", "layout", "dialect"):
            assert "default" not in schemas[model.__name__]["properties"].get(name, {})


@pytest.fixture(scope="module")
def small_server() -> Iterator[Running]:
    """A server that limits files to sizes that a fuzzer can read."""
    with running(Settings(max_file_bytes=1 << 20)) as server:
        yield server


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """The same server with API keys, and a key."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    key, _ = keys.create(path, "fuzzer", tuple(Right))
    limits: dict[str, Any] = {"max_file_bytes": 1 << 20, "failed_logins_per_minute": 10**9}
    with running(Settings(access="keys", keys_file=path, **limits)) as server:
        yield server, key


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzed(small_server: Running, mode: GenerationMode) -> None:
    """Requests that the document allows or forbids get only responses that it describes, and no 500."""
    fuzz(small_server, mode, 30, CHECKS)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzed_with_a_key(guarded_server: tuple[Running, str], mode: GenerationMode) -> None:
    """The same request without its key is refused."""
    server, key = guarded_server
    fuzz(server, mode, 10, [*CHECKS, ignored_auth], {"Authorization": f"Bearer {key}"})


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_fuzzed_without_a_key(guarded_server: tuple[Running, str], mode: GenerationMode) -> None:
    server, _ = guarded_server
    fuzz(server, mode, 10, [*CHECKS, refused])


@pytest.mark.parametrize("count", [3, pytest.param(500, marks=pytest.mark.soak("requests"))])
def test_fuzzed_along_its_links(small_server: Running, count: int) -> None:
    """The fuzzer registers recipes, and follows the links of the responses in any order."""
    api = schemathesis.openapi.from_dict(small_server.app.openapi())
    api.config.update(base_url=small_server.url)
    found = set()

    class Workflow(api.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # Each workflow begins with an empty registry. Otherwise earlier recipes would be registered already.
            small_server.app.state.service.recipes.registry = Kept[str, FileLayout](max_count=1000, max_bytes=1 << 28)

        def validate_response(self, response: Response, case: schemathesis.Case, *_: Any, **__: Any) -> None:
            case.validate_response(response, checks=CHECKS)
            found.add((case.operation.label, response.status_code))

    options: dict[str, Any] = {"max_examples": count, "derandomize": count < 100, "stateful_step_count": 8}
    Workflow.run(settings=settings(**options, deadline=None, database=None, suppress_health_check=[*HealthCheck]))
    digest = "/v1/recipes/{digest}"
    assert {(f"GET {digest}{of}", 200) for of in ("", "/digests", "/model.safetensors")} <= found


def refused(_: CheckContext, answer: Response, case: schemathesis.Case) -> None:
    """Fail if a response without a key is not 401, except for the health routes."""
    assert answer.status_code == 401 or case.operation.path in ("/livez", "/readyz")


def fuzz(
    server: Running, mode: GenerationMode, examples: int, checks: list[Any], headers: dict[str, str] | None = None
) -> None:
    api = schemathesis.openapi.from_dict(server.app.openapi())
    fuzzed = set()
    for result in api.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[*HealthCheck],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def try_one(case: schemathesis.Case) -> None:
            case.headers.pop("Authorization", None)
            case.call_and_validate(server.url, checks=checks, headers=headers)

        # An operation without input has no invalid input.
        with suppress(Unsatisfiable):
            try_one()
            fuzzed.add(operation.label)
    assert {"POST /v1/weights", "GET /v1/weights", "HEAD /v1/weights", "POST /v1/recipes"} <= fuzzed


def test_every_operation_says_what_it_needs(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            needed = operation["security"]
            assert (needed == []) == (path in ("/livez", "/readyz"))
            assert all(scheme in document["components"]["securitySchemes"] for each in needed for scheme in each)
            assert {"401", "403"} <= operation["responses"].keys() or not needed
