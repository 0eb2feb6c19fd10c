"""Transport: requests to a Fanin service, with retries, resumed ranges and errors in the service's own words."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import urllib3

from fanin.errors import ServiceError, UnavailableError

RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that pass: too many requests, and a server that is busy or not there right now."""
CHUNK = 1 << 20
CONNECTIONS = 16
"""Connections kept open for the threads that share a client."""
BACKOFF_SECONDS = 0.2
BACKOFF_MAX_SECONDS = 30
RETRY_AFTER_MAX_SECONDS = 120

MAX_ANSWER_BYTES = 1 << 20
"""Of answers that are not files: more is nonsense."""

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)

StrPath = str | os.PathLike[str]
Sink = Callable[[bytes | memoryview], object]
"""Takes the next bytes of a range."""


class Transport:
    """HTTP to one service. Safe to share among threads."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        retries: int,
        token: str | None = None,
        ca_certs: StrPath | None = None,
        client_cert: tuple[StrPath, StrPath] | None = None,
    ) -> None:
        """`timeout` bounds connecting and every wait for bytes, in seconds; `retries` bounds tries without progress.

        Raises:
            ValueError: the URL is not one of HTTP, or has a user, a password, a query or a fragment; a number is out of
                range; the token could not be sent; or a file of certificates cannot be used.
        """
        parts = _parts(str(url))
        if parts.query is not None or parts.fragment is not None:
            raise ValueError(f"{url!r} is not the URL of a service: it has no query and no fragment")
        if not timeout > 0 or retries < 0:
            raise ValueError(f"timeout must be above 0 and retries not below, not {timeout} and {retries}")
        if token and not _TOKEN.fullmatch(token):
            # Without telling it.
            raise ValueError("token: only letters, digits and -._~+/= may be in it (RFC 6750 section 2.1)")
        self.url = url.rstrip("/") + "/"
        self._origin = _origin(self.url)
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}
        self.retries = retries
        policy = urllib3.Retry(
            total=retries,
            backoff_factor=BACKOFF_SECONDS,
            backoff_jitter=BACKOFF_SECONDS,
            backoff_max=BACKOFF_MAX_SECONDS,
            status_forcelist=RETRIED,
            allowed_methods=None,  # every call is idempotent, POST too: recipes and models are content-addressed
            raise_on_status=False,
            retry_after_max=RETRY_AFTER_MAX_SECONDS,
        )
        self._pool = urllib3.PoolManager(
            retries=policy,
            timeout=timeout,
            maxsize=CONNECTIONS,
            headers={"User-Agent": "fanin"},
            ssl_context=_context(ca_certs, client_cert),
        )

    def close(self) -> None:
        self._pool.clear()

    def check_url(self, path: str) -> None:
        """
        Raises:
            ValueError: nothing can be asked for at this path or URL.
        """
        _parts(urljoin(self.url, path))

    def post_json(self, path: str, body: bytes) -> dict[str, Any]:
        """POST a JSON document and return the JSON answer.

        Raises:
            ServiceError: the service refused, or could not be reached.
        """
        return self._json("POST", path, MAX_ANSWER_BYTES, {"Content-Type": "application/json"}, body)

    def put(self, path: str, body: bytes, media_type: str) -> dict[str, Any]:
        """PUT a document of this type and return the JSON answer.

        Raises:
            ServiceError: the service refused, or could not be reached.
        """
        return self._json("PUT", path, MAX_ANSWER_BYTES, {"Content-Type": media_type}, body)

    def get_json(self, path: str, limit: int) -> dict[str, Any]:
        """GET a JSON document, of which `limit` bytes are read at most.

        Raises:
            ServiceError: the service refused, or could not be reached.
        """
        return self._json("GET", path, limit, {})

    def _json(
        self, method: str, path: str, limit: int, headers: dict[str, str], body: bytes | None = None
    ) -> dict[str, Any]:
        response = self._request(method, path, headers, body)
        where = f"{method} {urljoin(self.url, path)}"
        try:
            if response.status >= 400:
                raise _refusal(response)
            document = json.loads(response.read(limit))
        except (urllib3.exceptions.HTTPError, ValueError, RecursionError) as error:
            raise _nonsense(response, f"{where}: the answer is not JSON: {error}") from error
        finally:
            response.close()
        if not isinstance(document, dict):
            raise _nonsense(response, f"{where}: the answer is not a JSON object")
        return document

    def read_range(self, path: str, start: int, stop: int, sink: Sink, *, etag: str | None = None) -> str | None:
        """Hand bytes [start, stop) of a resource to `sink`, in order, going on after a lost connection.

        With `etag`, only bytes of that representation are taken. Returns the resource's entity tag, or in its absence
        the modification date.

        Raises:
            ServiceError: the service refused, sent something else, or was lost more than `retries` times in a row
                without a byte.
        """
        position, failures = start, 0
        while True:
            response = self._request(
                "GET", path, {"Range": f"bytes={position}-{stop - 1}", "Accept-Encoding": "identity"}
            )
            try:
                if response.status >= 400:
                    raise _refusal(response)
                skip = _offset(response, position)
                found = response.headers.get("ETag") or response.headers.get("Last-Modified")
                if etag is not None and found != etag:
                    raise ServiceError(f"{path}: the service sent {found}, not {etag}", status=response.status)
                etag = etag or found
                # read1 gives what has come: a longer read would lose it together with the connection.
                while chunk := response.read1(CHUNK):
                    wanted = chunk[skip : skip + stop - position]
                    skip = max(0, skip - len(chunk))
                    if wanted:
                        sink(wanted)
                        position += len(wanted)
                        failures = 0
                    if position == stop:
                        return etag
                raise urllib3.exceptions.ProtocolError(f"the body ended at byte {position} of {stop}")
            except urllib3.exceptions.HTTPError as error:
                failures += 1
                if failures > self.retries:
                    raise UnavailableError(f"GET {urljoin(self.url, path)}: {error}") from error
                time.sleep(min(BACKOFF_SECONDS * 2 ** (failures - 1), BACKOFF_MAX_SECONDS))
            finally:
                # A body not read to its end cannot share its connection.
                response.close()
                response.release_conn()

    def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        url = urljoin(self.url, path)
        try:
            if _origin(url) == self._origin:
                # On a redirect to another host urllib3 takes it away again.
                headers = headers | self._authorization
            return self._pool.request(method, url, headers=headers, body=body, preload_content=False)
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(f"{method} {url}: {reason}") from error
        except (ValueError, OverflowError) as error:
            # A Retry-After or a Location that no one can read.
            raise ServiceError(f"{method} {url}: {error}") from error


def _parts(url: str) -> urllib3.util.Url:
    """The parts of a URL of HTTP.

    Raises:
        ValueError: it is none, or has a user or a password.
    """
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parts.auth is not None:
        # They would not be sent, and every error would show them.
        raise ValueError("the URL has a user or a password, which are not sent: give a token instead")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(f"{url!r} is not the URL of a service: it begins with http:// or https://")
    return parts


def _origin(url: str) -> tuple[str | None, str | None, int | None]:
    """Scheme, host and port (RFC 6454 section 4)."""
    parts = urllib3.util.parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")


def _context(ca_certs: StrPath | None, client_cert: tuple[StrPath, StrPath] | None) -> ssl.SSLContext | None:
    """How certificates are checked and shown; None for the usual way."""
    if ca_certs is None and client_cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_certs)
        if client_cert is not None:
            context.load_cert_chain(*client_cert)
    except OSError as error:
        raise ValueError(f"ca_certs={ca_certs!r}, client_cert={client_cert!r}: cannot be used: {error}") from None
    return context


def _offset(response: urllib3.BaseHTTPResponse, position: int) -> int:
    """How many bytes of the body lie before `position`: all of them if the service ignored Range (RFC 9110 14.2)."""
    if response.status == 200:
        return position
    content_range = response.headers.get("Content-Range", "")
    if response.status == 206 and not content_range:
        # http.client takes a head that was cut for a whole one.
        raise urllib3.exceptions.ProtocolError("the answer's head has no Content-Range")
    if response.status != 206 or not content_range.startswith(f"bytes {position}-"):
        raise ServiceError(
            f"asked for bytes from {position}, got status {response.status} and Content-Range {content_range!r}",
            status=response.status,
        )
    return 0


def _refusal(response: urllib3.BaseHTTPResponse) -> ServiceError:
    """The error in a refusal, from problem+json (RFC 9457) where the service sent it."""
    problem: dict[str, Any] = {}
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        try:
            document = json.loads(response.read(MAX_ANSWER_BYTES))
            problem = document if isinstance(document, dict) else {}
        except (urllib3.exceptions.HTTPError, ValueError, RecursionError):
            pass  # the status alone tells enough
    words = [str(problem.get("title") or response.reason or "refused")]
    errors = problem.get("errors")
    faults = [fault for fault in errors if isinstance(fault, dict)] if isinstance(errors, list) else []
    if faults:
        words += [f"{fault.get('pointer') or '(recipe)'}: {fault.get('detail')}" for fault in faults]
    elif problem.get("detail"):
        words.append(str(problem["detail"]))
    kind = UnavailableError if response.status in RETRIED else ServiceError
    return kind(f"{response.status} " + "; ".join(words), status=response.status, problem=problem)


def _nonsense(response: urllib3.BaseHTTPResponse, message: str) -> ServiceError:
    return ServiceError(message, status=response.status)
