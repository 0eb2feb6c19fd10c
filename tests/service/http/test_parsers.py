"""For every input, each parser of untrusted input returns, or raises an error that its docstring names."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import strategies as st

from fanin import FileError, FileLayout, RecipeError, backends
from fanin.file.digests import Manifest
from fanin_service.access import keys
from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.jwt import ProviderKeys, TokenChecker
from fanin_service.access.keys import KeyFileError
from fanin_service.access.principal import Principal
from fanin_service.access.scopes import Right
from fanin_service.admission.admission import _address
from fanin_service.context import RequestContext
from fanin_service.http import query
from fanin_service.http.ranges import ByteRange, Conditions, Verdict, parse_range, select
from fanin_service.recipes import limits
from fanin_service.settings import Settings
from fanin_service.telemetry.redaction import redact
from tests.support.digests import manifest_of
from tests.support.fuzzing import damaged, fuzz
from tests.support.identity import AUDIENCE, ISSUER, Provider

Test = Callable[..., None]
SIZE = 1000
ETAG = f'"{"0" * 64}"'
LIMITS = Settings(max_tensors=50, max_file_bytes=1 << 30)
RECIPE: dict[str, Any] = {
    "seed": "18446744073709551615",
    "dtype": "BF16",
    "layout": "torch",
    "tensors": {
        "a": {"shape": [3, 5], "scheme": "he_normal"},
        "b": {"shape": [4], "scheme": "uniform", "low": -1, "high": 1e-3, "dtype": "F32"},
        "c": {
            "shape": [6, 2],
            "scheme": "blocks",
            "axis": 0,
            "parts": [{"size": 2, "scheme": "zeros"}, {"size": 4, "scheme": "truncated_normal", "std": 0.02}],
        },
    },
}
SPECIAL = st.sampled_from(
    [float("nan"), float("inf"), -0.0, 1e308, 2**53, 2**64, 10**400, -1, "", "\0", "\ud800", None]
)
JSON = st.recursive(
    SPECIAL | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PATHS = st.lists(st.integers(0, 50), min_size=1, max_size=6)
"""Place in a document: the index of a member at each level."""
LATIN = st.text(st.characters(codec="latin-1"), max_size=60)


def header(alphabet: str) -> st.SearchStrategy[str]:
    """Return a strategy for values of a header: of its characters, so that some are nearly valid, or of any."""
    return st.text(alphabet, max_size=40) | LATIN


def counts(few: int, many: int) -> pytest.MarkDecorator:
    """Return the numbers of examples: few fixed ones by default, and many others in the long run."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.soak("requests"))])


@counts(100, 50_000)
def test_ranges(count: int) -> None:
    def holds(text: str, size: int) -> None:
        for found in (parse_range(text, size), parse_range(f"bytes={text}", size)):
            if isinstance(found, ByteRange):
                assert 0 <= found.start < found.stop <= size
            else:
                assert found in (Verdict.WHOLE, Verdict.UNSATISFIABLE)

    fuzz(count, holds, header("bytes=0123456789-, \t"), st.integers(1, 1 << 62))


@counts(100, 50_000)
def test_conditions(count: int) -> None:
    tags = st.lists(header('W/"0*, ' + "\t") | st.just(ETAG) | st.just("*"), max_size=3)

    def holds(method: str, match: list[str], none_match: list[str], if_range: list[str], ranges: list[str]) -> None:
        found = select(method, Conditions(match, none_match, if_range, ranges), ETAG, SIZE)
        assert match or found is not Verdict.PRECONDITION_FAILED
        assert none_match or found is not Verdict.NOT_MODIFIED
        assert (method == "GET" and ranges) or not isinstance(found, ByteRange)

    ranges = st.lists(header("bytes=0123456789-, "), max_size=2)
    fuzz(count, holds, st.sampled_from(["GET", "HEAD"]), tags, tags, tags, ranges)


def query_texts() -> st.SearchStrategy[bytes]:
    names = st.sampled_from(sorted(query._parameters().schemas)) | st.text(string.printable, max_size=5)
    values = st.sampled_from(["zeros", "he_normal", "2,3", "1e400", "null", "torch", "F8_E4M3", ""]) | header(
        "0123456789,.eE+-%"
    )
    pairs = st.lists(st.tuples(names, values), max_size=5)
    written = pairs.map(lambda found: "&".join(f"{name}={value}" for name, value in found).encode("latin-1"))
    return written | st.binary(max_size=60)


@counts(100, 20_000)
def test_queries(count: int) -> None:
    def holds(text: bytes) -> None:
        with suppress(RecipeError):
            assert limits.layout_of(query.parse(text), LIMITS).size > 0

    fuzz(count, holds, query_texts())


@counts(100, 20_000)
def test_recipes_that_are_damaged(count: int) -> None:
    def holds(text: bytes) -> None:
        with suppress(RecipeError):
            layout = limits.layout_of(text, LIMITS)
            assert FileLayout.of(layout.recipe.canonical).header == layout.header

    fuzz(count, holds, damaged([json.dumps(RECIPE).encode(), FileLayout.of(RECIPE).recipe.canonical]))


@counts(100, 20_000)
def test_recipes_of_any_values(count: int) -> None:
    """Any place of a recipe can have a value of any kind."""

    def holds(changes: list[tuple[list[int], Any]]) -> None:
        document = copy.deepcopy(RECIPE)
        for path, junk in changes:
            place(document, path, junk)
        text = json.dumps(document).encode()
        with suppress(RecipeError):
            layout = limits.layout_of(text, LIMITS)
            assert FileLayout.of(layout.recipe.canonical).header == layout.header

    fuzz(count, holds, st.lists(st.tuples(PATHS, JSON), min_size=1, max_size=2))


