"""nginx as configured in deploy/nginx, in front of two replicas."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import fanin
from fanin import FileLayout, page
from fanin.file import archive
from fanin_service.settings import Settings
from tests.support.backends import CountingBackend
from tests.support.processes import serving
from tests.support.servers import Running, running, wait_for

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx" / "fanin.conf"
MIB = 1 << 20
SLICE = 8 * MIB
LARGE = {"seed": 5, "tensors": {"w": {"shape": [5_500_000], "scheme": "normal", "std": 0.02}}}
"""Three slices, the last one not full."""
ONE = "/v1/weights?shape=784,10&scheme=glorot_uniform&seed=42"
UNKNOWN = f"/v1/recipes/{'0' * 64}/model.safetensors"
PROBLEM = "application/problem+json"

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""Directories that nginx writes to."""
PROGRAMS = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("nginx", "openssl")}
MISSING = [name for name, found in PROGRAMS.items() if not found]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@dataclass(frozen=True)
class Front:
    """nginx, and what is behind it."""

    client: httpx.Client
    replicas: list[Running]
    backends: list[CountingBackend]
    certificate: Path
    plain_port: int

    @property
    def generated(self) -> int:
        return sum(backend.generated for backend in self.backends)

    def register(self, recipe: Any, replica: int) -> str:
        """Make the recipe known to one replica alone."""
        return self.replicas[replica].register(recipe)


@contextmanager
def front(folder: Path, *, replicas: int = 2) -> Iterator[Front]:
    """nginx in front of this number of replicas. Its configuration names two; the others do not exist."""
    with ExitStack() as stack:
        backends = [CountingBackend() for _ in range(replicas)]
        behind = [stack.enter_context(running(backend=backend)) for backend in backends]
        ports = [server.address[1] for server in behind] + [free_port() for _ in range(2 - replicas)]
        certificate, plain = make_certificate(folder), free_port()
        url = stack.enter_context(nginx_before(folder, ports, certificate, plain))
        context = ssl.create_default_context(cafile=str(certificate))
        client = stack.enter_context(httpx.Client(base_url=url, verify=context, timeout=60))
        yield Front(client, behind, backends, certificate, plain)


@contextmanager
def nginx_before(folder: Path, ports: list[int], certificate: Path, plain: int) -> Iterator[str]:
    """URL of an nginx with our configuration, before servers at these two ports; `plain` is its port without TLS."""
    tls = free_port()
    text = CONFIGURATION.read_text()
    for old, new in {
        "127.0.0.1:8001": f"127.0.0.1:{ports[0]}",
        "127.0.0.1:8002": f"127.0.0.1:{ports[1]}",
        "/var/cache/nginx/fanin": str(folder / "cache"),
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        "/etc/nginx/tls/fanin.crt": str(certificate),
        "/etc/nginx/tls/fanin.key": str(folder / "key.pem"),
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "fanin.conf").write_text(text)
    (folder / "nginx.conf").write_text(
        ("user root;\n" if os.geteuid() == 0 else "")
        + f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log notice;\nworker_processes 1;\n"
        + "events {}\nhttp {\naccess_log off;\n"
        + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in TEMPORARY)
        + f"include {folder}/fanin.conf;\n}}\n"
    )
    command = [str(PROGRAMS["nginx"]), "-p", str(folder), "-e", str(folder / "error.log"), "-c", "nginx.conf"]
    process = subprocess.Popen(command)
    try:
        wait_for(lambda: process.poll() is not None or connects(tls))
        assert process.poll() is None, (folder / "error.log").read_text()
        yield f"https://localhost:{tls}"
    finally:
        process.terminate()
        process.wait(300)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def connects(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def make_certificate(folder: Path) -> Path:
    certificate = folder / "certificate.pem"
    made = f"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout {folder / 'key.pem'} -out {certificate}"
    named = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = f"{PROGRAMS['openssl']} req -x509 -nodes -days 2 {made} {named}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("nginx")) as found:
        yield found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("large") / "file"
    fanin.save(LARGE, path)
    return path.read_bytes()


def test_the_whole_file_and_then_from_the_cache(nginx: Front, large: bytes) -> None:
    path = nginx.register(LARGE, 0)
    first = nginx.client.get(path)
    assert (first.status_code, first.headers["X-Cache-Status"]) == (200, "MISS")
    assert first.content == large
    assert first.headers["ETag"] == f'"{FileLayout.of(LARGE).recipe.digest}"'
    assert "immutable" in first.headers["Cache-Control"]
    before = nginx.generated
    again = nginx.client.get(path)
    assert (again.status_code, again.headers["X-Cache-Status"]) == (200, "HIT")
    assert again.content == large
    assert nginx.generated == before


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (SLICE - 1, SLICE + 1), (SLICE, 2 * SLICE), (1000, 2 * SLICE + 7), (2 * SLICE + 5, None), (0, None)],
)
def test_ranges(nginx: Front, large: bytes, start: int, stop: int | None) -> None:
    path = nginx.register(LARGE, 0)
    wanted = large[start:stop]
    last = "" if stop is None else str(stop - 1)
    for _ in range(2):
        answer = nginx.client.get(path, headers={"Range": f"bytes={start}-{last}"})
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(wanted) - 1}/{len(large)}"
        assert answer.content == wanted
    assert answer.headers["X-Cache-Status"] == "HIT"


