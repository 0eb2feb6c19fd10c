"""Request bodies: read up to a limit, and only in an accepted media type."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from starlette.exceptions import HTTPException

from fanin_service.errors import RequestError

JSON = "application/json"


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
        HTTPException: the request has a Content-Range header, so its body is a part of something.
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
        async for part in request.stream():
            hold(len(part))
            body += part
            # A chunked body does not state its length in advance.
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise BodyTooLargeError(f"a request body has at most {limit} bytes")
