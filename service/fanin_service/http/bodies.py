"""Request bodies: read up to a limit, only in an accepted media type, and checked against digests in the headers."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator

from fastapi import Request
from starlette.exceptions import HTTPException

from fanin_service.errors import RequestError

JSON = "application/json"
_DIGEST_HEADERS = ("Content-Digest", "Repr-Digest", "Digest")
"""Headers with digests of a body by algorithm: RFC 9530, and its predecessor RFC 3230. A complete body without an
encoding is the representation."""
_DIGEST = re.compile(r"(?<![A-Za-z0-9-])([A-Za-z0-9-]+)=:?([A-Za-z0-9+/]+=*)")
"""Pattern of one digest. It begins only where a name begins: searching again from each letter of a long header would
stop the event loop for seconds."""
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512": "sha512"}
"""Names of algorithms in these headers, and in hashlib. Digests by other algorithms are ignored."""


class BodyTooLargeError(RequestError):
    """The request body exceeds the limit."""


class UnsupportedContentError(RequestError):
    """The request body has a type or an encoding that is not accepted."""


def media_type_of(request: Request) -> str:
    """Return the media type that a request states for its body, in lower case; an empty text if it states none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, media_types: tuple[str, ...], limit: int, hold: Callable[[int], None]) -> bytes:
    """Return the body of a request, which must have one of these media types. `hold` is called with the size of each
    part.

    Raises:
        UnsupportedContentError: the body has another type, or is compressed.
        HTTPException: the request has a Content-Range header, so its body is a part of something. Or the body differs
            from a digest in the headers.
        BodyTooLargeError: the body has more than `limit` bytes.
        TooMuchInFlightError: this client would hold too much memory.
        OverloadedError: all clients together would hold too much memory.
        ClientDisconnect: the client has disconnected.
    """
    given = media_type_of(request)
    if given not in media_types:
        found = f"{given!a} is not supported" if given else "the Content-Type header is missing"
        # RFC 9110 section 15.5.16: the response names what would be accepted.
        allowed = " or ".join(media_types)
        raise UnsupportedContentError(f"{found}; send Content-Type: {allowed}", {"Accept": ", ".join(media_types)})
    if "content-range" in request.headers:
        # RFC 9110 section 14.5: a part must not be treated as the complete body.
        raise HTTPException(400, "Content-Range: a request body must be complete")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedContentError(f"Content-Encoding {coding!a} is not supported", {"Accept-Encoding": "identity"})
    # Check the length before reading: a client that waits for 100 (Continue) then never sends such a body.
    if int(request.headers.get("content-length", "0")) <= limit:
        body = bytearray()
        expected = [*_digests(request)]
        # Hash each part when it arrives: the hash of a large body at the end would delay other requests.
        hashes = {name: hashlib.new(_HASHES[name], usedforsecurity=False) for _, name, _ in expected}
        async for part in request.stream():
            hold(len(part))
            body += part
            for each in hashes.values():
                each.update(part)
            # A chunked body does not state its length in advance.
            if len(body) > limit:
                break
        else:
            for header, name, digest in expected:
                if (actual := b64encode(hashes[name].digest()).decode()) != digest:
                    raise HTTPException(400, f"{header} {digest[:100]!a}: the {name} of the body is {actual!r}")
            return bytes(body)
    raise BodyTooLargeError(f"a request body has at most {limit} bytes")


def _digests(request: Request) -> Iterator[tuple[str, str, str]]:
    """Yield each digest of the body in the headers: header, algorithm and base64."""
    for value in request.headers.getlist("content-md5"):
        yield "Content-MD5", "md5", value.strip()
    for header in _DIGEST_HEADERS:
        for line in request.headers.getlist(header):
            for name, digest in digests_in(line):
                yield header, name, digest


def digests_in(line: str) -> list[tuple[str, str]]:
    """Return the known algorithms, in lower case, and the base64 texts in a line of a header with digests."""
    found = [(algorithm.lower(), digest) for algorithm, digest in _DIGEST.findall(line)]
    return [(name, digest) for name, digest in found if name in _HASHES]
