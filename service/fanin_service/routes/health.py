"""Health: reports whether the process responds and generates the right bits."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from fanin_service.access.rules import public
from fanin_service.backend.guard import NotReadyError
from fanin_service.http import problems
from fanin_service.service import service_of

router = APIRouter(tags=["operation"])


class Alive(BaseModel):
    """The process responds."""

    status: str = "alive"


class Ready(BaseModel):
    """The service generates weights."""

    status: str = "ready"
    backend: str = Field(description="Backend that generates. It has recently passed its known-answer test.")


@router.head("/livez", operation_id="head_livez", summary="Is the process alive?")
@router.get("/livez", operation_id="get_livez", summary="Is the process alive?")
@public
async def get_livez(response: Response) -> Alive:
    """Responds as long as the event loop runs."""
    response.headers["Cache-Control"] = "no-store"
    return Alive()


@router.head("/readyz", operation_id="head_readyz", summary="Is the service ready?", responses=problems.responses(503))
@router.get("/readyz", operation_id="get_readyz", summary="Is the service ready?", responses=problems.responses(503))
@public
async def get_readyz(request: Request, response: Response) -> Ready:
    """Ready while the backend passes its repeated known-answer test, until the process begins to stop."""
    service = service_of(request)
    service.require_ready()
    if service.is_draining:
        raise NotReadyError("the service is stopping")
    response.headers["Cache-Control"] = "no-store"
    return Ready(backend=service.backend.name)
