"""Record what client and server of this checkout say to one another: `make transcript`.

At a release this is run in a checkout of its tag; the file it writes then stays, and every later version is held
against it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.compat import session
from tests.compat.session import Request
from tests.support.servers import running

TRANSCRIPTS = Path(__file__).parent / "transcripts"
_OF_A_CONNECTION = {"host", "connection", "keep-alive", "transfer-encoding", "date"}


def encoded(body: bytes) -> dict[str, Any]:
    """A body as JSON: text where it is text, and its SHA-256."""
    try:
        content = {"text": body.decode()} if b"\0" not in body else {"base64": base64.b64encode(body).decode()}
    except UnicodeDecodeError:
        content = {"base64": base64.b64encode(body).decode()}
    return {**content, "sha256": hashlib.sha256(body).hexdigest()}


def decoded(body: dict[str, Any]) -> bytes:
    """The body that was encoded so."""
    content = body["text"].encode() if "text" in body else base64.b64decode(body["base64"])
    assert hashlib.sha256(content).hexdigest() == body["sha256"]
    return bytes(content)


class _Relay(BaseHTTPRequestHandler):
    """Passes requests on and writes down what was said."""

    protocol_version = "HTTP/1.1"
    address: str
    exchanges: list[dict[str, Any]]

    def _relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        kept = {name: value for name, value in headers.items() if name not in _OF_A_CONNECTION}
        status, answered, content = session.send(self.address, Request(self.command, self.path, kept, body))
        self.exchanges.append(exchange(Request(self.command, self.path, kept, body), status, answered, content))
        self.send_response_only(status)
        for name, value in answered.items():
            if name not in _OF_A_CONNECTION:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_POST = _relay  # noqa: N815, names of http.server

    def log_message(self, *_: object) -> None:
        pass


def exchange(request: Request, status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """A request and its response, in the form of the transcript."""
    return {
        "request": {
            "method": request.method,
            "target": request.target,
            "headers": request.headers,
            "body": encoded(request.body),
        },
        "answer": {
            "status": status,
            "headers": {name: value for name, value in headers.items() if name not in _OF_A_CONNECTION},
            "body": encoded(body),
        },
    }


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server in a thread; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def record() -> dict[str, Any]:
    """The transcript of this checkout."""
    with running() as server, tempfile.TemporaryDirectory() as folder:
        address = server.url.removeprefix("http://")
        requests = [exchange(request, *session.send(address, request)) for request in session.REQUESTS]
    with running() as server, tempfile.TemporaryDirectory() as folder:
        told: list[dict[str, Any]] = []
        handler = type("Relay", (_Relay,), {"address": server.url.removeprefix("http://"), "exchanges": told})
        with serving(handler) as address:
            results = session.use_client(f"http://{address}", Path(folder))
    return {"version": version("fanin"), "requests": requests, "client": told, "results": results}


def main() -> None:
    transcript = record()
    path = TRANSCRIPTS / f"{transcript['version']}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(transcript, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    print(f"{path}: {len(transcript['requests'])} requests, {len(transcript['client'])} of the client")


if __name__ == "__main__":
    main()
