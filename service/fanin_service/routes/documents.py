"""Documents: the description of the API, for programs."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.http.bodies import JSON
from fanin_service.routes.openapi import DescribedAPI

router = APIRouter(include_in_schema=False)


@router.head("/openapi.json")
@router.get("/openapi.json")
@requires(Right.RECIPES_READ)
async def get_openapi(request: Request) -> Response:
    app: DescribedAPI = request.app
    return Response(app.openapi_text(), media_type=JSON)
