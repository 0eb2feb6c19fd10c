"""Weights: safetensors files, generated while they are sent."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fastapi import APIRouter, Request, Response

from fanin import FileLayout
from fanin_service.access.middleware import requires
from fanin_service.access.principal import Right
from fanin_service.http import problems, query
from fanin_service.http.file_response import IMMUTABLE, OCTETS, content, respond
from fanin_service.http.ranges import ByteRange
from fanin_service.routes.openapi import RECIPE_BODY
from fanin_service.service import Service, service_of

router = APIRouter(tags=["weights"])

_FILE: dict[str, Any] = {"content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", **_FILE},
    206: {"description": "One range of it", **_FILE},
    304: {"description": "The client has the file"},
}


@router.post(
    "/v1/weights",
    operation_id="post_weights",
    summary="Make the file of a recipe",
    dependencies=[query.NO_PARAMETERS],
    response_class=Response,
    openapi_extra=RECIPE_BODY,
    responses={200: {"description": "The file", **_FILE}, **problems.responses(400, 413, 415, 422, 429, 503)},
)
@requires(Right.WEIGHTS_READ)
async def post_weights(request: Request) -> Response:
    """Streams the file of the recipe, or of the one-tensor short form, and registers it.

    Content-Location is the file's own URL: there it can be had in ranges, resumed and cached.
    """
    service = service_of(request)
    await service.admission.expect()
    layout, _ = await service.register(request)
    headers = {**_headers(layout), **_location(layout)}
    return await content(service, layout, ByteRange(0, layout.size), 200, headers)


_GET_WEIGHTS: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": {"parameters": query.parameters()},
    "responses": {**_FILE_RESPONSES, **problems.responses(412, 416, 422, 429, 503)},
}


@router.head("/v1/weights", operation_id="head_weights", summary="Size and entity tag of one tensor", **_GET_WEIGHTS)
@router.get("/v1/weights", operation_id="get_weights", summary="Make the file of one tensor", **_GET_WEIGHTS)
@requires(Right.WEIGHTS_READ)
async def get_weights(request: Request) -> Response:
    """Streams the file of one tensor, named `weight`, or a range of it. The URL can be cached for ever.

    Lists are comma separated; `shape=` is a scalar.
    """
    service = service_of(request)
    return await _respond(request, service, await service.layout_of_query(request.scope["query_string"]))


_GET_FILE: dict[str, Any] = {
    "dependencies": [query.NO_PARAMETERS],
    "response_class": Response,
    "responses": {**_FILE_RESPONSES, **problems.responses(404, 412, 416, 422, 429, 503)},
}


@router.head(
    "/v1/recipes/{digest}/model.safetensors",
    operation_id="head_file",
    summary="Size and entity tag of a registered recipe's file",
    **_GET_FILE,
)
@router.get(
    "/v1/recipes/{digest}/model.safetensors",
    operation_id="get_file",
    summary="Make the file of a registered recipe",
    **_GET_FILE,
)
@requires(Right.WEIGHTS_READ)
async def get_file(digest: str, request: Request) -> Response:
    """Streams the file, or one range of it; several ranges are ignored. A lost recipe answers 404: POST it again."""
    service = service_of(request)
    return await _respond(request, service, await service.layout(digest))


async def _respond(request: Request, service: Service, layout: FileLayout) -> Response:
    """What a GET or HEAD of a file is answered."""
    headers = {**_headers(layout), "Cache-Control": IMMUTABLE}
    if known := service.manifests.known(layout):
        # Of the whole file, whichever part is sent (RFC 9530 section 3).
        headers["Repr-Digest"] = f"sha-256=:{b64encode(known.file).decode()}:"
    return await respond(request, service, layout, headers)


def _headers(layout: FileLayout) -> dict[str, str]:
    digest = layout.recipe.digest
    return {
        "Content-Type": OCTETS,
        "Content-Disposition": f'attachment; filename="fanin-{digest[:12]}.safetensors"',
        "ETag": f'"{digest}"',
    }


def _location(layout: FileLayout) -> dict[str, str]:
    """Where what a POST was answered can be had again (RFC 9110 section 8.7)."""
    return {"Content-Location": f"/v1/recipes/{layout.recipe.digest}/model.safetensors"}
