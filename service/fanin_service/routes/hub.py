"""The surface of the Hugging Face Hub: models for clients that know nothing of Fanin.

Revisions and paths are taken from the path as it was sent: a slash in them is escaped there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from fastapi import APIRouter, Request, Response
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fanin.recipe import parse_json
from fanin_service import hub
from fanin_service.access import requires
from fanin_service.answers import IMMUTABLE, OCTETS, respond
from fanin_service.bodies import JSON, media_type_of, read_body
from fanin_service.hub import COMMIT, ROOT
from fanin_service.models.models import Models
from fanin_service.models.revisions import MAIN, is_commit
from fanin_service.models.snapshot import File, Snapshot
from fanin_service.principal import Right, principal_of
from fanin_service.problems import UnknownFileError
from fanin_service.service import service_of

FORM = "application/x-www-form-urlencoded"
MAX_PATHS_BYTES = 1 << 20
"""Of a list of paths that is asked for."""
_LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)


class _RepoConvertor(Convertor[str]):
    """A repository: one or two parts of a path."""

    regex = "[^/]+(?:/[^/]+)?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("repo", _RepoConvertor())

router = APIRouter(prefix=ROOT, include_in_schema=False)
api = APIRouter(prefix=f"{ROOT}/api", include_in_schema=False)


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
    service = service_of(request)
    revision, path = _revision_and_path(request, f"{ROOT}/{repo}/{verb}")
    snapshot = await service.models.snapshot(repo, revision)
    try:
        file = await service.models.file(snapshot, path)
    except UnknownFileError as error:
        # Clients that know the commit remember that it has no such file.
        error.headers[COMMIT] = snapshot.commit
        raise
    tag = f'"{file.etag}"'
    if not is_commit(revision):
        # A client sends HEAD and then GET, and one GET more when it resumes. A name may stand for another commit by
        # then, or on another server: the client would store those bytes under the commit id of the first answer.
        return Response(
            None,
            307,
            {
                "Location": f"{ROOT}/{repo}/{verb}/{snapshot.commit}/{quote(path)}",
                "ETag": tag,
                "X-Linked-ETag": tag,
                "X-Linked-Size": str(file.size),
                "Cache-Control": "no-cache",
                COMMIT: snapshot.commit,
            },
        )
    headers = {
        "Content-Type": JSON if path.endswith(".json") else OCTETS,
        "Content-Disposition": f'inline; filename="{path.rpartition("/")[2]}"',
        "ETag": tag,
        "Cache-Control": IMMUTABLE,
        COMMIT: snapshot.commit,
    }
    return await respond(request, service, file.body, headers, kept=(COMMIT,))


@api.head("/models")
@api.get("/models")
@requires(Right.MODELS_READ)
async def list_models(request: Request) -> Response:
    """Models, by their namespace and a part of their name."""
    query = request.query_params
    author, search = query.get("author"), query.get("search", "").lower()
    names = [
        name
        for name in await service_of(request).models.names()
        if (author is None or name.startswith(f"{author}/")) and search in name.lower()
    ]
    limit = query.get("limit", "")
    wanted = names[: int(limit)] if _LIMIT.fullmatch(limit) else names
    return JSONResponse([{"id": name, "modelId": name} for name in wanted])


@api.head("/models/{repo:repo}/revision/{revision:path}")
@api.get("/models/{repo:repo}/revision/{revision:path}")
@requires(Right.MODELS_READ)
async def get_revision(repo: str, request: Request) -> Response:
    """A model at a revision."""
    return await _info(repo, unquote(_tail(request, f"{ROOT}/api/models/{repo}/revision")), request)


@api.head("/models/{repo:repo}/tree/{target:path}")
@api.get("/models/{repo:repo}/tree/{target:path}")
@requires(Right.MODELS_READ)
async def list_tree(repo: str, request: Request) -> Response:
    """The files of a revision, or of a directory in it; all of them on one page."""
    revision, directory = _revision_and_path(request, f"{ROOT}/api/models/{repo}/tree")
    models = service_of(request).models
    snapshot = await models.snapshot(repo, revision)
    paths = hub.children(snapshot.paths, directory, recursive=_flag(request.query_params, "recursive"))
    if directory and not paths:
        raise UnknownFileError(f"this revision has no directory {directory[:200]!a}", {COMMIT: snapshot.commit})
    expand = _flag(request.query_params, "expand")
    return JSONResponse(await _entries(models, snapshot, paths, expand), headers={COMMIT: snapshot.commit})


@api.post("/models/{repo:repo}/paths-info/{revision:path}")
@requires(Right.MODELS_READ)
async def get_paths_info(repo: str, request: Request) -> Response:
    """What is at some paths of a revision; those at which nothing is are left out."""
    asked, expand = await _asked(request)
    models = service_of(request).models
    snapshot = await models.snapshot(repo, unquote(_tail(request, f"{ROOT}/api/models/{repo}/paths-info")))
    known = {path.rstrip("/"): path for path in hub.children(snapshot.paths, "", recursive=True)}
    paths = [known[path] for path in dict.fromkeys(asked) if path in known]
    return JSONResponse(await _entries(models, snapshot, paths, expand), headers={COMMIT: snapshot.commit})


@api.head("/models/{repo:repo}/refs")
@api.get("/models/{repo:repo}/refs")
@requires(Right.MODELS_READ)
async def list_refs(repo: str, request: Request) -> Response:
    """The branches of a model."""
    return JSONResponse(hub.refs(await service_of(request).models.snapshot(repo)))


@api.head("/models/{repo:repo}")
@api.get("/models/{repo:repo}")
@requires(Right.MODELS_READ)
async def get_model(repo: str, request: Request) -> Response:
    """A model at `main`."""
    return await _info(repo, MAIN, request)


@api.head("/whoami-v2")
@api.get("/whoami-v2")
@requires(Right.MODELS_READ)
async def who_am_i(request: Request) -> Response:
    """Whose the token is."""
    principal = principal_of(request.scope)
    token = {"displayName": principal.name, "role": "read"}
    return JSONResponse(
        {
            "type": "user",
            "id": principal.id,
            "name": principal.name,
            "fullname": principal.name,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


async def _info(repo: str, revision: str, request: Request) -> Response:
    models = service_of(request).models
    snapshot = await models.snapshot(repo, revision)
    files: dict[str, File | None] = dict.fromkeys(snapshot.paths)
    if _flag(request.query_params, "blobs"):
        files = {path: await models.file(snapshot, path) for path in files}
    return JSONResponse(hub.info(repo, snapshot, files), headers={COMMIT: snapshot.commit})


async def _entries(models: Models, snapshot: Snapshot, paths: list[str], expand: bool) -> list[dict[str, Any]]:
    return [
        hub.entry(
            path.rstrip("/"),
            snapshot,
            None if path.endswith("/") else await models.file(snapshot, path),
            expand=expand,
        )
        for path in paths
    ]


async def _asked(request: Request) -> tuple[list[str], bool]:
    """The paths that a body asks for, and whether with commits: a form from Python, JSON from JavaScript."""
    is_json = media_type_of(request) == JSON
    hold = service_of(request).admission.hold
    body = await read_body(request, (JSON if is_json else FORM,), MAX_PATHS_BYTES, hold)
    if is_json:
        document = parse_json(body)
        paths, expand = (document.get("paths"), document.get("expand")) if isinstance(document, dict) else (None, None)
        if not isinstance(paths, list):
            raise HTTPException(400, "paths: must be a list of texts")
        return [path for path in paths if isinstance(path, str)], expand is True
    fields = parse_qs(body.decode("latin-1"))
    return fields.get("paths", []), _flag({name: values[0] for name, values in fields.items()}, "expand")


def _tail(request: Request, head: str) -> str:
    """What follows `head` in the path, as it was sent."""
    parts = request.scope["raw_path"].decode("latin-1").split("/")
    # An escaped slash joins two parts in one, so no more parts than `head` has can spell it.
    most = min(len(parts), head.count("/") + 1)
    ends = (end for end in range(most + 1) if unquote("/".join(parts[:end])) == head)
    return "/".join(parts[next(ends, len(parts)) :])


def _revision_and_path(request: Request, head: str) -> tuple[str, str]:
    revision, _, path = _tail(request, head).partition("/")
    return unquote(revision), unquote(path)


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")
