"""Artifacts through the clients: requested, waited for, requested again, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin import AsyncClient, Client, RefusedError, ServiceError
from fanin.client import artifacts
from fanin.client.messages import Request, Response
from fanin.errors import ArtifactError
from fanin_service.settings import Settings
from tests.support.artifacts import FILES, RECIPE, contents, expected
from tests.support.servers import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("weights")
    with running(Settings(artifact_destinations={"weights": str(folder)})) as server:
        yield server


def test_a_client_waits_for_an_artifact(server: Running, tmp_path: Path) -> None:
    with Client(server.url) as client:
        made = client.artifact(fanin.as_recipe(RECIPE), destination="weights", shard_size="2MB")
        found = made.wait(progress=False)
        assert found.is_complete
        assert (found.items_done, found.url, found.id) == (FILES, made.url, made.id)
        assert contents(made.url) == expected(tmp_path / "here")
        assert made.status() == found
        assert client.artifact(RECIPE, destination="weights", shard_size=2_000_000).wait() == found
        with pytest.raises(RefusedError, match="complete"):
            made.cancel()
        with pytest.raises(RefusedError, match="this service has: weights"):
            client.artifact(RECIPE, destination="other")
        with pytest.raises(RefusedError, match="No model has this name"):
            client.artifact(destination="weights", model="me/tiny", revision="main")
        with pytest.raises(ValueError, match="either recipe or model"):
            client.artifact(destination="weights")


def test_an_asynchronous_client_does_the_same(server: Running) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as client:
            made = await client.artifact(RECIPE | {"seed": 8}, destination="weights", format="safetensors")
            found = await made.wait(progress=False)
            assert (found.is_complete, found.items_done) == (True, 1)
            assert await made.status() == found
            assert made.id == found.id
            with pytest.raises(RefusedError, match="complete"):
                await made.cancel()

    asyncio.run(main())


def document(state: str, bytes_done: int = 0, **others: Any) -> dict[str, Any]:
    return {
        "id": "0" * 64,
        "destination": "weights",
        "url": "s3://bucket/x",
        "state": state,
        "recipe": "1" * 64,
        "format": "hf",
        "shard_size": None,
        "items": 4,
        "items_done": bytes_done,
        "bytes": 4,
        "bytes_done": bytes_done,
        "problem": None,
        "detail": None,
        **others,
    }


class Scripted:
    """A transport that responds with the next of some documents."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = list(documents)
        self.requests: list[str] = []

    def send(self, request: Request) -> Response:
        self.requests.append(request.method)
        content = [json.dumps(self.documents.pop(0)).encode(), b""]
        return Response(202, {"content-type": "application/json"}, lambda: content.pop(0))

    def close(self) -> None:
        pass


def begun(transport: Scripted, **options: Any) -> fanin.RemoteArtifact:
    client = Client("http://127.0.0.1:1", transport=transport, **options)
    return client.artifact({"shape": [1], "scheme": "zeros"}, destination="weights")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "FIRST_SECONDS", 0.0)


def test_a_stopped_artifact_is_requested_again() -> None:
    transport = Scripted(
        *(document("writing"), document("writing", 2), document("stopped", 2), document("writing", 2)),
        document("complete", 4),
    )
    assert begun(transport).wait(progress=False).bytes_done == 4
    assert transport.requests == ["POST", "GET", "GET", "POST", "GET"]


def test_an_artifact_without_progress_is_requested_again() -> None:
    """Its server was killed: no process has recorded that it stopped."""
    transport = Scripted(*[document("writing")] * 4, document("complete", 4))
    begun(transport, patience=0.0, retries=1).wait(progress=False)
    assert transport.requests == ["POST"] * 5


def test_one_that_never_advances_is_given_up() -> None:
    stopped = document("stopped", problem="quota-exceeded", detail="9 of 9 bytes a day are used")
    transport = Scripted(*[stopped] * 4)
    with pytest.raises(ArtifactError, match="after 3 further requests: 9 of 9 bytes"):
        begun(transport, retries=3).wait(progress=False)
    assert transport.requests == ["POST"] * 4


@pytest.mark.parametrize("state", ["cancelled", "failed", "spoiled"])
def test_one_that_cannot_advance_is_not_waited_for(state: str) -> None:
    with pytest.raises(ArtifactError, match=f"is {state}: why"):
        begun(Scripted(document("writing"), document(state, detail="why"))).wait(progress=False)


@pytest.mark.parametrize("wrong", [{"bytes": "4"}, {"state": None}, {"items": True}, {"id": 3}])
def test_another_response_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="the service sent"):
        begun(Scripted(document("writing") | wrong))
