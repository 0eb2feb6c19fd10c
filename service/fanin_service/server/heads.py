"""Request heads: those that HTTP implementations may interpret in different ways are rejected."""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]
"""Names, in lower case, and values of the header lines of a request."""


class BadRequestError(Exception):
    """A request that gets a 400 response. It is raised in a callback of httptools, which reports it to the protocol."""


def check_head(version: str, headers: Headers) -> None:
    """Check that all HTTP implementations interpret this head in the same way.

    A proxy that saw another host, or another end of the body, would let requests pass that it should block.

    Raises:
        BadRequestError: the version or a transfer coding is unsupported, or the number of Host headers is wrong.
    """
    if version not in ("1.0", "1.1"):
        raise BadRequestError("another version of HTTP")
    hosts = sum(name == b"host" for name, _ in headers)
    # RFC 9112 section 3.2: a request without a Host, or with several, gets 400.
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise BadRequestError("not one Host")
    # RFC 9112 section 6.1: no other coding is supported here, and HTTP/1.0 has none.
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise BadRequestError("another transfer coding")


def framing_of(headers: Headers, keep_alive: bool) -> bytes:
    """Return a request head with only the headers that frame the body; empty if the request has no body."""
    lines = [b"%b: %b\r\n" % each for each in headers if each[0] in (b"content-length", b"transfer-encoding")]
    if lines and not keep_alive:
        lines.append(b"connection: close\r\n")
    return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(lines) if lines else b""
