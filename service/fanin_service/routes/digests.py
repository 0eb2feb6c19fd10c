"""Digests: checksums against which a client verifies received bytes."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fanin import Fault
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.http import problems
from fanin_service.http.bodies import JSON
from fanin_service.http.file_response import IMMUTABLE, in_pieces
from fanin_service.http.query import NO_PARAMETERS
from fanin_service.recipes.errors import LimitExceededError
from fanin_service.service import service_of

router = APIRouter(tags=["recipes"], dependencies=[NO_PARAMETERS])

_HEX = "SHA-256 in hexadecimal"


class Digests(BaseModel):
    """The digests of a recipe's file."""

    digest: str = Field(description="Digest of the recipe, not of the file.")
    size: int = Field(description="Bytes of the file.")
    algorithm: str = Field(description="sha-256")
    block_size: int = Field(description="Bytes of a tensor under one digest; its last block may be shorter.")
    file: str = Field(description=f"{_HEX} of the complete file.")
    header: str = Field(description=f"{_HEX} of the bytes before the first tensor.")
    tensors: dict[str, list[str]] = Field(description=f"{_HEX} of each tensor's blocks, in file order.")


_GET_DIGESTS: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"description": "The digests", "model": Digests}, **problems.responses(404, 422, 503)},
}


@router.head(
    "/v1/recipes/{digest}/digests", operation_id="head_digests", summary="Headers of the digests", **_GET_DIGESTS
)
@router.get(
    "/v1/recipes/{digest}/digests", operation_id="get_digests", summary="SHA-256 of a file, by blocks", **_GET_DIGESTS
)
@requires(Right.WEIGHTS_READ)
async def get_digests(digest: str, request: Request) -> Response:
    """Returns SHA-256 digests of the file and of every block, to check received bytes without generating them.

    The service computes them once, in the background, and returns 503 with Retry-After until then. From then on
    responses with the file carry `Repr-Digest` (RFC 9530).
    """
    service, context = service_of(request), context_of(request.scope)
    layout, limit = await service.recipes.of_digest(context, digest), service.settings.max_digest_bytes
    if layout.size > limit:
        detail = f"the file has {layout.size} bytes; digests are computed for at most {limit:d}"
        raise LimitExceededError([Fault("", detail)])
    service.require_ready()
    makers = service.threads.makers(layout, 0, layout.size)
    charge = partial(service.admission.charge, context.usage)
    known = await service.manifests.get(layout, makers, context.client, charge)
    return in_pieces(known.text, headers={"Cache-Control": IMMUTABLE}, media_type=JSON)