@pytest.mark.parametrize("header", ["bytes=0--1", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes 0-1"])
def test_ranges_that_the_service_ignores(nginx: Front, header: str) -> None:
    direct = nginx.replicas[0].client.get(ONE, headers={"Range": header})
    through = nginx.client.get(ONE, headers={"Range": header})
    assert (through.status_code, through.content) == (direct.status_code, direct.content)
    assert direct.status_code == 200


def test_the_end_of_a_file_beyond_every_disk(nginx: Front) -> None:
    recipe = {"tensors": {"a": {"shape": [1 << 20, 1 << 25], "scheme": "normal", "std": 1.0}}}
    path, size = nginx.register(recipe, 0), FileLayout.of(recipe).size
    before = nginx.generated
    answer = nginx.client.get(path, headers={"Range": f"bytes={size - 10}-"})
    assert (answer.status_code, len(answer.content)) == (206, 10)
    assert nginx.generated - before <= SLICE
    with fanin.Client(nginx.replicas[0].url) as client:
        wanted = client.slice(recipe, "a", (-1, slice(-2, None)))
    assert answer.content[2:] == wanted.tobytes()


def test_one_tensor(nginx: Front) -> None:
    direct = nginx.replicas[0].client.get(ONE)
    seen = [nginx.client.get(ONE) for _ in range(2)]
    assert [answer.headers["X-Cache-Status"] for answer in seen] == ["MISS", "HIT"]
    assert all(answer.content == direct.content for answer in seen)


def test_post_streams_and_is_not_kept(nginx: Front, large: bytes) -> None:
    for _ in range(2):
        answer = nginx.client.post("/v1/weights", json=LARGE)
        assert answer.status_code == 200
        assert answer.content == large
        assert answer.headers.get("X-Cache-Status") != "HIT"


def test_head_generates_nothing(nginx: Front, large: bytes) -> None:
    recipe = {**LARGE, "seed": 6}
    path = nginx.register(recipe, 1)
    before = nginx.generated
    answer = nginx.client.head(path)
    assert (answer.status_code, int(answer.headers["Content-Length"])) == (200, FileLayout.of(recipe).size)
    assert nginx.generated == before


def test_conditions(nginx: Front, large: bytes) -> None:
    path = nginx.register(LARGE, 0)
    etag = f'"{FileLayout.of(LARGE).recipe.digest}"'
    for _ in range(2):
        assert nginx.client.get(path, headers={"If-None-Match": etag}).status_code == 304
        part = {"Range": "bytes=0-9"}
        assert nginx.client.get(path, headers={**part, "If-Range": etag}).status_code == 206
        assert nginx.client.get(path, headers={**part, "If-Range": '"other"'}).content == large
        failed = nginx.client.get(path, headers={"If-Match": '"other"'})
        assert (failed.status_code, failed.headers["Content-Type"]) == (412, PROBLEM)


def test_what_shows_a_key_passes_the_cache_by(nginx: Front) -> None:
    path = "/v1/weights?shape=3&scheme=normal&std=1"
    for headers in ({"Authorization": "Bearer x"}, {"X-API-Key": "x"}):
        for _ in range(2):
            answer = nginx.client.get(path, headers=headers)
            assert answer.headers["X-Cache-Status"] == "BYPASS"
    assert nginx.client.get(path).headers["X-Cache-Status"] == "MISS"


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("GET", UNKNOWN, b"", {}, 404),
        ("GET", "/nothing", b"", {}, 404),
        ("GET", "/v1/weights?shape=3&scheme=none", b"", {}, 422),
        ("POST", "/v1/recipes", b"{", {"Content-Type": "application/json"}, 422),
        ("POST", "/v1/recipes", b"{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/v1/recipes", b" " * (8 * MIB + 1), {"Content-Type": "application/json"}, 413),
        ("DELETE", "/v1/recipes", b"", {}, 405),
    ],
)
def test_refusals_of_the_service_pass_unchanged(
    nginx: Front, method: str, path: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    direct, through = (
        client.request(method, path, content=content, headers={"X-Request-ID": "one", **headers})
        for client in (nginx.replicas[0].client, nginx.client)
    )
    assert direct.status_code == through.status_code == status
    assert through.content == direct.content
    for name in ("Content-Type", "Cache-Control", "Allow"):
        assert through.headers.get(name) == direct.headers.get(name)
    assert through.headers.get("X-Cache-Status") != "HIT"


@pytest.mark.parametrize(
    ("path", "headers", "content", "status"),
    [
        (ONE, {"Range": "bytes=40000-"}, b"", 416),
        ("/v1/recipes", {}, b" " * (65 * MIB + 1), 413),
    ],
)
def test_refusals_of_nginx_are_problems_too(
    nginx: Front, path: str, headers: dict[str, str], content: bytes, status: int
) -> None:
    answer = nginx.client.request("POST" if content else "GET", path, headers=headers, content=content)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status


def test_a_model_with_a_large_tokenizer(nginx: Front) -> None:
    recipe = json.dumps({"tensors": {"w": {"shape": [3], "scheme": "zeros"}}}).encode()
    content = archive.pack({"recipe.json": recipe, "tokenizer.json": b" " * (17 * MIB)})
    answer = nginx.client.put("/v1/models/a/b", content=content, headers={"Content-Type": archive.MEDIA_TYPE})
    assert answer.status_code == 201, answer.text


def test_the_other_replica_is_asked_for_what_one_does_not_know(nginx: Front) -> None:
    recipe = {**LARGE, "seed": 7}
    path = nginx.register(recipe, 1)
    for first in range(0, 20, 2):
        assert nginx.client.get(path, headers={"Range": f"bytes={first}-{first + 1}"}).status_code == 206
        assert nginx.client.get(path.rpartition("/")[0]).status_code == 200


def test_the_client_through_nginx(nginx: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bytes) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(nginx.certificate))
    with fanin.Client(str(nginx.client.base_url), where="remote") as client:
        client.save(LARGE, tmp_path / "file", verify="full")
    assert (tmp_path / "file").read_bytes() == large


