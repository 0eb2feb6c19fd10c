"""The HTML pages: complete without a network, with a strict policy, and usable with keys."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from fanin import page
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.routes import pages
from fanin_service.settings import Settings
from tests.support.servers import Running, running

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_asks_for_nothing_elsewhere(server: Running, path: str) -> None:
    answer = server.client.get(path)
    assert answer.headers["Content-Type"].startswith("text/html")
    found = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
    assert len(found) >= 2
    for link in map(html.unescape, found):
        if not link.startswith("data:"):
            assert "//" not in link
            assert (server.client.get(urljoin(path, link)).status_code, link) == (200, link)
    assert "<script>" not in answer.text
    assert "style=" not in answer.text


def test_headers(server: Running) -> None:
    own = ["/", "/page/start.json", *(f"/page/{name}" for name in page.files())]
    for path in (*own, "/docs", *(f"/docs/{name}" for name in pages.assets())):
        for method in ("GET", "HEAD"):
            answer = server.client.request(method, path)
            assert answer.status_code == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';")
            assert re.findall("[^ ;]*unsafe[^ ;]*", policy) == ["'wasm-unsafe-eval'"] * (path in own)
            assert "http" not in policy
    for path in ("/docs/pages.py", "/docs/..%2fapp.py", "/page/", "/page/nothing", "/page/__init__.py", "/page/a/b"):
        assert server.client.get(path).status_code == 404


def test_files_of_the_page(server: Running) -> None:
    """The service serves the files of the library's page, compressed for clients that accept that."""
    for name, file in page.files().items():
        path = "/" if name == page.INDEX else f"/page/{name}"
        whole = server.client.get(path, headers={"Accept-Encoding": "identity"})
        assert whole.content == file.content
        assert whole.headers["Content-Type"] == file.media_type
        assert whole.headers["Cache-Control"] == "no-cache"
        assert "Content-Encoding" not in whole.headers
        small = server.client.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert (small.content, small.headers["Content-Encoding"]) == (file.content, "gzip")
        assert small.num_bytes_downloaded == int(small.headers["Content-Length"])
        tags = {answer.headers["ETag"] for answer in (whole, small)}
        assert len(tags) == 2  # different bytes
        for answer in (whole, small):
            assert answer.headers["Vary"] == "Accept-Encoding"
            wanted = {"Accept-Encoding": "gzip" if answer is small else "identity"}
            again = server.client.get(path, headers={"If-None-Match": answer.headers["ETag"], **wanted})
            assert (again.status_code, again.content, again.headers["Vary"]) == (304, b"", "Accept-Encoding")
    start = server.client.get("/page/start.json")
    assert start.json() == {"service": True, "recipe": None, "title": None}


@pytest.mark.parametrize("accepted", ["gzip;q=0", "gzip; q=0.000", "br", "", "*;q=0", "notgzip", ";q=1,,gzi"])
def test_what_does_not_accept_gzip(server: Running, accepted: str) -> None:
    answer = server.client.get("/page/page.js", headers={"Accept-Encoding": accepted})
    assert (answer.status_code, "Content-Encoding" in answer.headers) == (200, False)


def test_the_page_is_public_and_its_calls_need_a_key(tmp_path: Path) -> None:
    key, _ = keys.create(tmp_path / "keys.json", "reader", (Right.RECIPES_READ,))
    with running(Settings(access="keys", keys_file=tmp_path / "keys.json")) as server:
        for path in ("/", "/page/start.json", "/page/page.js", "/docs"):
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                assert server.client.get(path, headers=headers).status_code == 200
        for path in ("/v1/schemes", "/openapi.json"):
            assert server.client.get(path).status_code == 401
            assert server.client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert server.client.get("/page/nothing").status_code == 404


def visit(url: str, folder: Path) -> dict[str, Any]:
    """Return the results of tests/service/routes/pages.js, in a browser that can reach 127.0.0.1 only."""
    assert BROWSER
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--virtual-time-budget=60000"]
    done = subprocess.run([*command, "--dump-dom", url], check=True, capture_output=True, text=True, timeout=120)
    titles = re.findall("<title>({.*?})</title>", done.stdout)
    assert titles, done.stdout[-3000:] + done.stderr[-3000:]
    told: dict[str, Any] = json.loads(html.unescape(titles[0]))
    return told


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
@pytest.mark.parametrize("access", ["open", "keys"])
def test_in_a_browser(access: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user sees every call and tries one, with the service as the only network, and enters a key if required."""
    settings, key = Settings(access="open"), ""
    if access == "keys":
        key, _ = keys.create(tmp_path / "keys.json", "reader", (Right.RECIPES_READ,))
        settings = Settings(access="keys", keys_file=tmp_path / "keys.json")
    ours = pages.assets()
    script = Path(__file__).with_name("pages.js").read_text().replace("KEY", json.dumps(key))
    (tmp_path / "docs.js").write_text(ours["docs.js"].read_text() + script)
    monkeypatch.setattr(pages, "assets", lambda: {**ours, "docs.js": tmp_path / "docs.js"})
    with running(settings) as server:
        told = visit(f"{server.url}/docs", tmp_path)
        document = server.app.openapi()
    assert told["violations"] == []
    assert set(told["fetched"]) == {server.url}
    assert told["status"].startswith("200")
    assert not told["login"]
    wanted = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert {each.replace("\u200b", "") for each in told["operations"]} == wanted
    if key:
        assert told["before"] == 0
        assert "key" in told["refusal"].lower()
