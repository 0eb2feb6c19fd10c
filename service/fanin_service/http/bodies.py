"""Request bodies: read with a limit, and only as what they are to be."""

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
    """The type that the body of a request is said to be of; empty where it is not said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, media_types: tuple[str, ...], limit: int, hold: Callable[[int], None]) -> bytes:
    """Return the body of a request, which must be of one of these types; `hold` is called with the size of each part.

    Raises:
        UnsupportedContentError: the body is of another type, or compressed.
        HTTPException: it is a part of something.
        BodyTooLargeError: it has more than `limit` bytes.
        TooMuchUnderWayError, OverloadedError: as `Admission.hold` does.
        ClientDisconnect: the client left.
    """
    given = media_type_of(request)
    if given not in media_types:
        found = f"{given!a} is not read here" if given else "the Content-Type header is missing"
        # RFC 9110 section 15.5.16: the answer tells what would have been taken.
        allowed = " or ".join(media_types)
        raise UnsupportedContentError(f"{found}; send Content-Type: {allowed}", {"Accept": ", ".join(media_types)})
    if "content-range" in request.headers:
        # RFC 9110 section 14.5: a part must not be taken for the whole.
        raise HTTPException(400, "Content-Range: a request body must be whole")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedContentError(f"Content-Encoding {coding!a} is not read here", {"Accept-Encoding": "identity"})
    # Before anything is read: a client that waits for 100 (Continue) does not send such a body.
    if int(request.headers.get("content-length", "0")) <= limit:
        body = bytearray()
        async for part in request.stream():
            hold(len(part))
            body += part
            # A chunked body has no length that is known before.
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise BodyTooLargeError(f"a request body has at most {limit} bytes here")
