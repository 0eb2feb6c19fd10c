"""Access: every route of the application's table, with every kind of valid and invalid key and token."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import NoReturn

import httpx
import jwt
import pytest
from fastapi import FastAPI
from starlette.routing import Route

import fanin
from fanin.file import archive
from fanin_service.access import keys
from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.rules import right_for
from fanin_service.access.scopes import Right, sufficient
from fanin_service.app import create_admin_app, create_app
from fanin_service.settings import Settings
from tests.support.artifacts import wait_until
from tests.support.backends import CountingBackend
from tests.support.identity import Provider
from tests.support.servers import Running, running

RECIPE = {"tensors": {"w": {"shape": [3, 4], "scheme": "he_normal"}}}
MODEL = archive.pack({"recipe.json": json.dumps(RECIPE).encode()})
ARTIFACT = {"destination": "here", "recipe": RECIPE}
FRONT = {"/", "/page/{file}"}
PUBLIC = {"/livez", "/readyz", "/docs", "/docs/{asset}", *FRONT}
WEIGHTS = "/v1/weights?shape=4&scheme=zeros"
LISTING = {"list-type": "2"}


@dataclass
class Guarded:
    """A service with keys and tokens."""

    server: Running
    backend: CountingBackend
    provider: Provider
    keys_file: Path
    digest: str
    artifact: str
    """Id of a complete artifact."""

    def key(self, *scopes: str, **options: timedelta) -> str:
        now = datetime.now(UTC)
        expires = now + options["lasts"] if "lasts" in options else None
        return keys.create(self.keys_file, "tester", scopes, expires=expires)[0]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    path, backend = tmp_path_factory.mktemp("keys") / "keys.json", CountingBackend()
    key = keys.create(path, "first", tuple(Right))[0]
    with pytest.MonkeyPatch.context() as patch, Provider() as provider:
        patch.setattr(keys, "RELOAD_SECONDS", 0.0)
        settings = provider.settings(
            access="keys+jwt",
            keys_file=path,
            failed_logins_per_minute=10**9,
            check_seconds=86_400,
            artifact_destinations={"here": str(path.with_name("artifacts"))},
        )
        with running(settings, backend) as server:
            answer = server.client.post("/v1/recipes", json=RECIPE, headers=bearer(key))
            headers = bearer(key) | {"Content-Type": archive.MEDIA_TYPE}
            assert server.client.put("/v1/models/tester/tiny", content=MODEL, headers=headers).status_code == 201
            made = server.client.post("/v1/artifacts", json=ARTIFACT, headers=bearer(key))
            wait_until(server.client, made.headers["Location"], "complete", headers=bearer(key))
            yield Guarded(server, backend, provider, path, answer.json()["digest"], made.json()["id"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def routes_of(app: FastAPI) -> list[Route]:
    routes: list[Route] = app.state.routes
    return routes


def both() -> tuple[FastAPI, FastAPI]:
    """Return the application of each port."""
    app = create_app(Settings())
    return app, create_admin_app(app)


def operations(public: bool) -> list[object]:
    """Return method and path of every route in the table that is, or is not, public."""
    return [
        pytest.param(method, route.path, right_for(route), id=f"{method} {route.path}")
        for route in routes_of(create_app(Settings()))
        for method in sorted(route.methods or ())
        if (right_for(route) is None) == public
    ]


def ask(
    guarded: Guarded, method: str, path: str, headers: dict[str, str] | list[tuple[str, str]] | None = None
) -> httpx.Response:
    """Send a request that is valid except for its key."""
    values = {
        "digest": guarded.digest,
        "name": "tester/absent" if method == "DELETE" else "tester/tiny",
        "repo": "tester/tiny",
        "revision": "main",
        "target": "main" if "/tree/" in path else "main/model.safetensors",
        "kind": "datasets",
        "bucket": "models",
        "key": "tester/tiny/main/model.safetensors",
        "asset": "page.css",
        "file": "page.js",
        "destination": "here",
        "artifact": "0" * 64 if method == "DELETE" else guarded.artifact,
    }
    path = re.sub(r"{(\w+)(:\w+)?}", lambda found: values[found[1]], path)
    if method == "PUT":
        given = list(headers.items()) if isinstance(headers, dict) else headers or []
        typed = [*given, ("Content-Type", archive.MEDIA_TYPE)]
        return guarded.server.client.put(path, content=MODEL, headers=typed)
    if method == "POST":
        body = {"paths": []} if "/paths-info/" in path else ARTIFACT if path == "/v1/artifacts" else RECIPE
        return guarded.server.client.request(method, path, json=body, headers=headers)
    queries = {"/v1/weights": {"shape": "4", "scheme": "zeros"}, "/s3/models": LISTING, "/s3/models/": LISTING}
    query = queries.get(path, {})
    return guarded.server.client.request(method, path, params=query, headers=headers)


def basic(guarded: Guarded) -> str:
    return "Basic " + base64.b64encode(f"fanin:{guarded.key(*Right)}".encode()).decode()


def hmac_with_public_key(guarded: Guarded) -> str:
    """Return a token of an algorithm confusion: the public key, which everyone knows, as the secret of an HMAC."""
    part = lambda found: base64.urlsafe_b64encode(found).rstrip(b"=")  # noqa: E731
    claims = jwt.decode(guarded.provider.token(), options={"verify_signature": False})
    head = {"alg": "HS256", "typ": "JWT", "kid": "first"}
    signed = part(json.dumps(head).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.digest(guarded.provider.public_pem, signed, hashlib.sha256))).decode()


def tampered(guarded: Guarded) -> str:
    head, _, signature = guarded.provider.token(scope="weights:read").split(".")
    return ".".join((head, guarded.provider.token().split(".")[1], signature))


def flipped(key: str) -> str:
    return key[:-1] + ("1" if key[-1] == "0" else "0")


def revoked(guarded: Guarded) -> str:
    key = guarded.key(*Right)
    keys.revoke(guarded.keys_file, key.split("_")[1])
    return key


BAD: dict[str, Callable[[Guarded], str]] = {
    "wrong secret": lambda guarded: flipped(guarded.key(*Right)),
    "another's secret": lambda guarded: guarded.key(*Right)[:18] + guarded.key(*Right)[18:],
    "unknown id": lambda _: f"fanin_{'0' * 12}_{'0' * 64}",
    "malformed key": lambda guarded: guarded.key(*Right) + "a",
    "the hash of the key": lambda guarded: f"{guarded.key(*Right)[:19]}{keys.read(guarded.keys_file)[-1].sha256}",
    "non-ASCII": lambda guarded: guarded.key(*Right)[:-1] + "é",
    "prefix": lambda _: "fanin_",
    "word": lambda _: "letmein",
    "expired key": lambda guarded: guarded.key(*Right, lasts=timedelta(seconds=-1)),
    "revoked key": revoked,
    "issuer": lambda guarded: guarded.provider.token(iss="https://other.example"),
    "no issuer": lambda guarded: guarded.provider.token(iss=None),
    "audience": lambda guarded: guarded.provider.token(aud="other"),
    "no audience": lambda guarded: guarded.provider.token(aud=None),
    "no subject": lambda guarded: guarded.provider.token(sub=None),
    "empty subject": lambda guarded: guarded.provider.token(sub=""),
    "half a surrogate pair in the subject": lambda guarded: guarded.provider.token(sub="a\ud800"),
    "blank subject": lambda guarded: guarded.provider.token(sub=" "),
    "expired token": lambda guarded: guarded.provider.token(exp=int(time.time()) - 31),
    "never expires": lambda guarded: guarded.provider.token(exp=None),
    "not yet valid": lambda guarded: guarded.provider.token(nbf=int(time.time()) + 60),
    "unknown kid": lambda guarded: guarded.provider.token(kid="second"),
    "no kid": lambda guarded: guarded.provider.token(kid=None),
    "kid of the wrong key": lambda guarded: guarded.provider.token(kid="curve"),
    "algorithm none": lambda guarded: guarded.provider.token(key="", algorithm="none"),
    "HS256 with the public key": hmac_with_public_key,
    "HS256 with a symmetric key that the provider shows": lambda guarded: guarded.provider.token(
        key="secret" * 8, algorithm="HS256", kid="symmetric"
    ),
    "algorithm not allowed": lambda guarded: guarded.provider.token(algorithm="RS512"),
    "tampered": tampered,
    "too long": lambda guarded: guarded.provider.token(more="x" * 8192),
    "claims are no object": lambda guarded: jwt.PyJWS().encode(b"[]", guarded.provider.rsa, "RS256", {"kid": "first"}),
    "dots": lambda _: "..",
}


@pytest.mark.parametrize(("method", "path", "right"), operations(public=False))
class TestGuardedRoute:
    def test_no_key(self, guarded: Guarded, method: str, path: str, right: Right) -> None:
        answer = ask(guarded, method, path)
        assert_unauthenticated(answer)
        assert "error" not in answer.headers["WWW-Authenticate"]

    def test_bad_keys(self, guarded: Guarded, method: str, path: str, right: Right) -> None:
        made = guarded.backend.generated
        for name, make in BAD.items():
            token = make(guarded)
            answer = ask(guarded, method, path, {"Authorization": f"Bearer {token}".encode()})  # type: ignore[dict-item]
            assert_unauthenticated(answer)
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"], name
        assert guarded.backend.generated == made

    def test_bad_headers(self, guarded: Guarded, method: str, path: str, right: Right) -> None:
        good = guarded.key(*Right)
        for value in ("", "Bearer", good, f"Token {good}", f"Bearer {good} {good}", f"Bearer {good},"):
            assert_unauthenticated(ask(guarded, method, path, {"Authorization": value}))
        assert_unauthenticated(ask(guarded, method, path, {"Authorization": basic(guarded)}))
        assert_unauthenticated(ask(guarded, method, path, {"X-API-Key": good, "Cookie": f"token={good}"}))
        for other in (good, "bad"):
            twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {other}")]
            assert_unauthenticated(ask(guarded, method, path, twice))

    def test_without_the_scope(self, guarded: Guarded, method: str, path: str, right: Right) -> None:
        others = [each for each in Right if each not in sufficient(right)]
        for token in (guarded.key(*others), guarded.provider.token(scope=" ".join(others)), guarded.key()):
            answer = ask(guarded, method, path, bearer(token))
            assert answer.status_code == 403
            assert answer.headers["WWW-Authenticate"] == (
                f'Bearer realm="fanin", error="insufficient_scope", scope="{right}"'
            )
            if path.startswith("/hf/"):
                assert answer.headers["X-Error-Message"].endswith(f"this needs the scope {right}")
            elif path.startswith("/s3"):
                assert method == "HEAD" or f"this needs the scope {right}" in answer.text
            elif method != "HEAD":
                assert answer.json()["type"] == "urn:fanin:problem:insufficient-scope"
        for scopes in ({}, [7], f"x{right}", None):
            assert ask(guarded, method, path, bearer(guarded.provider.token(scope=scopes))).status_code == 403

    def test_right_key(self, guarded: Guarded, method: str, path: str, right: Right) -> None:
        provider = guarded.provider
        good = (
            guarded.key(right),
            guarded.key(right, lasts=timedelta(hours=1)),
            provider.token(scope=f"openid {right}"),
            provider.token(scope=None, scp=[right]),
            provider.token(aud=["other", "fanin"]),
            provider.token(exp=int(time.time()) - 20, nbf=int(time.time()) + 20),  # within the leeway
            provider.token(key=provider.ec, algorithm="ES256", kid="curve"),
        )
        # 503 is the status of /digests while they are computed, 404 of a deletion of a missing resource, and 307 of
        # names of the Hub. The service has no other kinds of repositories, and the Hub's protocol cannot write.
        is_absent = method == "DELETE" or "{kind:kind}/" in path
        done = (200, 201, 307, 404 if is_absent else 403 if path.endswith("/auth-check/write") else 503)
        for token in good:
            answer = ask(guarded, method, path, bearer(token))
            assert answer.status_code in done, answer.text
            assert answer.status_code != 503 or answer.headers["Retry-After"]
            assert "public" not in answer.headers.get("Cache-Control", "")
        assert ask(guarded, method, path, {"authorization": f"bearer  {good[0]}"}).status_code in done


def assert_unauthenticated(answer: httpx.Response) -> None:
    of_s3 = answer.request.url.path.startswith("/s3")
    assert answer.status_code == (403 if of_s3 else 401), answer.text
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="fanin"')
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.request.url.path.startswith("/hf/"):
        assert answer.headers["X-Error-Message"]
        return
    if of_s3:
        assert answer.headers["Content-Type"] == "application/xml"
        return
    assert answer.headers["Content-Type"] == "application/problem+json"
    if answer.request.method != "HEAD":
        assert answer.json()["type"] == "urn:fanin:problem:unauthenticated"


@pytest.mark.parametrize(("method", "path", "right"), operations(public=True))
def test_public_routes(guarded: Guarded, method: str, path: str, right: None) -> None:
    assert path in PUBLIC
    for headers in ({}, bearer("bad"), {"Authorization": ""}):
        assert ask(guarded, method, path, headers).status_code == 200


def test_health_and_pages_alone_are_public() -> None:
    app, admin = ({route.path for route in routes_of(app) if right_for(route) is None} for app in both())
    assert (app, admin) == (PUBLIC, PUBLIC - FRONT)


def test_the_table_has_every_route() -> None:
    """FastAPI adds no routes, and the application's routes are those that have rules."""
    for app in both():
        routers = [getattr(route, "original_router", None) for route in app.routes]
        assert None not in routers
        assert [route for router in routers if router for route in router.routes] == routes_of(app)


