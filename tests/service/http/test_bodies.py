"""Request bodies: those that differ from a digest in their headers are refused."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator

import httpx
import pytest

from tests.support.servers import running

BODY = b'{"shape": [2], "scheme": "ones"}'


def digest(algorithm: str, content: bytes = BODY) -> str:
    return b64encode(hashlib.new(algorithm, content).digest()).decode()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running() as server:
        yield server.client


def post(client: httpx.Client, *headers: tuple[str, str]) -> httpx.Response:
    return client.post("/v1/recipes", content=BODY, headers=[("Content-Type", "application/json"), *headers])


FORMS = [
    ("Content-MD5", "{}", "md5"),
    ("Content-Digest", "sha-256=:{}:", "sha256"),
    ("Content-Digest", "sha=:AAAA:, sha-512=:{}:", "sha512"),
    ("Repr-Digest", "sha-256=:{}:", "sha256"),
    ("Digest", "SHA-256={}", "sha256"),
    ("Digest", "unixsum=30637, md5={}", "md5"),
]


@pytest.mark.parametrize(("header", "form", "algorithm"), FORMS)
def test_a_digest_of_another_body_is_refused(client: httpx.Client, header: str, form: str, algorithm: str) -> None:
    assert post(client, (header, form.format(digest(algorithm)))).is_success
    wrong = digest(algorithm, b"another body")
    answer = post(client, (header, form.format(wrong)))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"{header} '{wrong}': the ")
    assert answer.json()["detail"].endswith(f" of the body is '{digest(algorithm)}'")


def test_each_digest_counts(client: httpx.Client) -> None:
    right, wrong = (f"sha-256=:{digest('sha256', content)}:" for content in (BODY, b""))
    assert post(client, ("Content-Digest", right), ("Repr-Digest", wrong)).status_code == 400
    assert post(client, ("Content-Digest", right), ("Content-Digest", wrong)).status_code == 400
    assert post(client, ("Content-Digest", right), ("Content-MD5", "no base64")).status_code == 400


def test_digests_by_unknown_algorithms_are_ignored(client: httpx.Client) -> None:
    assert post(client, ("Digest", "adler32=03da0195"), ("Content-Digest", "sha=:AAAA:")).is_success
