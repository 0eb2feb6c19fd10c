"""The OpenAPI document: FastAPI's, with the library's schemas of a recipe."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from fanin import Recipe
from fanin.recipe import DEFAULTS
from fanin.schemes import SCHEMES
from fanin_service.access.rules import right_for
from fanin_service.access.scopes import Right, sufficient
from fanin_service.http import problems, query
from fanin_service.http.bodies import JSON
from fanin_service.http.problems import Problem

_REF = "#/components/schemas/{model}"
_EXAMPLES = {
    "recipe": {
        "summary": "Two tensors",
        "value": {
            "seed": 42,
            "dtype": "BF16",
            "layout": "torch",
            "tensors": {
                "fc.weight": {"shape": [4096, 1024], "scheme": "he_normal"},
                "fc.bias": {"shape": [4096], "scheme": "zeros", "dtype": "F32"},
            },
        },
    },
    "short": {
        "summary": "One tensor, named weight",
        "value": {"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42},
    },
}

RECIPE_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": _REF.format(model="Recipe")},
                        {"$ref": _REF.format(model="OneTensor")},
                    ]
                },
                "examples": _EXAMPLES,
            }
        },
    }
}
"""OpenAPI description of a body that is a recipe. Routes read it themselves: FastAPI would accept any JSON."""


_BEARER = "bearer"
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, or a JSON web token of the identity provider. Not needed if access is open.",
}


class DescribedAPI(FastAPI):
    """FastAPI with the schemas to which its routes refer without declaring them."""

    _openapi_text: bytes | None = None

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"].update(_schemas())
            weights = document["paths"].get("/v1/weights", {})
            for method in weights.keys() & {"get", "head"}:
                weights[method]["parameters"] = query.parameters()
            document["components"]["securitySchemes"] = {_BEARER: _SECURITY_SCHEME}
            for route in self.state.routes:
                if isinstance(route, APIRoute) and route.include_in_schema:
                    for method in route.methods or ():
                        _secure(document["paths"][route.path_format][method.lower()], right_for(route))
        return super().openapi()

    def openapi_text(self) -> bytes:
        """Return the document as JSON, generated once."""
        if self._openapi_text is None:
            self._openapi_text = json.dumps(self.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
        return self._openapi_text


def _secure(operation: dict[str, Any], right: Right | None) -> None:
    """Describe the rights that an operation needs. OpenAPI 3.1 allows scopes with every scheme."""
    operation["security"] = [] if right is None else [{_BEARER: [scope]} for scope in sufficient(right)]
    if right is not None:
        operation["responses"] |= {str(status): each for status, each in problems.responses(401, 403, 429).items()}


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    for model in (Recipe, Problem):
        schema = model.model_json_schema(ref_template=_REF)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for cls in SCHEMES.values():
        for name in DEFAULTS:
            _inherit(schemas[cls.__name__]["properties"], name)
    # A tensor with the seed and the stream of its recipe.
    shared = {name: schemas["Recipe"]["properties"][name] for name in ("seed", "stream")}
    # Each is a separate component: generators of clients name classes after components.
    for cls in SCHEMES.values():
        title = f"One{cls.__name__}"
        schemas[title] = {**_with(schemas[cls.__name__], shared), "title": title}
    schemas["OneTensor"] = {
        "title": "OneTensor",
        "description": "Describes a recipe of one tensor, named weight.",
        "oneOf": [{"$ref": _REF.format(model=f"One{cls.__name__}")} for cls in SCHEMES.values()],
    }
    return schemas


def _inherit(properties: dict[str, Any], name: str) -> None:
    """Remove the default of a member that a tensor inherits from its recipe: generated clients would send it."""
    if name in properties:
        properties[name] = {key: value for key, value in properties[name].items() if key != "default"}
        properties[name]["description"] = f"{properties[name]['description']} By default that of the recipe."


def _with(schema: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], **properties}}
