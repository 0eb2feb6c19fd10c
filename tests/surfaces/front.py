"""A load balancer in front of several services. It forwards each request to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Route = Callable[[str, str], tuple[tuple[str, int], bool]]
"""Returns for a method and a target the service's address, and whether the client gets only half of the body."""


@contextmanager
def fronting(route: Route) -> Iterator[str]:
    """Run the load balancer inside the block, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address, is_cut = route(self.command, self.path)
            connection = HTTPConnection(*address)
            connection.request(self.command, self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if is_cut else body)
            self.close_connection = is_cut or "close" in answer.getheader("Connection", "")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
