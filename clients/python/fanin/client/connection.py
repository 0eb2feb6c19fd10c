"""Requests to one service: its URL and token, redirects, and errors with the service's message."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin

from fanin.client.messages import AsyncResponse, Request
from fanin.client.retries import Progress
from fanin.client.runtime import Runtime
from fanin.client.urls import origin, parsed
from fanin.errors import BusyError, ConnectionLostError, RefusedError, ServiceError

BUSY = frozenset({429, 502, 503, 504})
"""Temporary statuses: too many requests, or a server that is overloaded or unavailable."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 10
MAX_DOCUMENT_BYTES = 1 << 20
"""Maximum size of a JSON document from the service, in bytes."""
DOCUMENT_RATE = 1 << 10
"""Minimum bytes per second of a JSON document, averaged since its head, once `DOCUMENT_SECONDS` have passed."""
DOCUMENT_SECONDS = 30.0

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)

Sink = Callable[[bytes | memoryview], Awaitable[None]]
"""Takes the next bytes of a range."""


class Connection:
    """Requests to the service at a URL, each sent once: `retries` decides about further attempts."""

    def __init__(self, url: str, runtime: Runtime, *, token: str | None = None) -> None:
        """
        Raises:
            ValueError: the URL is not an HTTP URL, or has a user, a password, a query or a fragment; or the token
                cannot be sent.
        """
        parts = parsed(str(url))
        if parts.query is not None or parts.fragment is not None:
            raise ValueError(f"{url!r} is not the URL of a service: it has a query or a fragment")
        if (parts.path or "").rstrip("/").endswith("/v1"):
            root = url.rstrip("/").removesuffix("/v1")
            raise ValueError(f"{url!r} is not the root of a service: its calls are below /v1, so use {root}")
        if token and not _TOKEN.fullmatch(token):
            # The message must not show the token.
            raise ValueError("token: only letters, digits and -._~+/= are allowed (RFC 6750 section 2.1)")
        self.url = url.rstrip("/") + "/"
        self.runtime = runtime
        self._origin = origin(self.url)
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}

    def check_url(self, path: str) -> None:
        """
        Raises:
            ValueError: this path or URL cannot be requested.
        """
        parsed(urljoin(self.url, path))

    async def json(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        media_type: str = "application/json",
        limit: int = MAX_DOCUMENT_BYTES,
    ) -> dict[str, Any]:
        """Send a document, if there is one, and return the JSON object of the response.

        Raises:
            ServiceError: the request failed, or the response is not a JSON object of at most `limit` bytes.
        """
        response = await self._send(method, path, {"Content-Type": media_type} if body is not None else {}, body)
        where = f"{method} {urljoin(self.url, path)}"
        try:
            content = await _content(response, limit, where)
            document = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ServiceError(f"{where}: the response is not JSON: {error}", status=response.status) from error
        finally:
            response.close()
        if not isinstance(document, dict):
            raise ServiceError(f"{where}: the response is not a JSON object", status=response.status)
        return document

    async def read_range(
        self,
        path: str,
        start: int,
        stop: int,
        sink: Sink,
        progress: Progress,
        check_version: Callable[[str | None, str], None],
        size: int | None,
    ) -> None:
        """Pass bytes [start, stop) of a resource to `sink`, in order.

        Before the first byte, `check_version` gets the resource's entity tag, or its modification date if it has no
        tag, and the request, which its error names.

        Raises:
            ConnectionLostError: the connection ended before byte `stop`.
            ServiceError: the request failed, the response is not this range, or the resource does not have `size`
                bytes. If `size` is None, it may have any number.
        """
        response = await self._send("GET", path, {"Range": f"bytes={start}-{stop - 1}"})
        where = f"GET {urljoin(self.url, path)}"
        try:
            skip = _offset(response, start, where)
            check_version(response.headers.get("etag") or response.headers.get("last-modified"), where)
            found = _size(response)
            if size is not None and found is not None and found != size:
                message = f"{where}: the file has {found} bytes, its recipe makes {size}"
                raise ServiceError(message, status=response.status)
            position = start
            while chunk := await response.read():
                wanted = chunk[skip : skip + stop - position]
                skip = max(0, skip - len(chunk))
                if wanted:
                    await sink(wanted)
                    position += len(wanted)
                    progress.made()
                if position == stop:
                    return
            raise ConnectionLostError(f"{where}: the body ended at byte {position} of {stop}")
        finally:
            response.close()

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> AsyncResponse:
        """Send a request, follow redirects, and return the response if it is a success."""
        url = urljoin(self.url, path)
        headers = {"User-Agent": "fanin", "Accept-Encoding": "identity", **headers}
        for _ in range(MAX_REDIRECTS + 1):
            where = f"{method} {url}"
            # A redirect to another origin must not leak the token. Scheme and port are parts of the origin.
            more = self._authorization if origin(url) == self._origin else {}
            response = await self.runtime.send(Request(method, url, {**headers, **more}, body))
            if response.status not in REDIRECTS:
                break
            response.close()
            try:
                url = urljoin(url, response.headers["location"])
                parsed(url)
            except (KeyError, ValueError) as error:
                raise ServiceError(
                    f"{where}: a redirect to a URL that is not HTTP: {error}", status=response.status
                ) from None
            if response.status == 303:
                method, body = "GET", None
        else:
            raise ServiceError(f"{where}: more than {MAX_REDIRECTS} redirects", status=response.status)
        try:
            if response.status >= 300:
                raise await _refusal(response, where)
            if (coding := response.headers.get("content-encoding", "identity").lower()) != "identity":
                raise ServiceError(f"{where}: the response is encoded ({coding[:80]})", status=response.status)
        except BaseException:
            response.close()
            raise
        return response


