"""The page in a browser: its files, and the server that shows it to one reader of this machine."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from html.parser import HTMLParser
from http.client import HTTPConnection, HTTPResponse
from threading import Thread
from typing import Any

import pytest

from fanin import page
from fanin.page.local import PageServer

RECIPE = {"seed": str(2**64 - 1), "shape": [3], "scheme": "ones"}


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with PageServer(page.start(service=False, recipe=RECIPE, title="théta.json")) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def fetch(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """Return the response of the server, also for a `Host` that is given. One request, one connection."""
    connection = HTTPConnection(*server.server_address[:2], timeout=30)  # type: ignore[arg-type]
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": server.url.split("/")[2]} | headers).items():
        if value:
            connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


class _Links(HTMLParser):
    """Collects what a page loads, and inline styles and scripts, which the policy of the page would block."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded += [
            str(given[name]) for name in ("src", "href") if name in given and tag in ("script", "link", "img")
        ]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] * (tag == "style" or (tag == "script" and "src" not in given))


def test_every_file_that_the_page_loads_is_in_the_package() -> None:
    files = page.files()
    links = _Links()
    links.feed(files[page.INDEX].content.decode())
    loaded = [link for link in links.loaded if not link.startswith("data:")]
    assert {link.rpartition(".")[2] for link in loaded} >= {"css", "js"}
    for link in loaded:
        assert link.startswith("page/")  # relative: the page works under any prefix
        assert link.removeprefix("page/") in files, link
    assert links.inline == []
    kernels = [file for name, file in files.items() if name.endswith(".wasm")]
    assert len(kernels) == 2
    for file in kernels:
        assert (file.media_type, file.content[:4]) == ("application/wasm", b"\0asm")
    for name in re.findall(rb"[\w.]+\.(?:wasm|js|css)(?=[\"'`])", files["page.js"].content):
        assert name.decode() in files


def test_the_policy_allows_webassembly_and_nothing_else_that_is_unsafe() -> None:
    policy = page.HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert re.findall(r"'[^']*unsafe[^']*'", policy) == ["'wasm-unsafe-eval'"]
    assert "http" not in policy
    assert "*" not in policy


def test_each_file_has_its_type_and_is_revalidated(server: PageServer) -> None:
    for path in ("/", "/page/start.json", *(f"/page/{name}" for name in page.files())):
        answer, content = fetch(server, path)
        assert answer.status == 200
        headers = dict(answer.headers)
        assert page.HEADERS.items() <= headers.items()
        assert headers["Content-Type"] in page.TYPES.values()
        head, nothing = fetch(server, path, "HEAD")
        assert (head.status, nothing, head.headers["Content-Length"]) == (200, b"", str(len(content)))
        for known in (headers["ETag"], f'"x", W/{headers["ETag"]}'):
            answer, nothing = fetch(server, path, If_None_Match=known)
            assert (answer.status, nothing, answer.headers["ETag"]) == (304, b"", headers["ETag"])
        assert fetch(server, path, If_None_Match='"x"')[1] == content


def test_a_request_with_a_body_ends_its_connection(server: PageServer) -> None:
    """The body is not read, so that a further request would begin inside it."""
    host = server.url.split("/")[2]
    for body in (b"Content-Length: 5\r\n\r\nGET /", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
        with socket.create_connection(server.server_address[:2], timeout=30) as connection:  # type: ignore[arg-type]
            request = f"GET /nothing HTTP/1.1\r\nHost: {host}\r\n".encode()
            connection.sendall(request + body)
            received = b""
            while part := connection.recv(1 << 16):  # until the server closes it
                received += part
        assert received.startswith(b"HTTP/1.1 404 ")
        assert received.count(b"HTTP/1.1") == 1
        assert b"Connection: close\r\n" in received


def test_the_page_learns_where_it_is(server: PageServer) -> None:
    answer, content = fetch(server, "/page/start.json?x=1")
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(content) == {"service": False, "recipe": RECIPE, "title": "théta.json"}
    assert json.loads(page.start(service=True).content) == {"service": True, "recipe": None, "title": None}


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.js", "/page/../page.js", "/page/__init__.py", "/docs", "*", "//["]
)
def test_other_paths_are_404(server: PageServer, path: str) -> None:
    assert fetch(server, path)[0].status == 404


def test_only_requests_to_its_own_address_are_answered(server: PageServer) -> None:
    """With DNS rebinding, a page of another origin sends its own host name to this address."""
    port = server.server_address[1]
    assert fetch(server, "/", Host=f"localhost:{port}")[0].status == 200
    for host in ("", "127.0.0.1", "localhost", f"127.0.0.1:{port + 1}", f"evil.example:{port}", f"x@127.0.0.1:{port}"):
        for path in ("/", "/page/start.json"):
            answer, content = fetch(server, path, Host=host)
            assert answer.status == 421, host
            assert RECIPE["seed"] not in content.decode()
            assert server.url in content.decode()


def test_a_second_server_at_its_port_is_refused(server: PageServer) -> None:
    with pytest.raises(OSError, match="in use"):
        PageServer(page.start(service=False), server.server_address[1])


def test_nothing_of_a_recipe_can_end_the_document() -> None:
    """The recipe is in a response of JSON; no HTML contains it."""
    text: Any = "</script><img src=x onerror=alert(1)>\u2028"
    file = page.start(service=False, recipe={"tensors": {text: {}}}, title=text)
    assert file.media_type == "application/json"
    assert json.loads(file.content)["title"] == text
