"""Amazon S3's words: what its clients read of buckets, objects and errors, and how they say who they are."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring  # nosec B405: written, and never parsed

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from fanin_service.models.snapshot import File
from fanin_service.problems import URN
from fanin_service.surface import Surface, is_below

ROOT = "/s3"
"""Clients find the service by AWS_ENDPOINT_URL=http://host/s3, and name buckets in the path."""
BUCKET = "models"
"""The bucket in which all models are."""
XML = "application/xml"
SEPARATOR = "/"
MAX_KEYS = 1000
"""Of a page."""
MODIFIED = "Thu, 01 Jan 1970 00:00:00 GMT"
"""Objects have no time: they are made when they are asked for, and are what they always were. Clients want one."""
_MODIFIED = "1970-01-01T00:00:00.000Z"
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_CREDENTIAL = re.compile(rb"AWS4-HMAC-SHA256\s.*?\bCredential=([^/,\s]+)/")
_CODES = {
    "unknown-model": "NoSuchKey",
    "unknown-revision": "NoSuchKey",
    "unknown-file": "NoSuchKey",
    "unknown-bucket": "NoSuchBucket",
    "unauthenticated": "AccessDenied",
    "insufficient-scope": "AccessDenied",
    "method-not-allowed": "MethodNotAllowed",
    "precondition-failed": "PreconditionFailed",
    "range-not-satisfiable": "InvalidRange",
    "not-found": "NoSuchKey",
    "bad-request": "InvalidArgument",
}
"""What clients make their own exceptions of."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a listing is asked for."""

    prefix: str
    has_delimiter: bool
    """What lies below the next slash is one entry."""
    after: str
    """Everything up to it is left out: the client has it, or wants none of it."""
    resumes: bool
    """`after` is the last entry of another page."""
    limit: int

    def has_had(self, entry: str) -> bool:
        """Whether this key, or what it is listed as, comes before the page."""
        if self.resumes and self.has_delimiter and self.after.endswith(SEPARATOR) and entry.startswith(self.after):
            return True
        return entry <= self.after

    def group(self, key: str) -> str | None:
        """The common prefix that a key is listed as; None if by itself."""
        end = key.find(SEPARATOR, len(self.prefix)) if self.has_delimiter else -1
        return None if end < 0 else key[: end + 1]


@dataclass
class Page:
    """A page of a listing."""

    files: dict[str, File] = field(default_factory=dict)
    """By key."""
    groups: dict[str, None] = field(default_factory=dict)
    """Common prefixes, in their order."""
    last: str = ""
    """The last entry."""
    is_truncated: bool = False

    def __len__(self) -> int:
        return len(self.files) + len(self.groups)


def token(entry: str) -> str:
    """What a client sends back to get the page behind this entry."""
    return base64.urlsafe_b64encode(entry.encode()).decode()


def read_token(text: str) -> str:
    """The entry that a token stands for.

    Raises:
        ValueError: it is none of ours.
    """
    return base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode()


def listing(asked: Asked, page: Page, query: Mapping[str, str]) -> bytes:
    """A page of objects (ListObjectsV2)."""
    is_encoded = query.get("encoding-type") == "url"

    def text(value: str) -> str:
        return quote(value, safe="/") if is_encoded else value

    root = Element("ListBucketResult", xmlns=_NAMESPACE)
    members: dict[str, Any] = {
        "Name": BUCKET,
        "Prefix": text(asked.prefix),
        "Delimiter": SEPARATOR if asked.has_delimiter else None,
        "MaxKeys": asked.limit,
        "EncodingType": "url" if is_encoded else None,
        "KeyCount": len(page),
        "StartAfter": text(query["start-after"]) if "start-after" in query else None,
        "ContinuationToken": query.get("continuation-token"),
        "NextContinuationToken": token(page.last) if page.is_truncated else None,
        "IsTruncated": str(page.is_truncated).lower(),
    }
    _add(root, members)
    for key, file in page.files.items():
        contents = {
            "Key": text(key),
            "LastModified": _MODIFIED,
            "ETag": f'"{file.etag}"',
            "Size": file.size,
            "StorageClass": "STANDARD",
        }
        _add(SubElement(root, "Contents"), contents)
    for group in page.groups:
        _add(SubElement(root, "CommonPrefixes"), {"Prefix": text(group)})
    return _document(root)


def buckets() -> bytes:
    """All buckets (ListBuckets)."""
    root = Element("ListAllMyBucketsResult", xmlns=_NAMESPACE)
    _add(SubElement(root, "Owner"), {"ID": "fanin"})
    _add(SubElement(SubElement(root, "Buckets"), "Bucket"), {"Name": BUCKET, "CreationDate": _MODIFIED})
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


class AccessKeys:
    """ASGI middleware: below `ROOT`, the access key id of a signed request is the key that it is sent with.

    The signature is not looked at: a service that keeps keys as hashes cannot, and a key is as good as a password.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_below(scope["path"], ROOT):
            scope = {**scope, "headers": [(name, _as_bearer(name, value)) for name, value in scope["headers"]]}
        await self._app(scope, receive, send)


def surface(app: ASGIApp) -> ASGIApp:
    """The application, with keys and errors below `ROOT` in these words."""
    return Surface(AccessKeys(app), ROOT, error)


def _as_bearer(name: bytes, value: bytes) -> bytes:
    found = _CREDENTIAL.match(value) if name == b"authorization" else None
    return b"Bearer " + found[1] if found else value


def _add(parent: Element, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    """Members of an element, but those that are None."""
    for name, value in dict(members).items():
        if value is not None:
            SubElement(parent, name).text = str(value)


def _document(root: Element) -> bytes:
    content: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return content
