"""Helpers to check refusals, and the limits that a client has left."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.support.servers import Running

SMALL = "/v1/weights?shape=1000&scheme=zeros"


LARGE = "/v1/weights?shape=1000000,100000&scheme=normal&std=0.02"


def refused(answer: httpx.Response, status: int, problem: str) -> dict[str, Any]:
    document = answer.json()
    assert (answer.status_code, document["type"]) == (status, f"urn:fanin:problem:{problem}"), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    if status in (429, 503):
        assert 1 <= int(answer.headers["Retry-After"]) <= 86_400
    return dict(document)


def nothing_in_flight(server: Running) -> bool:
    total = server.app.state.service.admission._ledger.total
    return bool((total.streams, total.size) == (0, 0))


def remaining(server: Running, who: dict[str, str] | None = None) -> int:
    """Return the bytes that a client may still fetch today. This sends one more request."""
    answer = server.client.get(SMALL, headers={**(who or {}), "Range": "bytes=0-0"})
    found = re.search(r'"bytes";r=(\d+)', answer.headers["RateLimit"])
    assert found, answer.text
    return int(found[1])
