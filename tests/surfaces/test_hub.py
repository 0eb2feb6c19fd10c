"""Unmodified clients of the Hugging Face Hub against the service, over a socket, and the docs' table of them."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.surfaces import hub
from tests.surfaces.hub import Served
from tests.surfaces.operations import LOADED, OPERATIONS, clients

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers and its dependencies
pytest.importorskip("transformers", reason="transformers is not installed")

PAGE = runpy.run_path(str(hub.ROOT / "docs" / "hub.py"))
MATRIX = json.loads(PAGE["MATRIX"].read_text())
OLD = {
    "huggingface_hub 1.33.0, transformers 5.3.0": [
        *("huggingface_hub==1.33.0", "transformers==5.3.0", "tokenizers==0.22.1")
    ],
    "huggingface_hub 0.36.2, transformers 4.57.6": [
        *("huggingface_hub==0.36.2", "transformers==4.57.6", "tokenizers==0.22.1", "hf_transfer==0.1.9")
    ],
}
"""Packages that pip installs over the newest versions, by the name of the clients in the table."""
JAVASCRIPT = "@huggingface/hub@2.17.5"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with hub.serving(tmp_path_factory.mktemp("hub"), hub.ARCHITECTURES) as served:
        yield served


def test_newest_clients(served: Served, tmp_path: Path) -> None:
    found, faults = hub.run(served, tmp_path)
    assert found == clients()
    compare(faults, found)


@pytest.mark.soak("hub")
@pytest.mark.parametrize("client", OLD)
def test_older_clients(served: Served, tmp_path: Path, client: str) -> None:
    packages = tmp_path / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), *OLD[client]]
    subprocess.run(command, check=True)
    found, faults = hub.run(served, tmp_path, packages)
    assert found == client
    compare(faults, found)


@pytest.mark.soak("hub")
def test_real_widths(tmp_path: Path) -> None:
    with hub.serving(tmp_path, hub.WIDE, "seed-42-100mb") as wide:
        _, faults = hub.run(wide, tmp_path, names=[LOADED])
    assert faults == {LOADED: None}


@pytest.mark.soak("hub")
def test_javascript(served: Served, tmp_path: Path) -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), JAVASCRIPT]
    subprocess.run(install, check=True, cwd=tmp_path)
    command = ["node", str(Path(__file__).with_name("operations.mjs")), str(served.facts), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    faults = {line["operation"]: line["fault"] for line in map(json.loads, done.stdout.splitlines())}
    assert len(faults) == 4
    assert {name: fault for name, fault in faults.items() if fault} == {}


def compare(faults: dict[str, str | None], client: str) -> None:
    """Fail if the result of an operation differs from the table's entry for this client."""
    assert faults.keys() == OPERATIONS.keys()
    told = MATRIX[client]
    for name, fault in faults.items():
        assert (fault is None) == (told[name] == "yes"), f"{name}\n{fault}"


def test_the_table_is_current() -> None:
    assert MATRIX.keys() == {clients(), *OLD}
    assert PAGE["page"]() == PAGE["PAGE"].read_text("utf-8"), "run: python docs/hub.py"