def test_a_route_without_a_rule_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin_service.routes import schemes

    async def forgotten() -> None: ...

    monkeypatch.setattr(schemes.router, "routes", [*schemes.router.routes, Route("/forgotten", forgotten)])
    with pytest.raises(RuntimeError, match="/forgotten"):
        create_app(Settings())


def test_paths_cannot_be_found_out(guarded: Guarded) -> None:
    """A client without a key gets the same response whether or not the path exists."""
    key = guarded.key(*Right)
    for method, path in (
        *(
            ("GET", "/nothing"),
            ("GET", "/docs/no/thing"),
            ("DELETE", "/v1/recipes"),
            ("OPTIONS", "/v1/recipes"),
            ("PUT", "/livez"),
        ),
        *(("GET", "//livez"), ("GET", "/livez/"), ("GET", "/v1/../livez"), ("GET", "/livez%2f..%2fv1/schemes")),
        *(("GET", "/LIVEZ"), ("GET", "/livez;/v1/schemes"), ("GET", "/v1/recipes/" + "0" * 64), ("GET", "/redoc")),
    ):
        # httpx would normalize the paths.
        for headers, statuses in (({}, {401}), (bearer(key), {404, 405})):
            connection = HTTPConnection(*guarded.server.address)
            connection.request(method, path, headers=headers)
            assert connection.getresponse().status in statuses, (method, path)
            connection.close()


