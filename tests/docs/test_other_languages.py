"""The examples of docs/other-languages.md print the numbers of the Python library."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import fanin
from tests.support.servers import Running, running

PAGE = Path(__file__).parents[2] / "docs" / "other-languages.md"
EXAMPLES: dict[str, str] = dict(re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
RUNS = {
    "bash": ("curl --version", "bash example", "curl"),
    "js": ("node --version", "node example.mjs", "nodejs"),
    "r": ("Rscript --version", "Rscript example", "r-base-core"),
    "julia": ("julia --version", "julia example", "Julia, which Debian lacks"),
    "rust": ("rustc --version", "rustc --edition 2021 -o example.bin example && ./example.bin", "rustc"),
    "go": ("go version", "cp example example.go && go run example.go", "golang-go"),
}
"""By language: a command that works where its compiler or interpreter does, how its example is run, what to install."""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


def test_every_example_is_run() -> None:
    assert EXAMPLES.keys() == RUNS.keys()


@pytest.mark.parametrize("language", RUNS)
def test_an_example(language: str, server: Running, tmp_path: Path) -> None:
    probe, command, package = RUNS[language]
    if subprocess.run(["bash", "-c", probe], capture_output=True).returncode:
        pytest.skip(f"needs {package}: `{probe}` fails")
    text = EXAMPLES[language].replace("http://127.0.0.1:8000", server.url)
    for name in ("example", "example.mjs"):
        (tmp_path / name).write_text(text)
    one = server.client.get("/v1/weights?shape=2,3&scheme=normal&std=1&seed=42")
    if language != "bash":
        (tmp_path / "weight.safetensors").write_bytes(one.content)  # as the example of curl leaves it
    environment = {**os.environ, "GOCACHE": str(tmp_path / "go"), "GO111MODULE": "off"}
    done = subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = [float(each) for each in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", done.stdout)]
    expected = fanin.materialize({"seed": 42, "shape": [2, 3], "scheme": "normal", "std": 1.0})["weight"]
    np.testing.assert_allclose(printed, expected.ravel(), rtol=1e-6)
