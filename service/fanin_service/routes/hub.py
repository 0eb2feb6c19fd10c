"""The surface of the Hugging Face Hub: files of models, for clients that know nothing of Fanin.

Revisions and paths are taken from the path as it was sent: a slash in them is escaped there.
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
    """A repository: one or two parts of a path."""

    regex = "[^/]+(?:/[^/]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _KindConvertor(_RepoConvertor):
    """A kind of repositories that are not here."""

    regex = "|".join(KINDS)


# Starlette has one table of convertors, and reads it when a route is defined.
register_url_convertor("repo", _RepoConvertor())
register_url_convertor("kind", _KindConvertor())

router = APIRouter(prefix=ROOT, include_in_schema=False)


@router.head("/{repo:repo}/resolve/{target:path}")
@router.get("/{repo:repo}/resolve/{target:path}")
@requires(Right.WEIGHTS_READ)
async def resolve(repo: str, request: Request) -> Response:
    """A file of a revision: its bytes at a commit id, a redirect to the commit id at any other name."""
    return await _file(repo, "resolve", request)


@router.head("/{repo:repo}/raw/{target:path}")
@router.get("/{repo:repo}/raw/{target:path}")
@requires(Right.WEIGHTS_READ)
async def raw(repo: str, request: Request) -> Response:
    """The same: no file is kept as a pointer to another."""
    return await _file(repo, "raw", request)


async def _file(repo: str, verb: str, request: Request) -> Response:
    service, context = service_of(request), context_of(request.scope)
    models, client = service.models, context.client
    revision, path = revision_and_path(request.scope["raw_path"], f"{ROOT}/{repo}/{verb}")
    snapshot = await models.snapshot(client, repo, revision)
    try:
        (described,) = await models.described(client, snapshot, [path])
    except UnknownFileError as error:
        # Clients that know the commit remember that it has no such file.
        error.headers[COMMIT] = snapshot.commit
        raise
    if not is_commit(revision):
        # A client sends HEAD and then GET, and one GET more when it resumes. A name may stand for another commit by
        # then, or on another server: the client would store those bytes under the commit id of the first answer.
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
    """A repository that is no model: clients ask whether there is one."""
    raise UnknownModelError(f"there are no {kind} here, only models")
