"""Old clients and this server, old servers and this client: the same bytes as when they were recorded."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.compat import session
from tests.compat.record import TRANSCRIPTS, decoded, serving
from tests.compat.session import Request
from tests.support.servers import Running, running

RECORDED = [pytest.param(json.loads(path.read_text()), id=path.stem) for path in sorted(TRANSCRIPTS.glob("*.json"))]
PROMISED = (
    "content-type",
    "content-length",
    "content-range",
    "accept-ranges",
    "etag",
    "cache-control",
    "location",
    "content-location",
    "allow",
)
"""Headers that must stay as they were, where they were sent."""
PROBLEM = "application/problem+json"
TEXTS = ("description", "formula", "source")
"""Members of schemes that only people read. No client can depend on their words, which may be corrected and improved.
Each must still be there. All other members keep their values."""


@pytest.fixture(scope="module")
def server() -> Any:
    with running() as server:
        yield server


def asked(recorded: dict[str, Any]) -> Request:
    request = recorded["request"]
    return Request(request["method"], request["target"], request["headers"], decoded(request["body"]))


@pytest.mark.parametrize("part", ["requests", "client"])
@pytest.mark.parametrize("transcript", RECORDED)
def test_an_old_client_gets_the_old_answers(transcript: dict[str, Any], part: str) -> None:
    assert transcript[part]
    with running() as server:  # a new server: the first requests are for an unknown recipe
        for recorded in transcript[part]:
            answer = session.send(server.url.removeprefix("http://"), asked(recorded))
            where = f"{recorded['request']['method']} {recorded['request']['target']} {recorded['request']['headers']}"
            compare(answer, recorded["answer"], where)


def compare(answer: tuple[int, dict[str, str], bytes], old: dict[str, Any], where: str) -> None:
    status, headers, body = answer
    assert status == old["status"], where
    is_json = "json" in old["headers"].get("content-type", "")
    for name in PROMISED:
        # JSON may say more than it did.
        if name in old["headers"] and not (is_json and name == "content-length"):
            assert headers.get(name) == old["headers"][name], f"{where}: {name}"
    before = decoded(old["body"])
    if not is_json or not before:
        assert body == before, where
    elif old["headers"]["content-type"] == PROBLEM:
        now, then = json.loads(body), json.loads(before)
        assert {name: now[name] for name in ("type", "status")} == {name: then[name] for name in ("type", "status")}
        assert pointers(now) == pointers(then), where
    else:
        assert covers(json.loads(body), json.loads(before)), where


def pointers(problem: dict[str, Any]) -> list[str]:
    """Return the fields that a problem blames. Its words may change."""
    return [error["pointer"] for error in problem.get("errors", [])]


def is_text(name: str, *values: Any) -> bool:
    return name in TEXTS and all(isinstance(value, str) and value for value in values)


def covers(now: Any, then: Any) -> bool:
    """Return whether a JSON value still has all old members and values. Texts for people may have other words."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(
            name in now and (covers(now[name], then[name]) or is_text(name, now[name], then[name])) for name in then
        )
    if isinstance(then, list):
        return isinstance(now, list) and all(any(covers(new, old) for new in now) for old in then)
    return bool(now == then)


@pytest.mark.parametrize("transcript", RECORDED)
def test_this_client_gets_the_old_bytes_from_an_old_server(transcript: dict[str, Any], tmp_path: Path) -> None:
    with serving(old_server(transcript)) as address:
        results = session.use_client(f"http://{address}", tmp_path)
    assert results == transcript["results"]


@pytest.mark.parametrize("transcript", RECORDED)
def test_this_client_gets_the_old_bytes_from_this_server(
    transcript: dict[str, Any], server: Running, tmp_path: Path
) -> None:
    assert session.use_client(server.url, tmp_path) == transcript["results"]


def old_server(transcript: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    """A server that sends the recorded responses, and any range of recorded files that this client requests.

    It refuses requests that the old server did not know as that server refused unknown paths.
    """
    exchanges = [*transcript["requests"], *transcript["client"]]
    told: set[str] = set()

    class Old(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.command == "POST" and self.path == "/v1/recipes":
                told.add(json.loads(body)["seed"])
            answer = self._file() or self._recorded(body) or find("GET", "/nothing")["answer"]
            content = answer["content"] if "content" in answer else decoded(answer["body"])
            self.send_response_only(answer["status"])
            for name, value in answer["headers"].items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = _answer  # noqa: N815, names of http.server

        def _recorded(self, body: bytes) -> dict[str, Any] | None:
            for each in exchanges:
                request = each["request"]
                same = (request["method"], request["target"]) == (self.command, self.path)
                if same and decoded(request["body"]) == body and "range" not in map(str.lower, request["headers"]):
                    answer: dict[str, Any] = each["answer"]
                    return answer
            return None

        def _file(self) -> dict[str, Any] | None:
            """A part of a file that was recorded completely."""
            asked_for = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if self.command != "GET" or not asked_for or self.path not in (session.FILE, session.ONE):
                return None
            if self.path == session.FILE and not told:
                return dict(find("GET", f"/v1/recipes/{'0' * 64}")["answer"])
            whole = find("GET", self.path)["answer"]
            part = find("GET", self.path, range_=True)["answer"]
            content = decoded(whole["body"])
            first, stop = int(asked_for[1]), int(asked_for[2] or len(content) - 1) + 1
            content = content[first:stop]
            size = int(whole["headers"]["content-length"])
            changed = {
                "content-length": str(len(content)),
                "content-range": f"bytes {first}-{first + len(content) - 1}/{size}",
            }
            return {"status": part["status"], "headers": {**part["headers"], **changed}, "content": content}

        def log_message(self, *_: object) -> None:
            pass

    def find(method: str, target: str, *, range_: bool = False) -> dict[str, Any]:
        for each in transcript["requests"]:
            request = each["request"]
            headers = [name.lower() for name in request["headers"]]
            if (request["method"], request["target"]) == (method, target) and headers == ["range"] * range_:
                found: dict[str, Any] = each
                return found
        raise AssertionError(f"{method} {target} was not recorded")

    return Old


def test_the_comparison_finds_a_change() -> None:
    recorded = next(each for each in RECORDED[0].values[0]["requests"] if each["request"]["target"] == session.FILE)
    old = recorded["answer"]
    body = decoded(old["body"])
    compare((old["status"], old["headers"], body), old, "")
    for status, headers, content in [
        (206, old["headers"], body),
        (old["status"], {**old["headers"], "etag": '"x"'}, body),
        (old["status"], old["headers"], bytes([body[0] ^ 1]) + body[1:]),
    ]:
        with pytest.raises(AssertionError):
            compare((status, headers, content), old, "")
    assert not covers({"a": [1]}, {"a": [2]})
    assert covers({"a": [1, 2], "b": 0}, {"a": [2]})
