"""A service that means harm: whatever it answers, the client ends, with an error of its own, in bounded memory."""

from __future__ import annotations

import contextlib
import gc
import gzip
import io
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanin import Client, FaninError, FileLayout, files
from fanin.client import transport

RECIPE = {"tensors": {"a": {"shape": [1000], "scheme": "normal", "std": 1.0}}}
LAYOUT = FileLayout.of(RECIPE)
MEMORY = 64 << 20
OK = b"HTTP/1.1 200 OK\r\n"
PART = b"HTTP/1.1 206 Partial Content\r\n"
ENDLESS = 32 << 20
"""Bytes, after which a server that would go on gives up."""
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
    """The URL of a server that says this, whatever it is asked, and hangs up."""

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


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BACKOFF_SECONDS", 0.001)


# Where urllib3 refuses a redirect, its connection is left to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_an_error(name: str, tmp_path: Path) -> None:
    with answering(ANSWERS[name]) as url, Client(url, source="remote", retries=1, timeout=10, token="secret") as client:
        tracemalloc.start()
        try:
            for call in (
                lambda: client.register(RECIPE),
                lambda: client.digests(RECIPE),
                lambda: client.materialize(RECIPE),
                lambda: client.save(RECIPE, tmp_path / "file"),
                lambda: client.download(f"{url}/model.safetensors", tmp_path / "other"),
            ):
                with pytest.raises(FaninError) as caught:
                    call()
                assert "secret" not in str(caught.value)
                assert len(str(caught.value)) < 1 << 21
                del caught
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    gc.collect()
    assert peak < MEMORY
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "other").exists()


@pytest.mark.soak("requests")
@settings(max_examples=20_000, deadline=None, suppress_health_check=[*HealthCheck])
@given(at=st.integers(0, 400), junk=st.binary(max_size=40), size=st.integers(0, 1 << 40))
def test_damaged_headers(at: int, junk: bytes, size: int) -> None:
    """The reader of safetensors headers, on headers that were good once."""
    head = bytearray(LAYOUT.header)
    at %= len(head)
    head[at : at + len(junk)] = junk
    try:
        found = files.layout_of_file(io.BytesIO(bytes(head[: size % (len(head) + 8)])))
    except FaninError:
        return
    assert found.header == LAYOUT.header or found.recipe != LAYOUT.recipe
