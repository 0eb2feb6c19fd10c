"""A real server on a real socket."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from fanin.backends import Backend
from fanin_service.app import create_app
from fanin_service.server.command import configure, listen
from fanin_service.settings import Settings

MIXED = {
    "seed": 7,
    "tensors": {
        "f64": {"shape": [317, 101], "scheme": "normal", "std": 1.0, "dtype": "F64"},
        "f32": {"shape": [701, 257], "scheme": "he_normal", "dtype": "F32"},
        "bf16": {"shape": [999, 211], "scheme": "glorot_uniform", "dtype": "BF16"},
        "f16": {"shape": [3, 5, 7], "scheme": "truncated_normal", "std": 0.1, "dtype": "F16"},
        "empty": {"shape": [0, 5], "scheme": "he_normal", "dtype": "F16"},
        "f8": {"shape": [1001, 301], "scheme": "normal", "std": 1.0, "dtype": "F8_E4M3"},
        "f8.odd": {"shape": [13], "scheme": "uniform", "low": -1.0, "high": 1.0, "dtype": "F8_E5M2"},
    },
}
"""Every storage type, several chunks, and lengths that are multiples of neither elements nor Philox blocks."""
HUGE = {"tensors": {"a": {"shape": [100_000_000, 250_000], "scheme": "normal", "std": 1.0}}}
"""A file of 100 TB and a header."""
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Running:
    """A running server."""

    app: FastAPI
    server: uvicorn.Server
    address: tuple[str, int]
    client: httpx.Client
    url: str

    def register(self, recipe: Any) -> str:
        """Register the recipe, and return the path of its file."""
        answer = self.client.post("/v1/recipes", json=recipe)
        assert answer.status_code in (200, 201), answer.text
        return f"/v1/recipes/{answer.json()['digest']}/model.safetensors"

    @contextmanager
    def connection(self, path: str, receive_buffer: int = 64 << 10) -> Iterator[socket.socket]:
        """Yield a socket that has sent a GET. Its small receive buffer blocks the server until the test reads."""
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.settimeout(30)
            connection.connect(self.address)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            yield connection


@contextmanager
def running(
    settings: Settings | None = None, backend: Backend | None = None, *, verify: ssl.SSLContext | bool = True
) -> Iterator[Running]:
    """Run a server in a thread of this process. `verify` sets how its client checks certificates."""
    settings = settings or Settings(stall_seconds=30)
    app = create_app(settings, backend)
    config = configure(app, settings, log_config=None)
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_for(lambda: server.started)
            url = f"{'https' if config.is_ssl else 'http'}://{address[0]}:{address[1]}"
            with httpx.Client(base_url=url, timeout=60, verify=verify) as client:
                yield Running(app, server, address, client, url)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server did not stop"


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Return when the condition holds. Fail if it does not hold within `seconds`.

    Threads that write artifacts have a low priority. On a busy machine they get little time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)
