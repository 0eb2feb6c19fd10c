"""Weights: safetensors files, generated while they are sent."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from fanin import FileLayout
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.http import problems, query
from fanin_service.http.file import File
from fanin_service.http.file_response import IMMUTABLE, OCTETS, respond
from fanin_service.http.routing import DirectRoute
from fanin_service.routes.openapi import RECIPE_BODY
from fanin_service.service import Service, service_of

router = APIRouter(tags=["weights"], route_class=DirectRoute)

_FILE: dict[str, Any] = {"content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The complete file", **_FILE},
    206: {"description": "One range of it", **_FILE},
    304: {"description": "The client has the current file"},
}


@router.post(
    "/v1/weights",
    operation_id="post_weights",
    summary="Generate the file of a recipe",
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
    service, context = service_of(request), context_of(request.scope)
    await service.admission.expect(context.usage)
    layout, _ = await service.recipes.of_body(context, request)
    # URL of the same file for GET (RFC 9110 section 8.7).
    location = {"Content-Location": f"/v1/recipes/{layout.recipe.digest}/model.safetensors"}
    return await respond(context, service, _file(layout, location))


_GET_WEIGHTS: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": {"parameters": []},  # `openapi` adds them: their schemas take time
    "responses": {**_FILE_RESPONSES, **problems.responses(412, 416, 422, 429, 503)},
}


@router.head("/v1/weights", operation_id="head_weights", summary="Size and entity tag of one tensor", **_GET_WEIGHTS)
@router.get("/v1/weights", operation_id="get_weights", summary="Generate the file of one tensor", **_GET_WEIGHTS)
@requires(Right.WEIGHTS_READ)
async def get_weights(request: Request) -> Response:
    """Streams the file of one tensor, named `weight`, or a range of it. The URL can be cached permanently.

    Lists are comma separated; `shape=` is a scalar.
    """
    service, context = service_of(request), context_of(request.scope)
    return await respond(context, service, _cacheable(service, await service.recipes.of_query(context)))


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
    summary="Generate the file of a registered recipe",
    **_GET_FILE,
)
@requires(Right.WEIGHTS_READ)
async def get_file(digest: str, request: Request) -> Response:
    """Streams the file, or one range of it; several ranges are ignored. After 404, POST the recipe again."""
    service, context = service_of(request), context_of(request.scope)
    return await respond(context, service, _cacheable(service, await service.recipes.of_digest(context, digest)))


def _cacheable(service: Service, layout: FileLayout) -> File:
    """Return the file for a URL that names its bytes."""
    headers = {"Cache-Control": IMMUTABLE}
    if known := service.manifests.known(layout):
        # The digest is that of the complete file, even if a part is sent (RFC 9530 section 3).
        headers["Repr-Digest"] = f"sha-256=:{b64encode(known.file).decode()}:"
    return _file(layout, headers)


def _file(layout: FileLayout, headers: Mapping[str, str]) -> File:
    digest = layout.recipe.digest
    own = {"Content-Type": OCTETS, "Content-Disposition": f'attachment; filename="fanin-{digest[:12]}.safetensors"'}
    return File(layout, digest, {**own, **headers})
