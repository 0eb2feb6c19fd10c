"""Secrets in every wrong place: neither a response nor the server's output repeats one."""

from __future__ import annotations

import base64
import json
import logging
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.telemetry.redaction import RedactingFilter, redact
from tests.support.identity import AUDIENCE, ISSUER, Provider
from tests.support.processes import COMMAND
from tests.support.servers import wait_for

DIGEST = "0" * 64


def places(secret: str) -> list[tuple[str, str, dict[str, str], bytes]]:
    """Return method, path, headers and body of requests with the secret in a wrong place."""
    body = {
        "name": {"tensors": {secret: {"shape": [2]}}},
        "scheme": {"shape": [2], "scheme": secret},
        "field": {"shape": [2], "scheme": "zeros", secret: 1},
        "value": {"shape": [2], "scheme": "constant", "value": secret},
        "seed": {"shape": [2], "scheme": "zeros", "seed": f"x{secret}"},
    }
    query = quote(secret, safe="").replace("_", "%5F")
    return [
        *(("GET", f"/v1/weights?{name}={secret}", {}, b"") for name in ("access_token", "token", "api_key", "key")),
        *(("GET", f"/v1/weights?shape=2&scheme={secret}&{name}=1", {}, b"") for name in ("seed", secret)),
        ("GET", f"/v1/weights?shape=2&scheme=zeros&token={query}", {}, b""),
        ("GET", f"/v1/weights?{secret}", {}, b""),
        ("GET", f"/{secret}", {}, b""),
        ("GET", f"/v1/recipes/{secret}", {}, b""),
        ("GET", f"/v1/recipes/{query}", {}, b""),
        ("GET", f"/v1/recipes/{secret}/model.safetensors", {}, b""),
        ("DELETE", f"/v1/recipes/{secret}", {}, b""),
        ("GET", f"/livez?token={secret}", {}, b""),
        ("GET", f"/readyz/{secret}", {}, b""),
        *(
            ("GET", "/v1/schemes", {name: secret}, b"")
            for name in ("X-API-Key", "Cookie", "Authorization", "X-Request-ID", "Host")
        ),
        ("GET", "/v1/schemes", {"Authorization": f"Token {secret}"}, b""),
        ("GET", "/v1/schemes", {"Authorization": f"Bearer {secret}x"}, b""),
        ("GET", "/v1/schemes", {"Authorization": f"Bearer {secret} {secret}"}, b""),
        ("GET", "/v1/schemes", {"Authorization": f"Bearer x.{secret}.y"}, b""),
        ("POST", "/v1/weights", {"Content-Type": secret}, b"{}"),
        ("POST", "/v1/weights", {"Content-Type": "application/json", "Content-Encoding": secret}, b"{}"),
        ("GET", f"/v1/recipes/{DIGEST}/model.safetensors", {"If-Match": secret, "Range": f"bytes={secret}"}, b""),
        ("POST", "/v1/weights", {"Content-Type": "application/json"}, secret.encode()),
        *(
            ("POST", path, {"Content-Type": "application/json"}, json.dumps(each).encode())
            for each in body.values()
            for path in ("/v1/weights", "/v1/recipes")
        ),
    ]


def test_none_is_repeated(tmp_path: Path) -> None:
    keys_file, log = tmp_path / "keys.json", tmp_path / "log"
    key, _ = keys.create(keys_file, "x", tuple(Right))
    with Provider() as provider, open(log, "wb") as output, socket.socket() as probe:
        token = provider.token()
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        options = ["--port", str(port), "--access", "keys+jwt", "--keys-file", str(keys_file)]
        options += ["--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE, "--jwt-jwks-url", provider.url]
        command = [sys.executable, "-c", COMMAND, *options, "--backend", "reference", "--cors-origins", "*"]
        with subprocess.Popen(command, stdout=output, stderr=output) as process:
            try:
                wait_for(lambda: "startup complete" in log.read_text())
                answers = []
                for secret in (key, token):
                    for good in ({}, {"Authorization": f"Bearer {key}"}):
                        for method, path, headers, body in places(secret):
                            connection = HTTPConnection("127.0.0.1", port, timeout=60)
                            connection.request(method, path, body or None, good | headers)
                            answer = connection.getresponse()
                            assert good or answer.status == 401 or path.startswith("/livez")
                            answers.append((path, answer.status, f"{answer.headers} {answer.read().decode()}"))
                            connection.close()
                with socket.create_connection(("127.0.0.1", port)) as raw:
                    raw.sendall(f"GET /{key} {token}\r\n\r\n".encode())
                    answers.append(("raw", 400, raw.recv(4096).decode()))
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
    written = log.read_text()
    assert "GET /v1/recipes/{digest} 404" in written  # there is an access log
    secrets = (key, key.split("_")[2], token, *token.split(".")[1:], base64.b64encode(key.encode()).decode())
    for path, status, text in answers:
        assert not [secret for secret in secrets if secret in text], (path, status, text)
        assert status < 500, (path, text)
    assert not [secret for secret in secrets if secret in written]
    assert ISSUER not in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fanin_0123456789ab_" + "f" * 64, "[secret]"),
        ("/x?a=fanin_0123456789ab_ff&b=1", "/x?a=[secret]&b=1"),
        ("fanin%5F0123456789ab%5fff", "[secret]"),
        ("fanin_0123456789ab", "fanin_0123456789ab"),  # the id alone is not secret
        ("fanin_encoder_weight", "fanin_encoder_weight"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln x", "[secret] x"),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIi...", "[secret]"),
        (DIGEST, DIGEST),
        ("eyJfanin_0123456789ab_ffx", "eyJ[secret]"),
        pytest.param("eyJ" * 700_000, "eyJ" * 700_000, id="long"),  # takes hours if the search restarts at every letter
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert redact(text) == shown
    for message, arguments, wanted in (("%s %d", (text, 7), f"{shown} 7"), (text, (), shown)):
        record = logging.LogRecord("x", logging.INFO, "x", 1, message, arguments, None)
        assert RedactingFilter().filter(record)
        assert record.getMessage() == wanted
