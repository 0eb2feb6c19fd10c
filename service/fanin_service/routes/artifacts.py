"""Artifacts: checkpoints that the service writes to a destination of its operator."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import StreamingResponse

from fanin import Fault, RecipeError
from fanin.errors import pointer, shown
from fanin.recipe import parse_json
from fanin_service.access.principal import ANONYMOUS
from fanin_service.access.rules import require, requires
from fanin_service.access.scopes import Right, sufficient
from fanin_service.artifacts.errors import InvalidArtifactError
from fanin_service.artifacts.found import Found
from fanin_service.artifacts.specification import Specification
from fanin_service.context import RequestContext, context_of
from fanin_service.http import problems
from fanin_service.http.bodies import JSON, read_body
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.models.revisions import MAIN
from fanin_service.service import Service, service_of

router = APIRouter(tags=["artifacts"], dependencies=[NO_PARAMETERS])

EVENTS = "text/event-stream"
"""Media type of events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
MIN_SHARD_BYTES, SHARD_BYTES, MAX_SHARD_BYTES = 1 << 20, 5_000_000_000, 1 << 45
"""Bounds of `shard_size`, and its default. Smaller files would cost more requests of the destination than bytes."""
TICK_SECONDS, BEAT_SECONDS, MAX_SECONDS = 1.0, 15.0, 600.0
"""Seconds between two looks for an event, between two lines to keep the connection open, and of a response."""
_PAUSE = 10
"""Ratio of the time between two looks to that of a look: a look lists all files of the artifact."""
_OTHER_BYTES = 64 << 10
"""Bytes of a request besides its recipe."""
_SIZE = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,9}))?\s*([kmgt]?)(i?)b?", re.ASCII | re.IGNORECASE)
_ENDED = ("complete", "cancelled", "stopped", "failed", "spoiled")

_State = Literal["writing", "complete", "cancelled", "stopped", "failed", "spoiled"]


