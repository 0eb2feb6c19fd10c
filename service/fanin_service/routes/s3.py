"""The surface of Amazon S3, to be read from: models for clients that know nothing of Fanin.

All are in one bucket. A key is a model's name, a revision and a path: me/tiny/seed-42/model.safetensors.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from fanin_service import s3
from fanin_service.access import requires
from fanin_service.answers import IMMUTABLE, OCTETS, respond
from fanin_service.bodies import JSON
from fanin_service.models.models import Models
from fanin_service.models.revisions import MAIN, is_commit
from fanin_service.models.snapshot import Snapshot
from fanin_service.principal import Right
from fanin_service.problems import UnknownBucketError, UnknownFileError, UnknownModelError, UnknownRevisionError
from fanin_service.s3 import BUCKET, MAX_KEYS, ROOT, SEPARATOR, XML, Asked, Page
from fanin_service.service import service_of

router = APIRouter(prefix=ROOT, include_in_schema=False)

_OTHERS = frozenset({"acl", "attributes", "legal-hold", "retention", "tagging", "torrent", "uploadId", "uploads"})
"""What an object may be asked for but its bytes. Unknown parameters are none of this kind: SDKs add some."""
_LISTING = frozenset(
    {"list-type", "prefix", "delimiter", "max-keys", "encoding-type", "start-after", "continuation-token"}
    | {"fetch-owner", "optional-object-attributes", "x-id"}
)


@router.head("")
@router.head("/")
@router.get("")
@router.get("/")
@requires(Right.MODELS_READ)
async def list_buckets() -> Response:
    """The one bucket."""
    return Response(s3.buckets(), media_type=XML)


@router.head("/{bucket}")
@router.head("/{bucket}/")
@requires(Right.MODELS_READ)
async def head_bucket(bucket: str) -> Response:
    """Whether there is this bucket."""
    _check_bucket(bucket)
    return Response(media_type=XML)


@router.get("/{bucket}")
@router.get("/{bucket}/")
@requires(Right.MODELS_READ)
async def list_objects(bucket: str, request: Request) -> Response:
    """A page of the keys with a prefix (ListObjectsV2).

    Every model has as many revisions as there are seeds. Those in a listing are `main` and the one that the prefix
    names.
    """
    _check_bucket(bucket)
    query = request.query_params
    if "location" in query:
        return Response(s3.location(), media_type=XML)
    if query.get("list-type") != "2" or (others := query.keys() - _LISTING):
        asked = ", ".join(sorted(others)) if query.get("list-type") == "2" else "this"
        raise HTTPException(400, f"{asked}: of a bucket, only ListObjectsV2 and its location can be had")
    wanted = _asked(query)
    page = await _page(service_of(request).models, wanted)
    return Response(s3.listing(wanted, page, query), media_type=XML)


@router.head("/{bucket}/{key:path}")
@router.get("/{bucket}/{key:path}")
@requires(Right.WEIGHTS_READ)
async def get_object(bucket: str, key: str, request: Request) -> Response:
    """An object, or a range of it."""
    _check_bucket(bucket)
    if others := request.query_params.keys() & _OTHERS:
        raise HTTPException(400, f"{', '.join(sorted(others))}: of an object, only its bytes can be had")
    if (version := request.query_params.get("versionId", "null")) != "null":
        raise UnknownRevisionError(f"versionId {version[:80]!a}: objects have one version, null")
    service = service_of(request)
    snapshot, path = await _find(service.models, key)
    file = await service.models.file(snapshot, path)
    revision = key.removesuffix(f"/{path}").rpartition(SEPARATOR)[2]
    headers = {
        "Content-Type": JSON if path.endswith(".json") else OCTETS,
        "ETag": f'"{file.etag}"',
        "Last-Modified": s3.MODIFIED,
        # What a name stands for may change.
        "Cache-Control": IMMUTABLE if is_commit(revision) else "no-cache",
    }
    return await respond(request, service, file.body, headers)


def _check_bucket(bucket: str) -> None:
    if bucket != BUCKET:
        raise UnknownBucketError(f"there is one bucket here, {BUCKET}, and none named {bucket[:80]!a}")


async def _find(models: Models, key: str) -> tuple[Snapshot, str]:
    """The revision that a key is in, and the path there.

    A model `a/b` hides what would be a revision `b` of a model `a`.
    """
    parts = key.split(SEPARATOR)
    for count in (2, 1):
        if len(parts) > count + 1:
            with suppress(UnknownModelError):
                snapshot = await models.snapshot(SEPARATOR.join(parts[:count]), parts[count])
                return snapshot, SEPARATOR.join(parts[count + 1 :])
    raise UnknownFileError(f"no object has the key {key[:200]!a}: a key is a model's name, a revision and a path")


def _asked(query: Mapping[str, str]) -> Asked:
    delimiter, limit = query.get("delimiter", ""), query.get("max-keys", str(MAX_KEYS))
    if delimiter not in ("", SEPARATOR):
        raise HTTPException(400, f"delimiter {delimiter[:80]!a}: must be {SEPARATOR}, or none")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 10):
        raise HTTPException(400, f"max-keys {limit[:80]!a}: must be a number from 0 to 999999999")
    token = query.get("continuation-token")
    try:
        after = query.get("start-after", "") if token is None else s3.read_token(token)
    except ValueError:
        raise HTTPException(400, f"continuation-token {token!a:.80}: is none that was given here") from None
    return Asked(query.get("prefix", ""), bool(delimiter), after, token is not None, min(int(limit), MAX_KEYS))


async def _page(models: Models, asked: Asked) -> Page:
    """The first entries that are asked for."""
    page = Page()
    async for key, snapshot, path in _keys(models, asked):
        group = asked.group(key)
        entry = group or key
        if not key.startswith(asked.prefix) or asked.has_had(entry) or entry in page.groups:
            continue
        if len(page) == asked.limit:
            page.is_truncated = asked.limit > 0
            break
        page.last = entry
        if group is not None:
            page.groups[group] = None
        elif snapshot is not None:
            page.files[key] = await models.file(snapshot, path)
    return page


async def _keys(models: Models, asked: Asked) -> AsyncIterator[tuple[str, Snapshot | None, str]]:
    """Keys in their order, each with its revision and its path there; a directory for a `main` that is one entry."""
    names = await models.names()
    for name, revision in _revisions(names, asked.prefix):
        directory = f"{name}/{revision}/"
        if directory < asked.after and not asked.after.startswith(directory):
            continue
        if revision == MAIN and asked.group(directory):
            yield directory, None, ""
            continue
        # The prefix may name no revision, and a model may be gone.
        with suppress(UnknownModelError, UnknownRevisionError):
            snapshot = await models.snapshot(name, revision)
            for path in snapshot.paths:
                yield directory + path, snapshot, path


def _revisions(names: Sequence[str], prefix: str) -> list[tuple[str, str]]:
    """Names and revisions whose keys may have the prefix, in the order of keys."""
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
