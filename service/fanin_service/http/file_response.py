"""Answers: a file, or the part of it that the conditions of a request select."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from fanin import FileLayout
from fanin.backends.matrices import Matrices
from fanin.draws import matrix_of
from fanin_service.http.problems import PreconditionFailedError, RangeNotSatisfiableError
from fanin_service.http.ranges import ByteRange, Conditions, Verdict, select
from fanin_service.http.streaming import CHUNK, FileStream, generate
from fanin_service.service import Service, in_thread
from fanin_service.telemetry.request import current

OCTETS = "application/octet-stream"
"""Type of safetensors files: none of their own is registered with IANA, and the Hugging Face hub uses this one."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""What is at this URL is there for ever: it names one sequence of bytes."""
PIECE = 256 << 10
"""Bytes of a body that are handed to the connection at a time."""
BUFFERED = 64 << 10
"""Bytes that the server buffers for a connection before a sender has to wait."""
PROMPT_TENSORS = 16
"""Most tensors of an answer that is made where it is asked for: each costs a few microseconds, whatever its size."""
_OF_NOT_MODIFIED = ("ETag", "Cache-Control", "Expires")
"""Only what a cache updates (RFC 9110 section 15.4.5): a 304 has no content to speak of."""


async def respond(
    request: Request,
    service: Service,
    body: bytes | FileLayout,
    headers: Mapping[str, str],
    kept: tuple[str, ...] = (),
    modified: int | None = None,
) -> Response:
    """What a GET or HEAD of a file is answered: of bytes, or of what is generated from a layout.

    `headers` are of every answer with content, ETag among them; `kept` are those that a 304 has besides the usual.
    `modified` is the date of the file in seconds since 1970, where it has one.
    """
    size = len(body) if isinstance(body, bytes) else body.size
    headers = {**headers, "Accept-Ranges": "bytes"}
    lines = request.headers.getlist
    names = ("if-match", "if-none-match", "if-range", "range", "if-modified-since", "if-unmodified-since")
    match select(request.method, Conditions(*map(lines, names)), headers["ETag"], size, modified):
        case ByteRange() as part:
            headers["Content-Range"] = part.content_range(size)
            return await content(service, body, part, 206, headers)
        case Verdict.WHOLE if request.method == "HEAD":
            return Response(None, 200, {**headers, "Content-Length": str(size)})
        case Verdict.WHOLE:
            return await content(service, body, ByteRange(0, size), 200, headers)
        case Verdict.NOT_MODIFIED:
            return Response(None, 304, {name: headers[name] for name in (*_OF_NOT_MODIFIED, *kept) if name in headers})
        case Verdict.PRECONDITION_FAILED:
            raise PreconditionFailedError(
                f"the entity tag of this file is {headers['ETag']}" + _dated(headers), {"ETag": headers["ETag"]}
            )
        case Verdict.UNSATISFIABLE:
            # RFC 9110 section 15.5.17: the length, so that the client can ask again.
            raise RangeNotSatisfiableError(f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})


def _dated(headers: Mapping[str, str]) -> str:
    return f", and it was modified {headers['Last-Modified']}" if "Last-Modified" in headers else ""


async def content(
    service: Service, body: bytes | FileLayout, part: ByteRange, status: int, headers: Mapping[str, str]
) -> Response:
    """An answer with this part of the file: what fits one chunk in one piece, more as a stream."""
    if isinstance(body, bytes):
        return in_pieces(memoryview(body)[part.start : part.stop], status, headers)
    layout, length = body, part.stop - part.start
    service.require_ready()
    await service.admission.charge(_made_besides(layout, part, service.backend.matrices))
    await service.admission.admit(length)
    current().part = part
    report = service.metrics.generated
    if length <= CHUNK:
        work = layout, part.start, part.stop, service.backend, report
        makers = service.makers(layout, part.start, part.stop)
        is_prompt = (
            makers is service.generators
            and not layout.has_composed(part.start, part.stop)
            and length <= service.backend.prompt_bytes
            and layout.tensors_in(part.start, part.stop) <= PROMPT_TENSORS
        )
        chunk = generate(*work) if is_prompt else await in_thread(makers, generate, *work)
        return in_pieces(chunk, status, headers)
    headers = {**headers, "Content-Length": str(length)}
    return FileStream(layout, part, service.backend, service.makers, report, status_code=status, headers=headers)


class PiecesResponse(Response):
    """A response whose body is sent in pieces, without a copy.

    The request lasts until the client has received almost the complete body. A request with one piece would end at
    once, and no limit would count what the server buffers for clients that read nothing.
    """

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for start in range(0, len(self.body), PIECE):
            await send({"type": "http.response.body", "body": self.body[start : start + PIECE], "more_body": True})
        # The server waits here while its buffer is full.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def in_pieces(
    body: bytes | memoryview, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str | None = None
) -> Response:
    """A response with this body, in as few messages as the buffer of the server allows."""
    if len(body) <= BUFFERED:
        return Response(bytes(body), status, headers, media_type)
    return PiecesResponse(memoryview(body), status, headers, media_type)


def _made_besides(layout: FileLayout, part: ByteRange, cached: Matrices) -> int:
    """Bytes that have to be made for a part and are not in it: the rest of matrices that it cuts."""
    if not layout.has_matrix(part.start, part.stop):
        return 0
    found = 0
    for edge in {layout.index_at(part.start), layout.index_at(part.stop - 1)}:
        entry = layout.entries[edge]
        matrix = matrix_of(entry.draw)
        rest = entry.stop - entry.start - (min(entry.stop, part.stop) - max(entry.start, part.start))
        if matrix and rest > 0 and not cached.has(matrix, entry.stream, entry.dtype):
            found += rest
    return found
