"""nginx as configured in deploy/nginx, while replicas fail between two slices of a file."""

from __future__ import annotations

import collections
import http.server
import re
import ssl
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.deploy.test_nginx import ONE, SLICE, free_port, make_certificate, nginx_before, pytestmark  # noqa: F401

FILE = bytes(range(256)) * (9 << 12)
"""9 MiB: two slices."""
RECORD = 16384
"""Bytes that nginx collects before it sends them over TLS."""


class FirstSliceOnly(http.server.BaseHTTPRequestHandler):
    """A replica that sends the first slice of a file, and closes the connection for any other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=0-(\d+)", self.headers["Range"])
        if found is None:
            self.close_connection = True
            return
        part = FILE[: int(found[1]) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes 0-{len(part) - 1}/{len(FILE)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an nginx whose two replicas send the first slice of a file alone."""
    folder = tmp_path_factory.mktemp("slices")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FirstSliceOnly) as replica:
        threading.Thread(target=replica.serve_forever).start()
        try:
            certificate = make_certificate(folder)
            context = ssl.create_default_context(cafile=str(certificate))
            with (
                nginx_before(folder, [replica.server_port] * 2, certificate, free_port()) as url,
                httpx.Client(base_url=url, verify=context, timeout=60) as client,
            ):
                yield client
        finally:
            replica.shutdown()


def received(client: httpx.Client, start: int) -> bytes:
    """Return the bytes that a client has of the file, from this one on, when its connection ends."""
    body = bytearray()
    with client.stream("GET", ONE, headers={"Range": f"bytes={start}-"}) as answer:
        assert answer.status_code == 206
        chunks = answer.iter_raw()
        with pytest.raises(httpx.RemoteProtocolError):
            collections.deque(map(body.extend, chunks), maxlen=0)
    return bytes(body)


def test_a_cut_file_ends_in_no_page_of_nginx(client: httpx.Client) -> None:
    """A client that resumes keeps every byte that it received. Less than a TLS record is unsent when nginx notices the
    failure, so the second range begins where an error page would complete this record."""
    start = 10_000
    unsent = SLICE - start - len(received(client, start))
    assert 0 <= unsent < RECORD
    for begins in (start, start + unsent + 100, start + unsent + 200):
        body = received(client, begins)
        assert body == FILE[begins : begins + len(body)]
        assert len(body) > SLICE - begins - RECORD


def test_a_file_of_which_no_slice_can_be_had_is_refused(client: httpx.Client) -> None:
    answer = client.get(ONE, headers={"Range": f"bytes={SLICE}-"})
    assert answer.status_code == 502
    assert answer.headers["content-type"] != "application/octet-stream"
