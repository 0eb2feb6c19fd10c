"""A bad S3 server: forwards requests to a good one, except where a test scripts a fault. It counts what it forwards.

Point the client at `url`. The Host header goes through unchanged, so the server can still verify signatures.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

_STEP = 1 << 18
_OPERATIONS = {
    ("HEAD", ""): "HeadObject",
    ("GET", ""): "GetObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "partNumber"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "uploads"): "ListMultipartUploads",
    ("POST", "delete"): "DeleteObjects",
}
"""Names of operations by method and a parameter of the query."""
CREATIONS = ("PutObject", "CompleteMultipartUpload")
"""Operations that create an object."""


@dataclass
class Request:
    """One request as the proxy saw it."""

    operation: str
    key: str
    """The key of the object, without the bucket."""
    query: dict[str, str]
    headers: dict[str, str]
    received: int = 0
    """Bytes of its body that arrived."""
    status: int | None = None
    """Status that the server sent; None if the request was not forwarded."""
    answered: int | None = None
    """Status that the client was sent; None if its connection was cut."""


class S3Proxy(ThreadingHTTPServer):
    """Forwards to the server at `upstream`, a URL like http://127.0.0.1:9000."""

    daemon_threads = True

    def __init__(self, upstream: str, *, one_by_one: bool = False) -> None:
        """With `one_by_one`, one object is created at a time: moto lets two requests meet one condition at once."""
        super().__init__(("127.0.0.1", 0), Exchange)
        self.upstream = urlsplit(upstream).netloc
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[Request] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self.creating: AbstractContextManager[Any] = threading.Lock() if one_by_one else nullcontext()

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    def on(self, operation: str, fault: Fault, *, key: str = "", after: int = 0, times: int | None = 1) -> None:
        """Script a fault for requests of this `operation` whose key contains `key`. "*" means every operation.

        The first `after` of them pass, and the next `times` meet the fault. None means all of them.
        """
        self._rules.append(_Rule(fault, operation, key, after, times))

    def forget(self) -> None:
        """Remove all faults and all counts."""
        with self._lock:
            self._rules, self.requests = [], []

    def fault_of(self, request: Request) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            return next((rule.fault for rule in self._rules if rule.applies(request)), None)

    def count(self, operation: str, *, status: int | None = None) -> int:
        """Return the number of requests of this operation; with `status`, of those with this response of the server."""
        return sum(
            each.operation == operation and (status is None or each.status == status) for each in list(self.requests)
        )

    def created(self) -> Counter[str]:
        """Return how often the server created an object of each key.

        Some servers respond twice to a repeated request to complete an upload. It counts once.
        """
        found = [each for each in list(self.requests) if each.operation in CREATIONS and each.status == 200]
        uploads = {(each.key, each.query.get("uploadId", id(each))) for each in found}
        return Counter(key for key, _ in uploads)

    def stored(self) -> Counter[str]:
        """Return the bytes that the server took for each key: of objects, and of parts of them."""
        found: Counter[str] = Counter()
        for each in list(self.requests):
            if each.operation in ("PutObject", "UploadPart") and each.status == 200:
                found[each.key] += each.received
        return found