def test_no_body_is_read_for_a_stranger(guarded: Guarded) -> None:
    """The response is sent before the body arrives, so the client need not send it."""
    head = b"POST /v1/weights HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n"
    with guarded.server.connection("/livez") as connection:
        connection.recv(4096)
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_reading_needs_no_scope_for_writing(guarded: Guarded, tmp_path: Path) -> None:
    """The service has none of these recipes, so the client registers each."""
    key = guarded.key(Right.WEIGHTS_READ)

    def recipe(seed: int) -> dict[str, object]:
        return {**RECIPE, "seed": seed}

    with fanin.Client(guarded.server.url, token=key, where="remote") as client:
        client.save(recipe(101), tmp_path / "file", verify="full")
        assert fanin.verify(tmp_path / "file").tensors == 1
        assert (client.slice(recipe(102), "w", 1) == fanin.slice(recipe(102), "w", 1)).all()
        assert (client.tensor(recipe(103), "w") == fanin.materialize(recipe(103))["w"]).all()
        assert (client.materialize(recipe(104))["w"] == fanin.materialize(recipe(104))["w"]).all()
        assert len(client.digests(recipe(105)).tensors["w"]) == 1
        assert client.register(recipe(106)) == fanin.FileLayout.of(recipe(106)).recipe.digest