def test_plain_http_is_sent_to_tls(nginx: Front) -> None:
    answer = httpx.get(f"http://127.0.0.1:{nginx.plain_port}{ONE}", headers={"Host": "weights.example.org"})
    assert (answer.status_code, answer.headers["Location"]) == (301, f"https://weights.example.org{ONE}")


def test_metrics_are_not_for_everyone(nginx: Front) -> None:
    assert nginx.client.get("/metrics").status_code == 404


def test_one_replica_of_two_is_enough(tmp_path: Path, large: bytes) -> None:
    with front(tmp_path, replicas=1) as found:
        path = found.register(LARGE, 0)
        for _ in range(4):
            assert found.client.post("/v1/recipes", json=LARGE).status_code == 200
        assert found.client.get(path).content == large


def test_what_is_cached_survives_the_replicas(tmp_path: Path) -> None:
    with front(tmp_path) as found:
        content = found.client.get(ONE).content
        for replica in found.replicas:
            replica.server.should_exit = True
        # A replica that ends still responds on the connections that nginx keeps to it, for a moment.
        wait_for(lambda: not any(replica.server.server_state.connections for replica in found.replicas))
        wait_for(lambda: not any(connects(replica.address[1]) for replica in found.replicas))
        kept = found.client.get(ONE)
        assert (kept.status_code, kept.content, kept.headers["X-Cache-Status"]) == (200, content, "HIT")
        lost = found.client.post("/v1/recipes", json=LARGE)
        assert (lost.status_code, lost.headers["Content-Type"]) == (502, PROBLEM)
        assert lost.json()["type"] == "urn:fanin:problem:bad-gateway"


