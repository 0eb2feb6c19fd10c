"""The time of parsers of client input grows with the length of the input, not with its square."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from fanin import RecipeError
from fanin.names import count
from fanin_service.access.aws import as_bearer
from fanin_service.http.bodies import digests_in
from fanin_service.http.ranges import Conditions, select
from fanin_service.models.errors import ModelError
from fanin_service.models.literals import Literals
from fanin_service.recipes import limits
from fanin_service.settings import Settings
from fanin_service.surfaces.hub_requests import revision_and_path
from fanin_service.telemetry.redaction import redact

TIMES = 64
MARGIN = 10
"""Allowed ratio to proportional growth. Quadratic growth would have the ratio `TIMES`."""
FLOOR = 1e-4
"""Shortest measured time, in seconds. Shorter times are noise."""


def literals(size: int) -> bytes:
    header = json.dumps({"x": {"dtype": "U8", "shape": [1 << 62] * size, "data_offsets": [0, 0]}}).encode()
    return struct.pack("<Q", len(header)) + header


def read_literals(text: bytes) -> None:
    with suppress(ModelError):
        Literals.read(text)


def tag_list(header: str) -> None:
    select("GET", Conditions(if_none_match=[header]), '"x"', 10)


CASES: dict[str, tuple[Callable[..., object], Callable[[int], object], int]] = {
    "access key": (
        as_bearer,
        lambda n: "AWS4-HMAC-SHA256 " + ";Credential=x" * n,
        300,
    ),
    "access keys": (
        as_bearer,
        lambda n: "AWS4-HMAC-SHA256" + " Credential=x" * n,
        300,
    ),
    "table": (limits.distributions_of, lambda n: {"shape": [1 << 62] * n, "scheme": "stft"}, 500),
    "literals": (read_literals, literals, 500),
    "tags": (tag_list, lambda n: '"", ' * n + "x", 300),
    "digests": (digests_in, lambda n: "a" * n, 500),
    "hub path": (
        lambda path: revision_and_path(path, "/hf/a/b/resolve"),
        lambda n: b"/hf/a/b/resolve%2Fx" + b"/" * n,
        300,
    ),
    "secrets": (redact, lambda n: "eyJ" * n, 300),
    "repeated names": (count, lambda n: "{0..9}" * n, 300),
}


def seconds(function: Callable[..., object], given: object) -> float:
    began = time.thread_time()
    function(given)
    return time.thread_time() - began


@pytest.mark.parametrize("name", CASES)
def test_time_grows_with_the_length(name: str) -> None:
    function, make, size = CASES[name]
    small, large = make(size), make(TIMES * size)
    base = max(FLOOR, min(seconds(function, small) for _ in range(5)))
    assert seconds(function, large) < MARGIN * TIMES * base


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            "Bearer key",
        ),
        ("AWS4-HMAC-SHA256 SignedHeaders=host,Signature=0,Credential=key/2026", "Bearer key"),
        ("AWS4-HMAC-SHA256 Credential=key", "AWS4-HMAC-SHA256 Credential=key"),
        ("AWS4-HMAC-SHA256 Credential=/2026", "AWS4-HMAC-SHA256 Credential=/2026"),
        ("AWS key:signature", "Bearer key"),
        ("AWS key", "AWS key"),
        ("AWS :signature", "AWS :signature"),
        ("Bearer AWS:x", "Bearer AWS:x"),
        ("", ""),
    ],
)
def test_the_access_key_is_the_key(given: str, expected: str) -> None:
    assert as_bearer(given) == expected


class Unwritten(list[int]):
    """A list that must not be written out: a call that writes millions of items lets no other thread run."""

    def __repr__(self) -> str:
        raise AssertionError("the list was written out")


@pytest.mark.parametrize("field", ["shape", "values", "unknown"])
def test_a_long_list_is_refused_before_it_is_written_out(field: str) -> None:
    document = {"scheme": "zeros", field: Unwritten([0] * 1001)}
    for recipe in (document, {"tensors": {"a": document}}, {"tensors": {}, "repeated": {"a{0..1}": document}}):
        with pytest.raises(RecipeError, match="1001 items; no list in a recipe has that many"):
            limits.check(recipe, Settings())
