"""Amazon S3's words: what its clients read of buckets, objects and errors, and how they say who they are."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring  # nosec B405: written, and never parsed

from starlette.datastructures import MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanin_service.http import problems
from fanin_service.http.problems import URN
from fanin_service.models.snapshot import Described, File
from fanin_service.surfaces import presigned
from fanin_service.surfaces.translation import Surface, is_below
from fanin_service.telemetry.request import current

ROOT = "/s3"
"""Clients find the service by AWS_ENDPOINT_URL=http://host/s3, and name buckets in the path."""
BUCKET = "models"
"""The bucket in which all models are."""
XML = "application/xml"
SEPARATOR = "/"
MAX_KEYS = 1000
"""Of a page."""
OWNER = {"ID": "fanin", "DisplayName": "fanin"}
"""Of all buckets and objects."""
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document can hold, and carriage returns, which its readers change."""
_CODES = {
    "unknown-model": "NoSuchKey",
    "unknown-revision": "NoSuchKey",
    "unknown-file": "NoSuchKey",
    "unknown-bucket": "NoSuchBucket",
    "unauthenticated": "AccessDenied",
    "insufficient-scope": "AccessDenied",
    "method-not-allowed": "MethodNotAllowed",
    "precondition-failed": "PreconditionFailed",
    "forbidden": "AccessDenied",
    "range-not-satisfiable": "InvalidRange",
    "not-found": "NoSuchKey",
    "bad-request": "InvalidArgument",
}
"""What clients make their own exceptions of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a listing is asked for."""

    prefix: str
    delimiter: str
    """Keys that are the same up to its first occurrence behind the prefix are one entry. Empty: each key is one."""
    after: str
    """Entries up to this one are left out: the client has them, or wants none of them."""
    limit: int

    def group(self, key: str) -> str | None:
        """The common prefix that a key is listed as; None if by itself."""
        end = key.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return None if end < 0 else key[: end + len(self.delimiter)]


@dataclass(frozen=True, slots=True)
class Object:
    """An object as listings show it."""

    size: int
    etag: str
    modified: int
    """When its model was put, in seconds since 1970."""

    @classmethod
    def of(cls, file: File | Described, modified: int) -> Object:
        """The object that has the bytes of this file."""
        return cls(file.size, tag(file), modified)


def tag(file: File | Described) -> str:
    """The entity tag of a file. With its -1 clients take it for that of an upload in one part, and for no MD5."""
    return f'"{file.etag}-1"'


@dataclass
class Page:
    """A page of a listing."""

    objects: dict[str, Object] = field(default_factory=dict)
    """By key."""
    groups: dict[str, None] = field(default_factory=dict)
    """Common prefixes, in their order."""
    last: str = ""
    """The last entry."""
    is_truncated: bool = False

    def __len__(self) -> int:
        return len(self.objects) + len(self.groups)


def token(entry: str) -> str:
    """What a client sends back to get the page behind this entry."""
    return base64.urlsafe_b64encode(entry.encode()).decode()


def read_token(text: str) -> str:
    """The entry that a token stands for.

    Raises:
        ValueError: it is none of ours.
    """
    return base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode()


def is_text(value: str) -> bool:
    """Whether an XML document can hold this text, so that its reader gets the same."""
    return not _NOT_XML.search(value)


def listing(asked: Asked, page: Page, query: Mapping[str, str]) -> bytes:
    """A page of objects: of ListObjectsV2, or without `list-type` of ListObjects."""
    is_second, is_encoded = "list-type" in query, query.get("encoding-type") == "url"
    has_owner = not is_second or query.get("fetch-owner") == "true"

    def text(value: str | None) -> str | None:
        return quote(value, safe="/") if is_encoded and value is not None else value

    root = Element("ListBucketResult", xmlns=_NAMESPACE)
    last = page.last if page.is_truncated else None
    members: dict[str, Any] = {
        "Name": BUCKET,
        "Prefix": text(asked.prefix),
        "Delimiter": text(asked.delimiter or None),
        "MaxKeys": asked.limit,
        "EncodingType": "url" if is_encoded else None,
        "IsTruncated": str(page.is_truncated).lower(),
    }
    if is_second:
        members |= {
            "KeyCount": len(page),
            "StartAfter": text(query.get("start-after")),
            "ContinuationToken": query.get("continuation-token"),
            "NextContinuationToken": None if last is None else token(last),
        }
    else:
        members |= {"Marker": text(asked.after), "NextMarker": text(last)}
    _add(root, members)
    for key, found in page.objects.items():
        contents = {
            "Key": text(key),
            "LastModified": _time(found.modified),
            "ETag": found.etag,
            "Size": found.size,
            "StorageClass": "STANDARD",
        }
        element = SubElement(root, "Contents")
        _add(element, contents)
        if has_owner:
            _add(SubElement(element, "Owner"), OWNER)
    for group in page.groups:
        _add(SubElement(root, "CommonPrefixes"), {"Prefix": text(group)})
    return _document(root)


def _time(seconds: int) -> str:
    """A time in a listing. Whole seconds, as in Last-Modified: some clients compare the two."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def buckets() -> bytes:
    """All buckets (ListBuckets)."""
    root = Element("ListAllMyBucketsResult", xmlns=_NAMESPACE)
    _add(SubElement(root, "Owner"), OWNER)
    _add(SubElement(SubElement(root, "Buckets"), "Bucket"), {"Name": BUCKET, "CreationDate": _time(0)})
    return _document(root)