def test_caches_know_who_may_read() -> None:
    with running() as server:
        assert server.client.get(WEIGHTS).headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_open_access_asks_for_nothing() -> None:
    with running(Settings(stall_seconds=30, access="open")) as server:
        for headers in ({}, bearer("whatever"), {"Authorization": "nonsense"}):
            assert server.client.get(WEIGHTS, headers=headers).status_code == 200


def test_a_key_file_that_cannot_be_read_once_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process without a free file descriptor must not accept a revoked key until the next change of the file."""
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.0)
    path = tmp_path / "keys.json"
    key = keys.create(path, "first", (Right.WEIGHTS_READ,))[0]
    ring = keys.KeyRing(path)
    keys.revoke(path, "first")

    def fail(*_: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(keys, "open", fail, raising=False)
        for _ in range(3):
            assert ring.principal(key).name == "first"
    assert caplog.text.count("Too many open files") == 1
    with pytest.raises(UnauthenticatedError, match="revoked"):
        ring.principal(key)


def test_a_change_of_the_key_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "RELOAD_SECONDS", 0.0)
    path = tmp_path / "keys.json"
    first = keys.create(path, "first", (Right.WEIGHTS_READ,))[0]
    with running(Settings(stall_seconds=30, access="keys", keys_file=path)) as server:

        def status(key: str) -> int:
            return server.client.get(WEIGHTS, headers=bearer(key)).status_code

        second = keys.create(path, "second", (Right.WEIGHTS_READ,))[0]
        assert (status(first), status(second)) == (200, 200)
        assert keys.revoke(path, "second")
        assert (status(first), status(second)) == (200, 401)
        good = path.read_text()
        for damaged in ("", "{", '{"version": 2, "keys": []}', good.replace("sha256", "sha1")):
            path.write_text(damaged)
            assert (status(first), status(second)) == (200, 401)
        path.unlink()
        assert status(first) == 200
        path.write_text('{"keys": []}')
        assert status(first) == 401


def test_keys_that_name_no_algorithm_or_share_an_id() -> None:
    """Keys of RSA without `alg` verify all allowed algorithms of RSA. Keys with the same id differ by type."""
    with Provider() as provider:
        assert "alg" not in provider.keys[0]
        bare = {name: member for name, member in provider.describe("first", provider.ec).items() if name != "alg"}
        pinned = {**provider.describe("pinned", provider.rsa), "alg": "RS512"}
        # The service ignores entries that it cannot use: a provider can publish keys of all kinds.
        odd = [{**pinned, "kid": "odd", "alg": alg} for alg in (["RS256"], {}, 5, "none", "RSA-OAEP")]
        odd += [{**pinned, "kid": "odd", "key_ops": operations} for operations in (["encrypt"], [], "verify", {})]
        verifying = {**pinned, "kid": "verifying", "key_ops": ["verify"]}
        provider.keys += [bare, pinned, verifying, *odd, [], {"kid": "odd"}, {**pinned, "kid": ["odd"]}]
        with running(provider.settings(jwt_algorithms=("PS256", "RS512", "ES256"))) as server:

            def status(**signed: object) -> int:
                return server.client.get(WEIGHTS, headers=bearer(provider.token(**signed))).status_code

            assert status(algorithm="PS256") == status(algorithm="RS512") == 200
            assert status(algorithm="RS256") == status(algorithm="PS384") == 401  # not allowed here
            assert status(key=provider.ec, algorithm="ES256") == 200
            assert status(algorithm="RS512", kid="pinned") == 200
            assert status(algorithm="PS256", kid="pinned") == 401
            assert status(algorithm="RS512", kid="odd") == 401
            assert status(algorithm="RS512", kid="verifying") == 200


def test_tokens_wait_for_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first token fetches the provider's keys. Until they arrive, no token is accepted or rejected."""
    from fanin_service.access import jwt

    with Provider() as provider, running(provider.settings()) as server:

        def get(**claims: object) -> httpx.Response:
            return server.client.get(WEIGHTS, headers=bearer(provider.token(**claims)))

        provider.status = 500
        answers = [get() for _ in range(5)]
        assert {answer.status_code for answer in answers} == {503}
        assert 1 <= int(answers[0].headers["Retry-After"]) <= 10
        assert answers[0].json()["type"] == "urn:fanin:problem:token-unchecked"
        assert provider.requests == 1
        assert get(key="x" * 32, algorithm="HS256").status_code == 401
        for body in (b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b"nonsense", b"[" * 100_000, b" " * (1 << 21)):
            provider.status, provider.answer = 200, body
            monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 0.0)
            assert get().status_code == 503
        provider.answer = None
        assert get().status_code == 200

        # A new key is found, and unknown clients cannot cause a fetch for each request.
        monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 10.0)
        asked = provider.requests
        provider.keys.append(provider.describe("new", provider.rsa))
        assert get(kid="new").status_code == 401  # fetched a moment ago
        assert provider.requests == asked
        monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 0.0)
        assert get(kid="new").status_code == 200
        monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 10.0)
        asked = provider.requests
        assert {get(kid=f"guess-{n}").status_code for n in range(5)} == {401}
        assert provider.requests <= asked + 1

        # Without the provider, known keys stay valid for a limited time.
        provider.status = 500
        monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 0.0)
        monkeypatch.setattr(jwt, "FRESH_SECONDS", 0.0)
        assert get().status_code == 200
        monkeypatch.setattr(jwt, "STALE_SECONDS", 0.0)
        assert get().status_code == 503
        provider.status = 200
        monkeypatch.undo()


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_provider_that_drips(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    """The deadline limits the full response, and known keys stay valid."""
    from fanin_service.access import jwt

    monkeypatch.setattr(jwt, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(jwt, "COOLDOWN_SECONDS", 0.0)
    with Provider() as provider, running(provider.settings()) as server:

        def status() -> int:
            return server.client.get(WEIGHTS, headers=bearer(provider.token())).status_code

        provider.drips = first
        assert status() == 503
        assert provider.was_left.wait(60)
        provider.drips = None
        monkeypatch.setattr(jwt, "TIMEOUT_SECONDS", 60.0)
        assert status() == 200
        provider.drips = first
        monkeypatch.setattr(jwt, "FRESH_SECONDS", 0.0)
        provider.was_left.clear()
        assert [status() for _ in range(3)] == [200] * 3
    assert provider.was_left.wait(60)  # the server has disconnected


def test_the_body_of_a_provider_may_have_any_form() -> None:
    """A body can have chunks, a length, or the end of the connection as its end."""
    from fanin_service.access import jwks

    forms = {
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc": b"abc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n": b"abc",
        b"HTTP/1.0 200 OK\r\n\r\nabc": b"abc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde": ValueError,
        b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 3\r\n\r\nabc": ValueError,
        b"SSH-2.0\r\n": ValueError,
        b"": ValueError,
    }

    async def ask(response: bytes) -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            assert asked.startswith(b"GET /keys?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
            writer.write(response)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await jwks.fetch(f"http://127.0.0.1:{port}/keys?a=b", seconds=60, max_bytes=4)

    for response, wanted in forms.items():
        if isinstance(wanted, bytes):
            assert asyncio.run(ask(response)) == wanted, response
        else:
            with pytest.raises(wanted):
                asyncio.run(ask(response))


@pytest.mark.parametrize("as_token", [False, True])
def test_writing_models_of_one_namespace(guarded: Guarded, as_token: bool) -> None:
    """The client can read, and cannot write, models of other namespaces through every API."""
    scopes = [Right.MODELS_READ, Right.WEIGHTS_READ, "models:write:mine/*", "models:write:solo"]
    token = guarded.provider.token(scope=" ".join(scopes)) if as_token else guarded.key(*scopes)
    client, key = guarded.server.client, bearer(token)

    def put(name: str) -> int:
        headers = key | {"Content-Type": archive.MEDIA_TYPE}
        return client.put(f"/v1/models/{name}", content=MODEL, headers=headers).status_code

    assert [put(name) for name in ("mine/a", "mine/a", "solo")] == [201, 200, 201]
    for name in (
        "tester/tiny",
        "mine",
        "mines/a",
        "solo/a",
        "mine%2F..%2Ftester/tiny",
        "mine/../tester/tiny",
        "Mine/a",
        "mine/*",
    ):
        assert put(name) == client.delete(f"/v1/models/{name}", headers=key).status_code == 403, name
    refused = client.delete("/v1/models/tester/tiny", headers=key)
    assert "models:write:tester/*" in refused.json()["detail"]
    assert 'scope="models:write"' in refused.headers["WWW-Authenticate"]
    # The Hub API and the S3 API cannot write, not even the client's models.
    for name in ("tester/tiny", "mine/a"):
        path = f"{name}/main/model.safetensors"
        for method in ("PUT", "DELETE"):
            assert client.request(method, f"/s3/models/{path}", headers=key).status_code == 405
        assert client.post(f"/hf/api/models/{name}/commit/main", headers=key).status_code == 404
        read = (f"/v1/models/{name}", f"/hf/api/models/{name}", f"/s3/models/{path}")
        assert [client.get(path, headers=key).status_code for path in read] == [200, 200, 200]
    assert [client.delete(f"/v1/models/{name}", headers=key).status_code for name in ("mine/a", "solo")] == [204, 204]


def test_writing_all_models_needs_the_whole_scope(guarded: Guarded) -> None:
    for scope in (
        "models:write:*",
        "models:write:*/*",
        "models:write:",
        "models:write:tester",
        "models:write:tester/t*",
    ):
        headers = bearer(guarded.provider.token(scope=scope))
        assert guarded.server.client.delete("/v1/models/tester/tiny", headers=headers).status_code == 403, scope
