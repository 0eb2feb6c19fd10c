"""A service that misbehaves on demand, to test the client."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from tests.support.digests import manifest_of

Fault = Callable[["Handler"], bool]
"""Responds in place of the service, and returns whether it did."""


class Faulty(ThreadingHTTPServer):
    """Serves recipes as the real service does. Each request first takes the next of the `faults`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.layouts: dict[str, FileLayout] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        """Method, path and Range of each request."""
        self.peers: set[Any] = set()
        """Address of each connection that sent a request."""
        self.authorizations: list[str | None] = []
        """Authorization of each request."""
        self.validator: Callable[[FileLayout], tuple[str, str]] = lambda layout: ("ETag", f'"{layout.recipe.digest}"')
        """Name and value of the header that identifies the version of a file."""
        self.damage: Callable[[int, bytearray], None] = lambda start, data: None
        """Changes bytes before they are sent."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._faulty():
            return
        layout = FileLayout.of(body)
        self.server.layouts[layout.recipe.digest] = layout
        self.answer(201, {"Content-Type": "application/json"}, json.dumps({"digest": layout.recipe.digest}).encode())

    def do_GET(self) -> None:
        if self._faulty():
            return
        digest = self.path.split("/")[3]
        layout = self.server.layouts.get(digest)
        if layout is None:
            self.problem(404, "Unknown recipe", "register it")
            return
        if self.path.endswith("/digests"):
            document = manifest_of(layout, backends.get()).document()
            self.answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert found
        self.send(layout, int(found[1]), min(int(found[2]) + 1, layout.size))

    def send(self, layout: FileLayout, start: int, stop: int, *, cut: int | None = None, status: int = 206) -> None:
        """Send bytes [start, stop) of a file. With `cut`, send that many of them and close the connection."""
        data = bytearray(stop - start)
        read_into(layout, start, memoryview(data), backends.get())
        self.server.damage(start, data)
        headers = dict([self.server.validator(layout)])
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{layout.size}"
        self.answer(status, headers, bytes(data), cut=cut)

    def problem(self, status: int, title: str, detail: str, **headers: str) -> None:
        errors = [{"pointer": "/seed", "detail": "no such seed"}]
        document: dict[str, Any] = {
            "type": "urn:x",
            "title": title,
            "status": status,
            "detail": detail,
            "errors": errors,
        }
        self.answer(status, {"Content-Type": "application/problem+json", **headers}, json.dumps(document).encode())

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def _faulty(self) -> bool:
        self.server.peers.add(self.client_address)
        self.server.authorizations.append(self.headers["Authorization"])
        self.server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        return bool(self.server.faults) and self.server.faults.pop(0)(self)

    def log_message(self, *_: object) -> None:
        pass


def refuse(status: int, **headers: str) -> Fault:
    """Respond with this status and a problem document."""

    def fault(handler: Handler) -> bool:
        handler.problem(
            status, "Refused", "not now", **{name.replace("_", "-"): value for name, value in headers.items()}
        )
        return True

    return fault


def cut(after: int) -> Fault:
    """Close the connection after `after` bytes of the body."""

    def fault(handler: Handler) -> bool:
        layout = next(iter(handler.server.layouts.values()))
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers["Range"])
        assert found
        handler.send(layout, int(found[1]), int(found[2]) + 1, cut=after)
        return True

    return fault


def ignore_range(handler: Handler) -> bool:
    """Respond with the full file and ignore Range, which RFC 9110 section 14.2 allows."""
    layout = next(iter(handler.server.layouts.values()))
    handler.send(layout, 0, layout.size, status=200)
    return True


def well(handler: Handler) -> bool:
    """Respond without a fault."""
    return False