def test_a_replica_that_stops_in_mid_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bytes) -> None:
    """nginx passes on what has come; the client asks for the rest, and tells the other replica the recipe."""
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    target = tmp_path / "got" / "file"
    target.parent.mkdir()
    with (
        serving("--shutdown-seconds", "0") as (first, stopped),
        serving() as (second, _),
        nginx_before(
            tmp_path, [int(url.rpartition(":")[2]) for url in (first, second)], certificate, free_port()
        ) as url,
        fanin.Client(url, where="remote") as client,
    ):
        assert httpx.post(f"{first}/v1/recipes", json=LARGE).status_code == 201
        path = f"/v1/recipes/{FileLayout.of(LARGE).recipe.digest}"
        download = threading.Thread(target=client.save, args=(LARGE, target))
        download.start()
        wait_for(lambda: any(part.stat().st_size > 1 << 20 for part in target.parent.iterdir()))
        assert httpx.get(second + path).status_code == 404
        stopped.terminate()
        assert stopped.wait(60) == 0
        assert not target.exists()
        download.join(120)
        assert target.read_bytes() == large
        assert httpx.get(second + path).status_code == 200


def test_the_page_through_nginx(nginx: Front) -> None:
    for name, file in page.files().items():
        answer = nginx.client.get("/" if name == page.INDEX else f"/page/{name}")
        assert (answer.content, answer.headers["Content-Type"]) == (file.content, file.media_type)
        assert answer.headers["Content-Security-Policy"] == page.HEADERS["Content-Security-Policy"]
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert nginx.client.get(str(answer.url), headers=tag).status_code == 304
    assert nginx.client.get("/page/start.json").json()["service"] is True


@pytest.mark.parametrize(
    ("root_path", "removed"), [(None, "/"), ("/team/weights", "/"), ("/team/weights", "")], ids=["", "removed", "kept"]
)
def test_the_page_below_a_path_of_a_proxy(tmp_path: Path, root_path: str | None, removed: str) -> None:
    """The links and calls of the page are relative, so it needs no root path. With one, the proxy may forward it."""
    port = free_port()
    with running(Settings(stall_seconds=30, root_path=root_path)) as server:
        location = f"location /team/weights/ {{ proxy_pass {server.url}{removed}; }}"
        (tmp_path / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "")
            + f"daemon off;\npid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n"
            + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in TEMPORARY)
            + f"server {{ listen 127.0.0.1:{port}; {location} }}\n}}\n"
        )
        command = [str(PROGRAMS["nginx"]), "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", "nginx.conf"]
        process = subprocess.Popen(command)
        try:
            wait_for(lambda: process.poll() is not None or connects(port))
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", follow_redirects=True, timeout=60) as client:
                front = client.get("/team/weights")  # nginx adds the slash
                assert str(front.url).endswith("/team/weights/")
                links = re.findall(r'(?:src|href)="([^"#]+)"', front.text)
                assert {"page/page.js", "page/page.css", "docs"} <= set(links)
                for link in (*links, "page/start.json", "page/worker.js"):
                    if not link.startswith("data:"):
                        assert client.get(front.url.join(link)).status_code == 200, link
                assert client.get("/page/page.js").status_code == 404
                with fanin.Client(f"http://127.0.0.1:{port}/team/weights") as library:
                    assert library.slice(LARGE, "w", slice(0, 3)).shape == (3,)
        finally:
            process.terminate()
            process.wait(300)
