"""The documentation runs: Python blocks are executed, commands too, links lead somewhere, settings are all there."""

from __future__ import annotations

import argparse
import ast
import contextlib
import doctest
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import httpx
import pytest

from fanin import Recipe
from fanin.cli.main import main
from fanin.dtypes import DTypeName
from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.base import Scaled
from fanin_service.settings import Settings
from tests.support.servers import running

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(page for page in sorted((ROOT / "clients").rglob("*.md")) if "node_modules" not in page.parts),
    ROOT / "deploy" / "README.md",
]
BLOCK = re.compile(r"^```(python|console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FRAMEWORK = re.compile(r"^(?:import|from) (?:flax|jax|keras)\b", re.MULTILINE)
"""Such blocks run in a separate process: these libraries start threads and add handlers to the log."""
ALONE = {"torch.md", "jax.md", "keras.md", "record.md", "recipes.md"}
"""Pages of which every section runs by itself, so that a reader can begin anywhere."""
LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)]+))?\)")


def pages() -> list[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]


@pytest.mark.parametrize("page", pages())
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks run in order, as they are; those of a page, or where it says so of a section, share their names.

    A service at 127.0.0.1:8000 stands for one on a free port.
    """
    text = page.read_text("utf-8")
    if not BLOCK.search(text):
        return
    if page.name == "mlx.md":
        pytest.importorskip("mlx.core", reason="needs MLX: pip install 'mlx[cpu]'")
    parts = re.split(r"^## ", text, flags=re.MULTILINE) if page.name in ALONE else [text]
    sections = [BLOCK.findall(part) for part in parts]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    with running(Settings(artifact_destinations={"weights": str(tmp_path / "weights")})) as server:
        sections = [
            [(kind, text.replace("http://127.0.0.1:8000", server.url)) for kind, text in blocks] for blocks in sections
        ]
        if any(FRAMEWORK.search(text) for blocks in sections for _, text in blocks):
            apart(["\n".join(text for _, text in blocks) for blocks in sections])
            return
        for blocks in sections:
            names: dict[str, object] = {}
            for kind, text in blocks:
                if kind == "python":
                    exec(compile(text, str(page), "exec"), names)
                    continue
                for command, output in commands(kind, text):
                    run(command, output)


SET_UP = ("python3 -m venv", ". .venv", "pip install", "fanin serve")
"""Commands that begin a page; here they have been run already."""


def commands(kind: str, text: str) -> Iterator[tuple[str, str]]:
    """Commands of a block, each with the output that the page shows.

    In `sh` every line is a command. In `console` a command follows a prompt, and its output follows the command.
    """
    lines = text if kind == "console" else re.sub("^", "$ ", text.rstrip("\n"), flags=re.MULTILINE)
    for part in re.split(r"^\$ ", lines, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        if not command.startswith(SET_UP):
            yield command, output


def apart(texts: list[str]) -> None:
    """Run Python in a separate process, each text with separate names. This process must not get the threads of JAX."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": "numpy"}
    program = (
        "import json, sys\nfor text in json.load(sys.stdin): exec(compile(text, text, 'exec'), {'__name__': 'page'})"
    )
    subprocess.run([sys.executable, "-c", program], input=json.dumps(texts), text=True, env=environment, check=True)


def run(command: str, output: str) -> None:
    """Run a command and, if the page shows its output, compare: `...` stands for anything."""
    program, *words = shlex.split(command)
    if program == "fanin":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            assert main(words) == 0, command
        assert not output or doctest.OutputChecker().check_output(output, printed.getvalue(), doctest.ELLIPSIS)
    else:
        assert program == "curl"
        curl(words)


