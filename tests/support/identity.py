"""An identity provider: keys that sign, and a JWKS URL that can fail."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fanin_service.access.scopes import Right
from fanin_service.settings import Settings

ISSUER = "https://identity.example"
AUDIENCE = "fanin"


class Provider(ThreadingHTTPServer):
    """Serves the public halves of its keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/keys"
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.keys: list[dict[str, Any]] = [
            self.describe("first", self.rsa),
            self.describe("curve", self.ec),
            {"kty": "oct", "k": "c2VjcmV0", "kid": "symmetric", "alg": "HS256"},
            {"kty": "strange", "kid": "strange"},
        ]
        self.status = 200
        self.answer: bytes | None = None
        """Response in place of the keys."""
        self.drips: bytes | None = None
        """Bytes to send in place of a response, followed by single bytes at intervals until the client disconnects."""
        self.was_left = threading.Event()
        """Set when a client closes the connection of such a response."""
        self.requests = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()

    @staticmethod
    def describe(kid: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, Any]:
        """Return the key's public half as a JWK."""
        if isinstance(key, rsa.RSAPrivateKey):
            return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
        return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "ES256"}

    @property
    def public_pem(self) -> bytes:
        return self.rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, *, key: Any = None, algorithm: str = "RS256", kid: str | None = "first", **claims: Any) -> str:
        """Return a valid token, except for the given arguments. A claim that is None is omitted."""
        now = int(time.time())
        good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "tester", "iat": now, "exp": now + 300, "scope": " ".join(Right)}
        headers = {} if kid is None else {"kid": kid}
        told = {name: value for name, value in (good | claims).items() if value is not None}
        return jwt.encode(told, self.rsa if key is None else key, algorithm, headers)

    def settings(self, **others: Any) -> Settings:
        """Return settings of a service that trusts this provider."""
        access = {"access": "jwt", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_url": self.url}
        return Settings(**{"stall_seconds": 30, **access, **others})


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.server.drips is not None:
            self._drip(self.server.drips)
            return
        body = self.server.answer or json.dumps({"keys": self.server.keys}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, first: bytes) -> None:
        self.close_connection = True
        try:
            self.wfile.write(first)
            while True:
                time.sleep(0.02)
                self.wfile.write(b"x")
        except OSError:
            self.server.was_left.set()

    def log_message(self, *_: object) -> None:
        pass
