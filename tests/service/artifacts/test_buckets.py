"""Artifacts in a bucket: written, found by another replica, and what clients learn of a bucket that fails."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fanin_service.artifacts import reach
from fanin_service.settings import Settings
from tests.support.artifacts import REQUEST, expected, state, wait_until
from tests.support.limits import refused
from tests.support.servers import running, wait_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
moto = pytest.importorskip("moto.server", reason="moto is not installed")

SETTINGS = Settings(artifact_destinations={"weights": "s3://artifacts/some/prefix"}, check_seconds=86_400)
SECRET = "a-secret-access-key"


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-access-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.mark.usefixtures("_credentials")
def test_an_artifact_in_a_bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="artifacts")
        with running(SETTINGS) as one, running(SETTINGS) as other:
            answer = one.client.post("/v1/artifacts", json=REQUEST)
            assert answer.status_code == 202, answer.text
            path = answer.headers["Location"]
            found = wait_until(other.client, path, "complete")
        assert found["url"] == f"s3://artifacts/some/prefix/{found['id']}"
        prefix = f"some/prefix/{found['id']}/"
        keys = [each["Key"] for each in client.list_objects_v2(Bucket="artifacts", Prefix=prefix)["Contents"]]
        files = {
            key.removeprefix(prefix): client.get_object(Bucket="artifacts", Key=key)["Body"].read()
            for key in keys
            if "/.fanin/" not in key
        }
        assert files == expected(tmp_path / "here")
    finally:
        server.stop()


@pytest.mark.usefixtures("_credentials")
def test_an_unreachable_bucket_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("fanin.artifact.destinations.s3._ATTEMPTS", 1)
    with running(SETTINGS) as server:
        answers = [
            server.client.post("/v1/artifacts", json=REQUEST),
            server.client.get("/v1/artifacts/weights/" + "0" * 64),
        ]
    for answer in answers:
        refused(answer, 503, "destination-unavailable")
        assert "127.0.0.1:1" not in answer.text
    assert "the destination weights cannot be used" in caplog.text
    assert "127.0.0.1:1" in caplog.text
    for text in (caplog.text, *(answer.text for answer in answers)):
        assert SECRET not in text
        assert "an-access-key-id" not in text


def test_a_destination_that_does_not_respond_delays_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its requests are refused: the first after a while, the others at once. Another destination is not affected."""
    monkeypatch.setattr(reach, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(reach, "RETRY_SECONDS", 86_400.0)
    places = {"weights": str(tmp_path / "w"), "slow": str(tmp_path / "slow")}
    let, asked = threading.Event(), []
    with running(Settings(artifact_destinations=places, check_seconds=86_400)) as server:
        artifacts = server.app.state.service.artifacts
        size = artifacts._roots["slow"].size

        def wait(key: str) -> int | None:
            asked.append(key)
            assert let.wait(60)
            return size(key)

        monkeypatch.setattr(artifacts._roots["slow"], "size", wait)
        slow = "/v1/artifacts/slow/" + "0" * 64
        for _ in range(10):
            refused(server.client.get(slow), 503, "destination-unavailable")
        wait_for(lambda: bool(asked))  # the thread of the first request may start later
        assert len(asked) == 1
        monkeypatch.setattr(reach, "PATIENCE_SECONDS", 60.0)
        path = server.client.post("/v1/artifacts", json=REQUEST).headers["Location"]
        wait_until(server.client, path, "complete")
        let.set()
        artifacts._reach["slow"]._next_try = 0.0
        wait_for(lambda: server.client.get(slow).status_code == 404)
        assert state(server.client, path)["state"] == "complete"
