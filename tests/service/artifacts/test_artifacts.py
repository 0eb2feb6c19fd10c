"""Artifacts through the HTTP API: written, resumed, cancelled, refused."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import fanin
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.file import archive
from fanin.streams import Stream
from fanin_service.access.scopes import check_scope
from fanin_service.app import create_app
from fanin_service.artifacts import capacity, job
from fanin_service.artifacts.artifacts import _planned
from fanin_service.artifacts.specification import Specification
from fanin_service.settings import Settings, SettingsError
from fanin_service.settings.reading import read
from tests.service.artifacts.conftest import Guarded, Made
from tests.support.artifacts import FILE_BYTES, FILES, RECIPE, REQUEST, contents, expected, state, wait_until
from tests.support.backends import WaitingBackend
from tests.support.limits import refused
from tests.support.metrics import value
from tests.support.servers import running, wait_for

ROOT = Path(__file__).parents[3]
UNKNOWN = "/v1/artifacts/weights/" + "0" * 64


def test_an_http_client_gets_an_artifact(made: Made, tmp_path: Path) -> None:
    answer = made.post()
    path, told = answer.headers["Location"], answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    assert path == f"/v1/artifacts/weights/{told['id']}"
    assert (told["items"], told["bytes"], told["url"]) == (FILES, FILES * FILE_BYTES, str(made.folder / told["id"]))
    done = wait_until(made.client, path, "complete")
    assert (done["items_done"], done["bytes_done"], done["problem"]) == (FILES, FILES * FILE_BYTES, None)
    assert contents(made.folder / told["id"]) == expected(tmp_path / "here")
    again = made.post(status=200, recipe=dict(reversed(RECIPE.items())), shard_size=2_000_000)
    assert again.json() == done
    wait_for(lambda: value(made.client, "fanin_artifacts_ended_total", state="complete") == 1)
    assert value(made.client, "fanin_artifact_bytes_total") == FILES * FILE_BYTES
    assert made.client.head(path).status_code == 200


def test_requests_differ_in_all_that_they_name(made: Made) -> None:
    answers = [
        made.post(shard_size="3MB"),
        made.post(recipe=RECIPE | {"seed": 8}),
        made.post(shard_size=None),
        made.client.post("/v1/artifacts", json={**REQUEST, "format": "safetensors", "shard_size": None}),
    ]
    found = [answer.json() for answer in answers]
    assert len({each["id"] for each in found}) == 4
    assert [each["shard_size"] for each in found] == [3_000_000, 2_000_000, 5_000_000_000, None]
    for answer in answers:
        wait_until(made.client, answer.headers["Location"], "complete")


def test_a_model_brings_its_files(made: Made) -> None:
    config = {"model_type": "tiny", "dtype": "float32"}
    model = {
        "recipe.json": json.dumps({"dtype": "F32", "tensors": RECIPE["tensors"]}).encode(),
        "config.json": json.dumps(config).encode(),
        "vocab/a.txt": b"a\n",
    }
    headers = {"Content-Type": archive.MEDIA_TYPE}
    made.client.put("/v1/models/me/tiny", content=archive.pack(model), headers=headers).raise_for_status()
    request = {"destination": "weights", "model": "me/tiny", "revision": "seed-9-bf16-2mb"}
    answer = made.client.post("/v1/artifacts", json=request)
    found = wait_until(made.client, answer.headers["Location"], "complete")
    files = contents(found["url"])
    assert found["shard_size"] == 2_000_000
    assert json.loads(files["config.json"])["dtype"] == "bfloat16"
    assert files["vocab/a.txt"] == b"a\n"
    index = json.loads(files["model.safetensors.index.json"])["weight_map"]
    assert sorted(index) == sorted(RECIPE["tensors"])
    loaded, _ = fanin.load(Path(found["url"], index["t3"]))
    wanted = fanin.materialize({"seed": 9, "dtype": "BF16", "tensors": RECIPE["tensors"]})
    assert loaded["t3"].tobytes() == wanted["t3"].tobytes()


@pytest.mark.parametrize(
    ("members", "field", "detail"),
    [
        ({"destination": "s3://bucket/x"}, "/destination", "this service has: weights"),
        ({"destination": None}, "/destination", "valid string"),
        ({"shard_size": 1000}, "/shard_size", "1048576 to"),
        ({"shard_size": "5 XB"}, "/shard_size", "such as 5GB"),
        ({"shard_size": "9" * 400}, "/shard_size", "such as 5GB"),
        ({"format": "zip"}, "/format", "'hf'"),
        ({"format": "safetensors"}, "/shard_size", "one file"),
        ({"recipe": None}, "", "either recipe or model"),
        ({"model": "me/tiny"}, "", "either recipe or model"),
        ({"revision": "main"}, "/revision", "only a model"),
        ({"url": "s3://bucket/x"}, "/url", "extra inputs"),
        ({"recipe": [1]}, "/recipe", "valid dictionary"),
    ],
)
def test_wrong_fields_are_named(idle: Made, members: dict[str, Any], field: str, detail: str) -> None:
    problem = refused(idle.post(status=422, **members), 422, "invalid-artifact")
    assert problem["errors"][0]["pointer"] == field
    assert detail in problem["errors"][0]["detail"]
    assert not list(idle.folder.iterdir())


def test_a_wrong_recipe_is_refused_as_everywhere(idle: Made) -> None:
    tensors = {"a": {"shape": [3], "scheme": "nope"}}
    problem = refused(idle.post(status=422, recipe={"tensors": tensors}), 422, "invalid-recipe")
    assert problem["errors"][0]["pointer"] == "/recipe/tensors/a/scheme"
    large = {"shape": [1 << 40, 1 << 20], "scheme": "zeros"}
    problem = refused(idle.post(status=422, recipe=large), 422, "limit-exceeded")
    assert problem["errors"][0]["pointer"] == "/recipe/shape"


@pytest.mark.parametrize("body", [b"[]", b"1", b"{", b'{"a": 1, "a": 2}', b"\xff", b'{"\\ud800": 1}'])
def test_no_body_is_an_error_of_the_service(idle: Made, body: bytes) -> None:
    answer = idle.client.post("/v1/artifacts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text


def test_unknown_artifacts(idle: Made) -> None:
    for path in (UNKNOWN, UNKNOWN.replace("weights", "other"), UNKNOWN[:-1], UNKNOWN.upper()):
        for method, tail in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            answer = idle.client.request(method, path + tail)
            if answer.json()["type"] != "urn:fanin:problem:not-found":
                refused(answer, 404, "unknown-artifact")
            assert answer.status_code == 404


def test_events_follow_an_artifact(made: Made) -> None:
    path = made.begun()
    with made.client.stream("GET", f"{path}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        lines = answer.iter_lines()
        assert next(lines) == "event: state"
        first = json.loads(next(lines).removeprefix("data: "))
        assert (first["state"], first["items_done"]) == ("writing", 0)
        made.backend.let.set()
        last = [line for line in lines if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: ")) == wait_until(made.client, path, "complete")


def test_cancel_and_go_on(made: Made, tmp_path: Path) -> None:
    path = made.begun()
    answer = made.client.delete(path)
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert made.client.delete(path).json()["state"] == "cancelled"
    found = made.end(path, "cancelled")
    wait_for(lambda: value(made.client, "fanin_artifacts_ended_total", state="cancelled") == 1)
    assert state(made.client, path)["items_done"] == 1
    assert made.post().headers["Location"] == path
    made.end(path)
    assert contents(found["url"]) == expected(tmp_path / "here")
    assert value(made.client, "fanin_artifact_bytes_total") == FILES * FILE_BYTES
    refused(made.client.delete(path), 409, "artifact-state")


def test_a_long_file_that_nobody_wants_is_left(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LEAVE_SECONDS", 0.0)
    large = {"shape": [10_000_000], "scheme": "constant", "value": 2.0}
    path = made.begun(recipe=large)
    assert made.client.delete(path).status_code == 202
    made.end(path, "cancelled")
    wait_for(lambda: value(made.client, "fanin_artifacts_ended_total", state="cancelled") == 1)
    assert state(made.client, path)["items_done"] == 0
    assert made.post(recipe=large).headers["Location"] == path
    assert made.end(path)["items_done"] == 1


def test_a_request_after_a_cancel_is_not_lost(made: Made) -> None:
    """The job that was cancelled still waits for its file when the next request arrives."""
    path = made.begun()
    for _ in range(3):
        made.client.delete(path)
        made.post()
    assert made.end(path)["items_done"] == FILES


def test_one_client_does_not_cancel_for_another(guarded: Guarded) -> None:
    one, other = guarded.bearer("artifacts:write"), guarded.bearer("artifacts:write")
    path = guarded.begun(headers=one)
    assert guarded.client.delete(path, headers=other).json()["state"] == "writing"
    assert guarded.post(headers=other).headers["Location"] == path
    assert guarded.client.delete(path, headers=one).json()["state"] == "writing"
    assert guarded.end(path, headers=other)["items_done"] == FILES
    journal = b"".join(file.read_bytes() for file in (guarded.folder / ".artifacts").rglob("*.json"))
    assert b"key:" not in journal
    assert b"tester" not in journal


def test_scopes(guarded: Guarded) -> None:
    for scope in ("weights:read", "models:read", "artifacts:read"):
        refused(guarded.post(status=403, headers=guarded.bearer(scope)), 403, "insufficient-scope")
    refused(guarded.post(status=401), 401, "unauthenticated")
    writer, reader = guarded.bearer("artifacts:write"), guarded.bearer("artifacts:read")
    path = guarded.post(headers=writer).headers["Location"]
    guarded.end(path, headers=reader)
    assert state(guarded.client, path, headers=writer)["state"] == "complete"
    refused(guarded.client.get(path, headers=guarded.bearer("weights:read")), 403, "insufficient-scope")
    refused(guarded.client.delete(path, headers=reader), 403, "insufficient-scope")
    model = {"destination": "weights", "model": "me/tiny"}
    refused(guarded.client.post("/v1/artifacts", json=model, headers=writer), 403, "insufficient-scope")
    both = guarded.bearer("artifacts:write", "models:read")
    refused(guarded.client.post("/v1/artifacts", json=model, headers=both), 404, "unknown-model")


def test_a_key_for_one_destination(guarded: Guarded) -> None:
    mine, other = guarded.bearer("artifacts:write:weights"), guarded.bearer("artifacts:write:elsewhere")
    refused(guarded.post(status=403, headers=other), 403, "insufficient-scope")
    path = guarded.post(headers=mine).headers["Location"]
    guarded.end(path, headers=mine)
    for method in ("GET", "DELETE"):
        refused(guarded.client.request(method, path, headers=other), 403, "insufficient-scope")
    refused(guarded.post(status=403, headers=mine, destination="elsewhere"), 403, "insufficient-scope")
    for scope in ("artifacts:write:", "artifacts:write:A", "artifacts:read:weights"):
        with pytest.raises(ValueError, match="artifacts:write:alias"):
            check_scope(scope)


def test_quotas_count_what_is_generated(guarded: Guarded) -> None:
    small = guarded.bearer("artifacts:write", bytes_per_day=FILE_BYTES)
    refused(guarded.post(status=422, headers=small), 422, "limit-exceeded")
    client = guarded.bearer("artifacts:write", "weights:read", bytes_per_day=10 * FILE_BYTES)
    path = guarded.begun(headers=client)
    # Bytes that are not yet generated count as used.
    refused(guarded.post(status=429, headers=client, recipe=RECIPE | {"seed": 8}), 429, "quota-exceeded")
    fetched = f"/v1/weights?shape={5 * FILE_BYTES}&scheme=zeros&dtype=F8_E5M2"
    with guarded.client.stream("GET", fetched, headers=client):
        found = guarded.end(path, "stopped", headers=client)
        assert (found["problem"], found["items_done"]) == ("quota-exceeded", 4)
        refused(guarded.post(status=429, headers=client), 429, "quota-exceeded")
    # Another client completes it, and pays only for what is missing.
    other = guarded.bearer("artifacts:write", bytes_per_day=6 * FILE_BYTES)
    guarded.post(headers=other)
    guarded.end(path, headers=other)
    guarded.post(headers=other, recipe=RECIPE | {"tensors": {"t0": RECIPE["tensors"]["t0"]}, "seed": 1})
    refused(guarded.post(status=429, headers=other, recipe=RECIPE | {"seed": 8}), 429, "quota-exceeded")


def test_few_artifacts_at_a_time(tmp_path: Path) -> None:
    backend = WaitingBackend()
    limits = {"client_artifacts": 2, "max_artifacts": 3}
    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400, **limits)
    with running(settings, backend) as server:
        made = Made(server, backend, tmp_path / "w")
        paths = [made.begun(), made.post(recipe=RECIPE | {"seed": 8}).headers["Location"]]
        refused(made.post(status=429, recipe=RECIPE | {"seed": 9}), 429, "too-much-in-flight")
        assert made.post().headers["Location"] == paths[0]
        for path in paths:
            made.end(path)
        # A job ends shortly after its artifact is complete.
        wait_for(lambda: value(made.client, "fanin_artifacts_ended_total", state="complete") == 2)
        made.end(made.post(recipe=RECIPE | {"seed": 9}).headers["Location"])


def test_artifacts_that_are_written_take_bounded_memory(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may have one artifact of any size, and no second one beside it that would take too much."""
    _, size = _planned(Specification("weights", fanin.as_recipe(RECIPE), "hf", 2_000_000))
    monkeypatch.setattr(capacity, "MAX_BYTES", size * 5 // 2)
    one, other, third = (guarded.bearer("artifacts:write") for _ in range(3))
    path = guarded.begun(headers=one)
    problem = refused(guarded.post(status=429, headers=one, recipe=RECIPE | {"seed": 8}), 429, "too-much-in-flight")
    assert "more bytes" in problem["detail"]
    assert guarded.post(headers=one).headers["Location"] == path
    guarded.post(headers=other, recipe=RECIPE | {"seed": 8})
    refused(guarded.post(status=503, headers=third, recipe=RECIPE | {"seed": 9}), 503, "overloaded")
    guarded.end(path, headers=one)
    wait_for(lambda: not guarded.server.app.state.service.artifacts._jobs)
    guarded.post(headers=one, recipe=RECIPE | {"seed": 9})


def test_the_memory_of_a_plan_is_estimated_from_above() -> None:
    names = {f"block.{{0..4999}}.{name}.weight": {"shape": [2], "scheme": "zeros"} for name in "abcd"}
    tensors = {f"t{place}": {"shape": [2, 3 + place], "scheme": "normal", "std": 1.0} for place in range(500)}
    for document in ({"tensors": {}, "repeated": names}, {"tensors": tensors}):
        text = fanin.as_recipe(document).canonical
        gc.collect()
        tracemalloc.start()
        plan, size = _planned(Specification("weights", fanin.as_recipe(text), "hf", 1 << 20, {"a.bin": bytes(100_000)}))
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held <= size < 2 * held, len(plan)


def test_equal_requests_at_once_are_one_artifact(made: Made) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: made.post(), range(6)))
    (path,) = {answer.headers["Location"] for answer in answers}
    made.end(path)
    assert len(list((made.folder / ".artifacts" / path.rpartition("/")[2]).iterdir())) == 1
    assert value(made.client, "fanin_artifact_bytes_total") == FILES * FILE_BYTES


