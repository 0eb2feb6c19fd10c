"""The API of Amazon S3, read only: models for clients that do not know Fanin.

All models are in one bucket. A key is a model's name, a revision and a path: me/tiny/seed-42/model.safetensors.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from fanin_service.access import aws
from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.context import context_of
from fanin_service.errors import RangeNotSatisfiableError
from fanin_service.http.bodies import JSON
from fanin_service.http.file_response import IMMUTABLE, OCTETS, in_pieces, is_selected, respond
from fanin_service.models.errors import UnknownBucketError, UnknownFileError, UnknownModelError, UnknownRevisionError
from fanin_service.models.models import Models
from fanin_service.models.revisions import MAIN, is_commit
from fanin_service.models.snapshot import Described, Snapshot
from fanin_service.service import service_of
from fanin_service.surfaces import s3
from fanin_service.surfaces.s3 import BUCKET, MAX_KEYS, ROOT, SEPARATOR, XML, Asked, Object, Page

router = APIRouter(prefix=ROOT, include_in_schema=False)

_OTHERS = frozenset(
    {"acl", "attributes", "legal-hold", "retention", "tagging", "torrent", "uploadId", "uploads"}
    # The bytes have no encoding. A client would try to undo one that the response states.
    | {"response-content-encoding"}
)
"""Parameters that request something other than the bytes of an object. Unknown parameters are ignored: SDKs add some.
"""
_LISTING = frozenset(
    {"prefix", "delimiter", "max-keys", "encoding-type", "optional-object-attributes", "x-id"} | aws.PARAMETERS
)
_FIRST = _LISTING | {"marker"}
_SECOND = _LISTING | {"list-type", "start-after", "continuation-token", "fetch-owner"}
"""Parameters of ListObjects, and of ListObjectsV2."""
_RESPONSE = {
    f"response-{name.lower()}": name
    for name in (*("Cache-Control", "Content-Disposition", "Content-Language", "Content-Type", "Expires"),)
}
"""The response header that each query parameter sets."""
_TURN = 250
"""Number of models in a list after which other requests get a turn: about a millisecond."""
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,1000}")


@router.head("")
@router.head("/")
@router.get("")
@router.get("/")
@requires(Right.MODELS_READ)
async def list_buckets() -> Response:
    """Return the list of buckets, which has one."""
    return Response(s3.buckets(), media_type=XML)


@router.head("/{bucket}")
@router.head("/{bucket}/")
@requires(Right.MODELS_READ)
async def head_bucket(bucket: str) -> Response:
    """Respond without content if the bucket exists."""
    _check_bucket(bucket)
    response = Response(media_type=XML)
    # Content-Length would state the length of a GET's content (RFC 9110 section 8.6), which is a list here.
    del response.headers["Content-Length"]
    return response


@router.get("/{bucket}")
@router.get("/{bucket}/")
@requires(Right.MODELS_READ)
async def list_objects(bucket: str, request: Request) -> Response:
    """Return a page of the keys with a prefix (ListObjects, ListObjectsV2).

    Every model has as many revisions as there are seeds. A list contains `main` and the revision that the prefix names.
    """
    _check_bucket(bucket)
    query = request.query_params
    if "location" in query:
        return Response(s3.location(), media_type=XML)
    if (version := query.get("list-type", "2")) != "2":
        raise HTTPException(400, f"list-type {version[:80]!a}: must be 2, or absent")
    if others := query.keys() - (_SECOND if "list-type" in query else _FIRST):
        raise HTTPException(400, f"{', '.join(sorted(others))[:200]!a}: a bucket has only a location and a listing")
    wanted = _asked(query)
    service, context = service_of(request), context_of(request.scope)
    page = await _page(service.models, context.client, wanted)
    listing = await service.models.in_thread(context.client, s3.listing, wanted, page, query)
    service.admission.hold(context.usage, len(listing))
    return in_pieces(listing, media_type=XML)


@router.head("/{bucket}/{key:path}")
@router.get("/{bucket}/{key:path}")
@requires(Right.WEIGHTS_READ)
async def get_object(bucket: str, key: str, request: Request) -> Response:
    """Return an object, or a range of it."""
    _check_bucket(bucket)
    if others := request.query_params.keys() & _OTHERS:
        raise HTTPException(400, f"{', '.join(sorted(others))}: only the bytes of an object are available")
    if (version := request.query_params.get("versionId", "null")) != "null":
        raise UnknownRevisionError(f"versionId {version[:80]!a}: objects have one version, null")
    part = _part(request)
    service, context = service_of(request), context_of(request.scope)
    models, client = service.models, context.client
    snapshot, modified, path = await _find(models, client, key)
    file = await models.file(client, snapshot, path)
    revision = key.removesuffix(f"/{path}").rpartition(SEPARATOR)[2]
    headers = {
        "Content-Type": JSON if path.endswith(".json") else OCTETS,
        "Last-Modified": formatdate(modified, usegmt=True),
        # The content of a name may change; that of a commit id cannot.
        "Cache-Control": IMMUTABLE if is_commit(revision) else "no-cache",
        **_asked_headers(request.query_params),
    }
    # Clients expect a Last-Modified also where no date is known, as in the catalogue. Conditions then ignore it: the
    # content may change with the version of the service.
    file = replace(file, tag=s3.tag(file), headers=headers, modified=modified or None)
    # Conditions come first, as for Range: 416 would tell a client that its version of a replaced object has one part.
    if part > 1 and is_selected(context, file):
        raise RangeNotSatisfiableError(f"partNumber {part}: an object has one part")
    return await respond(context, service, file)


def _part(request: Request) -> int:
    """Return the number of the part that the request names, from 1 to 10,000; 1 if it names none.

    Raises:
        HTTPException: the number is invalid, or combined with a range.
    """
    part = request.query_params.get("partNumber", "1")
    if not (re.fullmatch("[0-9]{1,5}", part) and 1 <= int(part) <= 10_000):
        raise HTTPException(400, f"partNumber {part[:80]!a}: must be a number from 1 to 10000")
    if "partNumber" in request.query_params and "range" in request.headers:
        raise HTTPException(400, "partNumber: cannot be combined with a Range header")
    return int(part)


def _asked_headers(query: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the query sets in the response.

    Raises:
        HTTPException: a value is not printable ASCII.
    """
    headers = {header: query[name] for name, header in _RESPONSE.items() if name in query}
    for header, value in headers.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise HTTPException(
                400, f"response-{header.lower()} {value[:80]!a}: must be 1 to 1000 printable ASCII characters"
            )
    # A link can then turn an object into a page, whose scripts must not act for this origin.
    return headers | ({"Content-Security-Policy": "sandbox"} if headers else {})


