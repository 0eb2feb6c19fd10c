"""Pages for people: one that shows recipes and their weights, and a form to call the service. Their files are in
installed packages, so browsers contact no other origin.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response

from fanin import page
from fanin_service.access.rules import public
from fanin_service.context import context_of
from fanin_service.http.file import File
from fanin_service.http.file_response import respond
from fanin_service.http.routing import NotFoundError
from fanin_service.service import service_of

router = APIRouter(include_in_schema=False)
"""Router of the description of the API."""
front = APIRouter(include_in_schema=False)
"""Router of the page at `/`."""

_OURS = Path(__file__).parents[1] / "pages"
_HEADERS = {
    **page.HEADERS,
    # Swagger UI has its icons as data URLs.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "public, max-age=3600",
}
"""Headers of the description of the API."""
_START = page.start(service=True)
"""The page reads this first. No recipe comes from the service: the link to the page may contain one."""


def assets() -> dict[str, Path]:
    """Return the files that `/docs` loads, by name: those of this package, and those of Swagger UI's package."""
    found = {name: _OURS / name for name in ("docs.js", "page.css")}
    package = find_spec("fastapi_swagger")
    for place in (package and package.submodule_search_locations) or ():
        found |= {name: Path(place, "resources", name) for name in ("swagger-ui-bundle.js", "swagger-ui.css")}
    return found


@front.head("/")
@front.get("/")
@public
async def get_front(request: Request) -> Response:
    return await _of_the_page(request, page.INDEX)


@front.head("/page/{file}")
@front.get("/page/{file}")
@public
async def get_page_file(file: str, request: Request) -> Response:
    return await _of_the_page(request, file)


@router.head("/docs")
@router.get("/docs")
@public
async def get_docs(request: Request) -> Response:
    return await _of_docs(request, _OURS / "docs.html")


@router.head("/docs/{asset}")
@router.get("/docs/{asset}")
@public
async def get_asset(asset: str, request: Request) -> Response:
    path = assets().get(asset)
    if path is None:
        raise NotFoundError(request.url.path)
    return await _of_docs(request, path)


async def _of_the_page(request: Request, name: str) -> Response:
    file = _START if name == "start.json" else page.files().get(name)
    if file is None:
        raise NotFoundError(request.url.path)
    return await _respond(request, file, page.HEADERS)


async def _of_docs(request: Request, path: Path) -> Response:
    return await _respond(request, _read(path), _HEADERS)


async def _respond(request: Request, file: page.PageFile, headers: Mapping[str, str]) -> Response:
    """Return the response with a file, compressed for a client that accepts gzip."""
    headers = {**headers, "Content-Type": file.media_type, "Vary": "Accept-Encoding"}
    context, service = context_of(request.scope), service_of(request)
    if _accepts_gzip(request.headers.getlist("Accept-Encoding")):
        file = await service.threads.parsers.run(context.client, _compressed, file)
        headers["Content-Encoding"] = "gzip"
    return await respond(context, service, File(file.content, file.tag, headers, kept=("Vary",)))


def _accepts_gzip(lines: Sequence[str]) -> bool:
    """Return whether a client names gzip among the encodings that it accepts, and not with the weight 0."""
    for each in ",".join(lines).lower().split(","):
        coding, *parameters = (part.strip() for part in each.split(";"))
        if coding == "gzip":
            return not any(re.fullmatch(r"q=0(\.0*)?", part) for part in parameters)
    return False


@cache
def _compressed(file: page.PageFile) -> page.PageFile:
    """Return a file with its content in gzip, the same bytes in every process."""
    return page.PageFile(gzip.compress(file.content, mtime=0), file.media_type)


@cache
def _read(path: Path) -> page.PageFile:
    return page.PageFile(path.read_bytes(), page.TYPES[path.suffix])