class ArtifactRequest(BaseModel):
    """The contents of an artifact, and its destination. It has either `recipe` or `model`."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(description="Alias of a destination of this service.")
    recipe: dict[str, Any] | None = Field(None, description="A recipe, or the one-tensor short form.")
    model: str | None = Field(
        None, description="Name of a stored model, whose other files become files of the artifact."
    )
    revision: str | None = Field(None, description="Revision or commit id of the model; by default main.")
    format: Literal["hf", "safetensors", "dcp"] = Field(
        "hf",
        description="hf is a directory of Hugging Face, safetensors one file, dcp a checkpoint of"
        " torch.distributed.checkpoint.",
    )
    shard_size: int | str | None = Field(
        None,
        description="Maximum bytes of tensors in a file, such as 5000000000 or 5GB, at least 1 MiB. By default that of"
        " the revision, else 5GB. Not with safetensors.",
    )


class Artifact(BaseModel):
    """An artifact, as its destination shows it."""

    id: str = Field(description="SHA-256 of the request: equal requests have one artifact.")
    destination: str = Field(description="Alias of the destination.")
    url: str = Field(description="Directory, or URL of the bucket and prefix, that has the files.")
    state: _State = Field(
        description="After stopped, the same request resumes. After failed and spoiled, the operator must act."
    )
    recipe: str = Field(description="Digest of the recipe.")
    format: str
    shard_size: int | None = Field(description="Maximum bytes of tensors in a file; null if there is one file.")
    items: int = Field(description="Files of weights.")
    items_done: int
    bytes: int = Field(description="Bytes of all tensors.")
    bytes_done: int = Field(description="Bytes of the tensors in files that are complete.")
    problem: str | None = Field(description="Last part of a problem's type: why it was stopped, or has failed.")
    detail: str | None


_ONE: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"description": "The artifact", "model": Artifact}, **problems.responses(404, 409, 503)},
}


@router.post(
    "/v1/artifacts",
    operation_id="post_artifact",
    summary="Write an artifact",
    status_code=202,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": ArtifactRequest.model_json_schema(),
                    "example": {
                        "destination": "weights",
                        "recipe": {"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42},
                    },
                }
            },
        }
    },
    responses={
        202: {"description": "The artifact is being written", "model": Artifact},
        200: {"description": "The artifact is complete", "model": Artifact},
        **problems.responses(400, 404, 409, 413, 415, 422, 429, 503),
    },
)
@requires(Right.ARTIFACTS_WRITE)
async def post_artifact(request: Request) -> Response:
    """Writes a checkpoint to a destination of this service, in the background. `Location` is where its state is.

    The same request again is the same artifact: it resumes where an earlier one was stopped or cancelled.
    """
    service, context = service_of(request), context_of(request.scope)
    service.require_ready()
    specification = await _specification(service, context, request)
    found = await service.artifacts.make(context.usage, _owner(context), specification)
    return _response(found, 200 if found.state == "complete" else 202)


@router.head(
    "/v1/artifacts/{destination}/{artifact}", operation_id="head_artifact", summary="Was this requested?", **_ONE
)
@router.get(
    "/v1/artifacts/{destination}/{artifact}", operation_id="get_artifact", summary="State of an artifact", **_ONE
)
@requires(Right.ARTIFACTS_READ)
async def get_artifact(destination: str, artifact: str, request: Request) -> Response:
    """Returns the state of the artifact, from its destination. Every replica responds the same."""
    service, context = service_of(request), context_of(request.scope)
    return _response(await service.artifacts.find(context.client, destination, artifact), 200)


@router.get(
    "/v1/artifacts/{destination}/{artifact}/events",
    operation_id="get_artifact_events",
    summary="States of an artifact, as they change",
    response_class=Response,
    responses={
        200: {
            "description": "Events named state, each with an artifact",
            "content": {EVENTS: {"schema": {"type": "string"}}},
        },
        **problems.responses(404, 409, 429, 503),
    },
)
@requires(Right.ARTIFACTS_READ)
async def get_artifact_events(destination: str, artifact: str, request: Request) -> Response:
    """Sends the state now, and again when it changes (Server-Sent Events), until the artifact is not being written.

    The response ends after ten minutes. `EventSource` of browsers then requests it again.
    """
    service, context = service_of(request), context_of(request.scope)
    found = await service.artifacts.find(context.client, destination, artifact)
    await service.admission.admit(context.usage, 0)  # it counts as a response in flight
    return StreamingResponse(
        _events(service, context.client, found), media_type=EVENTS, headers={"Cache-Control": "no-store"}
    )


@router.delete(
    "/v1/artifacts/{destination}/{artifact}",
    operation_id="delete_artifact",
    summary="Cancel an artifact",
    status_code=202,
    response_class=Response,
    responses={202: {"description": "The artifact", "model": Artifact}, **problems.responses(404, 409, 503)},
)
@requires(Right.ARTIFACTS_WRITE)
async def delete_artifact(destination: str, artifact: str, request: Request) -> Response:
    """No further file is written, by any replica, unless another client has requested the same artifact.

    Files that are written remain. The same POST again resumes from there.
    """
    service, context = service_of(request), context_of(request.scope)
    found = await service.artifacts.cancel(context.client, _owner(context), destination, artifact)
    return _response(found, 202)


async def _specification(service: Service, context: RequestContext, request: Request) -> Specification:
    """Return the specification in a request.

    Raises:
        InvalidArtifactError: a field is invalid.
        RecipeError: the recipe is invalid.
        LimitExceededError: the recipe exceeds a limit.
        UnknownModelError, UnknownRevisionError: the model or its revision does not exist.
        ForbiddenError: the client may not write to the destination, or not read models.
        RequestError: the body is not accepted, or too much is in flight.
    """
    hold = partial(service.admission.hold, context.usage)
    body = await read_body(request, (JSON,), service.settings.max_recipe_bytes + _OTHER_BYTES, hold)
    hold(len(body))  # the recipe, as a separate text
    asked, recipe = await service.threads.parsers.run(context.client, _read, body)
    principal = context.principal
    if principal is not ANONYMOUS:
        needed = sufficient(Right.ARTIFACTS_WRITE, destination=asked.destination)
        require(principal, Right.ARTIFACTS_WRITE, needed)
        if asked.model is not None:
            require(principal, Right.MODELS_READ, sufficient(Right.MODELS_READ))
    is_single = asked.format == "safetensors"
    if recipe is not None:
        try:
            layout, _ = await service.recipes.of_text(context, recipe)
        except RecipeError as error:
            faults = [Fault(f"/recipe{each.pointer}", each.detail, each.value) for each in error.faults]
            raise type(error)(faults) from None
        size = None if is_single else _size(asked.shard_size, SHARD_BYTES)
        return Specification(asked.destination, layout.recipe, asked.format, size)
    assert asked.model is not None
    snapshot = await service.models.snapshot(context.client, asked.model, asked.revision or MAIN)
    size = None if is_single else _size(asked.shard_size, snapshot.revision.size.bytes)
    files = await service.models.in_thread(context.client, snapshot.side_files)
    literals = None if snapshot.content.literals is None else snapshot.content.literals.content
    context.recipe = snapshot.recipe.digest
    return Specification(asked.destination, snapshot.recipe, asked.format, size, files, literals)


def _read(body: bytes) -> tuple[ArtifactRequest, bytes | None]:
    """Return the fields of a request, and its recipe as JSON.

    Raises:
        InvalidArtifactError: a field is invalid.
        RecipeError: the body is not JSON.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise _invalid("", "a request is a JSON object with destination, and either recipe or model")
    try:
        asked = ArtifactRequest.model_validate(document)
    except ValidationError as error:
        raise InvalidArtifactError([_fault(each) for each in error.errors()[:_MAX_FAULTS]]) from None
    if (asked.recipe is None) == (asked.model is None):
        raise _invalid("", "either recipe or model is required")
    if asked.revision is not None and asked.model is None:
        raise _invalid("/revision", "only a model has revisions")
    if asked.format == "safetensors" and asked.shard_size is not None:
        raise _invalid("/shard_size", "the format safetensors has one file", asked.shard_size)
    _size(asked.shard_size, SHARD_BYTES)
    return asked, None if asked.recipe is None else json.dumps(asked.recipe, separators=(",", ":")).encode()