def location() -> bytes:
    """Where the bucket is (GetBucketLocation): the region that is the default."""
    return _document(Element("LocationConstraint", xmlns=_NAMESPACE))


def error(status: int, headers: MutableHeaders, problem: Mapping[str, Any]) -> tuple[int, bytes]:
    """A problem as S3's clients read it.

    What they may try again is `SlowDown`, and none of them knows 401.
    """
    code = _CODES.get(problem["type"].removeprefix(URN), "InternalError" if status == 500 else "InvalidRequest")
    if status in (429, 503):
        status, code = 503, "SlowDown"
    elif status == 401:
        status, code = 403, "InvalidAccessKeyId" if "invalid_token" in headers["www-authenticate"] else code
    headers["content-type"] = XML
    root = Element("Error")
    _add(root, {"Code": code, "Message": problem["detail"], "RequestId": problem["request_id"]})
    return status, _document(root)


class Requests:
    """ASGI middleware: below `ROOT`, the access key id of a signed request is the key that it is sent with.

    The signature is not checked: a service that keeps keys as hashes cannot, and a key is as good as a password.
    Presigned URLs are refused after their time, and always where keys are asked for. Each response has the header
    with the request's id that S3's clients show.
    """

    def __init__(self, app: ASGIApp, asks_for_keys: bool) -> None:
        self._app, self._asks_for_keys = app, asks_for_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_below(scope["path"], ROOT):
            await self._app(scope, receive, send)
            return
        request_id = (b"x-amz-request-id", current().request_id.encode())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], request_id]}
            await send(message)

        if refusal := self._refusal(QueryParams(scope["query_string"])):
            await problems.refuse(*refusal)(scope, receive, send_named)
            return
        scope = {**scope, "headers": [(name, _as_bearer(name, value)) for name, value in scope["headers"]]}
        await self._app(scope, receive, send_named)

    def _refusal(self, query: QueryParams) -> tuple[int, str] | None:
        if not presigned.is_presigned(query):
            return None
        return (403, _WITH_KEY) if self._asks_for_keys else presigned.fault(query)


_WITH_KEY = (
    "presigned URLs are refused where the service asks for keys: the access key id in the URL is the whole key."
    " Whoever has seen this URL can use it, so revoke the key"
)


def surface(app: ASGIApp, *, asks_for_keys: bool) -> ASGIApp:
    """The application, with keys and errors below `ROOT` as S3's clients know them."""
    return Surface(Requests(app, asks_for_keys), ROOT, error)


def _as_bearer(name: bytes, value: bytes) -> bytes:
    key = _access_key(value) if name == b"authorization" else b""
    return b"Bearer " + key if key else value


def _access_key(authorization: bytes) -> bytes:
    """The access key id in a signature of version 4 or 2; empty if there is none.

    The time is linear in the length: anybody can send this header, and no regular expression searches it.
    """
    scheme, *words = authorization.replace(b",", b" ").split() or [b""]
    if scheme == b"AWS4-HMAC-SHA256":
        credentials = (word.removeprefix(b"Credential=") for word in words if word.startswith(b"Credential="))
        return next((text.partition(b"/")[0] for text in credentials if b"/" in text), b"")
    if scheme == b"AWS" and words and b":" in words[0]:
        return words[0].partition(b":")[0]
    return b""


def _add(parent: Element, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    """Members of an element, except those that are None. What XML cannot hold is escaped."""
    for name, value in dict(members).items():
        if value is not None:
            SubElement(parent, name).text = _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], str(value))


def _document(root: Element) -> bytes:
    content: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return content
