"""Invalid keys and tokens: their number per address and minute is limited. Valid ones are still accepted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.admission.errors import TooManyFailedLoginsError
from fanin_service.settings import Settings
from tests.support.clocks import Clocks
from tests.support.clocks import guarded as admission_of
from tests.support.identity import Provider
from tests.support.limits import refused
from tests.support.metrics import value
from tests.support.servers import JSON, Running, running

LIMIT = 3
URL = "/v1/weights?shape=4&scheme=zeros"
BAD = f"fanin_{'0' * 12}_{'0' * 64}"


def get(server: Running, token: str | None, address: str = "192.0.2.1", **headers: str) -> httpx.Response:
    sent = headers if token is None else {"Authorization": f"Bearer {token}", **headers}
    return server.client.get(URL, headers={"X-Forwarded-For": address, **sent})


def test_too_many_of_an_address(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    reader, scraper = (keys.create(path, right.name, (right,))[0] for right in (Right.WEIGHTS_READ, Right.METRICS_READ))
    with running(Settings(access="keys", keys_file=path, failed_logins_per_minute=LIMIT)) as server:
        for _ in range(5):  # a request without a key is not a failed login
            assert get(server, None).status_code == 401
        statuses = [get(server, token).status_code for token in (BAD, reader, "word", reader, BAD[:-1], reader)]
        assert statuses == [401, 200] * LIMIT
        answer = get(server, BAD)
        refused(answer, 429, "too-many-failed-logins")
        assert int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["Cache-Control"] == "no-store"
        refused(get(server, BAD, Authorization="Basic eDp5"), 429, "too-many-failed-logins")
        post = {**JSON, "Authorization": f"Bearer {BAD}", "X-Forwarded-For": "192.0.2.1"}
        refused(server.client.post("/v1/recipes", content=b"{", headers=post), 429, "too-many-failed-logins")
        # Others are not affected: valid keys, requests without a key, and other addresses.
        assert get(server, reader).status_code == 200
        assert get(server, None).status_code == 401
        assert get(server, BAD, "192.0.2.2").status_code == 401
        assert server.client.get("/readyz", headers=post).status_code == 200
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {scraper}"}) as client:
            assert value(client, "fanin_problems_total", problem="too-many-failed-logins") == 3


def test_tokens_count_too() -> None:
    with Provider() as provider, running(provider.settings(failed_logins_per_minute=LIMIT)) as server:
        bad = provider.token()[:-8] + "AAAAAAAA"
        assert [get(server, bad).status_code for _ in range(LIMIT + 2)] == [401] * LIMIT + [429] * 2
        assert get(server, provider.token()).status_code == 200
        assert get(server, bad).status_code == 429


def test_what_a_key_may_not_counts_as_its_request(tmp_path: Path) -> None:
    """A 403 counts as a request of an authenticated client, not as a failed login."""
    path = tmp_path / "keys.json"
    key, _ = keys.create(path, "writer", (Right.RECIPES_WRITE,))
    limits: dict[str, Any] = {"client_requests_per_minute": 4, "failed_logins_per_minute": 1}
    with running(Settings(access="keys", keys_file=path, **limits)) as server:
        answers = [get(server, key, f"192.0.2.{n}") for n in range(6)]
        assert [answer.status_code for answer in answers] == [403] * 4 + [429] * 2
        assert '"requests";r=3;' in answers[0].headers["RateLimit"]
        assert answers[-1].json()["type"] == "urn:fanin:problem:too-many-requests"


def test_after_a_minute_it_is_another(clocks: Clocks) -> None:
    admission = admission_of(failed_logins_per_minute=LIMIT)

    def fail(address: str = "192.0.2.1") -> None:
        asyncio.run(admission.count_failed_login(address))

    for _ in range(LIMIT):
        fail()
    clocks.set(+30)
    clocks.pass_by(20)
    for _ in range(2):
        with pytest.raises(TooManyFailedLoginsError) as caught:
            fail()
    assert caught.value.headers["Retry-After"] == "40"
    fail("2001:db8::1")
    clocks.pass_by(40)
    fail()