async def _content(response: AsyncResponse, limit: int, where: str) -> bytes:
    """Return the body. At most `limit` bytes are read.

    Raises:
        ConnectionLostError: the connection ended, or the body is slower than `DOCUMENT_RATE`.
    """
    content = bytearray()
    since = time.monotonic()
    while len(content) < limit and (chunk := await response.read()):
        content += chunk
        # `timeout` limits the wait for the next bytes only. A service that sends single bytes would hold the call.
        seconds = time.monotonic() - since
        if seconds > DOCUMENT_SECONDS and len(content) < DOCUMENT_RATE * seconds:
            raise ConnectionLostError(f"{where}: {len(content)} bytes of the response in {seconds:.0f} s")
    return bytes(content[:limit])


def _offset(response: AsyncResponse, position: int, where: str) -> int:
    """Return how many bytes of the body lie before `position`: all if the service ignored Range (RFC 9110 14.2)."""
    content_range = response.headers.get("content-range", "")
    # Some servers send only the range with status 200. Then the bytes would be taken from a wrong place.
    if response.status == 200 and (not content_range or content_range.startswith("bytes 0-")):
        return position
    if response.status == 206 and not content_range:
        # http.client accepts a truncated head as complete.
        raise ConnectionLostError(f"{where}: the head of the response has no Content-Range")
    if response.status != 206 or not content_range.startswith(f"bytes {position}-"):
        raise ServiceError(
            f"{where}: requested bytes from {position}, got status {response.status} and Content-Range"
            f" {content_range[:80]!r}",
            status=response.status,
        )
    # A proxy can put the complete file below the head of a range. Its first bytes would be treated as the range.
    length = response.headers.get("content-length")
    if length is not None and length != str(_part(content_range)):
        raise ConnectionLostError(
            f"{where}: the head of the response is cut or wrong: Content-Range {content_range[:80]!r} with"
            f" Content-Length {length[:80]!r}"
        )
    return 0


def _part(content_range: str) -> int | None:
    """Return how many bytes Content-Range announces; None if it is malformed (RFC 9110 section 14.4)."""
    found = re.fullmatch(r"bytes ([0-9]{1,19})-([0-9]{1,19})/(?:[0-9]{1,19}|\*)", content_range)
    return int(found[2]) - int(found[1]) + 1 if found else None


def _size(response: AsyncResponse) -> int | None:
    """Return the size of the complete resource in bytes; None if the response does not say it."""
    content_range = response.headers.get("content-range")
    text = content_range.rpartition("/")[2] if content_range else response.headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


async def _refusal(response: AsyncResponse, where: str) -> ServiceError:
    """Return the error of a refusal, from problem+json (RFC 9457) if the service sent it."""
    problem: dict[str, Any] = {}
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            document = json.loads(await _content(response, MAX_DOCUMENT_BYTES, where))
            problem = document if isinstance(document, dict) else {}
        except (ConnectionLostError, ValueError, RecursionError):
            pass  # the status is enough
    words = [str(problem.get("title") or response.reason or "refused")]
    errors = problem.get("errors")
    faults = [fault for fault in errors if isinstance(fault, dict)] if isinstance(errors, list) else []
    if faults:
        words += [f"{fault.get('pointer') or '(recipe)'}: {fault.get('detail')}" for fault in faults]
    elif problem.get("detail"):
        words.append(str(problem["detail"]))
    message = f"{response.status} " + "; ".join(words)
    if response.status not in BUSY:
        return RefusedError(message, status=response.status, problem=problem)
    busy = BusyError(message, status=response.status, problem=problem)
    busy.retry_after = _retry_after(response.headers.get("retry-after"))
    return busy


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110 10.2.3); None without a readable one."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
