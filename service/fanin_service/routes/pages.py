"""Pages for people: what this service is, and its calls to try. They come from this package and ask no other origin."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException
from starlette.responses import FileResponse

from fanin_service.access import public

router = APIRouter(include_in_schema=False)
"""The description of the API."""
front = APIRouter(include_in_schema=False)
"""The first page."""

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
    """The files that pages ask for, by name: ours, and those of Swagger UI, which a package from PyPI carries."""
    found = {name: _OURS / name for name in ("docs.js", "page.css")}
    package = find_spec("fastapi_swagger")
    for place in (package and package.submodule_search_locations) or ():
        found |= {name: Path(place, "resources", name) for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
    return found


@front.head("/")
@front.get("/")
@public
async def get_front() -> FileResponse:
    return _file(_OURS / "index.html")


@router.head("/docs")
@router.get("/docs")
@public
async def get_docs() -> FileResponse:
    return _file(_OURS / "docs.html")


@router.head("/docs/{asset}")
@router.get("/docs/{asset}")
@public
async def get_asset(asset: str) -> FileResponse:
    path = assets().get(asset)
    if path is None:
        raise HTTPException(404)
    return _file(path)


def _file(path: Path) -> FileResponse:
    return FileResponse(path, headers=_HEADERS, media_type=_TYPES[path.suffix])