def place(document: Any, path: list[int], junk: Any) -> None:
    """Put `junk` at the path, or at the last place of the path that exists."""
    for step in path:
        members = sorted(document) if isinstance(document, dict) else range(len(document))
        if not members:
            return
        at, parent = members[step % len(members)], document
        document = parent[at]
        if not isinstance(document, dict | list):
            break
    parent[at] = junk


@counts(100, 20_000)
def test_key_files(count: int, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys.create(path, "one", tuple(Right), bytes_per_day=10**12)
    keys.create(path, "two", ())
    good = path.read_bytes()

    def holds(text: bytes) -> None:
        path.write_bytes(text)
        with suppress(KeyFileError):
            assert all(isinstance(record.id, str) for record in keys.read(path))

    fuzz(count, holds, damaged([good]))


@counts(100, 50_000)
def test_headers_of_every_request(count: int) -> None:
    """Headers with request ids, trace ids and the addresses that a proxy adds can have any value."""
    trace = header("00-123abcdef0-01")

    def holds(request_id: str, parent: str, address: str) -> None:
        sent = {b"x-request-id": request_id.encode("latin-1"), b"traceparent": parent.encode("latin-1")}
        scope = {"method": "GET", "path": "/", "query_string": b"", "scheme": "http", "http_version": "1.1"}
        received = {**scope, "headers": [*sent.items()], "client": (address, 1)}
        context = copy_context().run(RequestContext.begin, received)  # a copy: this thread's log context stays
        assert context.request_id.isascii()
        assert context.request_id.isprintable()
        assert context.trace_id is None or len(context.trace_id) == 32
        assert _address(address).startswith("address:")

    fuzz(count, holds, LATIN, trace, header("0123456789abcdef:.%/[]"))


@counts(100, 50_000)
def test_redaction(count: int) -> None:
    pieces = st.sampled_from(["eyJ", "fanin_", "fanin%5F", "0123456789ab", "_", ".", "%", "f" * 64, "a.b.c", "\n"])
    text = st.lists(pieces | st.text(max_size=5)).map("".join)

    def holds(text: str) -> None:
        told = redact(text)
        assert redact(told) == told or "[secret]" in told
        assert not keys._FORM.search(told)

    fuzz(count, holds, text)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@contextmanager
def checking(provider: Provider) -> Iterator[Callable[[str], Principal | None]]:
    """Yield the service's check, which returns the principal of a token."""
    keys = ProviderKeys(provider.url)
    check = TokenChecker(keys, issuer=ISSUER, audience=AUDIENCE, algorithms=("RS256", "ES256"), leeway_seconds=30)
    with asyncio.Runner() as loop:

        def principal(token: str) -> Principal | None:
            try:
                return loop.run(check.principal(token))
            except UnauthenticatedError:
                return None

        yield principal


def part(document: Any) -> str:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@counts(100, 10_000)
def test_tokens_of_strangers(count: int, provider: Provider) -> None:
    """The service rejects every such token, with any header."""
    token = provider.token()
    head = st.fixed_dictionaries(
        {
            "alg": st.sampled_from(["RS256", "ES256", "none", "HS256"]) | JSON,
            "kid": st.sampled_from(["first", "curve"]) | JSON,
        },
        optional=dict.fromkeys(("typ", "crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc", "cty"), JSON),
    )
    claims = token.split(".")[1]

    def holds(head: Any, junk: bytes, text: str) -> None:
        for stranger in (
            f"{part(head)}.{claims}.{part(junk)}",
            f"{part(head)}.{part(junk)}.",
            f"{part(junk)}.{claims}.{part(junk)}",
            text,
        ):
            assert principal(stranger) is None

    with checking(provider) as principal:
        fuzz(count, holds, head, st.binary(max_size=300), header(string.ascii_letters + ".-_="))
        assert principal(token)


@counts(100, 10_000)
def test_tokens_of_a_strange_provider(count: int, provider: Provider) -> None:
    """Tokens with a valid signature can have claims of any kind."""
    good = jwt.decode(provider.token(), options={"verify_signature": False})

    def holds(changed: dict[str, Any]) -> None:
        claims = json.dumps(good | changed).encode("utf-8", "surrogatepass")
        found = principal(jwt.PyJWS().encode(claims, provider.rsa, "RS256", {"kid": "first"}))
        if found:
            assert found.name.isprintable()
            assert all(isinstance(scope, str) for scope in found.scopes)

    with checking(provider) as principal:
        fuzz(count, holds, st.dictionaries(st.sampled_from([*good, "nbf", "scp", "jti"]), JSON, max_size=2))


@counts(100, 20_000)
def test_manifests_of_strange_services(count: int) -> None:
    """The client parses manifests of any kind."""
    layout = FileLayout.of(RECIPE)
    good = manifest_of(layout, backends.get()).document()

    def holds(junk: Any, path: list[int], instead: bool) -> None:
        document = copy.deepcopy(good)
        place(document, path, junk)
        try:
            found = Manifest.read(junk if instead else document, layout)
        except FileError:
            return
        assert all(len(each) == 64 for digests in found.tensors.values() for each in digests)

    fuzz(
        count,
        holds,
        JSON | st.text("0123456789abcdef", min_size=64, max_size=64),
        PATHS,
        st.booleans(),
    )
