"""A server of the page for one reader on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn

from fanin import page
from fanin.page import PageFile

_ADDRESS = "127.0.0.1"


class PageServer(ThreadingMixIn, TCPServer):
    """Serves the page and one recipe at an address of this machine.

    It responds only to requests whose `Host` is this address. A page of another origin can make a browser send it
    requests under another name (DNS rebinding), and would otherwise read the responses.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, start: PageFile, port: int = 0) -> None:
        """Listen.

        Args:
            start: The page's `start.json`.
            port: Port to listen at; 0 for any free one.

        Raises:
            OSError: the port is in use.
        """
        super().__init__((_ADDRESS, port), _Handler)
        found = page.files()
        self.files: Mapping[str, PageFile] = {
            "/": found[page.INDEX],
            **{f"/page/{name}": file for name, file in found.items()},
            "/page/start.json": start,
        }
        """Files by path."""
        bound = self.server_address[1]
        self.hosts = {f"{name}:{bound}" for name in (_ADDRESS, "localhost")}
        """Values of `Host` to respond to."""
        self.url = f"http://{_ADDRESS}:{bound}/"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "fanin", ""
    timeout = 60
    server: PageServer

    def do_GET(self) -> None:
        if self.headers.get_all("Host", []) not in ([host] for host in self.server.hosts):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, f"this server responds at {self.server.url} only")
            return
        file = self.server.files.get(self.path.partition("?")[0])
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, "the page has no such file")
            return
        etag = f'"{file.tag}"'
        known = [each.strip().removeprefix("W/") for each in self.headers.get("If-None-Match", "").split(",")]
        if etag in known:
            self._respond(HTTPStatus.NOT_MODIFIED, None, ETag=etag)
        else:
            self._respond(HTTPStatus.OK, file, ETag=etag)

    do_HEAD = do_GET  # noqa: N815

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._respond(status, PageFile(f"{reason}\n".encode(), "text/plain; charset=utf-8"))

    def _respond(self, status: HTTPStatus, file: PageFile | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in (page.HEADERS | headers).items():
            self.send_header(name, value)
        # The body of a GET has no meaning. It is not read, and the next request would begin inside it.
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.send_header("Connection", "close")
        if file is not None:
            self.send_header("Content-Type", file.media_type)
            self.send_header("Content-Length", str(len(file.content)))
        self.end_headers()
        if file is not None and self.command != "HEAD":
            self.wfile.write(file.content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: the terminal shows the address."""
