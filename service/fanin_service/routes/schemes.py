"""Schemes: the catalogue of initializers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fanin import catalogue
from fanin_service.access import requires
from fanin_service.principal import Right

router = APIRouter(tags=["schemes"])


class Scheme(BaseModel):
    """A named initializer."""

    scheme: str
    aliases: list[str]
    description: str
    formula: str
    source: str
    parameters: dict[str, Any] = Field(description="JSON schema of each.")


@router.head("/v1/schemes", operation_id="head_schemes", summary="Headers of the catalogue")
@router.get("/v1/schemes", operation_id="get_schemes", summary="Every initializer")
@requires(Right.RECIPES_READ)
async def get_schemes() -> list[Scheme]:
    """Name, parameters, formula and source of every initializer."""
    return [Scheme(**entry) for entry in catalogue()]
