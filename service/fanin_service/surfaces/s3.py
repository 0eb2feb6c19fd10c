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

from fanin_service.context import Surface
from fanin_service.http.file import File
from fanin_service.models.snapshot import Described

ROOT = Surface.S3.value
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
        return cls(file.size, f'"{tag(file)}"', modified)


def tag(file: File | Described) -> str:
    """Return the entity tag of an object. Clients take one with -1 for an upload in parts, and not for an MD5."""
    return f"{file.tag}-1"


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
    add(root, members)
    for key, found in page.objects.items():
        contents = {
            "Key": text(key),
            "LastModified": _time(found.modified),
            "ETag": found.etag,
            "Size": found.size,
            "StorageClass": "STANDARD",
        }
        element = SubElement(root, "Contents")
        add(element, contents)
        if has_owner:
            add(SubElement(element, "Owner"), OWNER)
    for group in page.groups:
        add(SubElement(root, "CommonPrefixes"), {"Prefix": text(group)})
    return document(root)


def _time(seconds: int) -> str:
    """A time in a listing. Whole seconds, as in Last-Modified: some clients compare the two."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def buckets() -> bytes:
    """All buckets (ListBuckets)."""
    root = Element("ListAllMyBucketsResult", xmlns=_NAMESPACE)
    add(SubElement(root, "Owner"), OWNER)
    add(SubElement(SubElement(root, "Buckets"), "Bucket"), {"Name": BUCKET, "CreationDate": _time(0)})
    return document(root)


def location() -> bytes:
    """Where the bucket is (GetBucketLocation): the region that is the default."""
    return document(Element("LocationConstraint", xmlns=_NAMESPACE))


def add(parent: Element, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    """Add members to an element, except those that are None. What XML cannot hold is escaped."""
    for name, value in dict(members).items():
        if value is not None:
            SubElement(parent, name).text = _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], str(value))


def document(root: Element) -> bytes:
    content: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return content
