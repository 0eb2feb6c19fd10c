"""The site of the documentation builds offline, its links lead somewhere, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
LOADED = {"src", "srcset", "data", "poster", "action"}
"""Attributes whose URL a browser loads, besides the `href` of `link`."""


class Page(HTMLParser):
    """Anchors of an HTML page, its links, and the URLs that a browser loads with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.policies: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value or "")
            elif name == "href" and tag == "a":
                self.links.add(value or "")
            elif name in LOADED or name == "href":
                self.loaded.add(value or "")
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policies.append(dict(attrs)["content"] or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does, with proxies that refuse every connection."""
    folder = tmp_path_factory.mktemp("site")
    command = re.search(r"^site:.*\n\t\$\(BIN\)/(sphinx-build .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command
    words = [str(folder) if word == "build/site" else word for word in command[1].split()]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *words[1:]],
        cwd=ROOT,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: Page(path) for path in site.rglob("*.html")}
    assert len(found) > 30
    return found


def test_every_link_of_the_site_leads_somewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links | page.loaded:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target.is_file(), (path.name, link)
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].anchors, (path.name, link)


def test_the_site_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [url for url in page.loaded if urlsplit(url).netloc], path.name
        if path != site / "index.html":  # it only redirects
            assert page.policies == ["default-src 'self' 'unsafe-inline' data:"], path.name
    for path in site.rglob("*.css"):
        sheet = re.sub(r"/\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
        loaded = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", sheet)
        assert not [url for url in loaded if urlsplit(url).netloc], path.name


def test_every_page_is_in_the_contents() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    contents = runpy.run_path(str(ROOT / "docs" / "site" / "conf.py"))["contents"]()
    entries = [page for entries in contents.values() for page in entries]
    assert sorted([*entries, "docs/README"]) == sorted(name.removesuffix(".md") for name in listed.stdout.split())