def curl(words: list[str]) -> None:
    """Do what these pages ask of curl, which a test machine need not have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-f", action="store_true")  # as below, always
    parser.add_argument("-L", action="store_true")
    parser.add_argument("-o", dest="output", type=Path)
    parser.add_argument("-r", dest="range")
    parser.add_argument("--retry")
    parser.add_argument("--retry-connrefused", action="store_true")
    parser.add_argument("--retry-delay")
    parser.add_argument("-H", dest="header", default="Accept: */*")
    parser.add_argument("--data-binary", dest="data")
    parser.add_argument("--head", action="store_true")
    parser.add_argument("url")
    options = parser.parse_args(words)
    headers = dict([options.header.split(": ")])
    if options.range:
        headers["Range"] = f"bytes={options.range}"
    given = options.data or ""
    body = Path(given[1:]).read_bytes() if given.startswith("@") else given.encode() or None
    method = "HEAD" if options.head else "POST" if body else "GET"
    response = httpx.request(method, options.url, headers=headers, content=body, follow_redirects=options.L)
    assert response.is_success, response.status_code
    if options.output:
        options.output.write_bytes(response.content)


@pytest.mark.parametrize("page", pages())
def test_python_can_be_pasted_into_an_interpreter(page: Path) -> None:
    """An interactive Python ends a compound statement at the first empty line, and only there.

    The formatter puts an empty line between the methods of a class, so a class with two of them is an exception.
    """
    for kind, block in BLOCK.findall(page.read_text("utf-8")):
        lines = block.splitlines()
        for node in ast.parse(block).body if kind == "python" else ():
            if hasattr(node, "body"):
                if not isinstance(node, ast.ClassDef):
                    assert all(lines[node.lineno - 1 : node.end_lineno]), lines[node.lineno - 1]
                assert not lines[node.end_lineno :][:1] or not lines[node.end_lineno], lines[node.end_lineno]


def test_what_is_to_be_installed_can_be() -> None:
    """From a checkout: no index has `fanin`. Every extra that a page names is one."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        for words in re.findall(r"pip install ([^`\n]*)", page.read_text("utf-8")):
            assert "fanin[" not in words, page
            for named in re.findall(r"\.\[([a-z0-9,]+)\]", words):
                assert set(named.split(",")) <= extras.keys(), page


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        if target.startswith("http"):
            continue
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        if anchor:
            text = re.sub(r"^```.*?^```", "", linked.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, anchor


def test_every_scheme_is_in_the_specification() -> None:
    specification = (ROOT / "clients" / "SPEC.md").read_text("utf-8")
    for name in (*SCHEMES, *ALIASES):
        assert f"`{name}`" in specification, name
    for scheme in SCHEMES.values():
        for field in scheme.model_fields:
            assert f"`{field}`" in specification, field


@pytest.mark.parametrize("page", ["configuration.md", "openapi.json", "schemes.md"])
def test_pages_that_come_from_the_code_are_current(page: str) -> None:
    """`make docs` writes them."""
    write = runpy.run_path(str(ROOT / "docs" / "generate.py"))["PAGES"][page]
    assert (ROOT / "docs" / page).read_text("utf-8").splitlines() == write().splitlines()


def test_the_pages_of_recipes_are_complete() -> None:
    """The first recipe is the file. Every field of a recipe and of a kernel, every type and every scheme is listed."""
    for page in ("recipes.md", "tutorial.md"):
        shown = re.findall(r"^```json\n(.*?)^```", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
        assert shown == [(ROOT / "docs" / "examples" / "mlp.json").read_text()]
    text = (ROOT / "docs" / "schemes.md").read_text("utf-8")
    for name in (*Recipe.model_fields, *Scaled.model_fields, *get_args(DTypeName), *SCHEMES, *ALIASES):
        assert f"`{name}`" in text, name


def test_the_example_recipes_are_what_their_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "examples" / "recipes.py"))
    for name, recipe in script["EXAMPLES"].items():
        assert (ROOT / "docs" / "examples" / name).read_text() == script["text"](recipe())


def test_make_docs_runs_every_generator() -> None:
    """Each script of docs and deploy that writes a file beside it; the linter's baseline is not a page."""
    commands = re.search(r"^docs:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    scripts = [
        path
        for folder in ("docs", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r'__name__ == "__main__"(.|\n)*write_text', path.read_text())
    ]
    assert len(scripts) >= 7
    for script in scripts:
        path = script.relative_to(ROOT)
        module = ".".join(path.with_suffix("").parts)
        assert f"python {path}\n" in commands[1] or f"python -m {module}\n" in commands[1], script


def test_the_performance_page_says_what_its_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "bench" / "page.py"))
    text = (ROOT / "docs" / "performance.md").read_text("utf-8")
    assert script["page"](text) == text, "run: python docs/bench/page.py"
    assert all(f"<!-- {name} -->" in text for name in script["SECTIONS"])


def test_the_page_of_the_gpu_says_what_its_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "bench" / "gpu.py"))
    text = (ROOT / "docs" / "gpu.md").read_text("utf-8")
    assert script["page"](text) == text, "run: python docs/bench/gpu.py"
    assert all(f"<!-- {name} -->" in text for name in script["SECTIONS"])


def test_the_page_of_initializers_compared_says_what_its_figures_say() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "compare" / "page.py"))
    figures, written = script["kept"](), "run: python docs/compare/page.py"
    assert (ROOT / "docs" / "compare.md").read_text("utf-8") == script["page"](figures), written
    for name, drawn in script["plots"](figures).items():
        assert (ROOT / "docs" / "compare" / name).read_text("utf-8") == drawn, written


def test_the_kept_figures_are_whole() -> None:
    documents = runpy.run_path(str(ROOT / "docs" / "bench" / "page.py"))["machines"]().values()
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


@pytest.mark.parametrize("script", ["functions", "library", "commands"])
def test_the_pages_of_the_library_and_the_commands_are_current(script: str) -> None:
    """`make docs` writes them."""
    write = runpy.run_path(str(ROOT / "docs" / f"{script}.py"))
    assert write["page"]() == write["PAGE"].read_text("utf-8"), f"run: python docs/{script}.py"


def test_every_command_has_its_help_on_the_page_of_commands() -> None:
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for name in (
        "get",
        "make",
        "keys create",
        "recipe torch",
        *(each.name for each in entry_points(group="fanin.commands")),
    ):
        assert f"## fanin {name}\n" in text, name
