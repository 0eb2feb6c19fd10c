"""Documents: the description of the API, for programs and for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse

from fanin_service.access import requires
from fanin_service.bodies import JSON
from fanin_service.openapi import DescribedAPI
from fanin_service.principal import Right

router = APIRouter(include_in_schema=False)


@router.head("/openapi.json")
@router.get("/openapi.json")
@requires(Right.RECIPES_READ)
async def get_openapi(request: Request) -> Response:
    app: DescribedAPI = request.app
    return Response(app.openapi_text(), media_type=JSON)


@router.head("/docs")
@router.get("/docs")
@requires(Right.RECIPES_READ)
async def get_docs(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(openapi_url="openapi.json", title=request.app.title, oauth2_redirect_url=None)
