"""The formats of Amazon S3: how its clients expect buckets, objects and pages of lists to be described."""

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
"""Name of the bucket that contains all models."""
XML = "application/xml"
SEPARATOR = "/"
MAX_KEYS = 1000
"""Maximum number of entries on a page."""
OWNER = {"ID": "fanin", "DisplayName": "fanin"}
"""Owner of all buckets and objects."""
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot represent, and carriage returns, which its parsers change."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The request for a list of keys."""

    prefix: str
    delimiter: str
    """Keys that are equal up to its first occurrence after the prefix are one entry. If it is empty, each key is an
    entry."""
    after: str
    """Entries up to this one are left out."""
    limit: int

    def group(self, key: str) -> str | None:
        """Return the common prefix under which a key is listed; None if it is listed separately."""
        end = key.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return None if end < 0 else key[: end + len(self.delimiter)]


@dataclass(frozen=True, slots=True)
class Object:
    """An object in a list."""

    size: int
    etag: str
    modified: int
    """Date of the model's upload, in seconds since 1970."""

    @classmethod
    def of(cls, file: File | Described, modified: int) -> Object:
        """Return the object with the bytes of this file."""
        return cls(file.size, f'"{tag(file)}"', modified)


def tag(file: File | Described) -> str:
    """Return the entity tag of an object. Clients treat one with -1 as that of an upload in parts, not as an MD5."""
    return f"{file.tag}-1"


@dataclass
class Page:
    """A page of a list."""

    objects: dict[str, Object] = field(default_factory=dict)
    """Objects by key."""
    groups: dict[str, None] = field(default_factory=dict)
    """Common prefixes, in order."""
    last: str = ""
    """The last entry of the page."""
    is_truncated: bool = False

    def __len__(self) -> int:
        return len(self.objects) + len(self.groups)


def token(entry: str) -> str:
    """Return the token with which a client requests the page after this entry."""
    return base64.urlsafe_b64encode(entry.encode()).decode()


def read_token(text: str) -> str:
    """Return the entry that a token represents.

    Raises:
        ValueError: this service did not create the token.
    """
    return base64.b64decode(text.encode(), altchars=b"-_", validate=True).decode()


def is_text(value: str) -> bool:
    """Return whether XML can represent this text, so that its reader gets the same text."""
    return not _NOT_XML.search(value)


def listing(asked: Asked, page: Page, query: Mapping[str, str]) -> bytes:
    """Return a page of ListObjectsV2, or without `list-type` of ListObjects, as XML."""
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
    """Return a time in the format of lists, without fractions as in Last-Modified: some clients compare the two."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def buckets() -> bytes:
    """Return all buckets (ListBuckets) as XML."""
    root = Element("ListAllMyBucketsResult", xmlns=_NAMESPACE)
    add(SubElement(root, "Owner"), OWNER)
    add(SubElement(SubElement(root, "Buckets"), "Bucket"), {"Name": BUCKET, "CreationDate": _time(0)})
    return document(root)


def location() -> bytes:
    """Return the region of the bucket (GetBucketLocation) as XML: the default one."""
    return document(Element("LocationConstraint", xmlns=_NAMESPACE))


def add(parent: Element, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    """Add members to an element, except those that are None. Characters that XML cannot represent are escaped."""
    for name, value in dict(members).items():
        if value is not None:
            SubElement(parent, name).text = _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], str(value))


def document(root: Element) -> bytes:
    content: bytes = tostring(root, encoding="UTF-8", xml_declaration=True)
    return content