def _check_bucket(bucket: str) -> None:
    if bucket != BUCKET:
        raise UnknownBucketError(f"the only bucket is {BUCKET}; none is named {bucket[:80]!a}")


async def _snapshot(models: Models, client: str, name: str, revision: str) -> tuple[Snapshot, int]:
    """Return a revision and its date: that of its content for a commit id, that of the name otherwise."""
    if is_commit(revision):
        snapshot = await models.snapshot(client, name, revision)
        return snapshot, await models.modified(client, name, snapshot.content.digest)
    # Read the time first. If an upload happens in between, the old time with the new bytes makes clients fetch once
    # more. The new time with the old bytes would make them keep the old ones.
    modified = await models.modified(client, name)
    return await models.snapshot(client, name, revision), modified


async def _listed(models: Models, client: str, name: str, revision: str) -> tuple[Mapping[str, Described], int]:
    """Return the short description of every file of a revision, by path, and the date that `_snapshot` returns."""
    if is_commit(revision):
        snapshot, modified = await _snapshot(models, client, name, revision)
        return dict(
            zip(snapshot.paths, await models.described(client, snapshot, snapshot.paths), strict=True)
        ), modified
    modified = await models.modified(client, name)
    return await models.listed(client, name, revision), modified


async def _find(models: Models, client: str, key: str) -> tuple[Snapshot, int, str]:
    """Return the revision that a key names, its date, and the path in it.

    A model `a/b` hides a revision `b` of a model `a`.

    Raises:
        UnknownFileError: the key does not name a file.
    """
    parts = key.split(SEPARATOR)
    for count in (2, 1):
        if len(parts) > count + 1:
            with suppress(UnknownModelError):
                found = await _snapshot(models, client, SEPARATOR.join(parts[:count]), parts[count])
                return *found, SEPARATOR.join(parts[count + 1 :])
    raise UnknownFileError(f"no object has the key {key[:200]!a}: a key is a model's name, a revision and a path")


