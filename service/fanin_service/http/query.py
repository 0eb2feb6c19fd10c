"""The query of GET /v1/weights: the fields of the one-tensor short form, in every dialect, as parameters.

A list is comma separated, or its parameter is repeated with one item each time. An empty value is `[]`. Other values
are written as in JSON, but texts without quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any
from urllib.parse import unquote

from fastapi import Depends, Request
from pydantic import TypeAdapter

from fanin import Fault, Recipe, RecipeError
from fanin.dialects import DIALECTS, parameters_of
from fanin.errors import pointer
from fanin.recipe import MAX_FAULTS
from fanin.schemes import SCHEMES
from fanin_service.errors import RequestError

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERALS = {"true": True, "false": False, "null": None}
_REQUIRED = ("shape", "scheme")
_MEANING = "A parameter of the schemes that have it; see /v1/schemes."
_MAX_DIGITS = 400
"""Maximum length of a number. Longer ones are beyond float64 and stay texts: int() would raise an error of another
kind."""


class ParameterError(RequestError):
    """The query has a parameter that the path does not take."""


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The parameters of the query."""

    schemas: dict[str, dict[str, Any]]
    """JSON schema of each parameter."""
    lists: frozenset[str]
    texts: frozenset[str]
    """Names of the parameters that are lists, and of those that are always texts."""


@cache
def _parameters() -> _Parameters:
    """Return the parameters. The first call builds their schemas in some 50 ms."""
    schemas = _schemas()
    return _Parameters(
        schemas,
        frozenset(name for name, schema in schemas.items() if "array" in _types(schema)),
        frozenset(name for name, schema in schemas.items() if _types(schema) == {"string"}),
    )


def prepare() -> None:
    """Build the schemas now, so that no request waits for them."""
    _parameters()


def _schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every parameter. A field of several schemes accepts what any of them accepts."""
    found: dict[str, list[dict[str, Any]]] = {}
    recipe = Recipe.model_json_schema()["properties"]
    shared = ((name, recipe[name]) for name in ("dialect", "seed", "stream"))
    for name, schema in chain(_of_schemes(), _of_dialects(), shared):
        found.setdefault(name, []).append(schema)
    return {
        **{name: _any_of(versions) for name, versions in found.items()},
        # Aliases and names of dialects are plain texts. An enumeration of all would have `zeros` and `Zeros`, for which
        # generators of clients create the same identifier.
        "scheme": {
            "anyOf": [{"type": "string", "enum": list(SCHEMES)}, {"type": "string"}],
            "description": "A scheme by any of its names, see /v1/schemes; or an initializer of the dialect.",
        },
    }


def _any_of(versions: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one schema for a parameter: a union without defaults, since these differ between schemes."""
    plain: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for version in versions:
        for each in version.get("anyOf", [version]):
            stripped = {key: value for key, value in each.items() if key not in ("default", "description", "title")}
            if stripped.keys() == {"enum", "type"}:
                names |= dict.fromkeys(stripped["enum"])
            elif stripped not in plain:
                plain.append(stripped)
    if names:
        plain.append({"enum": list(names), "type": "string"})
    meaning = next((each["description"] for each in versions if "description" in each), _MEANING)
    return {**(plain[0] if len(plain) == 1 else {"anyOf": plain}), "description": meaning}


def _of_schemes() -> Iterator[tuple[str, dict[str, Any]]]:
    for scheme in SCHEMES.values():
        for name, schema in scheme.model_json_schema()["properties"].items():
            # Parts of a tensor are objects, which a query cannot express. Recipes can.
            if schema.get("items", {}).get("type") != "object":
                yield name, schema


def _of_dialects() -> Iterator[tuple[str, dict[str, Any]]]:
    for library in DIALECTS.values():
        for initializer in library.initializers.values():
            for name, parameter in parameters_of(initializer).items():
                schema = TypeAdapter(parameter.annotation).json_schema()
                yield name, {**schema, "description": "A parameter of the dialects that have it."}


def _types(schema: dict[str, Any]) -> set[str]:
    if "anyOf" in schema:
        return set().union(*map(_types, schema["anyOf"]))
    return {schema["type"]} if "type" in schema else set()


def parameters() -> list[dict[str, Any]]:
    """Return the OpenAPI description of the query."""
    known = _parameters()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in _REQUIRED,
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
            **({"style": "form", "explode": False} if name in known.lists else {}),
        }
        for name, schema in known.schemas.items()
    ]


def parse(query: bytes) -> dict[str, Any]:
    """Return the one-tensor short form that a query string expresses.

    Values that are not JSON stay texts. The recipe's own models then report what is wrong with them.

    Raises:
        RecipeError: a parameter is unknown or missing, or repeated without being a list, or a list with commas. Or
            the query is not UTF-8.
    """
    known = _parameters()
    pairs = [part.partition("=") for part in _decoded(query).split("&") if part]
    # Only percent-encoding is decoded. In a URL "+" is a plus sign (RFC 3986), as in 1e+5; only HTML forms differ.
    given: dict[str, list[str]] = {}
    for name, _, value in pairs:
        given.setdefault(_unquoted(name), []).append(_unquoted(value))
    faults = [
        Fault(pointer([name]), "this parameter is given more than once")
        for name, values in given.items()
        if len(values) > 1 and name not in known.lists
    ]
    faults += [
        Fault(pointer([name]), "this list is given more than once: separate all items with commas, or repeat each one")
        for name, values in given.items()
        if len(values) > 1 and name in known.lists and any("," in value for value in values)
    ]
    faults += [Fault(pointer([name]), "unknown parameter") for name in given if name not in known.schemas]
    faults += [Fault(pointer([name]), "this parameter is required") for name in _REQUIRED if name not in given]
    if faults:
        raise RecipeError(faults[:MAX_FAULTS])
    return {name: _value(known, name, ",".join(values)) for name, values in given.items()}


async def _refuse_parameters(request: Request) -> None:
    """Refuse a query on a path that takes none. A seed there would be ignored silently, and the bytes would be wrong.

    Raises:
        ParameterError: the URL has a parameter.
    """
    for name in request.query_params:
        where = "belongs in the body" if name in _parameters().schemas and request.method == "POST" else "is unknown"
        raise ParameterError(f"the parameter {name[:80]!a} {where}: {request.method} {request.url.path} takes none")


NO_PARAMETERS = Depends(_refuse_parameters)
"""Dependency of routes that take no parameters in their query."""


def _decoded(query: bytes) -> str:
    try:
        return query.decode("ascii")
    except UnicodeDecodeError:
        raise RecipeError([Fault("", "a query string is ASCII; other characters are percent-encoded")]) from None


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise RecipeError([Fault("", f"{text[:80]} is not UTF-8 when percent-decoded")]) from None


def _value(known: _Parameters, name: str, text: str) -> Any:
    if name in known.texts:
        return text
    if name in known.lists and text != "null":
        return [_number(item) for item in text.split(",")] if text else []
    return _LITERALS[text] if text in _LITERALS else _number(text)


def _number(text: str) -> int | float | str:
    """Return the number that `text` expresses in JSON (RFC 8259 section 6), or `text` if it is not a number."""
    if len(text) > _MAX_DIGITS or not _NUMBER.fullmatch(text):
        return text
    return int(text) if _INTEGER.fullmatch(text) else float(text)
