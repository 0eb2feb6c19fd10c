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
    """The process answers."""

    status: str = "alive"


class Ready(BaseModel):
    """The service makes weights."""

    status: str = "ready"
    backend: str = Field(description="What generates; it has passed its known-answer test, lately.")


@router.head("/livez", operation_id="head_livez", summary="Is the process alive?")
@router.get("/livez", operation_id="get_livez", summary="Is the process alive?")
@public
async def get_livez(response: Response) -> Alive:
    """Answers as long as the event loop turns."""
    response.headers["Cache-Control"] = "no-store"
    return Alive()


@router.head("/readyz", operation_id="head_readyz", summary="Is the service ready?", responses=problems.responses(503))
@router.get("/readyz", operation_id="get_readyz", summary="Is the service ready?", responses=problems.responses(503))
@public
async def get_readyz(request: Request, response: Response) -> Ready:
    """Ready while the backend passes its known-answer test, again and again, until the process is told to stop."""
    service = service_of(request)
    service.require_ready()
    if service.is_draining:
        raise NotReadyError("the service is stopping")
    response.headers["Cache-Control"] = "no-store"
    return Ready(backend=service.backend.name)
