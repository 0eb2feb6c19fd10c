"""Pages for people: an overview of the service, and a form to call it. Their files are in this package or in another
installed one, so browsers contact no other origin.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response

from fanin_service.access.rules import public
from fanin_service.context import context_of
from fanin_service.http.file import File
from fanin_service.http.file_response import respond
from fanin_service.http.routing import NotFoundError
from fanin_service.service import service_of

router = APIRouter(include_in_schema=False)
"""Router of the description of the API."""
front = APIRouter(include_in_schema=False)
"""Router of the first page."""

_OURS = Path(__file__).parents[1] / "pages"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_HEADERS = {
    # Swagger UI has its icons as data URLs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=3600",
}


def assets() -> dict[str, Path]:
    """Return the files that pages load, by name: those of this package, and those of Swagger UI's package."""
    found = {name: _OURS / name for name in ("docs.js", "page.css")}
    package = find_spec("fastapi_swagger")
    for place in (package and package.submodule_search_locations) or ():
        found |= {name: Path(place, "resources", name) for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
    return found


@front.head("/")
@front.get("/")
@public
async def get_front(request: Request) -> Response:
    return await _page(request, _OURS / "index.html")


@router.head("/docs")
@router.get("/docs")
@public
async def get_docs(request: Request) -> Response:
    return await _page(request, _OURS / "docs.html")


@router.head("/docs/{asset}")
@router.get("/docs/{asset}")
@public
async def get_asset(asset: str, request: Request) -> Response:
    path = assets().get(asset)
    if path is None:
        raise NotFoundError(request.url.path)
    return await _page(request, path)


async def _page(request: Request, path: Path) -> Response:
    content, tag = _read(path)
    headers = {**_HEADERS, "Content-Type": _TYPES[path.suffix]}
    return await respond(context_of(request.scope), service_of(request), File(content, tag, headers))


@cache
def _read(path: Path) -> tuple[bytes, str]:
    """Return the content of a file and its entity tag, which is the same on every replica."""
    content = path.read_bytes()
    return content, sha256(content).hexdigest()
