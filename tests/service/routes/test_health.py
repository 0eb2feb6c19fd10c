"""Health: the service is ready only if the backend's bits are right."""

from __future__ import annotations

import httpx
import pytest

from fanin import backends
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.streams import Stream
from fanin_service.backend import known_answer
from tests.support.backends import CountingBackend, IdleBackend
from tests.support.servers import running


class OneBitBackend(CountingBackend):
    """A backend with one wrong bit in one tensor."""

    name = "one-bit"

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        super()._generate(draw, stream, dtype, first, out)
        if stream.name == "e5m2":
            out[-1] ^= 1


@pytest.mark.parametrize("name", backends.available())
def test_known_answer(name: str) -> None:
    assert known_answer.passes(backends.load(name))


def test_healthy(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready", "backend": backends.get().name}
    for path in ("/livez", "/readyz"):
        assert client.get(path).headers["Cache-Control"] == "no-store"
        assert client.head(path).status_code == 200


@pytest.mark.parametrize("backend", [IdleBackend(), OneBitBackend()])
def test_wrong_bits_are_never_served(backend: backends.Backend) -> None:
    with running(backend=backend) as server:
        path = server.register({"shape": [2], "scheme": "normal", "std": 1.0})
        for answer in (
            server.client.get("/readyz"),
            server.client.get(path),
            server.client.get("/v1/weights?shape=2&scheme=zeros"),
            server.client.post("/v1/weights", json={"shape": [2], "scheme": "zeros"}),
        ):
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:fanin:problem:not-ready"
        assert server.client.get("/livez").status_code == 200
        assert server.client.head(path).status_code == 200
