"""A hostile service: for any response the client ends with one of its errors, in bounded memory."""

from __future__ import annotations

import gc
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fanin import Client, FaninError, FileLayout, ServiceError
from fanin.client.messages import Request, Response
from fanin.file import disk
from tests.support.hostile import ANSWERS, RECIPE, answering

LAYOUT = FileLayout.of(RECIPE)
MEMORY = 64 << 20


# Where urllib3 refuses a redirect, its connection is left to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_an_error(name: str, tmp_path: Path) -> None:
    with (
        answering(ANSWERS[name]) as url,
        Client(url, backoff=0, where="remote", retries=1, timeout=10, token="secret") as client,
    ):
        tracemalloc.start()
        try:
            for call in (
                lambda: client.register(RECIPE),
                lambda: client.digests(RECIPE),
                lambda: client.materialize(RECIPE),
                lambda: client.save(RECIPE, tmp_path / "file"),
                lambda: client.download(f"{url}/model.safetensors", tmp_path / "other"),
            ):
                with pytest.raises(FaninError) as caught:
                    call()
                assert "secret" not in str(caught.value)
                assert len(str(caught.value)) < 1 << 21
                del caught
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    gc.collect()
    assert peak < MEMORY
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("status", [200, 400])
def test_a_document_of_single_bytes_ends(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte arrives within the timeout, so only the rate of the document ends the call."""
    clock = [0.0]
    monkeypatch.setattr("fanin.client.connection.time.monotonic", lambda: clock[0])

    class Dripping:
        def send(self, _: Request) -> Response:
            return Response(status, {"content-type": "application/problem+json"}, self.read)

        def read(self) -> bytes:
            clock[0] += 20.0
            return b" "

        def close(self) -> None:
            pass

    with (
        Client("http://weights.test", transport=Dripping(), where="remote", retries=0) as client,
        pytest.raises(ServiceError),
    ):
        client.register(RECIPE)
    assert clock[0] == 40.0


@pytest.mark.soak("requests")
@settings(max_examples=20_000, deadline=None, suppress_health_check=[*HealthCheck])
@given(at=st.integers(0, 400), junk=st.binary(max_size=40), size=st.integers(0, 1 << 40))
def test_damaged_headers(at: int, junk: bytes, size: int) -> None:
    """The reader of safetensors headers, on headers that were good once."""
    head = bytearray(LAYOUT.header)
    at %= len(head)
    head[at : at + len(junk)] = junk
    try:
        found = disk.layout_of_file(io.BytesIO(bytes(head[: size % (len(head) + 8)])))
    except FaninError:
        return
    assert found.header == LAYOUT.header or found.recipe != LAYOUT.recipe
