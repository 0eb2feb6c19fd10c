"""TLS, client certificates and the second port, on separate servers."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from fanin import Client, ServiceError
from fanin_service.access import jwks, keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.authority import Authority
from tests.support.processes import run, serving
from tests.support.servers import running

RECIPE = {"shape": [5], "scheme": "zeros"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.certificate("server")


def test_https(authority: Authority, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    keys_file = tmp_path / "keys.json"
    token, _ = keys.create(keys_file, "x", (Right.WEIGHTS_READ, Right.RECIPES_WRITE))
    settings = Settings(stall_seconds=30, tls_cert=cert, tls_key=key, access="keys", keys_file=keys_file)
    context = ssl.create_default_context(cafile=authority.path)
    with running(settings, verify=context) as server:
        assert server.url.startswith("https://")
        assert server.client.get("/readyz").status_code == 200
        with Client(server.url, where="remote", token=token, ca_certs=authority.path) as client:
            client.save(RECIPE, tmp_path / "file", verify="full")
        with Client(server.url, where="remote", token=token, retries=0) as client, pytest.raises(ServiceError):
            client.register(RECIPE)  # the client does not trust the authority
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/livez")
        assert server.server.config.ssl
        assert server.server.config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
        for ciphers, is_taken in (("ECDHE-ECDSA-AES128-GCM-SHA256", True), ("ECDHE-ECDSA-AES128-SHA", False)):
            other = ssl.create_default_context(cafile=authority.path)
            other.maximum_version = ssl.TLSVersion.TLSv1_2
            other.set_ciphers(ciphers)
            with nullcontext() if is_taken else pytest.raises(httpx.ConnectError):
                httpx.get(f"{server.url}/livez", verify=other)


def test_a_client_certificate_is_required(authority: Authority, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    mine = authority.certificate("client")
    stranger = Authority(tmp_path, "stranger").certificate("client")
    cert, key = certificate
    options = ["--tls-cert", str(cert), "--tls-key", str(key), "--tls-client-ca", str(authority.path)]
    with serving(*options, "--admin-port", "0") as (url, process):
        assert url.startswith("https://")
        assert process.stderr
        beside = process.stderr.readline().split()[-1]

        def register(client_cert: tuple[Path, Path] | None) -> str:
            options = {"ca_certs": authority.path, "client_cert": client_cert, "retries": 0}
            with Client(url, where="remote", **options) as client:  # type: ignore[arg-type]
                return client.register(RECIPE)

        assert register(mine)
        for other in (None, stranger):
            with pytest.raises(ServiceError):
                register(other)
        # A health probe has no certificate.
        trusted = ssl.create_default_context(cafile=authority.path)
        assert httpx.get(beside + "/readyz", verify=trusted).status_code == 200
        assert httpx.get(beside + "/v1/schemes", verify=trusted).status_code == 404


def test_files_that_are_wrong(authority: Authority, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = map(str, certificate)
    none, nonsense = str(tmp_path / "none"), tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    _, other_key = authority.certificate("other")
    _, hidden_key = authority.certificate("hidden", b"password")
    for options, words in (
        (["--tls-cert", cert], ("FANIN_TLS_CERT", "FANIN_TLS_KEY")),
        (["--tls-key", key], ("FANIN_TLS_CERT", "FANIN_TLS_KEY")),
        (["--tls-client-ca", cert], ("FANIN_TLS_CLIENT_CA", "FANIN_TLS_CERT")),
        (["--tls-cert", none, "--tls-key", key], ("FANIN_TLS_CERT", none, "No such file")),
        (["--tls-cert", cert, "--tls-key", none], ("FANIN_TLS_KEY", none, "No such file")),
        (["--tls-cert", str(nonsense), "--tls-key", key], ("FANIN_TLS_CERT", str(nonsense))),
        (["--tls-cert", cert, "--tls-key", str(other_key)], ("FANIN_TLS_KEY", str(other_key))),
        (["--tls-cert", cert, "--tls-key", str(hidden_key)], ("FANIN_TLS_KEY", "unencrypted")),
        (["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", str(nonsense)], ("FANIN_TLS_CLIENT_CA",)),
        (["--tls-cert", cert, "--tls-key", key, "--tls-client-ca", none], ("FANIN_TLS_CLIENT_CA", none)),
    ):
        done = run("--port", "0", *options)
        assert done.returncode == 2, options
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert all(word in done.stderr for word in words), done.stderr


def test_the_keys_of_a_provider(
    authority: Authority, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider's certificate must be from a trusted authority, and for the host of the request."""
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)

    async def ask(host: str) -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            await writer.drain()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=served) as server:
            url = f"https://{host}:{server.sockets[0].getsockname()[1]}/keys"
            return await jwks.fetch(url, seconds=60, max_bytes=100)

    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(ask("127.0.0.1"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    assert asyncio.run(ask("127.0.0.1")) == b"abc"
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(ask("localhost"))
