"""Models: recipes under a name, with the small files that belong to them."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fanin.file.archive import MEDIA_TYPE
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.errors import LaterError
from fanin_service.http import problems
from fanin_service.http.bodies import JSON, read_body
from fanin_service.http.file_response import OCTETS
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.http.ranges import permits
from fanin_service.models.errors import UploadsRefusedError
from fanin_service.models.models import Condition
from fanin_service.models.snapshot import Snapshot
from fanin_service.service import Service, service_of
from fanin_service.settings import variable

router = APIRouter(tags=["models"], dependencies=[NO_PARAMETERS])

_ARCHIVES = (MEDIA_TYPE, OCTETS)
"""Media types of a body that is an archive. Generated clients know only the second one."""


class Model(BaseModel):
    """A named model."""

    name: str
    digest: str = Field(description="Digest of the content: the recipe and the files of the upload.")
    commit: str = Field(description="Commit id of the revision main.")
    main: str = Field(description="The revision that main refers to, such as seed-0-f32-5gb.")
    tensors: int
    parameters: int = Field(description="Elements of all tensors.")
    size: int = Field(description="Bytes of all tensors in main.")
    files: list[str] = Field(description="Paths of the files of main.")


class Names(BaseModel):
    """The names of all models."""

    models: list[str] = Field(description="Names, sorted.")


_GET_MODELS: dict[str, Any] = {"responses": problems.responses(503)}


@router.head("/v1/models", operation_id="head_models", summary="Headers of the list of models", **_GET_MODELS)
@router.get("/v1/models", operation_id="get_models", summary="The names of all models", **_GET_MODELS)
@requires(Right.MODELS_READ)
async def get_models(request: Request) -> Names:
    """Returns the names of all stored models."""
    return Names(models=await service_of(request).models.names(context_of(request.scope).client))


_GET_MODEL: dict[str, Any] = {"responses": problems.responses(404, 503)}


@router.head("/v1/models/{name:path}", operation_id="head_model", summary="Does this model exist?", **_GET_MODEL)
@router.get("/v1/models/{name:path}", operation_id="get_model", summary="Describe a named model", **_GET_MODEL)
@requires(Right.MODELS_READ)
async def get_model(name: str, request: Request) -> Model:
    """Returns the model that was last stored under the name. A name is `name` or `namespace/name`."""
    models, client = service_of(request).models, context_of(request.scope).client
    return await models.in_thread(client, _describe, name, await models.snapshot(client, name))


@router.put(
    "/v1/models/{name:path}",
    operation_id="put_model",
    summary="Store a model under a name",
    status_code=201,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {each: {"schema": {"type": "string", "format": "binary"}} for each in _ARCHIVES},
        }
    },
    responses={
        201: {"description": "The name is new", "model": Model},
        200: {"description": "The name had another model before", "model": Model},
        **problems.responses(400, 403, 412, 413, 415, 422, 429, 503, 507),
    },
)
@requires(Right.MODELS_WRITE)
async def put_model(name: str, request: Request) -> Response:
    """Stores the files of this uncompressed tar archive under the name.

    `recipe.json` is the recipe; its seed and storage type are those of the revision `main`. `literals.safetensors`
    is optional and has the tensors that the recipe does not describe. All others, such as config.json and those of a
    tokenizer, are served unchanged. Earlier models of the name stay available by their commit ids.

    `If-None-Match: *` puts only a new name, `If-Match: *` only one that exists.
    """
    service, context = service_of(request), context_of(request.scope)
    _require_uploads(service)
    hold = partial(service.admission.hold, context.usage)
    content = await read_body(request, _ARCHIVES, service.settings.max_model_bytes, hold)
    snapshot, is_new = await service.models.put(context.client, name, content, _condition(request))
    with suppress(LaterError):  # the model is stored: only later requests may be refused
        await service.admission.count_work(context.usage, snapshot.content.template.work)
    location = {"Location": f"/v1/models/{name}"}
    told = await service.models.in_thread(context.client, _describe, name, snapshot)
    return Response(told.model_dump_json(), 201 if is_new else 200, location, JSON)


@router.delete(
    "/v1/models/{name:path}",
    operation_id="delete_model",
    summary="Delete a model",
    status_code=204,
    response_class=Response,
    responses=problems.responses(403, 404, 412, 503),
)
@requires(Right.MODELS_WRITE)
async def delete_model(name: str, request: Request) -> Response:
    """Deletes the model and its earlier uploads. Other servers that share the store may serve it for a minute more."""
    service = service_of(request)
    _require_uploads(service)
    await service.models.delete(context_of(request.scope).client, name, _condition(request))
    return Response(status_code=204)


def _condition(request: Request) -> Condition | None:
    """Return the condition that the request sets for the existence of the model; None if it sets none."""
    if_match, if_none_match = map(request.headers.getlist, ("if-match", "if-none-match"))
    if not (if_match or if_none_match):
        return None
    return lambda exists: permits(if_match, if_none_match, exists=exists)


def _require_uploads(service: Service) -> None:
    """Refuse changes of models if the settings forbid them.

    Raises:
        UploadsRefusedError: the settings allow no change of the models.
    """
    if not service.settings.model_uploads:
        raise UploadsRefusedError(f"{variable('model_uploads')} is false, so the models of this service cannot change")


def _describe(name: str, snapshot: Snapshot) -> Model:
    """Return the description of a model. The time grows with the number of tensors."""
    return Model(
        name=name,
        digest=snapshot.content.digest,
        commit=snapshot.commit,
        main=str(snapshot.revision),
        tensors=snapshot.tensor_count,
        parameters=snapshot.parameters.total(),
        size=snapshot.tensor_bytes,
        files=snapshot.paths,
    )
