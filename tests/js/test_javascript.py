"""The JavaScript client in Node: its own tests with the public vectors, and random recipes beside this library."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import subprocess
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest

from fanin import FileLayout, RecipeError, as_recipe, backends, describe
from fanin.file.plan import read_into
from tests.js.recipes import recipes

CLIENT = Path(__file__).parents[2] / "clients" / "js"
VECTORS = CLIENT.parent / "vectors"
_SMALL = ["schemes", "newer", "integers", "f8", "quantized", "dialects", "files"]
"""Vectors that a browser makes too: each eighth of them."""
NODE = shutil.which("node")
_LEAST_NODE = 20
_CASES = 180
_RANGE = 400
"""Most bytes of a range that is compared."""


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the client, compiled from its source as it is."""
    if NODE is None:
        pytest.skip("node is not installed")
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < _LEAST_NODE:
        pytest.skip(f"the client needs Node {_LEAST_NODE}, and this is {version}")
    compiler = CLIENT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.skip("the TypeScript compiler is not installed: run make js")
    made = subprocess.run([compiler], cwd=CLIENT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout
    for module in (CLIENT / "src").glob("*.wasm"):
        shutil.copy(module, CLIENT / "dist")
    return CLIENT


def _node(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert NODE
    # `make js` takes all vectors of streams.json, whose tensors have four million elements each.
    environment = {**os.environ, "FANIN_STREAMS": "20"}
    return subprocess.run([NODE, *arguments], cwd=folder, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("name", ["vectors", "files", "client", "readme", "vocabulary"])
def test_its_own_tests_pass(built: Path, name: str) -> None:
    run = _node(built, "--test", "--test-reporter=tap", f"tests/{name}.test.js")
    assert run.returncode == 0, run.stdout[-8000:]
    assert int(re.findall(r"^# pass (\d+)$", run.stdout, re.MULTILINE)[-1]) > 0


def _expected(recipe: str, source: random.Random) -> dict[str, Any]:
    """Return what the Python library makes of a recipe."""
    try:
        layout = FileLayout.of(as_recipe(recipe))
    except RecipeError:
        return {"recipe": recipe, "refused": True}
    backend = backends.get()
    ranges = []
    starts = {0, len(layout.header), *(source.randrange(layout.size) for _ in range(2)), max(layout.size - _RANGE, 0)}
    for start in starts:
        out = bytearray(min(_RANGE, layout.size - start))
        read_into(layout, start, memoryview(out), backend)
        ranges.append({"start": str(start), "stop": str(start + len(out)), "data": out.hex()})
    made = layout.recipe
    common = {"canonical": made.canonical.decode(), "digest": made.digest, "size": str(layout.size)}
    return {"recipe": recipe, **common, "ranges": ranges}


@pytest.mark.parametrize("runtime", [["node"], ["deno", "run", "--no-config", "--no-lock", "--allow-read"]])
def test_random_recipes_have_the_same_files(built: Path, runtime: list[str]) -> None:
    if shutil.which(runtime[0]) is None:
        pytest.skip(f"{runtime[0]} is not installed")
    source = random.Random(1)
    cases = [_expected(recipe, source) for recipe in recipes(1, _CASES)]
    assert sum("refused" in case for case in cases) < _CASES / 2
    command = [*runtime, "tests/compare.js"]
    run = subprocess.run(command, cwd=built, capture_output=True, text=True, input=json.dumps(cases), check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found == {"count": _CASES, "differences": []}


def test_descriptions_are_those_of_this_library(built: Path) -> None:
    texts = [text for text in recipes(3, 2 * _CASES) if _is_valid(text)]
    run = subprocess.run(
        [NODE or "", "tests/describe.js"],
        cwd=built,
        capture_output=True,
        text=True,
        input=json.dumps(texts),
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for text, found in zip(texts, json.loads(run.stdout), strict=True):
        for name, tensor in describe(text)["tensors"].items():
            expected = {key: value for key, value in tensor.items() if key in ("draw", "fan_in", "fan_out")}
            assert {key: found[name].get(key) for key in expected} == expected, text
            for key in ("mean", "std", "low", "high"):
                wanted = tensor[key]
                # A mean of almost 0 is a difference of larger numbers.
                margin = 1e-9 * (tensor["std"] or 0)
                assert found[name].get(key) == (wanted and pytest.approx(wanted, rel=1e-9, abs=margin)), (key, text)


def _is_valid(text: str) -> bool:
    try:
        FileLayout.of(as_recipe(text))
    except RecipeError:
        return False
    return True


class _Pages(SimpleHTTPRequestHandler):
    """Serves the client and /cases.json under the strictest policy in which WebAssembly compiles."""

    cases = b""
    told: Queue[Any]
    """The results that the page sends to /result."""

    def end_headers(self) -> None:
        policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'"
        self.send_header("Content-Security-Policy", policy)
        super().end_headers()

    def do_GET(self) -> None:
        if self.path != "/cases.json":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(self.cases)

    def do_POST(self) -> None:
        self.told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


_CHROMIUM = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu"]
_BROWSERS = {
    "chromium": [*_CHROMIUM, "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--user-data-dir={profile}"],
    "firefox-esr": ["firefox-esr", "--headless", "--no-remote", "--profile", "{profile}"],
}
OFFLINE = """
user_pref("network.proxy.type", 1);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.no_proxies_on", "127.0.0.1");
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
"""
"""Settings with which Firefox reaches 127.0.0.1 only."""


@pytest.mark.parametrize("browser", _BROWSERS)
def test_a_page_and_a_worker_make_the_same_files(built: Path, tmp_path: Path, browser: str) -> None:
    if shutil.which(browser) is None:
        pytest.skip(f"{browser} is not installed")
    source = random.Random(2)
    vectors = [json.loads((VECTORS / f"{name}.json").read_text("utf-8")) for name in _SMALL]
    texts = [*recipes(2, _CASES // 3), *(vector["recipe"] for every in vectors for vector in every[::8])]
    cases = [_expected(text, source) for text in texts]
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "user.js").write_text(OFFLINE)
    told: Queue[Any] = Queue()
    handler = type("Pages", (_Pages,), {"cases": json.dumps(cases).encode(), "told": told})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(built))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/tests/page.html"
        command = [*(part.format(profile=profile) for part in _BROWSERS[browser]), url]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                found = told.get(timeout=600)
            finally:
                process.terminate()
                server.shutdown()
    assert found == {"count": len(cases), "page": [], "worker": [], "violations": []}


def test_the_kernels_are_those_of_the_source(tmp_path: Path) -> None:
    """The modules in the repository are what the compiler of Debian 12 makes of csrc."""
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        pytest.skip("clang and lld are not installed")
    version = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True).stdout
    if "version 14.0.6" not in version:
        pytest.skip("another clang makes other modules of the same functions")
    subprocess.run([CLIENT / "wasm" / "build.sh", tmp_path], check=True)
    for name in ("kernels.simd.wasm", "kernels.plain.wasm"):
        assert (tmp_path / name).read_bytes() == (CLIENT / "src" / name).read_bytes(), f"{name} is stale: run make js"