_MAX_FAULTS = 20


def _fault(details: Any) -> Fault:
    message = details["msg"]
    return Fault(pointer(details["loc"]), message[:1].lower() + message[1:], shown(details["input"]))


def _invalid(field: str, detail: str, value: Any = None) -> InvalidArtifactError:
    return InvalidArtifactError([Fault(field, detail, shown(value))])


def _size(given: int | str | None, default: int) -> int:
    """Return a number of bytes, or the default if none is given.

    Raises:
        InvalidArtifactError: it is not allowed.
    """
    if given is None:
        return max(default, MIN_SHARD_BYTES)
    count = given if isinstance(given, int) else _bytes(given)
    if count is None or not MIN_SHARD_BYTES <= count <= MAX_SHARD_BYTES:
        allowed = f"{MIN_SHARD_BYTES} to {MAX_SHARD_BYTES} bytes are allowed, as an integer or as a text such as 5GB"
        raise _invalid("/shard_size", allowed, given)
    return count


def _bytes(text: str) -> int | None:
    """Return the bytes of a text such as 5GB, 512MiB or 1.5e; None if it is not one."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    whole, fraction, unit, binary = found.groups()
    scale = (1024 if binary else 1000) ** " kmgt".index(unit.lower() or " ")
    return int((int(whole) + Fraction(int(fraction or 0), 10 ** len(fraction or ""))) * scale)


def _owner(context: RequestContext) -> str:
    """Return the client that may cancel the artifact of this request. Without keys, that is everybody."""
    return context.principal.id


def _response(found: Found, status: int) -> Response:
    headers = {"Location": f"/v1/artifacts/{found.alias}/{found.id}", "Cache-Control": "no-store"}
    return Response(_text(found), status, headers, JSON)


def _text(found: Found) -> str:
    facts = found.facts
    return Artifact(
        id=found.id,
        destination=found.alias,
        url=found.url,
        state=found.state,
        recipe=facts.recipe,
        format=facts.format,
        shard_size=facts.shard_bytes,
        items=facts.items,
        items_done=found.items_done,
        bytes=facts.bytes,
        bytes_done=found.bytes_done,
        problem=found.problem,
        detail=found.detail,
    ).model_dump_json()


async def _events(service: Service, client: str, found: Found) -> AsyncIterator[str]:
    """Yield an event for each change of an artifact."""
    began = time.monotonic()
    yield _event(found)
    told = began
    pause = TICK_SECONDS
    while found.state not in _ENDED:
        await asyncio.sleep(pause)
        before, looked = found, time.monotonic()
        if service.is_draining or looked - began > MAX_SECONDS:
            return
        try:
            found = await service.artifacts.find(client, before.alias, before.id)
            pause = max(TICK_SECONDS, _PAUSE * (time.monotonic() - looked))
        except Exception as error:
            # The response has begun, so its status cannot change any more. The next request for it gets the error.
            failure = problems.failure_of(error)
            yield f": {failure.kind.name}\n\n"
            return
        if found != before:
            yield _event(found)
            told = time.monotonic()
        elif time.monotonic() - told > BEAT_SECONDS:
            yield ":\n\n"
            told = time.monotonic()


def _event(found: Found) -> str:
    return f"event: state\ndata: {_text(found)}\n\n"
