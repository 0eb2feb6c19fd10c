"""The bill of materials and the licences, as their commands write them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.deploy.image import canonical, entries

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.soak("images")


@pytest.fixture(scope="module", autouse=True)
def _made() -> None:
    subprocess.run(["make", "sbom", "licenses"], cwd=ROOT, check=True)


def wanted() -> dict[str, str]:
    """Versions of what the image for CPUs installs, on this machine's Python."""
    pinned = [Requirement(entry.split(" --hash", 1)[0]) for entry in entries(ROOT / "deploy/requirements/cpu.txt")]
    return {
        canonical(each.name): next(iter(each.specifier)).version
        for each in pinned
        if each.marker is None or each.marker.evaluate()
    }


def test_the_bill_of_materials_is_complete() -> None:
    bill = json.loads((ROOT / "dist" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "fanin"
    found = {canonical(component["name"]): component["version"] for component in bill["components"]}
    assert found == wanted()


def test_every_licence_is_told() -> None:
    rows = [line.split("|")[1:-1] for line in (ROOT / "dist" / "licenses.md").read_text().splitlines()[2:]]
    assert {canonical(row[0].strip()): row[1].strip() for row in rows} == wanted()
    assert all(row[2].strip() not in ("", "UNKNOWN") for row in rows)


def test_a_licence_beyond_the_list_is_refused() -> None:
    """The tools themselves have some."""
    tools = ROOT / "build" / "audit" / "tools" / "bin"
    command = [tools / "pip-licenses", "--python", tools / "python"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert "not in allow-only licenses" in found.stderr
