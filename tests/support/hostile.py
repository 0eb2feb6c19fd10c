"""Hostile responses, and a server that sends them."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator

RECIPE = {"tensors": {"a": {"shape": [1000], "scheme": "normal", "std": 1.0}}}
OK = b"HTTP/1.1 200 OK\r\n"
PART = b"HTTP/1.1 206 Partial Content\r\n"
ENDLESS = 32 << 20
"""Bytes of an endless response that the server sends before it stops."""
BOMB = gzip.compress(gzip.compress(bytes(256 << 20)))

ANSWERS = {
    "nothing": b"",
    "no HTTP": b"\0" * 100,
    "half a status": b"HTTP/1.1 2",
    "a strange status": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "an endless status": b"HTTP/1.1 200 " + b"x" * ENDLESS,
    "endless headers": OK + b"X: y\r\n" * (ENDLESS // 6),
    "an endless header": OK + b"X: " + b"y" * ENDLESS,
    "many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    "an endless interim answer": b"HTTP/1.1 100 Continue\r\n" + b"X: y\r\n" * (ENDLESS // 6),
    "no length and no end": OK + b"\r\n" + b" " * ENDLESS,
    "a length below zero": OK + b"Content-Length: -5\r\n\r\nhello",
    "a length that is none": OK + b"Content-Length: many\r\n\r\nhello",
    "a length that is too long": OK + b"Content-Length: 99\r\n\r\n{}",
    "chunks that are none": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an endless chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * ENDLESS,
    "a compressed bomb": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "a bomb in a bomb": OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "codings without end": OK + b"Content-Encoding: " + b"gzip, " * 5000 + b"gzip\r\n\r\n" + BOMB,
    "what is not gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "deep JSON": OK + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "a list": OK + b"Content-Length: 2\r\n\r\n[]",
    "a redirect to a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a redirect to itself": b"HTTP/1.1 307 X\r\nLocation: /v1/recipes\r\nContent-Length: 0\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[::\r\nContent-Length: 0\r\n\r\n",
    "a redirect to FTP": b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "another range": PART + b"Content-Range: bytes 5-9/4000\r\nContent-Length: 5\r\n\r\nhello",
    "a range of nothing": PART + b"Content-Range: bytes */0\r\nContent-Length: 0\r\n\r\n",
    "a range that is none": PART + b"Content-Range: \xff\r\nContent-Length: 5\r\n\r\nhello",
    "less than promised": PART + b"Content-Range: bytes 0-99/4000\r\nContent-Length: 5\r\n\r\nhello",
}


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Yield the URL of a server that sends this in response to every request, and closes the connection."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(10)
                    while b"\r\n\r\n" not in connection.recv(1 << 16):
                        pass
                    connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)
