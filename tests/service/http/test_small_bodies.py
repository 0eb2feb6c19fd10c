"""Small bodies: cached parts of files give the same responses as generated ones, and count as much."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from fanin import FileLayout
from fanin.file.plan import read_into
from fanin_service import service
from fanin_service.settings import Settings
from tests.support.backends import BEST
from tests.support.servers import Running, running

pytestmark = pytest.mark.skipif(BEST.prompt_bytes == 0, reason="needs the native backend: others cache no bodies")

RECIPE = {"shape": [1000], "scheme": "normal", "std": 1.0}
PATH = "/v1/weights?shape=1000&scheme=normal&std=1"
LAYOUT = FileLayout.of(RECIPE)
WHOLE = bytearray(LAYOUT.size)
read_into(LAYOUT, 0, memoryview(WHOLE), BEST)


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as server:
        yield server


def generated(server: Running) -> int:
    """Return the bytes that the service has generated."""
    lines = server.client.get("/metrics").text.splitlines()
    return int(sum(float(line.split()[1]) for line in lines if line.startswith("fanin_generated_bytes_total")))


def cached(server: Running) -> list[tuple[int, int]]:
    return [(start, stop) for _, start, stop in server.app.state.service.small_bodies]


def test_a_body_is_generated_once_and_sent_again(server: Running) -> None:
    answers = [server.client.get(PATH), server.client.get(PATH), server.client.post("/v1/weights", json=RECIPE)]
    assert [answer.content for answer in answers] == [WHOLE] * 3
    assert (generated(server), cached(server)) == (LAYOUT.size, [(0, LAYOUT.size)])
    other = server.client.get(f"{PATH}&seed=1").content
    assert other != WHOLE
    assert len(other) == LAYOUT.size
    assert generated(server) == 2 * LAYOUT.size


def test_each_range_is_a_body_of_its_own(server: Running) -> None:
    for _ in range(2):
        for start, stop in ((0, 9), (5, LAYOUT.size)):
            answer = server.client.get(PATH, headers={"Range": f"bytes={start}-{stop - 1}"})
            assert (answer.status_code, answer.content) == (206, WHOLE[start:stop])
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{LAYOUT.size}"
    assert cached(server) == [(0, 9), (5, LAYOUT.size)]


def test_responses_without_content_generate_and_cache_nothing(server: Running) -> None:
    head = server.client.head(PATH)
    assert head.headers["Content-Length"] == str(LAYOUT.size)
    for headers, status in (
        ({"If-None-Match": head.headers["ETag"]}, 304),
        ({"If-Match": '"another"'}, 412),
        ({"Range": f"bytes={LAYOUT.size}-"}, 416),
    ):
        for _ in range(2):
            assert server.client.get(PATH, headers=headers).status_code == status
    assert (cached(server), generated(server)) == ([], 0)


def test_larger_bodies_are_not_cached(server: Running) -> None:
    assert server.client.get("/v1/weights?shape=20000&scheme=normal&std=1").status_code == 200
    assert cached(server) == []


def test_a_cached_body_counts_against_the_quota() -> None:
    with running(Settings(client_bytes_per_day=2 * LAYOUT.size)) as server:
        assert [server.client.get(PATH).status_code for _ in range(3)] == [200, 200, 429]


def test_a_client_evicts_its_own_bodies_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SMALL_BODIES_BYTES", 20_000)
    with running() as server:

        def get(address: str, seed: int) -> httpx.Response:
            return server.client.get(f"{PATH}&seed={seed}", headers={"X-Forwarded-For": address})

        get("192.0.2.1", 0)
        for seed in range(1, 10):
            get("192.0.2.2", seed)
        before = generated(server)
        get("192.0.2.1", 0)
        assert generated(server) == before
        assert server.app.state.service.small_bodies.size <= 20_000
