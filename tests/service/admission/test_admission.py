"""Admission over HTTP: refusals, their `Retry-After`, and the release of everything that a request reserved."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from fanin import BackendError, Client
from fanin.file.archive import MEDIA_TYPE, pack
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend, WaitingBackend
from tests.support.limits import LARGE, SMALL, nothing_in_flight, refused, remaining
from tests.support.metrics import value
from tests.support.servers import HUGE, JSON, Running, running, wait_for

# The patterns by which huggingface_hub 1.x reads the headers (utils/_http.py, parse_ratelimit_headers).
HUB_LIMIT = re.compile(r"\"(?P<name>\w+)\"\s*;\s*r\s*=\s*(?P<r>\d+)\s*;\s*t\s*=\s*(?P<t>\d+)")
HUB_POLICY = re.compile(r"q\s*=\s*(?P<q>\d+).*?w\s*=\s*(?P<w>\d+)")


@contextmanager
def limited(**limits: Any) -> Iterator[tuple[Running, CountingBackend]]:
    """Yield a server with these limits, and its backend."""
    backend = CountingBackend()
    with running(Settings(**limits), backend) as server:
        backend.generated = 0  # without the bytes of the known-answer test
        yield server, backend


def test_requests_in_a_minute() -> None:
    with limited(client_requests_per_minute=3) as (server, backend):
        client = server.client
        for left in (2, 1, 0):
            answer = client.head(SMALL)
            assert answer.status_code == 200
            assert HUB_POLICY.search(answer.headers["RateLimit-Policy"]).groups() == ("3", "60")  # type: ignore[union-attr]
            found = HUB_LIMIT.search(answer.headers["RateLimit"])
            assert found
            assert (found["name"], int(found["r"])) == ("requests", left)
            assert 0 < int(found["t"]) <= 60
        for path in (SMALL, "/v1/schemes", "/nowhere"):
            answer = client.get(path)
            refused(answer, 429, "too-many-requests")
            found = HUB_LIMIT.search(answer.headers["RateLimit"])
            assert found
            assert (found["r"], found["t"]) == ("0", answer.headers["Retry-After"])
        # The body is neither read nor parsed.
        refused(client.post("/v1/weights", content=b"{", headers=JSON), 429, "too-many-requests")
        assert backend.generated == 0
        assert client.get("/readyz").status_code == client.get("/livez").status_code == 200
        assert value(client, "fanin_problems_total", problem="too-many-requests") == 4


def test_large_recipes_count_as_several_requests() -> None:
    def left(answer: httpx.Response) -> int:
        found = HUB_LIMIT.search(answer.headers["RateLimit"])
        assert found
        return int(found["r"])

    tensor = {"shape": [2], "scheme": "ones"}
    # A recipe of 20,000 tensors costs 20,100 units, four times 5,000.
    body = {"tensors": {}, "repeated": {"a{1..20000}": tensor}}
    with limited(client_requests_per_minute=12) as (server, _):
        client = server.client
        assert left(client.post("/v1/recipes", json={"tensors": {"a": tensor}})) == 11
        answer = client.post("/v1/recipes", json=body)
        assert (answer.status_code, left(answer)) == (201, 6)
        assert left(client.post("/v1/recipes", json=body)) == 5
        # A query with a table of 400 values costs 10,100 units, and an archive the same.
        table = "/v1/weights?shape=400&scheme=log_range"
        assert left(client.head(table)) == 2
        assert left(client.head(table)) == 1
        recipe = json.dumps({"tensors": {"a": {"shape": [400], "scheme": "log_range", "start": 2}}}).encode()
        archive = pack({"recipe.json": recipe})
        answer = client.put("/v1/models/me/x", content=archive, headers={"Content-Type": MEDIA_TYPE})
        assert answer.status_code == 201
        refused(client.get(table), 429, "too-many-requests")


def left_by(header: str) -> int:
    """Return the number of requests that a RateLimit header leaves."""
    found = HUB_LIMIT.search(header)
    assert found, header
    return int(found["r"])


def test_descriptions_of_large_models_count_as_several_requests() -> None:
    recipe = json.dumps({"tensors": {}, "repeated": {"a{1..20000}": {"shape": [2], "scheme": "ones"}}}).encode()
    with limited(client_requests_per_minute=100) as (server, _):
        client = server.client
        answer = client.put(
            "/v1/models/me/x", content=pack({"recipe.json": recipe}), headers={"Content-Type": MEDIA_TYPE}
        )
        assert answer.status_code == 201
        left = [
            left_by(client.get(path).headers["RateLimit"])
            for path in ("/livez-not", "/hf/api/models/me/x/tree/seed-1-2kb", "/livez-not") * 2
        ]
        # 20,000 tensors in 80 files take five batches of 5,000. The second time they are cached.
        assert left[0] - left[2] == 2 + 5
        assert left[3] - left[5] == 2


def test_who_a_client_is() -> None:
    with limited(client_requests_per_minute=1, trusted_proxies=("127.0.0.1",)) as (server, _):

        def status(address: str) -> int:
            return server.client.get("/v1/schemes", headers={"X-Forwarded-For": address}).status_code

        assert [status("192.0.2.1"), status("192.0.2.2"), status("192.0.2.1")] == [200, 200, 429]
        # The service ignores addresses that a client writes before the one that the proxy adds.
        assert status("198.51.100.9, 192.0.2.1") == 429
        assert status("::ffff:192.0.2.1") == 429
        # One subscriber has an entire /64.
        assert [status("2001:db8::1"), status("2001:db8::ffff:2"), status("2001:db8:0:1::1")] == [200, 429, 200]
        assert [status("nonsense"), status("more nonsense")] == [200, 429]
    with limited(client_requests_per_minute=1, trusted_proxies=("192.0.2.1",)) as (server, _):
        assert [status("192.0.2.7"), status("192.0.2.8")] == [200, 429]


def test_what_costs_nothing_but_a_request() -> None:
    with limited(client_bytes_per_day=10_000) as (server, backend):
        client = server.client
        etag = client.head(SMALL).headers["ETag"]
        for _ in range(10):
            assert client.head(SMALL).status_code == 200
            assert client.get(SMALL, headers={"If-None-Match": etag}).status_code == 304
            assert client.get(SMALL, headers={"Range": "bytes=99999-"}).status_code == 416
            assert client.get(SMALL, headers={"If-Match": '"other"'}).status_code == 412
        answer = client.get(SMALL)
        left = 10_000 - len(answer.content)
        assert f'"bytes";r={left};' in answer.headers["RateLimit"]
        assert answer.headers["RateLimit-Policy"] == '"bytes";q=10000;w=86400;qu="content-bytes"'
        assert client.get(SMALL).status_code == 200
        before = backend.generated
        refused(client.get(SMALL), 429, "quota-exceeded")
        refused(client.get(SMALL), 429, "quota-exceeded")  # the refusal before did not cost anything
        assert backend.generated == before
        assert client.get(SMALL, headers={"Range": "bytes=0-999"}).status_code == 206
        assert value(client, "fanin_streams") == 0


def test_what_is_never_allowed_is_told_so() -> None:
    limits = ("max_answer_bytes", "client_bytes_per_day", "client_in_flight_bytes", "max_in_flight_bytes")
    for limit in limits:
        with limited(**{limit: 1000}) as (server, _):
            document = refused(server.client.get(SMALL), 422, "limit-exceeded")
            assert "1000" in document["detail"]
            assert server.client.get(SMALL, headers={"Range": "bytes=0-999"}).status_code == 206
            assert server.client.head(SMALL).status_code == 200
            assert nothing_in_flight(server)


def test_streams_of_a_client_and_of_all(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second, third = ({"Authorization": f"Bearer {keys.create(path, n, tuple(Right))[0]}"} for n in "abc")
    limits = {"client_streams": 2, "max_streams": 3, "access": "keys", "keys_file": path}
    with limited(**limits) as (server, _), ExitStack() as streams:

        def begin(who: dict[str, str]) -> httpx.Response:
            return streams.enter_context(server.client.stream("GET", LARGE, headers=who))

        assert [begin(first).status_code, begin(first).status_code] == [200, 200]
        refused(server.client.get(SMALL, headers=first), 429, "too-much-in-flight")
        # The request is refused before the body is read: it is not a recipe.
        refused(server.client.post("/v1/weights", content=b"{", headers={**first, **JSON}), 429, "too-much-in-flight")
        assert server.client.head(SMALL, headers=first).status_code == 200
        assert begin(second).status_code == 200
        refused(server.client.get(SMALL, headers=third), 503, "overloaded")
        refused(server.client.get(SMALL, headers=first), 429, "too-much-in-flight")
        streams.close()
        wait_for(lambda: nothing_in_flight(server))
        assert server.client.get(SMALL, headers=third).status_code == 200
        assert nothing_in_flight(server)


def test_bytes_in_flight() -> None:
    size = 4 * 1000 * 100_000 * 1000
    with limited(client_in_flight_bytes=size + 1000, max_in_flight_bytes=2 * size) as (server, _):
        with server.client.stream("GET", LARGE) as stream:
            assert stream.status_code == 200
            refused(server.client.get(LARGE), 429, "too-much-in-flight")
        wait_for(lambda: nothing_in_flight(server))
        with server.client.stream("GET", LARGE) as stream:
            assert stream.status_code == 200
    with limited(max_in_flight_bytes=size + 1000) as (server, _), server.client.stream("GET", LARGE) as stream:
        assert stream.status_code == 200
        refused(server.client.get(LARGE), 503, "overloaded")


def post(server: Running, address: str, size: int, sent: int) -> socket.socket:
    """Return a connection that has sent `sent` bytes of a body of `size` spaces."""
    head = f"POST /v1/weights HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {address}\r\nContent-Length: {size}\r\n"
    connection = socket.create_connection(server.address, timeout=60)
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + b" " * sent)
    return connection


def test_bodies_that_are_held() -> None:
    """One client may hold a quarter of the limit, or one body of the largest size. Released bytes are free again."""
    bounds = {"max_recipe_bytes": 100_000, "max_model_bytes": 100_000, "max_held_bytes": 300_000, "max_tensors": 1}
    with limited(**bounds) as (server, _), ExitStack() as connections:
        held = lambda: server.app.state.service.admission._held.total.size  # noqa: E731

        def begin(address: str, sent: int) -> None:
            before = held()
            connections.enter_context(post(server, address, 100_000, sent))
            wait_for(lambda: held() == before + sent)

        def finish(address: str) -> bytes:
            with post(server, address, 50_000, 50_000) as connection:
                return connection.recv(1 << 16)

        begin("192.0.2.1", 90_000)
        answer = finish("192.0.2.1")
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"too-much-in-flight" in answer
        assert b"\r\nretry-after: " in answer.lower()
        assert finish("192.0.2.2").startswith(b"HTTP/1.1 422 ")  # it is not a recipe
        begin("192.0.2.3", 90_000)
        begin("192.0.2.4", 90_000)
        answer = finish("192.0.2.2")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"overloaded" in answer
        connections.close()
        wait_for(lambda: held() == 0)
        for address in ("192.0.2.1", "192.0.2.2"):
            assert finish(address).startswith(b"HTTP/1.1 422 ")
        assert server.client.post("/v1/weights", json={"shape": [3], "scheme": "ones"}).status_code == 200
        assert held() == 0


def test_descriptions_that_are_held() -> None:
    """A description is larger than its recipe, and a client can request one without reading it."""
    recipe = {"tensors": {f"{n:01000}": {"shape": [1], "scheme": "ones"} for n in range(4000)}}
    bounds = {"max_recipe_bytes": 6 << 20, "max_model_bytes": 6 << 20, "max_held_bytes": 48 << 20, "max_tensors": 4000}
    with limited(**bounds) as (server, _):
        path = server.register(recipe).removesuffix("/model.safetensors")
        size = len(server.client.get(path).content)
        assert (48 << 20) / 8 < size < (48 << 20) / 4
        held = server.app.state.service.admission._held.total
        with server.connection(path, 1 << 12):
            wait_for(lambda: held.size == size)
            refused(server.client.get(path), 429, "too-much-in-flight")
            other = server.client.get(path, headers={"X-Forwarded-For": "192.0.2.1"})
            assert len(other.content) == size
        wait_for(lambda: held.size == 0)
        assert server.client.get(path).status_code == 200


def test_a_cut_stream_is_charged_what_was_sent_of_it() -> None:
    quota, cuts = 600_000_000_000, 5
    with limited(client_bytes_per_day=quota) as (server, _):
        assert quota / 2 < int(server.client.head(LARGE).headers["Content-Length"]) < quota
        for _ in range(cuts):  # the second would be refused if the first were charged in full
            with server.client.stream("GET", LARGE) as stream:
                assert stream.status_code == 200
                next(stream.iter_raw(1))
            wait_for(lambda: nothing_in_flight(server))
        assert quota - cuts * (64 << 20) < remaining(server) < quota - cuts


def test_a_refused_part_of_a_matrix_is_not_charged() -> None:
    """The complete matrix would be generated for it, and is charged too."""
    quota, part = 10_000_000, "/v1/weights?shape=512,512&scheme=orthogonal"
    with limited(client_bytes_per_day=quota, client_in_flight_bytes=3) as (server, _):
        assert server.client.get(part, headers={"Range": "bytes=2000-2003"}).status_code == 422
        assert remaining(server) == quota - 1
    with limited(client_bytes_per_day=10_000) as (server, _):
        refused(server.client.get(part, headers={"Range": "bytes=2000-2003"}), 429, "quota-exceeded")
        assert remaining(server) == 10_000 - 1


def test_keys_have_their_own_bytes_a_day(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    rich, poor = (
        {"Authorization": f"Bearer {keys.create(path, 'k', tuple(Right), bytes_per_day=size)[0]}"}
        for size in (100_000, 5000)
    )
    plain = {"Authorization": f"Bearer {keys.create(path, 'k', tuple(Right))[0]}"}
    with limited(access="keys", keys_file=path, client_bytes_per_day=9000) as (server, _):
        for who, times in ((rich, 20), (poor, 1), (plain, 2)):
            statuses = [server.client.get(SMALL, headers=who).status_code for _ in range(times + 1)]
            assert statuses[:times] == [200] * times, who
        refused(server.client.get(SMALL, headers=poor), 429, "quota-exceeded")
        refused(server.client.get(SMALL, headers=plain), 429, "quota-exceeded")
        assert server.client.get(SMALL, headers=rich).status_code == 200
        # The service does not read a recipe from a client whose daily quota is exhausted.
        server.client.get(SMALL, headers={**poor, "Range": f"bytes=0-{remaining(server, poor) - 1}"})
        refused(server.client.post("/v1/weights", content=b"{", headers={**poor, **JSON}), 429, "quota-exceeded")


class Failing(CountingBackend):
    """Fails while the test requests it."""

    fails = False

    def _generate(self, *arguments: Any) -> None:
        if self.fails:
            raise BackendError("fails")
        super()._generate(*arguments)


def test_a_backend_that_fails_costs_nothing() -> None:
    backend = Failing()
    with running(Settings(client_bytes_per_day=100_000, check_seconds=1), backend) as server:
        before = remaining(server)
        backend.fails = True
        refused(server.client.get("/v1/weights?shape=20000&scheme=normal&std=1"), 503, "not-ready")
        assert nothing_in_flight(server)
        backend.fails = False
        wait_for(lambda: server.client.get("/readyz").status_code == 200)
        assert remaining(server) == before - 1


BIG = "/v1/weights?shape=700000&scheme=normal&std=1"
"""URL of a file of several chunks."""


def test_an_overload_is_refused_cleanly() -> None:
    """Some of many simultaneous requests are served in full. The others get the reason and a `Retry-After`."""
    backend, few, own, clients = WaitingBackend(), 5, 2, 24
    with running(Settings(max_streams=few, client_streams=own), backend) as server:
        wanted = server.client.get(BIG).content
        addresses = ["192.0.2.1"] * (clients // 2) + [f"198.51.100.{n}" for n in range(clients // 2)]
        backend.let.clear()
        with ThreadPoolExecutor(clients) as threads, httpx.Client(base_url=server.url, timeout=60) as client:
            futures = [threads.submit(client.get, BIG, headers={"X-Forwarded-For": each}) for each in addresses]
            wait_for(lambda: sum(future.done() for future in futures) == clients - few)
            refusals = [future.result() for future in futures if future.done()]
            backend.let.set()
            answers = [future.result() for future in futures]
        for answer in refusals:
            if answer.status_code == 429:
                refused(answer, 429, "too-much-in-flight")
            else:
                refused(answer, 503, "overloaded")
        served = [who for who, answer in zip(addresses, answers) if answer.status_code == 200]
        assert len(served) == few
        assert served.count(addresses[0]) <= own
        assert all(answer.content == wanted for answer in answers if answer.status_code == 200)
        wait_for(lambda: nothing_in_flight(server))


def test_clients_that_wait_as_they_are_told_all_get_theirs(tmp_path: Path) -> None:
    recipe = {"shape": [700_000], "scheme": "normal", "std": 1.0}
    with limited(max_streams=2) as (server, _):

        def save(number: int) -> bytes:
            path = tmp_path / str(number)
            with Client(server.url, where="remote", verify="digest", retries=30) as client:
                client.save(recipe, path)
            return path.read_bytes()

        with ThreadPoolExecutor(8) as threads:
            assert len(set(threads.map(save, range(8)))) == 1
        assert nothing_in_flight(server)


def test_a_storm_leaves_nothing_behind() -> None:
    with limited(client_streams=5, client_in_flight_bytes=10**15) as (server, _):
        path = server.register(HUGE)
        connections = []
        for number in range(40):
            connection = socket.create_connection(server.address)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            connections.append(connection)
            if number % 3:
                connections.pop(number % len(connections)).close()
        for connection in connections:
            connection.close()
        wait_for(lambda: nothing_in_flight(server) and server.client.get(SMALL).status_code == 200)
        wait_for(lambda: not server.app.state.service.admission._ledger._clients)