class Exchange(BaseHTTPRequestHandler):
    """A request and its response. Faults use it to respond in place of the server."""

    server: S3Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client has gone
            self.close_connection = True

    def _run(self) -> None:
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query, keep_blank_values=True).items()}
        operation = next(
            (name for (method, part), name in _OPERATIONS.items() if method == self.command and part and part in query),
            _OPERATIONS.get((self.command, ""), self.command),
        )
        key = unquote(address.path).lstrip("/").partition("/")[2]
        self.request_seen = Request(operation, key, query, {name.lower(): text for name, text in self.headers.items()})
        self._left = int(self.headers.get("Content-Length", 0))
        self._body = bytearray()
        fault = self.server.fault_of(self.request_seen)
        if fault is None or not fault(self):
            self.answer(*self.forward())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _run  # noqa: N815 (names of the standard library)

    def receive(self, limit: int | None = None) -> int:
        """Read at most `limit` further bytes of the body, or all. Returns how many there were."""
        wanted = self._left if limit is None else min(limit, self._left)
        got = 0
        while got < wanted and (part := self.rfile.read1(min(_STEP, wanted - got))):
            got += len(part)
            self._body += part
        self._left -= got
        self.request_seen.received += got
        if got < wanted:
            raise ConnectionError("the client closed the connection within its request")
        return got

    def forward(self) -> tuple[int, dict[str, str], bytes]:
        """Send the complete request to the server. Returns status, headers and body of its response."""
        self.receive()
        connection = http.client.HTTPConnection(self.server.upstream, timeout=120)
        is_creation = self.request_seen.operation in CREATIONS
        with closing(connection), self.server.creating if is_creation else nullcontext():
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(bytes(self._body) or None)
            response = connection.getresponse()
            body = response.read()
        self.request_seen.status = response.status
        dropped = ("transfer-encoding", "connection", "keep-alive")
        headers = {name: value for name, value in response.getheaders() if name.lower() not in dropped}
        if self.command != "HEAD" and response.status != 204:
            headers = {n: v for n, v in headers.items() if n.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        return response.status, headers, body

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: int | None = None) -> None:
        """Send a response. With `cut`, send that many bytes of its body and cut the connection."""
        if cut is None:
            self.request_seen.answered = status
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.cut()

    def cut(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[Exchange], bool]
"""Responds in place of the server, and returns whether it did. Otherwise the request is then forwarded."""


@dataclass
class _Rule:
    fault: Fault
    operation: str
    key: str
    after: int
    times: int | None
    seen: int = field(default=0, init=False)

    def applies(self, request: Request) -> bool:
        if self.operation not in ("*", request.operation) or self.key not in request.key:
            return False
        self.seen += 1
        return self.after < self.seen and (self.times is None or self.seen <= self.after + self.times)


def refuse(status: int, code: str) -> Fault:
    """Return a fault: read the request, and respond with this error of S3."""

    def fault(exchange: Exchange) -> bool:
        exchange.receive()
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>scripted</Message></Error>'
        body = b"" if exchange.command == "HEAD" else text.encode()
        exchange.answer(status, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)
        return True

    return fault


def cut_request(at: int) -> Fault:
    """Return a fault: cut the connection after `at` bytes of the request's body. The server never sees it."""

    def fault(exchange: Exchange) -> bool:
        exchange.receive(at)
        exchange.cut()
        return True

    return fault


def lose_response(exchange: Exchange) -> bool:
    """Let the server carry the request out, and cut the connection before its response."""
    exchange.forward()
    exchange.cut()
    return True


def cut_response(at: int) -> Fault:
    """Return a fault: cut the connection after the head and `at` bytes of the body of the response."""

    def fault(exchange: Exchange) -> bool:
        exchange.answer(*exchange.forward(), cut=at)
        return True

    return fault


def slowly(step: int, seconds: float) -> Fault:
    """Return a fault: read the request's body in steps of `step` bytes, with a pause before each. Then forward it."""

    def fault(exchange: Exchange) -> bool:
        time.sleep(seconds)
        while exchange.receive(step):
            time.sleep(seconds)
        return False

    return fault


def first(action: Callable[[], object]) -> Fault:
    """Return a fault: do something else before the request is forwarded, as a competing writer does."""

    def fault(exchange: Exchange) -> bool:
        exchange.receive()
        action()
        return False

    return fault


@dataclass
class Hold:
    """A fault: a request waits in the proxy until a test releases or drops it."""

    reached: threading.Event = field(default_factory=threading.Event)
    _go: threading.Event = field(default_factory=threading.Event)
    _is_dropped: bool = False

    def release(self) -> None:
        """Forward the request."""
        self._go.set()

    def drop(self) -> None:
        """Forget the request, as if it had not left its sender."""
        self._is_dropped = True
        self._go.set()

    def __call__(self, exchange: Exchange) -> bool:
        exchange.receive()
        self.reached.set()
        self._go.wait(120)
        if self._is_dropped:
            exchange.cut()
        return self._is_dropped
