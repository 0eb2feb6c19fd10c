"""Files over HTTP: the right bytes, statuses and headers."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
from typing import Any

import httpx
import pytest

from fanin import FileLayout, backends
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.file.plan import read_into
from fanin.streams import Stream
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend
from tests.support.servers import HUGE, JSON, MIXED, Running, running

SHORT = {"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42}
SHORT_QUERY = "/v1/weights?shape=784,10&scheme=glorot_uniform&seed=42"
IMMUTABLE = "public, max-age=31536000, immutable"


def reference(recipe: object) -> bytes:
    layout = FileLayout.of(recipe)  # type: ignore[arg-type]
    content = bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(content), backends.load("reference"))
    return bytes(content)


@pytest.fixture(scope="module")
def mixed_path(server: Running) -> str:
    return server.register(MIXED)


def test_post_streams_the_file(client: httpx.Client, mixed_file: bytes) -> None:
    answer = client.post("/v1/weights", json=MIXED)
    digest = FileLayout.of(MIXED).recipe.digest
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(mixed_file).digest()
    headers = answer.headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Length"] == str(len(mixed_file))
    assert headers["ETag"] == f'"{digest}"'
    assert headers["Content-Disposition"] == f'attachment; filename="fanin-{digest[:12]}.safetensors"'
    assert headers["Content-Location"] == f"/v1/recipes/{digest}/model.safetensors"
    assert client.get(headers["Content-Location"]).content == mixed_file


def test_post_takes_the_short_form(client: httpx.Client) -> None:
    assert client.post("/v1/weights", json=SHORT).content == reference(SHORT)


@pytest.mark.parametrize("alias", ["bfloat16", "bf16", "torch.bfloat16", "jnp.bfloat16"])
def test_storage_types_have_aliases(client: httpx.Client, alias: str) -> None:
    tag = f'"{FileLayout.of({**SHORT, "dtype": "BF16"}).recipe.digest}"'
    assert client.head(f"{SHORT_QUERY}&dtype={alias}").headers["ETag"] == tag
    assert client.post("/v1/weights", json={**SHORT, "dtype": alias}).headers["ETag"] == tag


def test_only_programs_give_a_shape_as_a_number(client: httpx.Client) -> None:
    answer = client.post("/v1/weights", json={**SHORT, "shape": 784})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/shape")
    assert client.head(f"{SHORT_QUERY}&dtype=FP32").status_code == 422


def test_get_by_query(client: httpx.Client) -> None:
    expected = reference(SHORT)
    answer = client.get(SHORT_QUERY)
    assert answer.status_code == 200
    assert answer.content == expected
    assert answer.headers["Cache-Control"] == IMMUTABLE
    assert answer.headers["ETag"] == f'"{FileLayout.of(SHORT).recipe.digest}"'
    part = client.get(SHORT_QUERY, headers={"Range": "bytes=-40"})
    assert (part.status_code, part.content) == (206, expected[-40:])
    assert client.get(SHORT_QUERY, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert client.get(SHORT_QUERY, headers={"If-Match": '"x"'}).status_code == 412
    assert client.get(SHORT_QUERY, headers={"Range": "bytes=99999-"}).status_code == 416

    head = client.head(SHORT_QUERY)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == str(len(expected))


@pytest.mark.parametrize(
    ("query", "recipe"),
    [
        ("shape=&scheme=constant&value=-1.5e-1", {"shape": [], "scheme": "constant", "value": -0.15}),
        ("shape=3&scheme=constant&value=1e+1", {"shape": [3], "scheme": "constant", "value": 10.0}),
        ("shape=3&scheme=constant&value=1e%2B1", {"shape": [3], "scheme": "constant", "value": 10.0}),
        (
            "shape=3,3,8,8&scheme=he_normal&layout=torch&truncated=true&dtype=BF16&seed=18446744073709551615",
            {
                "shape": [3, 3, 8, 8],
                "scheme": "he_normal",
                "layout": "torch",
                "truncated": True,
                "dtype": "BF16",
                "seed": "18446744073709551615",
            },
        ),
        (
            "shape=9&scheme=truncated_normal&std=1&low=0&high=null&stream=fanin/1",
            {"shape": [9], "scheme": "truncated_normal", "std": 1.0, "low": 0.0, "high": None},
        ),
        (
            "shape=9,4&scheme=lecun_normal&in_axes=&out_axes=0,1",
            {"shape": [9, 4], "scheme": "lecun_normal", "in_axes": [], "out_axes": [0, 1]},
        ),
        ("shape=9,4&scheme=lecun_normal&in_axes=null", {"shape": [9, 4], "scheme": "lecun_normal"}),
        ("shape=9&shape=4&scheme=lecun_normal", {"shape": [9, 4], "scheme": "lecun_normal"}),
        (
            "shape=4,9,4&scheme=xavier_uniform&batch_axes=-3&groups=1",
            {"shape": [4, 9, 4], "scheme": "glorot_uniform", "batch_axes": [-3]},
        ),
        (
            "shape=9,4&dialect=torch&scheme=kaiming_normal_&nonlinearity=relu&mode=fan_out",
            {"shape": [9, 4], "scheme": "he_normal", "layout": "torch", "mode": "fan_out"},
        ),
        (
            "shape=3,9,4&dialect=jax&scheme=glorot_uniform&in_axis=1&out_axis=0,2",
            {
                "shape": [3, 9, 4],
                "scheme": "variance_scaling",
                "mode": "fan_avg",
                "distribution": "uniform",
                "in_axes": [1],
                "out_axes": [0, 2],
            },
        ),
        (
            "shape=3&scheme=constant&value=18446744073709551615&dtype=U64",
            {"shape": [3], "scheme": "constant", "value": 2**64 - 1, "dtype": "U64"},
        ),
        (
            "shape=3&scheme=constant&value=true&dtype=bool",
            {"shape": [3], "scheme": "constant", "value": 1, "dtype": "BOOL"},
        ),
        (
            "shape=2,5&scheme=arange&start=-9&dtype=i16",
            {"shape": [2, 5], "scheme": "arange", "start": "-9", "dtype": "I16"},
        ),
    ],
)
def test_query_spells_the_short_form(client: httpx.Client, query: str, recipe: object) -> None:
    answer = client.get(f"/v1/weights?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.content == reference(recipe)


@pytest.mark.parametrize(
    ("method", "path", "detail"),
    [
        ("POST", "/v1/weights?seed=5", "the parameter 'seed' belongs in the body: POST /v1/weights takes none"),
        ("POST", "/v1/recipes?seed=5", "the parameter 'seed' belongs in the body: POST /v1/recipes takes none"),
        ("GET", "/v1/schemes?scheme=zeros", "the parameter 'scheme' is unknown: GET /v1/schemes takes none"),
        ("GET", "/v1/models?limit=", "the parameter 'limit' is unknown: GET /v1/models takes none"),
        ("PUT", "/v1/models/a/b?seed=1", "the parameter 'seed' is unknown: PUT /v1/models/a/b takes none"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_refused(
    client: httpx.Client, method: str, path: str, detail: str
) -> None:
    answer = client.request(method, path, json=None if method == "GET" else {"shape": [2], "scheme": "zeros"})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:fanin:problem:unknown-parameter")
    assert answer.json()["detail"] == detail


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("shape=2&scheme=zeros&colour=red", "/colour"),
        ("shape=2&scheme=zeros&a/b~c=1", "/a~1b~0c"),
        ("shape=2&scheme=zeros&seed=3&seed=3", "/seed"),
        ("shape=2&scheme=zeros&shape=", "/shape/1"),
        ("shape=8,4&shape=4&scheme=zeros", "/shape"),  # (8, 4, 4), or a mistake
        ("shape=4&shape=8,4&scheme=zeros", "/shape"),
        ("shape=2&scheme=zeros&tensors=1", "/tensors"),
        ("scheme=zeros", "/shape"),
        ("shape=2", "/scheme"),
        ("", "/shape"),
        ("shape=2&scheme=nought", "/scheme"),
        ("shape=02&scheme=zeros", "/shape/0"),
        ("shape=2,&scheme=zeros", "/shape/1"),
        ("shape=2.0&scheme=zeros", "/shape/0"),
        ("shape=-1&scheme=zeros", "/shape/0"),
        ("shape=1_0&scheme=zeros", "/shape/0"),
        ("shape=%D9%A1&scheme=zeros", "/shape/0"),
        ("shape=null&scheme=zeros", "/shape"),
        (f"shape={'9' * 5000}&scheme=zeros", "/shape/0"),
        ("shape=2&scheme=zeros&seed=-1", "/seed"),
        ("shape=2&scheme=zeros&seed=01", "/seed"),
        ("shape=2&scheme=zeros&seed=1e3", "/seed"),
        ("shape=2&scheme=zeros&seed=18446744073709551616", "/seed"),
        ("shape=2&scheme=zeros&stream=fanin/2", "/stream"),
        ("shape=2&scheme=zeros&dtype=FP32", "/dtype"),
        ("shape=2&scheme=normal&std=NaN", "/std"),
        ("shape=2&scheme=normal&std=Infinity", "/std"),
        ("shape=2&scheme=normal&std=1e400", "/std"),
        ("shape=2&scheme=normal&std=", "/std"),
        ("shape=2&scheme=normal&std=%201", "/std"),
        ("shape=2,2&scheme=he_normal&truncated=1", "/truncated"),
        ("shape=2,2&scheme=he_normal&truncated=True", "/truncated"),
        ("shape=2&scheme=zeros&gain=1", "/gain"),
        ("shape=%FF&scheme=zeros", ""),
        ("shape=2&scheme=%ED%A0%80", ""),
        ("%00=1&shape=2&scheme=zeros", "/\0"),
        ("shape=1,1,1,1,1,1,1,1,1&scheme=zeros", "/shape"),
        ("shape=4&dialect=torch&scheme=uniform_&a=2&b=1", "/a"),
        ("shape=4&dialect=torch&scheme=uniform_&low=2", "/low"),
        ("shape=4&dialect=jax&scheme=he_normal&in_axis=x", "/in_axis"),
        ("shape=4&dialect=flax&scheme=he_normal", "/dialect"),
        ("shape=4,4&scheme=he_normal&dtype=I64", "/dtype"),
        ("shape=4&scheme=constant&value=0.5&dtype=I64", "/value"),
        ("shape=9007199254740991,9007199254740991&scheme=zeros", "/tensors/weight/shape"),
        ("shape=9007199254740991&scheme=zeros", "/shape"),
    ],
)
def test_wrong_query_names_the_parameter(client: httpx.Client, query: str, pointer: str) -> None:
    answer = client.get(f"/v1/weights?{query}")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_random_ranges_are_slices(client: httpx.Client, mixed_path: str, mixed_file: bytes) -> None:
    size, chance = len(mixed_file), random.Random(1)
    for _ in range(500):
        start = chance.randrange(size)
        stop = min(size, start + chance.choice((1, 3, 100, 5000, 70_000, size)))
        answer = client.get(mixed_path, headers={"Range": f"bytes={start}-{stop - 1}"})
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["Content-Length"] == str(stop - start)
        assert answer.content == mixed_file[start:stop], (start, stop)


def test_random_partitions_join_to_the_whole(client: httpx.Client, mixed_path: str, mixed_file: bytes) -> None:
    chance = random.Random(2)
    for pieces in (2, 7, 30):
        cuts = sorted({0, len(mixed_file), *(chance.randrange(len(mixed_file)) for _ in range(pieces))})
        parts = [
            client.get(mixed_path, headers={"Range": f"bytes={start}-{stop - 1}"}).content
            for start, stop in itertools.pairwise(cuts)
        ]
        assert b"".join(parts) == mixed_file


@pytest.mark.parametrize(
    ("range_", "start", "stop"), [("bytes=-7", -7, None), ("bytes=5-", 5, None), ("bytes=9-99999999999", 9, None)]
)
def test_open_ranges(
    client: httpx.Client, mixed_path: str, mixed_file: bytes, range_: str, start: int, stop: int | None
) -> None:
    answer = client.get(mixed_path, headers={"Range": range_})
    assert (answer.status_code, answer.content) == (206, mixed_file[start:stop])


@pytest.mark.parametrize("range_", ["bytes=0-1,5-6", "bytes=5-2", "bytes=x", "items=0-1", "bytes=-", "bytes 0-1"])
def test_ignored_ranges(client: httpx.Client, mixed_path: str, mixed_file: bytes, range_: str) -> None:
    answer = client.get(mixed_path, headers={"Range": range_})
    assert (answer.status_code, answer.content) == (200, mixed_file)
    assert "Content-Range" not in answer.headers


def test_unsatisfiable_range(client: httpx.Client, mixed_path: str, mixed_file: bytes) -> None:
    for range_ in (f"bytes={len(mixed_file)}-", "bytes=-0"):
        answer = client.get(mixed_path, headers={"Range": range_})
        assert answer.status_code == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(mixed_file)}"
        assert answer.json()["type"] == "urn:fanin:problem:range-not-satisfiable"


def test_conditions_over_the_wire(client: httpx.Client, mixed_path: str, mixed_file: bytes) -> None:
    etag = client.head(mixed_path).headers["ETag"]
    not_modified = client.get(mixed_path, headers={"If-None-Match": f"W/{etag}"})
    assert (not_modified.status_code, not_modified.content) == (304, b"")
    assert not_modified.headers["ETag"] == etag
    assert not_modified.headers["Cache-Control"] == IMMUTABLE
    failed = client.get(mixed_path, headers={"If-Match": '"other"'})
    assert failed.status_code == 412
    assert failed.json()["type"] == "urn:fanin:problem:precondition-failed"
    stale = client.get(mixed_path, headers={"If-Range": '"other"', "Range": "bytes=0-1"})
    assert (stale.status_code, stale.content) == (200, mixed_file)
    fresh = client.get(mixed_path, headers={"If-Range": etag, "Range": "bytes=0-1"})
    assert (fresh.status_code, fresh.content) == (206, mixed_file[:2])
    several = client.get(mixed_path, headers=[("If-None-Match", '"a"'), ("If-None-Match", etag)])
    assert several.status_code == 304


def test_100_terabytes() -> None:
    """Sizes and tags need no generation. The header and the tail need only their bytes."""
    backend = CountingBackend()
    layout = FileLayout.of(HUGE)
    with running(backend=backend) as server:
        path = server.register(HUGE)
        checked = backend.generated
        head = server.client.head(path)
        assert head.headers["Content-Length"] == str(layout.size) == str(100 * 10**12 + len(layout.header))
        assert server.client.get(path, headers={"If-None-Match": "*"}).status_code == 304
        assert server.client.get(path, headers={"If-Match": '"x"'}).status_code == 412
        assert server.client.get(path, headers={"Range": f"bytes={layout.size}-"}).status_code == 416
        assert server.client.get(path.removesuffix("/model.safetensors")).json()["size"] == layout.size
        header = server.client.get(path, headers={"Range": f"bytes=0-{len(layout.header) - 1}"})
        assert header.content == layout.header
        query = "/v1/weights?shape=100000000,250000&scheme=normal&std=1"
        assert int(server.client.head(query).headers["Content-Length"]) > 100 * 10**12
        assert backend.generated == checked

        expected = bytearray(b"\xca" * 4096)
        read_into(layout, layout.size - 4096, memoryview(expected), backends.load("reference"))
        assert server.client.get(path, headers={"Range": "bytes=-4096"}).content == bytes(expected)
        assert backend.generated == checked + 4096


def test_limits_name_what_to_change() -> None:
    limited = Settings(max_recipe_bytes=400, max_tensors=2, max_rank=2, max_file_bytes=10_000)
    with running(limited) as server:
        tensor = {"shape": [2], "scheme": "zeros"}
        for recipe, name, pointer in (
            ({"tensors": {"a": tensor, "b": tensor, "c": {"nonsense": 1}}}, "limit-exceeded", "/tensors"),
            ({"tensors": {"a/b~": {**tensor, "shape": [1, 1, 1]}}}, "limit-exceeded", "/tensors/a~1b~0/shape"),
            ({"shape": [1, 1, 1], "scheme": "zeros"}, "limit-exceeded", "/shape"),
            ({"shape": [10_000], "scheme": "zeros"}, "limit-exceeded", "/shape"),
            ({"tensors": {}, "repeated": {"a{0..999999999}": tensor}}, "limit-exceeded", "/repeated"),
            ({"tensors": {}, "repeated": {"a{0..1}" + "b" * 200: tensor}}, "limit-exceeded", "/repeated"),
        ):
            answer = server.client.post("/v1/weights", json=recipe)
            assert answer.status_code == 422
            assert answer.json()["type"] == f"urn:fanin:problem:{name}"
            assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        for content in (b" " * 401, (b" " * 100 for _ in range(10))):
            answer = server.client.post("/v1/recipes", content=content, headers=JSON)
            assert answer.status_code == 413
            assert answer.json()["type"] == "urn:fanin:problem:body-too-large"
        assert server.client.post("/v1/recipes", json={"tensors": {"a": tensor, "b": tensor}}).status_code == 201


def test_only_what_is_made_at_once_is_made_by_the_event_loop() -> None:
    """Threads generate many tensors, more bytes than the backend returns at once, and backends that can wait."""

    class Telling(CountingBackend):
        prompt_bytes = 4096

        def __init__(self) -> None:
            super().__init__()
            self.threads: set[str] = set()

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            self.threads.add(threading.current_thread().name.partition("_")[0])
            super()._generate(draw, stream, dtype, first, out)

    def threads_of(recipe: dict[str, Any]) -> set[str]:
        backend.threads.clear()
        assert server.client.post("/v1/weights", json=recipe).status_code == 200
        return set(backend.threads)

    backend = Telling()
    many = {"tensors": {f"t{n}": {"shape": [1], "scheme": "normal", "std": 1.0} for n in range(17)}}
    with running(backend=backend) as server:
        assert threads_of({"shape": [100], "scheme": "normal", "std": 1.0}) != {"fanin-generate"}
        assert threads_of({"shape": [1000], "scheme": "normal", "std": 1.0}) == {"fanin-generate"}
        assert threads_of(many) == {"fanin-generate"}
        server.app.state.service.backend.prompt_bytes = 0
        assert threads_of({"shape": [100], "scheme": "normal", "std": 1.0}) == {"fanin-generate"}
