"""Recipes: registered under their digest, and described in full."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from fanin import FileLayout
from fanin.description import describe
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.http import problems
from fanin_service.http.bodies import JSON
from fanin_service.http.file_response import in_pieces
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.routes.openapi import RECIPE_BODY
from fanin_service.service import service_of

router = APIRouter(tags=["recipes"], dependencies=[NO_PARAMETERS])

_MANY = 1000
"""Number of tensors above which a description takes a while: about 10 ms."""
_MANY_DISTINCT = 50
"""Number of different tensors above which it does: the moments of a distribution take up to 0.6 ms."""
_LINKS = {
    operation: {"operationId": operation, "parameters": {"digest": "$response.body#/digest"}}
    for operation in ("get_recipe", "head_recipe", "get_file", "head_file", "get_digests", "head_digests")
}
"""OpenAPI description of the operations that accept the digest."""


class Summary(BaseModel):
    """A registered recipe."""

    digest: str = Field(description="SHA-256 of the canonical recipe, in hexadecimal.")
    stream: str
    seed: str = Field(description="In decimal: it may exceed the integers that JSON readers represent exactly.")
    size: int = Field(description="Bytes of the file.")
    header_size: int = Field(description="Bytes before the first tensor.")
    tensor_count: int


class TensorDescription(BaseModel):
    """One tensor in the file."""

    shape: list[int]
    dtype: str
    scheme: str
    draw: str = Field(description="The distribution of an element, with numbers.")
    mean: float | None = Field(
        description="Mean of an element, before rounding to the storage type; null for parts of a quantized tensor."
    )
    std: float | None = Field(description="Standard deviation of an element, before rounding; null as the mean is.")
    low: float | None = Field(description="Lower bound of an element; null if unbounded.")
    high: float | None = Field(description="Upper bound of an element; null if unbounded.")
    fan_in: int | None = Field(None, description="Absent if the scheme has no fans.")
    fan_out: int | None = Field(None, description="Absent if the scheme has no fans.")
    start: int = Field(description="Offset of its first byte in the file.")
    stop: int = Field(description="Offset after its last byte.")


class Description(BaseModel):
    """Everything about a registered recipe."""

    digest: str
    stream: str
    seed: str
    size: int
    header_size: int
    parameters: int = Field(description="Elements of all tensors.")
    tensors: dict[str, TensorDescription] = Field(description="By name, in file order.")
    recipe: dict[str, Any] = Field(description="The canonical recipe: its RFC 8785 form has the digest as SHA-256.")


@router.post(
    "/v1/recipes",
    operation_id="post_recipe",
    summary="Register a recipe",
    status_code=201,
    response_class=Response,
    openapi_extra=RECIPE_BODY,
    responses={
        201: {"description": "Registered", "model": Summary, "links": _LINKS},
        200: {"description": "Known already", "model": Summary, "links": _LINKS},
        **problems.responses(400, 413, 415, 422, 429, 503),
    },
)
@requires(Right.RECIPES_WRITE)
async def post_recipe(request: Request) -> Response:
    """From now on the recipe's file has a URL: `/v1/recipes/{digest}/model.safetensors`.

    Registered recipes may be forgotten, the least recently used first; then POST again.
    """
    layout, is_new = await service_of(request).recipes.of_body(context_of(request.scope), request)
    recipe = layout.recipe
    summary = Summary(
        digest=recipe.digest,
        stream=recipe.stream,
        seed=str(recipe.seed),
        size=layout.size,
        header_size=len(layout.header),
        tensor_count=len(layout.entries),
    )
    location = {"Location": f"/v1/recipes/{recipe.digest}"}
    return Response(summary.model_dump_json(), 201 if is_new else 200, location, JSON)


_GET_RECIPE: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"description": "The recipe", "model": Description}, **problems.responses(404, 429, 503)},
}


@router.head("/v1/recipes/{digest}", operation_id="head_recipe", summary="Is a recipe registered?", **_GET_RECIPE)
@router.get("/v1/recipes/{digest}", operation_id="get_recipe", summary="Describe a recipe", **_GET_RECIPE)
@requires(Right.RECIPES_READ)
async def get_recipe(digest: str, request: Request) -> Response:
    """Returns the canonical recipe, its sizes, and the position in the file and resolved formula of every tensor.

    The response to HEAD has no Content-Length if the description of a large recipe is not yet cached.
    """
    service, context = service_of(request), context_of(request.scope)
    layout = await service.recipes.of_digest(context, digest)
    text, is_large = service.descriptions.get(digest), len(layout.entries) > _MANY
    if text is None and is_large and request.method == "HEAD":
        return StreamingResponse(_nothing(), media_type=JSON)
    if text is None:
        distinct = len(layout.recipe.tensors.distinct)
        executor = service.threads.large if is_large or distinct > _MANY_DISTINCT else service.threads.parsers
        text = await executor.run(context.client, _description, layout)
        service.descriptions.add(digest, text, len(text), context.client)
    service.admission.hold(context.usage, len(text))
    return in_pieces(text, media_type=JSON)


async def _nothing() -> AsyncIterator[bytes]:
    """Yield no body, so that the response has no Content-Length."""
    return
    yield b""


def _description(layout: FileLayout) -> bytes:
    described = json.dumps(describe(layout), ensure_ascii=False).removesuffix("}")
    return b'%s, "recipe": %s}' % (described.encode(), layout.recipe.canonical)
