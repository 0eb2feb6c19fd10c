"""The catalogue: published models whose recipes the library has."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fanin import models
from fanin.models import Library
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.http.bodies import JSON
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.service import service_of

router = APIRouter(tags=["models"], dependencies=[NO_PARAMETERS])


class CatalogueEntry(BaseModel):
    """A model of the catalogue."""

    name: str = Field(description="Its name. The service has the model as catalogue/NAME, if it serves the catalogue.")
    library: Library = Field(description="Library that loads it.")
    architecture: str = Field(description="Class of the library.")
    reads: str = Field(description="Kind of its inputs, such as text.")
    parameters: int
    bf16_bytes: int = Field(description="Bytes of all tensors in BF16.")
    dtype: str = Field(description="Default storage type of the recipe.")


class Catalogue(BaseModel):
    """The models of the catalogue."""

    served: bool = Field(description="True if the service has them as named models.")
    models: list[CatalogueEntry]


_GET_CATALOGUE: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"description": "The catalogue", "model": Catalogue}},
}


@router.head(
    "/v1/catalogue",
    operation_id="head_catalogue",
    summary="Headers of the list of published models",
    **_GET_CATALOGUE,
)
@router.get("/v1/catalogue", operation_id="get_catalogue", summary="Published models by name", **_GET_CATALOGUE)
@requires(Right.MODELS_READ)
async def get_catalogue(request: Request) -> Response:
    """Returns the published and tiny models whose recipes the library has.

    With the setting FANIN_CATALOGUE they are named models, and clients of the Hugging Face Hub and of S3 load them.
    """
    return Response(_document(service_of(request).settings.catalogue), media_type=JSON)


@cache
def _document(is_served: bool) -> bytes:
    """Return the catalogue as JSON. Cached: generating it takes milliseconds of the event loop's time."""
    entries = [CatalogueEntry(**asdict(models.get(name))) for name in models.names()]
    return Catalogue(served=is_served, models=entries).model_dump_json().encode()
