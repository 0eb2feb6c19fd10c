"""Artifacts in a container of Azurite, Microsoft's emulator: `npm install --global azurite`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import socket
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

import fanin
from fanin import artifact
from fanin.artifact.destinations.opening import destination
from fanin.file.disk import CHUNK
from tests.support.checkpoints import FILES, RECIPE, SHARD, files_of, made
from tests.support.servers import wait_for

AZURITE = shutil.which("azurite-blob")
pytestmark = pytest.mark.skipif(AZURITE is None, reason="azurite is not installed")
obstore = pytest.importorskip("obstore", reason="obstore is not installed")

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account and the public key of every emulator."""


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """Start the emulator and yield the URL of a new container."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--skipApiVersionCheck"]
    process = subprocess.Popen([str(AZURITE), *options, "--silent", "--disableTelemetry"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port))
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        lines = ["PUT", *[""] * 11, *(f"{name}:{value}" for name, value in headers.items())]
        text = "\n".join([*lines, f"/{ACCOUNT}/{ACCOUNT}/box", "restype:container"])
        signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        url = f"http://127.0.0.1:{port}/{ACCOUNT}/box?restype=container"
        httpx.put(url, headers=headers).raise_for_status()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
            patch.setenv("AZURITE_BLOB_STORAGE_URL", f"http://127.0.0.1:{port}")
            yield "az://box"
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_artifact_in_a_container(container: str, tmp_path: Path) -> None:
    url = f"{container}/some/prefix"
    manifest = artifact.make(RECIPE, url, shard_bytes=SHARD, files=FILES)
    made(tmp_path)
    place = destination(url)
    assert {key: place.read(key) for key, _ in place.objects()} == files_of(tmp_path)
    assert artifact.make(RECIPE, url, shard_bytes=SHARD, files=FILES) == manifest
    with pytest.raises(fanin.ConflictError, match="has another artifact: files is"):
        artifact.make(RECIPE, url, shard_bytes=SHARD)
    with pytest.raises(fanin.DestinationError, match=r"^az://none: Generic MicrosoftAzure error: .*404.*$") as found:
        artifact.make(RECIPE, "az://none")
    assert "\n" not in str(found.value)


def test_a_large_object_is_created_once(container: str) -> None:
    place = destination(f"{container}/large")

    def chunks(first: int) -> Iterator[memoryview]:
        for number in range(3):
            yield memoryview(bytearray([first + number]) * CHUNK)

    assert place.create("key", chunks(1), 3 * CHUNK, {"fanin-recipe": "abc"})
    assert not place.create("key", chunks(4), 3 * CHUNK)
    assert place.read("key") == b"".join(chunks(1))
    store = place._store  # type: ignore[attr-defined]
    assert obstore.get(store, "key").attributes["fanin_recipe"] == "abc"
    assert [found["path"] for page in obstore.list(store) for found in page] == ["key"]