def _asked(query: Mapping[str, str]) -> Asked:
    delimiter, limit = query.get("delimiter", ""), query.get("max-keys", str(MAX_KEYS))
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 10):
        raise HTTPException(400, f"max-keys {limit[:80]!a}: must be a number from 0 to 999999999")
    if (encoding := query.get("encoding-type", "url")) != "url":
        raise HTTPException(400, f"encoding-type {encoding[:80]!a}: must be url, or absent")
    if (owner := query.get("fetch-owner", "true")) not in ("true", "false"):
        raise HTTPException(400, f"fetch-owner {owner[:80]!a}: must be true or false")
    for name in () if "encoding-type" in query else ("prefix", "delimiter", "start-after", "marker"):
        if not s3.is_text(query.get(name, "")):
            raise HTTPException(400, f"{name} {query[name][:80]!a}: XML cannot contain this; add encoding-type=url")
    token = query.get("continuation-token")
    try:
        after = query.get("start-after", query.get("marker", "")) if token is None else s3.read_token(token)
    except ValueError:
        raise HTTPException(400, f"continuation-token {token!a:.80}: is not a token of this service") from None
    return Asked(query.get("prefix", ""), delimiter, after, min(int(limit), MAX_KEYS))


async def _page(models: Models, client: str, asked: Asked) -> Page:
    """Return the first entries of the requested list."""
    page = Page()
    async for key, file, modified in _keys(models, client, asked):
        group = asked.group(key)
        entry = group or key
        if not key.startswith(asked.prefix) or entry <= asked.after or entry in page.groups:
            continue
        if len(page) == asked.limit:
            page.is_truncated = asked.limit > 0
            break
        page.last = entry
        if group is not None:
            page.groups[group] = None
        elif file is not None:
            page.objects[key] = Object.of(file, modified)
    return page


async def _keys(models: Models, client: str, asked: Asked) -> AsyncIterator[tuple[str, Described | None, int]]:
    """Yield keys in order, each with its file and date. A `main` that is one entry yields only its directory."""
    names = await models.names(client)
    # Quantized models of the catalogue are too many to be listed, unless the prefix names one.
    named = SEPARATOR.join(asked.prefix.split(SEPARATOR)[:2])
    if named not in names and await models.has(client, named):
        names.append(named)
    found = await models.in_thread(client, _revisions, names, asked.prefix)
    for number, (name, revision) in enumerate(found):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        directory = f"{name}/{revision}/"
        if directory < asked.after and not asked.after.startswith(directory):
            continue
        if revision == MAIN and asked.group(directory):
            yield directory, None, 0
            continue
        # The prefix may name an unknown revision, and a model may have been deleted.
        with suppress(UnknownModelError, UnknownRevisionError):
            files, modified = await _listed(models, client, name, revision)
            for path, file in files.items():
                yield directory + path, file, modified


def _revisions(names: Sequence[str], prefix: str) -> list[tuple[str, str]]:
    """Return the names and revisions whose keys may have the prefix, in the order of keys."""
    known = set(names)
    found = {(name, MAIN) for name in names}
    found |= {
        (name, prefix.removeprefix(f"{name}/").partition(SEPARATOR)[0])
        for name in names
        if prefix.startswith(f"{name}/")
    }
    directories = {f"{name}/{revision}/": (name, revision) for name, revision in found if revision}
    return [
        directories[directory]
        for directory in sorted(directories)
        if (directory.startswith(prefix) or prefix.startswith(directory)) and directory.rstrip("/") not in known
    ]
