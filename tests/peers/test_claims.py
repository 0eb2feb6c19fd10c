"""README's claims about other libraries hold for the versions that it names."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.peers.claims import CHECKS, README, Claim

ROOT = Path(__file__).parents[2]
NEEDED = {"torch": ("torch", "timm", "safetensors"), "jax": ("jax", "flax", "keras")}
"""Packages that the checks of a process need."""


@cache
def results(process: str) -> dict[str, bool]:
    command = [sys.executable, "-m", "tests.peers.claims", process]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not ended.returncode, ended.stderr
    found: dict[str, bool] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("process", list(CHECKS))
def test_every_claim_holds(process: str) -> None:
    if missing := [library for library in NEEDED[process] if not find_spec(library)]:
        pytest.skip(f"{', '.join(missing)} not installed: make .venv/dev")
    assert results(process) == dict.fromkeys(CHECKS[process], True)


def rows() -> list[str]:
    """Left cells of README's table of other libraries."""
    lines = (ROOT / "README.md").read_text("utf-8").split("## Why\n")[1].split("\n## ")[0].splitlines()
    return [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]


@pytest.mark.parametrize("claim", README, ids=lambda claim: claim.words)
def test_a_claim_names_the_version_it_was_checked_on(claim: Claim) -> None:
    (row,) = [row for row in rows() if row.startswith(claim.words)]
    for library in claim.libraries:
        name, _, number = library.rpartition(" ")
        installed = name.lower().removesuffix(" nnx")
        assert library in row
        if find_spec(installed):
            assert f"{version(installed)}.".startswith(f"{number}.")


def test_every_row_is_checked() -> None:
    assert len(rows()) == len(README)
    named = {check for claim in README for check in claim.checks}
    assert named <= {check for checks in CHECKS.values() for check in checks}
