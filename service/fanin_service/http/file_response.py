"""File responses: a file, or the part of it that the conditions of a request select."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fastapi import Response
from starlette.types import Receive, Scope, Send

from fanin import FileLayout
from fanin.draws import Orthogonal, Stack, matrix_of
from fanin.file.layout import MAX_SOURCE
from fanin_service.context import RequestContext
from fanin_service.errors import PreconditionFailedError, RangeNotSatisfiableError
from fanin_service.http.file import File
from fanin_service.http.ranges import ByteRange, Conditions, Verdict, select
from fanin_service.http.streaming import BUFFERED, CHUNK, FileStream
from fanin_service.service import Service

OCTETS = "application/octet-stream"
"""Media type of safetensors files. IANA has registered none for them, and the Hugging Face Hub uses this one."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of a URL that names one sequence of bytes, which never changes."""
PIECE = 256 << 10
"""Bytes of a body that are handed to the connection at a time."""
_CONDITIONS = {name.replace("_", "-").encode(): name for name in Conditions.__dataclass_fields__}
"""Fields of `Conditions` by header name."""
_OF_NOT_MODIFIED = ("ETag", "Cache-Control", "Expires")
"""Headers of a 304 response: only those that a cache updates (RFC 9110 section 15.4.5), since it has no content."""


async def respond(context: RequestContext, service: Service, file: File) -> Response:
    """Return the response with a file. All weights leave through this function, so that limits apply to all of them.

    GET and HEAD get the part that their conditions select; POST gets the complete file.

    Raises:
        PreconditionFailedError: a condition of the request is false.
        RangeNotSatisfiableError: the requested range contains no byte of the file.
        NotReadyError: the backend must not generate.
        LimitExceededError: the response is larger than the limits ever allow.
        TooMuchInFlightError: the client has too much in flight, or would hold too much memory.
        OverloadedError: all clients together have too much in flight, or would hold too much memory.
        QuotaExceededError: the client has used its bytes of the day.
        LimitsUnavailableError: the shared counters are unreachable.
    """
    if file.is_made:
        service.admission.hold(context.usage, file.size)
    size = file.size
    headers = {**file.headers, "ETag": file.etag}
    if context.method == "POST":
        return await _content(context, service, file, ByteRange(0, size), 200, headers)
    headers["Accept-Ranges"] = "bytes"
    match select(context.method, _conditions(context), file.etag, size, file.modified):
        case ByteRange() as part:
            headers["Content-Range"] = part.content_range(size)
            return await _content(context, service, file, part, 206, headers)
        case Verdict.WHOLE if context.method == "HEAD":
            return Response(None, 200, {**headers, "Content-Length": str(size)})
        case Verdict.WHOLE:
            return await _content(context, service, file, ByteRange(0, size), 200, headers)
        case Verdict.NOT_MODIFIED:
            names = (*_OF_NOT_MODIFIED, *file.kept)
            return Response(None, 304, {name: headers[name] for name in names if name in headers})
        case Verdict.PRECONDITION_FAILED:
            dated = f", and it was modified {headers['Last-Modified']}" if "Last-Modified" in headers else ""
            raise PreconditionFailedError(f"the entity tag of this file is {file.etag}{dated}", {"ETag": file.etag})
        case Verdict.UNSATISFIABLE:
            # RFC 9110 section 15.5.17: state the length, so that the client can repeat the request with a valid range.
            raise RangeNotSatisfiableError(f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})


def is_selected(context: RequestContext, file: File) -> bool:
    """Return whether the conditions of a request select the file: the response is then neither 304 nor 412."""
    verdict = select(context.method, _conditions(context), file.etag, file.size, file.modified)
    return verdict not in (Verdict.NOT_MODIFIED, Verdict.PRECONDITION_FAILED)


def _conditions(context: RequestContext) -> Conditions:
    found: dict[str, list[str]] = {}
    for header, value in context.headers:
        if name := _CONDITIONS.get(header):
            found.setdefault(name, []).append(value.decode("latin-1"))
    return Conditions(**found)


async def _content(
    context: RequestContext,
    service: Service,
    file: File,
    part: ByteRange,
    status: int,
    headers: Mapping[str, str],
) -> Response:
    """Return a response with this part of the file: in one piece if it fits a chunk, else as a stream."""
    length = part.stop - part.start
    if isinstance(file.body, bytes):
        if file.has_weights:
            await service.admission.admit(context.usage, length)
        return in_pieces(memoryview(file.body)[part.start : part.stop], status, headers)
    layout = file.body
    service.require_ready()
    source = layout.source_bytes(part.start, part.stop)
    await service.admission.admit(context.usage, length, _made_besides(service, layout, part) + source)
    context.part = part
    if length > CHUNK or layout.is_long(part.start, part.stop, MAX_SOURCE):
        generate = partial(service.generate, context.client, layout)
        headers = {**headers, "Content-Length": str(length)}
        return FileStream(layout, part, service.chunks, generate, status_code=status, headers=headers)
    if service.is_prompt(layout, part):
        return in_pieces(service.small_body(context.client, layout, part), status, headers)
    return in_pieces(await service.generate(context.client, layout, part.start, part.stop), status, headers)


class PiecesResponse(Response):
    """A response whose body is sent in pieces, without a copy.

    The request lasts until the client has received almost the complete body. With one piece the request would end at
    once, and no limit would count the bytes that the server buffers for clients that read nothing.
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
    """Return a response with this body, in as few messages as the buffer of the server allows."""
    if len(body) <= BUFFERED:
        return Response(body, status, headers, media_type)
    return PiecesResponse(memoryview(body), status, headers, media_type)


def _made_besides(service: Service, layout: FileLayout, part: ByteRange) -> int:
    """Return what a part costs beyond its own bytes: other elements of columns, and panels, of matrices that it cuts.

    A complete matrix costs its size.
    """
    if not layout.has_matrix(part.start, part.stop):
        return 0
    found = 0
    for edge in {layout.index_at(part.start), layout.index_at(part.stop - 1)}:
        entry = layout.entries[edge]
        dtype = entry.dtype.in_file
        matrix, size = matrix_of(entry.draw), entry.stop - entry.start
        if matrix and isinstance(entry.draw, Stack):
            # A part cuts at most one matrix at each end.
            found += max(dtype.file_bytes(matrix.rows * matrix.columns) - (part.stop - part.start), 0)
            continue
        start, stop = (min(max(at - entry.start, 0), size) for at in (part.start, part.stop))
        if matrix and 0 < stop - start < size:
            # The draw of a kernel has zeros around its matrix. Their places are not those of the matrix.
            first, end = start // dtype.itemsize, -(-stop // dtype.itemsize)
            if not isinstance(entry.draw, Orthogonal):
                first, end = 0, matrix.rows * matrix.columns // dtype.elements
            share = service.backend.matrix_share(matrix, entry.stream, dtype, first, end - first)
            found += max(round(share * size) - (stop - start), 0)
    return found
