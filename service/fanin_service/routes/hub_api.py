"""The API of the Hugging Face Hub: descriptions of models for its clients.

Lists are created in threads: for a model with many tensors, or a revision with many files, that may take a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.http.bodies import JSON, media_type_of, read_body
from fanin_service.http.file_response import in_pieces
from fanin_service.models.errors import UnknownFileError
from fanin_service.models.models import Models
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import Snapshot
from fanin_service.routes.hub import unknown_kind
from fanin_service.service import service_of
from fanin_service.surfaces import hub
from fanin_service.surfaces.hub import COMMIT, ROOT, Listed
from fanin_service.surfaces.hub_requests import Wanted, flag, paths_of_form, paths_of_json, revision_and_path, tail

FORM = "application/x-www-form-urlencoded"
MAX_PATHS_BYTES = 1 << 20
"""Maximum bytes of a requested list of paths."""
_API = f"{ROOT}/api/models"

api = APIRouter(prefix=f"{ROOT}/api", include_in_schema=False)


@api.head("/models")
@api.get("/models")
@requires(Right.MODELS_READ)
async def list_models(request: Request) -> Response:
    """Return the models that match a namespace and a part of the name."""
    (models, client), wanted = _models(request), Wanted.of(request.query_params)
    names = await models.names(client)
    return await _answer(request, lambda: hub.listed(wanted.of_names(names)))


@api.head("/models/{repo:repo}/revision/{revision:path}")
@api.get("/models/{repo:repo}/revision/{revision:path}")
@requires(Right.MODELS_READ)
async def get_revision(repo: str, request: Request) -> Response:
    """Return the description of a model at a revision."""
    return await _info(repo, unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/revision")), request)


@api.head("/models/{repo:repo}/commits/{revision:path}")
@api.get("/models/{repo:repo}/commits/{revision:path}")
@requires(Right.MODELS_READ)
async def list_commits(repo: str, request: Request) -> Response:
    """Return the commits that led to a revision: only its own."""
    revision = unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/commits"))
    models, client = _models(request)
    snapshot = await models.snapshot(client, repo, revision)
    date = await _date(request, repo, snapshot)
    return await _answer(request, lambda: hub.commits(snapshot, date), snapshot)


@api.head("/models/{repo:repo}/tree/{target:path}")
@api.get("/models/{repo:repo}/tree/{target:path}")
@requires(Right.MODELS_READ)
async def list_tree(repo: str, request: Request) -> Response:
    """Return the files of a revision, or of a directory in it, all on one page."""
    revision, directory = revision_and_path(request.scope["raw_path"], f"{_API}/{repo}/tree")
    (models, client), query = _models(request), request.query_params
    snapshot = await models.snapshot(client, repo, revision)
    is_recursive, expand = flag(query, "recursive"), flag(query, "expand")
    paths = await models.in_thread(
        client,
        lambda: hub.children(snapshot.paths, directory, recursive=is_recursive),
    )
    if directory and not paths:
        raise UnknownFileError(f"this revision has no directory {directory[:200]!a}", {COMMIT: snapshot.commit})
    return await _entries(request, snapshot, paths, await _date(request, repo, snapshot) if expand else None)


@api.post("/models/{repo:repo}/paths-info/{revision:path}")
@requires(Right.MODELS_READ)
async def get_paths_info(repo: str, request: Request) -> Response:
    """Return the entries at some paths of a revision. Paths without an entry are left out."""
    models, client = _models(request)
    usage, is_json = context_of(request.scope).usage, media_type_of(request) == JSON
    hold = partial(service_of(request).admission.hold, usage)
    body = await read_body(request, (JSON if is_json else FORM,), MAX_PATHS_BYTES, hold)
    # Clients in Python send a form, clients in JavaScript send JSON.
    asked, expand = await models.in_thread(client, paths_of_json if is_json else paths_of_form, body)
    revision = unquote(tail(request.scope["raw_path"], f"{_API}/{repo}/paths-info"))
    snapshot = await models.snapshot(client, repo, revision)

    def found() -> list[str]:
        known = {path.rstrip("/"): path for path in hub.children(snapshot.paths, "", recursive=True)}
        return [known[path] for path in dict.fromkeys(asked) if path in known]

    date = await _date(request, repo, snapshot) if expand else None
    return await _entries(request, snapshot, await models.in_thread(client, found), date)


@api.head("/models/{repo:repo}/refs")
@api.get("/models/{repo:repo}/refs")
@requires(Right.MODELS_READ)
async def list_refs(repo: str, request: Request) -> Response:
    """Return the branches of a model."""
    models, client = _models(request)
    snapshot = await models.snapshot(client, repo)
    return await _answer(request, lambda: hub.refs(snapshot))


@api.head("/models/{repo:repo}/auth-check")
@api.get("/models/{repo:repo}/auth-check")
@requires(Right.WEIGHTS_READ)
async def check_access(repo: str, request: Request) -> Response:
    """Respond without content if the client may read the files of a model. Otherwise it gets an error."""
    models, client = _models(request)
    await models.snapshot(client, repo)
    return await _answer(request, dict)


@api.head("/models/{repo:repo}/auth-check/write")
@api.get("/models/{repo:repo}/auth-check/write")
@requires(Right.MODELS_READ)
async def check_write_access(repo: str, request: Request) -> Response:
    """Refuse writes: the Hub's protocol cannot upload here."""
    models, client = _models(request)
    await models.snapshot(client, repo)
    raise HTTPException(403, "the Hub's API is read-only here: upload a model with PUT /v1/models/{name}")


