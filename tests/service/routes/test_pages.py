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

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.routes import pages
from fanin_service.settings import Settings
from tests.support.servers import Running, running

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_asks_for_nothing_elsewhere(server: Running, path: str) -> None:
    page = server.client.get(path)
    assert page.headers["Content-Type"].startswith("text/html")
    found = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(found) >= 2
    for link in map(html.unescape, found):
        if not link.startswith("data:"):
            assert "//" not in link
            assert (server.client.get(urljoin(path, link)).status_code, link) == (200, link)
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_headers(server: Running) -> None:
    for path in ("/", "/docs", *(f"/docs/{name}" for name in pages.assets())):
        for method in ("GET", "HEAD"):
            answer = server.client.request(method, path)
            assert answer.status_code == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none';")
            assert "unsafe" not in policy
            assert "http" not in policy
    assert server.client.get("/docs/pages.py").status_code == 404
    assert server.client.get("/docs/..%2fapp.py").status_code == 404


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
