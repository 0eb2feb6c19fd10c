"""The surface of the Hugging Face Hub: what its clients are told of models.

Lists are put together in threads: a model may have as many tensors, and a revision as many files, as take a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from fanin_service.access.middleware import requires
from fanin_service.access.principal import Right, principal_of
from fanin_service.http.bodies import JSON, media_type_of, read_body
from fanin_service.http.file_response import in_pieces
from fanin_service.http.problems import UnknownFileError
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import Snapshot
from fanin_service.routes.hub import unknown_kind
from fanin_service.service import Service, service_of
from fanin_service.surfaces import hub
from fanin_service.surfaces.hub import COMMIT, ROOT, Listed
from fanin_service.surfaces.hub_requests import Wanted, flag, paths_of_form, paths_of_json, revision_and_path, tail

FORM = "application/x-www-form-urlencoded"
MAX_PATHS_BYTES = 1 << 20
"""Of a list of paths that is asked for."""
_API = f"{ROOT}/api/models"

api = APIRouter(prefix=f"{ROOT}/api", include_in_schema=False)


@api.head("/models")
@api.get("/models")
@requires(Right.MODELS_READ)
async def list_models(request: Request) -> Response:
    """Models, by their namespace and a part of their name."""
    models, wanted = service_of(request).models, Wanted.of(request.query_params)
    names = await models.names()
    return await _answer(request, lambda: hub.listed(wanted.of_names(names)))


@api.head("/models/{repo:repo}/revision/{revision:path}")
@api.get("/models/{repo:repo}/revision/{revision:path}")
@requires(Right.MODELS_READ)
async def get_revision(repo: str, request: Request) -> Response:
    """A model at a revision."""
    return await _info(repo, unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/revision")), request)


@api.head("/models/{repo:repo}/commits/{revision:path}")
@api.get("/models/{repo:repo}/commits/{revision:path}")
@requires(Right.MODELS_READ)
async def list_commits(repo: str, request: Request) -> Response:
    """The commits that led to a revision: its own."""
    revision = unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/commits"))
    snapshot = await service_of(request).models.snapshot(repo, revision)
    date = await _date(request, repo, snapshot)
    return await _answer(request, lambda: hub.commits(snapshot, date), snapshot)


@api.head("/models/{repo:repo}/tree/{target:path}")
@api.get("/models/{repo:repo}/tree/{target:path}")
@requires(Right.MODELS_READ)
async def list_tree(repo: str, request: Request) -> Response:
    """The files of a revision, or of a directory in it; all of them on one page."""
    revision, directory = revision_and_path(request.scope["raw_path"], f"{_API}/{repo}/tree")
    service, query = service_of(request), request.query_params
    snapshot = await service.models.snapshot(repo, revision)
    is_recursive, expand = flag(query, "recursive"), flag(query, "expand")
    paths = await service.models.in_thread(
        lambda: hub.children(snapshot.paths, directory, recursive=is_recursive),
    )
    if directory and not paths:
        raise UnknownFileError(f"this revision has no directory {directory[:200]!a}", {COMMIT: snapshot.commit})
    return await _entries(request, snapshot, paths, await _date(request, repo, snapshot) if expand else None)


@api.post("/models/{repo:repo}/paths-info/{revision:path}")
@requires(Right.MODELS_READ)
async def get_paths_info(repo: str, request: Request) -> Response:
    """What is at some paths of a revision; those at which nothing is are left out."""
    service, is_json = service_of(request), media_type_of(request) == JSON
    body = await read_body(request, (JSON if is_json else FORM,), MAX_PATHS_BYTES, service.admission.hold)
    # A form from Python, JSON from JavaScript.
    asked, expand = await service.models.in_thread(paths_of_json if is_json else paths_of_form, body)
    revision = unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/paths-info"))
    snapshot = await service.models.snapshot(repo, revision)

    def found() -> list[str]:
        known = {path.rstrip("/"): path for path in hub.children(snapshot.paths, "", recursive=True)}
        return [known[path] for path in dict.fromkeys(asked) if path in known]

    date = await _date(request, repo, snapshot) if expand else None
    return await _entries(request, snapshot, await service.models.in_thread(found), date)


@api.head("/models/{repo:repo}/refs")
@api.get("/models/{repo:repo}/refs")
@requires(Right.MODELS_READ)
async def list_refs(repo: str, request: Request) -> Response:
    """The branches of a model."""
    snapshot = await service_of(request).models.snapshot(repo)
    return await _answer(request, lambda: hub.refs(snapshot))


@api.head("/models/{repo:repo}/auth-check")
@api.get("/models/{repo:repo}/auth-check")
@requires(Right.WEIGHTS_READ)
async def check_access(repo: str, request: Request) -> Response:
    """Whether a client may have the files of a model: it may, if it gets this answer."""
    await service_of(request).models.snapshot(repo)
    return await _answer(request, dict)


@api.head("/models/{repo:repo}/auth-check/write")
@api.get("/models/{repo:repo}/auth-check/write")
@requires(Right.MODELS_READ)
async def check_write_access(repo: str, request: Request) -> Response:
    """Whether it may put any there."""
    await service_of(request).models.snapshot(repo)
    raise HTTPException(403, "nothing is written by the Hub's protocol: a model is put by PUT /v1/models/{name}")


@api.head("/models/{repo:repo}")
@api.get("/models/{repo:repo}")
@requires(Right.MODELS_READ)
async def get_model(repo: str, request: Request) -> Response:
    """A model at `main`."""
    return await _info(repo, MAIN, request)


@api.head("/{kind:kind}")
@api.get("/{kind:kind}")
@requires(Right.MODELS_READ)
async def list_none(request: Request) -> Response:
    """Repositories that are no models: there are none."""
    return await _answer(request, list)


api.add_api_route("/{kind:kind}/{target:path}", unknown_kind, methods=["HEAD", "GET", "POST"])


@api.head("/whoami-v2")
@api.get("/whoami-v2")
@requires(Right.MODELS_READ)
async def who_am_i(request: Request) -> Response:
    """Whose the token is."""
    principal = principal_of(request.scope)
    token = {"displayName": principal.name, "role": "read"}
    told = {
        "type": "user",
        "id": principal.id,
        "name": principal.name,
        "fullname": principal.name,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }
    return await _answer(request, lambda: told)


async def _info(repo: str, revision: str, request: Request) -> Response:
    service = service_of(request)
    snapshot = await service.models.snapshot(repo, revision)
    paths = await service.models.in_thread(lambda: snapshot.paths)
    files: hub.Files = dict.fromkeys(paths)
    if flag(request.query_params, "blobs"):
        files = await _listed(service, snapshot, paths)
    date = await _date(request, repo, snapshot)
    return await _answer(request, lambda: hub.info(repo, snapshot, files, date), snapshot)


async def _date(request: Request, repo: str, snapshot: Snapshot) -> str:
    """When the content of a revision was put."""
    return hub.date_of(await service_of(request).models.modified(repo, snapshot.content.digest))


async def _entries(request: Request, snapshot: Snapshot, paths: Sequence[str], date: str | None) -> Response:
    files: hub.Files = await _listed(service_of(request), snapshot, paths)
    return await _answer(request, lambda: hub.entries(snapshot, files, date), snapshot)


async def _listed(service: Service, snapshot: Snapshot, paths: Sequence[str]) -> dict[str, Listed | None]:
    """What is told of files; None for directories, whose paths end with a slash."""
    names = [path for path in paths if not path.endswith("/")]
    files = await service.models.described(snapshot, names)
    sums = [service.manifests.sha256_of(file.recipe) if file.recipe else None for file in files]
    found = dict(zip(names, map(Listed, files, sums), strict=True))
    return {path: found.get(path) for path in paths}


async def _answer(request: Request, make: Callable[[], Any], snapshot: Snapshot | None = None) -> Response:
    """An answer of what `make` returns, as JSON, made in a thread; with its commit id, if it is of a revision."""
    service = service_of(request)
    content = await service.models.in_thread(
        lambda: json.dumps(make(), ensure_ascii=False, separators=(",", ":")).encode()
    )
    service.admission.hold(len(content))
    return in_pieces(content, headers={COMMIT: snapshot.commit} if snapshot else None, media_type=JSON)
