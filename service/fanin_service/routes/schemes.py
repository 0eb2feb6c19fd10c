"""Schemes: the catalogue of initializers."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, TypeAdapter

from fanin import catalogue
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.http.bodies import JSON
from fanin_service.http.query import NO_PARAMETERS

router = APIRouter(tags=["schemes"], dependencies=[NO_PARAMETERS])


class Scheme(BaseModel):
    """A named initializer."""

    scheme: str
    aliases: list[str]
    description: str
    formula: str
    source: str
    parameters: dict[str, Any] = Field(description="JSON schema of each.")


_GET_SCHEMES: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"description": "The catalogue", "model": list[Scheme]}},
}


@router.head("/v1/schemes", operation_id="head_schemes", summary="Headers of the catalogue", **_GET_SCHEMES)
@router.get("/v1/schemes", operation_id="get_schemes", summary="Every initializer", **_GET_SCHEMES)
@requires(Right.RECIPES_READ)
async def get_schemes() -> Response:
    """Name, parameters, formula and source of every initializer."""
    return Response(_schemes(), media_type=JSON)


@cache
def _schemes() -> bytes:
    """Return the catalogue as JSON. Cached: generating it takes tens of milliseconds of the event loop's time."""
    return TypeAdapter(list[Scheme]).dump_json([Scheme(**entry) for entry in catalogue()])
