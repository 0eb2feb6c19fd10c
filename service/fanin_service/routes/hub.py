"""The API of the Hugging Face Hub: files of models, for clients that do not know Fanin.

Revisions and paths are read from the raw path: a slash in them is escaped there, and decoding would lose that.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.convertors import Convertor, register_url_convertor

from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.http.bodies import JSON
from fanin_service.http.file_response import IMMUTABLE, OCTETS, respond
from fanin_service.models.errors import UnknownFileError, UnknownModelError
from fanin_service.models.revisions import is_commit
from fanin_service.service import service_of
from fanin_service.surfaces.hub import COMMIT, KINDS, ROOT
from fanin_service.surfaces.hub_requests import revision_and_path


class _RepoConvertor(Convertor[str]):
    """The name of a repository: one or two segments of a path."""

    regex = "[^/]+(?:/[^/]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _KindConvertor(_RepoConvertor):
    """A kind of repositories that this service does not have."""

    regex = "|".join(KINDS)


# Starlette has one table of convertors for the process, and a route cannot bring another one. `compile_path` reads the
# table when a decorator defines a route. That is at import, so `create_app` would be too late. The convertors have no
# state, so applications in one process can share them.
register_url_convertor("repo", _RepoConvertor())
register_url_convertor("kind", _KindConvertor())

router = APIRouter(prefix=ROOT, include_in_schema=False)


@router.head("/{repo:repo}/resolve/{target:path}")
@router.get("/{repo:repo}/resolve/{target:path}")
@requires(Right.WEIGHTS_READ)
async def resolve(repo: str, request: Request) -> Response:
    """Return a file of a revision: its bytes at a commit id, or a redirect from another name to the commit id."""
    return await _file(repo, "resolve", request)


@router.head("/{repo:repo}/raw/{target:path}")
@router.get("/{repo:repo}/raw/{target:path}")
@requires(Right.WEIGHTS_READ)
async def raw(repo: str, request: Request) -> Response:
    """Return the same as `resolve`: no file is stored as a pointer to another."""
    return await _file(repo, "raw", request)


async def _file(repo: str, verb: str, request: Request) -> Response:
    service, context = service_of(request), context_of(request.scope)
    models, client = service.models, context.client
    revision, path = revision_and_path(request.scope["raw_path"], f"{ROOT}/{repo}/{verb}")
    snapshot = await models.snapshot(client, repo, revision)
    try:
        (described,) = await models.described(client, snapshot, [path])
    except UnknownFileError as error:
        # Clients that get the commit remember that it has no such file.
        error.headers[COMMIT] = snapshot.commit
        raise
    if not is_commit(revision):
        # A client sends HEAD and then GET, and another GET to resume. Meanwhile the name may refer to another commit,
        # or another server may respond. The client would then store those bytes under the commit id of the first
        # response.
        headers = {
            "Location": f"{ROOT}/{repo}/{verb}/{snapshot.commit}/{quote(path)}",
            "ETag": f'"{described.tag}"',
            "X-Linked-ETag": f'"{described.tag}"',
            "X-Linked-Size": str(described.size),
            "Cache-Control": "no-cache",
            COMMIT: snapshot.commit,
        }
        return Response(None, 307, headers)
    headers = {
        "Content-Type": JSON if path.endswith(".json") else OCTETS,
        "Content-Disposition": f'inline; filename="{path.rpartition("/")[2]}"',
        "Cache-Control": IMMUTABLE,
        COMMIT: snapshot.commit,
    }
    file = await models.file(client, snapshot, path)
    return await respond(context, service, replace(file, headers=headers, kept=(COMMIT,)))


@router.head("/{kind:kind}/{target:path}")
@router.get("/{kind:kind}/{target:path}")
@requires(Right.MODELS_READ)
async def unknown_kind(kind: str) -> Response:
    """Respond that a repository of another kind does not exist."""
    raise UnknownModelError(f"this service has no {kind}, only models")