def test_replicas_make_one_artifact(tmp_path: Path) -> None:
    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400)
    with running(settings) as one, running(settings) as other:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda server: server.client.post("/v1/artifacts", json=REQUEST), (one, other)))
        assert {answer.status_code for answer in answers} <= {200, 202}
        (path,) = {answer.headers["Location"] for answer in answers}
        found = wait_until(one.client, path, "complete")
        assert state(other.client, path) == found
    assert contents(found["url"]) == expected(tmp_path / "here")


CHILD = """
import json, sys, threading
from fanin_service.artifacts import job
from fanin_service.settings import Settings
from tests.support.artifacts import FILE_BYTES
from tests.support.backends import CountingBackend
from tests.support.servers import running

class Stuck(CountingBackend):
    def _generate(self, draw, stream, dtype, first, out):
        if self.generated > 3 * FILE_BYTES:
            threading.Event().wait()
        super()._generate(draw, stream, dtype, first, out)

job.random.randrange = lambda _: 0
with running(Settings(artifact_destinations=json.loads(sys.argv[1]), check_seconds=86400), Stuck()) as server:
    print(server.url, flush=True)
    threading.Event().wait()
"""


@contextmanager
def child(destinations: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the URL and the process of a server that writes three files of an artifact, and no fourth."""
    command = [sys.executable, "-c", CHILD, json.dumps(destinations)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def test_a_killed_server_loses_nothing(made: Made, tmp_path: Path) -> None:
    with child({"weights": str(made.folder)}) as (url, process), httpx.Client(base_url=url) as client:
        path = client.post("/v1/artifacts", json=REQUEST).headers["Location"]
        wait_for(lambda: state(client, path)["items_done"] == 3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
    found = state(made.client, path)
    assert (found["state"], found["items_done"], found["bytes_done"]) == ("writing", 3, 3 * FILE_BYTES)
    before = {file: file.stat() for file in Path(found["url"]).glob("model-*")}
    assert len(before) == 3
    assert made.post().headers["Location"] == path
    wait_until(made.client, path, "complete")
    assert contents(found["url"]) == expected(tmp_path / "here")
    assert not list(made.folder.rglob("partial/*"))
    assert value(made.client, "fanin_artifact_bytes_total") == 3 * FILE_BYTES
    for file, stat in before.items():
        assert (file.stat().st_ino, file.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


def test_a_stopping_service_leaves_artifacts_to_others(tmp_path: Path) -> None:
    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400)
    backend = WaitingBackend()
    with running(settings) as other:
        with running(settings, backend) as server:
            made = Made(server, backend, tmp_path / "w")
            path = made.begun()
            with made.client.stream("GET", f"{path}/events") as events:
                server.app.state.service.drain()
                refused(made.post(status=503, recipe=RECIPE | {"seed": 8}), 503, "not-ready")
                backend.let.set()
                assert len([line for line in events.iter_lines() if line.startswith("data")]) >= 1
            found = wait_until(other.client, path, "stopped")
        assert found["items_done"] == 1
        other.client.post("/v1/artifacts", json=REQUEST).raise_for_status()
        wait_until(other.client, path, "complete")
    assert contents(found["url"]) == expected(tmp_path / "here")


def test_a_stopping_service_leaves_a_slow_file(tmp_path: Path) -> None:
    """A file that does not end in time is not waited for, and leaves nothing behind."""

    class Slow(WaitingBackend):
        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            if first == 0 and len(out) > 1 << 20:
                server.app.state.service.artifacts.halt()
            super()._generate(draw, stream, dtype, first, out)

    recipe = {"shape": [5_000_000], "scheme": "normal", "std": 0.02}
    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400)
    with running(settings, Slow()) as server:
        request = {"destination": "weights", "recipe": recipe}
        path = server.client.post("/v1/artifacts", json=request).headers["Location"]
        found = wait_until(server.client, path, "stopped")
    assert found["items_done"] == 0
    assert not list(Path(found["url"]).glob("model*"))


def test_nothing_is_completed_after_wrong_bits(tmp_path: Path) -> None:
    """The test of the backend after the last file finds that files may be wrong. They are never completed."""

    class Wrong(WaitingBackend):
        is_wrong = False

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            super()._generate(draw, stream, dtype, first, out)
            if self.is_wrong:
                out[0] ^= 1

    backend = Wrong()
    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400)
    with running(settings, backend) as server:
        backend.is_wrong = True
        answer = server.client.post("/v1/artifacts", json=REQUEST)
        found = wait_until(server.client, answer.headers["Location"], "spoiled")
        assert (found["items_done"], found["problem"]) == (FILES, "not-ready")
        assert "model.safetensors.index.json" not in contents(found["url"])
    with running(settings) as server:
        refused(server.client.post("/v1/artifacts", json=REQUEST), 409, "artifact-state")


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_threads_that_write_yield_to_requests(tmp_path: Path) -> None:
    found = set[tuple[str, int]]()

    class Watched(WaitingBackend):
        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            kind = threading.current_thread().name.rpartition("_")[0]
            found.add((kind, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
            super()._generate(draw, stream, dtype, first, out)

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    with running(Settings(artifact_destinations={"weights": str(tmp_path)}), Watched()) as server:
        path = server.client.post("/v1/artifacts", json=REQUEST).headers["Location"]
        wait_until(server.client, path, "complete")
        server.client.get("/v1/weights?shape=1000000&scheme=normal&std=1").raise_for_status()
    assert found >= {("fanin-write", min(usual + 10, 19)), ("fanin-generate", usual)}
    assert {niceness for kind, niceness in found if kind != "fanin-write"} == {usual}


@pytest.mark.parametrize("is_tested_first", [False, True])
def test_an_error_of_the_backend_stops_an_artifact(tmp_path: Path, is_tested_first: bool) -> None:
    """The backend passes its test afterwards, so what it has written is right. Also if that test comes first."""

    class Failing(WaitingBackend):
        errors = 1

        def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
            if self.generated > 3 * FILE_BYTES and self.errors:
                self.errors -= 1
                raise MemoryError("as it may happen")
            super()._generate(draw, stream, dtype, first, out)

    settings = Settings(artifact_destinations={"weights": str(tmp_path / "w")}, check_seconds=86_400)
    with running(settings, Failing()) as server:
        guarded = server.app.state.service.backend
        if is_tested_first:
            guarded.on_failure = guarded.test
        path = server.client.post("/v1/artifacts", json=REQUEST).headers["Location"]
        wait_for(lambda: state(server.client, path)["state"] != "writing")
        found = state(server.client, path)
        assert (found["state"], found["items_done"], found["problem"]) == ("stopped", 3, "not-ready")
        assert "as it may happen" in found["detail"]
        wait_for(lambda: server.client.get("/readyz").status_code == 200)
        server.client.post("/v1/artifacts", json=REQUEST).raise_for_status()
        wait_until(server.client, path, "complete")
    assert contents(found["url"]) == expected(tmp_path / "here")


def test_an_unusable_directory_is_an_error_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(SettingsError, match=r"FANIN_ARTIFACT_DESTINATIONS: weights: \[Errno 20\]"):
        create_app(Settings(artifact_destinations={"weights": str(tmp_path / "file" / "below")}))


def test_other_content_is_a_conflict(made: Made) -> None:
    path = made.begun()
    found = state(made.client, path)
    Path(found["url"], "model-00003-of-00006.safetensors").write_bytes(b"of somebody else")
    failed = made.end(path, "failed")
    assert failed["problem"] == "artifact-conflict"
    assert "model-00003-of-00006.safetensors exists" in failed["detail"]
    Path(found["url"], "model-00003-of-00006.safetensors").unlink()
    made.post()
    made.end(path)


def test_an_unreachable_destination(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    path = made.begun()
    made.folder.rename(made.folder.with_name("away"))
    made.folder.write_text("no directory")
    refused(made.client.get(path), 503, "destination-unavailable")
    problem = refused(made.post(status=503), 503, "destination-unavailable")
    assert str(made.folder) not in problem["detail"]
    assert "the destination weights cannot be used: [Errno 20]" in caplog.text
    made.backend.let.set()
    wait_for(lambda: value(made.client, "fanin_artifacts") == 0)
    made.folder.unlink()
    made.folder.with_name("away").rename(made.folder)
    made.post()
    made.end(path)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("weights=s3://bucket", "must be a JSON object"),
        ('["a"]', "must be a JSON object"),
        ('{"My Weights": "/srv"}', "the alias 'My Weights' must have"),
        ('{"a": "https://bucket"}', "begins with s3://, gs://, az://"),
        ('{"a": "s3://"}', "names no bucket"),
        ('{"a": "s3://user:secret@bucket/x"}', "credentials belong in the environment"),
        ('{"a": "s3://bucket/x?sig=secret"}', "credentials belong in the environment"),
        ('{"a": ""}', "at least 1 character"),
    ],
)
def test_destinations_are_checked_at_the_start(given: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        read({"artifact_destinations": given})
    assert "user:secret" not in str(caught.value)


def test_engines_are_checked_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin_service.settings.types.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"--artifact-engine: this needs the package ray"):
        read({"artifact_engine": "ray"})
    with pytest.raises(SettingsError, match="FANIN_ARTIFACT_RAY_ADDRESS: needs FANIN_ARTIFACT_ENGINE=ray"):
        read({"artifact_ray_address": "auto"})