@api.head("/models/{repo:repo}")
@api.get("/models/{repo:repo}")
@requires(Right.MODELS_READ)
async def get_model(repo: str, request: Request) -> Response:
    """Return the description of a model at `main`."""
    return await _info(repo, MAIN, request)


@api.head("/{kind:kind}")
@api.get("/{kind:kind}")
@requires(Right.MODELS_READ)
async def list_none(request: Request) -> Response:
    """Return an empty list of repositories of another kind."""
    return await _answer(request, list)


api.add_api_route("/{kind:kind}/{target:path}", unknown_kind, methods=["HEAD", "GET", "POST"])


@api.head("/whoami-v2")
@api.get("/whoami-v2")
@requires(Right.MODELS_READ)
async def who_am_i(request: Request) -> Response:
    """Return the principal of the token."""
    principal = context_of(request.scope).principal
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


def _models(request: Request) -> tuple[Models, str]:
    """Return the models, and the client of the request."""
    return service_of(request).models, context_of(request.scope).client


async def _info(repo: str, revision: str, request: Request) -> Response:
    models, client = _models(request)
    snapshot = await models.snapshot(client, repo, revision)
    paths = await models.in_thread(client, lambda: snapshot.paths)
    files: hub.Files = dict.fromkeys(paths)
    if flag(request.query_params, "blobs"):
        files = await _listed(request, snapshot, paths)
    date = await _date(request, repo, snapshot)
    return await _answer(request, lambda: hub.info(repo, snapshot, files, date), snapshot)


async def _date(request: Request, repo: str, snapshot: Snapshot) -> str:
    """Return the date on which the content of a revision was uploaded."""
    models, client = _models(request)
    return hub.date_of(await models.modified(client, repo, snapshot.content.digest))


async def _entries(request: Request, snapshot: Snapshot, paths: Sequence[str], date: str | None) -> Response:
    files: hub.Files = await _listed(request, snapshot, paths)
    return await _answer(request, lambda: hub.entries(snapshot, files, date), snapshot)


async def _listed(request: Request, snapshot: Snapshot, paths: Sequence[str]) -> dict[str, Listed | None]:
    """Return the list entry of each file; None for directories, whose paths end with a slash."""
    names = [path for path in paths if not path.endswith("/")]
    models, client = _models(request)
    files = await models.described(client, snapshot, names)
    manifests = service_of(request).manifests
    sums = [manifests.sha256_of(file.recipe) if file.recipe else None for file in files]
    found = dict(zip(names, map(Listed, files, sums), strict=True))
    return {path: found.get(path) for path in paths}


async def _answer(request: Request, make: Callable[[], Any], snapshot: Snapshot | None = None) -> Response:
    """Return a response with the result of `make` as JSON, generated in a thread.

    `snapshot` is the revision that it describes, if any: its commit id is in a header.
    """
    models, client = _models(request)
    content = await models.in_thread(client, lambda: _encoded(make()))
    service_of(request).admission.hold(context_of(request.scope).usage, len(content))
    return in_pieces(content, headers={COMMIT: snapshot.commit} if snapshot else None, media_type=JSON)


def _encoded(document: Any) -> bytes:
    """Return a document as JSON.

    A list is encoded item by item: one call of the encoder lets no other thread run, and a list may have all models.
    """
    if isinstance(document, list):
        return b"[%b]" % b",".join([_encoded(each) for each in document])
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
