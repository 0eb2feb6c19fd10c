"""The documentation runs: Python blocks are executed, commands too, links lead somewhere, settings are all there."""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fanin.cli import main
from fanin.schemes import ALIASES, SCHEMES
from tests.service.servers import running

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "clients").rglob("*.md")),
]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FRAMEWORK = re.compile(r"^import (jax|keras)\b", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)]+))?\)")


def pages() -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


@pytest.mark.parametrize("page", pages())
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one page share their names; a service at 127.0.0.1:8000 stands for one on a free port."""
    blocks = BLOCK.findall(page.read_text("utf-8"))
    if not blocks:
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    recipe = {"layout": "torch", "tensors": {"w": {"shape": [8, 4], "scheme": "he_normal"}}}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    names: dict[str, object] = {}
    with running() as server:
        blocks = [(kind, text.replace("http://127.0.0.1:8000", server.url)) for kind, text in blocks]
        if any(FRAMEWORK.search(text) for _, text in blocks):
            apart([text for _, text in blocks])
            return
        for kind, text in blocks:
            if kind == "python":
                exec(compile(text, str(page), "exec"), names)
                continue
            for line in filter(lambda line: line.startswith("$ "), text.splitlines()):
                command = line[2:]
                if not command.startswith("fanin serve"):
                    run(command)


def apart(texts: list[str]) -> None:
    """Python in a process of its own: JAX starts threads, which this one must not have."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "numpy"}
    subprocess.run([sys.executable, "-c", "\n".join(texts)], env=environment, check=True)


def run(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "fanin":
        assert main(words) == 0, command
    else:
        assert program == "curl"
        curl(words)


def curl(words: list[str]) -> None:
    """What these pages ask of curl, which a test machine need not have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-f", action="store_true")  # as below, always
    parser.add_argument("-o", dest="output", type=Path)
    parser.add_argument("-r", dest="range")
    parser.add_argument("-H", dest="header", default="Accept: */*")
    parser.add_argument("--data-binary", dest="data")
    parser.add_argument("--head", action="store_true")
    parser.add_argument("url")
    options = parser.parse_args(words)
    headers = dict([options.header.split(": ")])
    if options.range:
        headers["Range"] = f"bytes={options.range}"
    body = Path(options.data.removeprefix("@")).read_bytes() if options.data else None
    method = "HEAD" if options.head else "POST" if body else "GET"
    response = httpx.request(method, options.url, headers=headers, content=body)
    response.raise_for_status()
    if options.output:
        options.output.write_bytes(response.content)


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, anchor


def test_every_scheme_is_in_the_specification() -> None:
    specification = (ROOT / "clients" / "SPEC.md").read_text("utf-8")
    for name in (*SCHEMES, *ALIASES):
        assert f"`{name}`" in specification, name
    for scheme in SCHEMES.values():
        for field in scheme.model_fields:
            assert f"`{field}`" in specification, field


@pytest.mark.parametrize("page", ["configuration.md", "openapi.json"])
def test_pages_that_come_from_the_code_are_current(page: str) -> None:
    """`make docs` writes them."""
    write = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"][page]
    assert (ROOT / "docs" / page).read_text("utf-8").splitlines() == write().splitlines()


def test_the_example_recipes_are_what_their_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "examples" / "recipes.py"))
    for name, recipe in script["EXAMPLES"].items():
        assert (ROOT / "docs" / "examples" / name).read_text() == script["text"](recipe())


def test_the_performance_page_says_what_its_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "bench" / "page.py"))
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert script["page"](text) == text, "run: python docs/bench/page.py"
    assert all(f"<!-- {name} -->" in text for name in script["SECTIONS"])


def test_the_page_of_initializers_compared_says_what_its_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "compare" / "page.py"))
    figures, written = script["kept"](), "run: python docs/compare/page.py"
    assert (ROOT / "docs" / "compare.md").read_text("utf-8") == script["page"](figures), written
    for name, drawn in script["plots"](figures).items():
        assert (ROOT / "docs" / "compare" / name).read_text("utf-8") == drawn, written


def test_the_kept_figures_are_whole() -> None:
    documents = [json.loads(path.read_text()) for path in (ROOT / "docs" / "bench").glob("*.json")]
    assert documents
    for document in documents:
        assert document["fill"]["failures"] == []
        assert {maker["name"] for maker in document["fill"]["makers"]} >= {
            "torch",
            "numpy",
            "jax",
            "tensorflow",
            "keras",
        }


def test_the_table_of_metrics_is_current() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "metrics.py"))
    assert script["page"]() == script["PAGE"].read_text("utf-8"), "run: python docs/metrics.py"
