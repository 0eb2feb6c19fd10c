"""Artifacts: checkpoints that the service writes to a destination of its operator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from fanin import Fault, RecipeError
from fanin.artifact.plan import SHARD_BYTES
from fanin_service.access.principal import ANONYMOUS
from fanin_service.access.rules import require, requires
from fanin_service.access.scopes import Right, sufficient
from fanin_service.artifacts.found import Found, Name
from fanin_service.artifacts.requests import ArtifactRequest, read_request
from fanin_service.artifacts.specification import Specification
from fanin_service.context import RequestContext, context_of
from fanin_service.http import problems
from fanin_service.http.bodies import JSON, read_body
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import Snapshot
from fanin_service.service import Service, service_of

router = APIRouter(tags=["artifacts"], dependencies=[NO_PARAMETERS])

EVENTS = "text/event-stream"
"""Media type of events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
TICK_SECONDS, BEAT_SECONDS, MAX_SECONDS = 1.0, 15.0, 600.0
"""Seconds between two looks for an event, between two lines to keep the connection open, and of a response."""
_PAUSE = 10
"""Ratio of the time between two looks to that of a look: a look lists all files of the artifact."""
_OTHER_BYTES = 64 << 10
"""Bytes of a request besides its recipe."""


class Artifact(BaseModel):
    """An artifact, as its destination shows it."""

    id: str = Field(description="SHA-256 of the request: equal requests have one artifact.")
    destination: str = Field(description="Alias of the destination.")
    url: str = Field(description="Directory, or URL of the bucket and prefix, that has the files.")
    state: Name = Field(
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
        InvalidArtifactError: a field is invalid, or no destination has the alias.
        RecipeError: the recipe is invalid.
        LimitExceededError: the recipe exceeds a limit.
        UnknownModelError, UnknownRevisionError: the model or its revision does not exist.
        ForbiddenError: the client may not write to the destination, or not read models.
        RequestError: the body is not accepted, or too much is in flight.
    """
    hold = partial(service.admission.hold, context.usage)
    body = await read_body(request, (JSON,), service.settings.max_recipe_bytes + _OTHER_BYTES, hold)
    hold(len(body))  # the recipe, as a separate text
    asked, recipe = await service.threads.parsers.run(context.client, read_request, body)
    principal = context.principal
    if principal is not ANONYMOUS:
        needed = sufficient(Right.ARTIFACTS_WRITE, destination=asked.destination)
        require(principal, Right.ARTIFACTS_WRITE, needed)
        if asked.model is not None:
            require(principal, Right.MODELS_READ, sufficient(Right.MODELS_READ))
    service.artifacts.check_alias(asked.destination)
    if recipe is not None:
        try:
            layout, _ = await service.recipes.of_text(context, recipe)
        except RecipeError as error:
            faults = [Fault(f"/recipe{each.pointer}", each.detail, each.value) for each in error.faults]
            raise type(error)(faults) from None
        return Specification(asked.destination, layout.recipe, asked.format, asked.shard_bytes(SHARD_BYTES))
    assert asked.model is not None
    revision = MAIN if asked.revision is None else asked.revision
    snapshot = await service.models.snapshot(context.client, asked.model, revision)
    found = await service.models.in_thread(context.client, _of_snapshot, asked, snapshot)
    context.recipe = found.recipe.digest
    return found


def _of_snapshot(asked: ArtifactRequest, snapshot: Snapshot) -> Specification:
    """Return the specification of a model's artifact. In a thread: its id is the hash of files of up to 64 MiB."""
    size, literals = asked.shard_bytes(snapshot.revision.size.bytes), snapshot.content.literals
    found = Specification(
        asked.destination,
        snapshot.recipe,
        asked.format,
        size,
        snapshot.side_files(),
        None if literals is None else literals.content,
    )
    _ = found.id
    return found


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
    began = sent = time.monotonic()
    yield _event(found)
    pause = TICK_SECONDS
    while found.state == "writing":
        await asyncio.sleep(pause)
        before, looked = found, time.monotonic()
        if service.is_draining or looked - began > MAX_SECONDS:
            return
        try:
            found = await service.artifacts.find(client, before.alias, before.id)
        except Exception as error:
            failure = problems.failure_of(error)
            if failure.kind.status == 500:
                raise
            # The response has begun, so its status cannot change any more. The next request for it gets the error.
            yield f": {failure.kind.name}\n\n"
            return
        pause = max(TICK_SECONDS, _PAUSE * (time.monotonic() - looked))
        if found != before:
            yield _event(found)
            sent = time.monotonic()
        elif time.monotonic() - sent > BEAT_SECONDS:
            yield ":\n\n"
            sent = time.monotonic()


def _event(found: Found) -> str:
    return f"event: state\ndata: {_text(found)}\n\n"
