"""Adapters of JAX and Keras, each in a process of its own: both start threads, and take their settings from the
environment when they are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EIGHT_DEVICES = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
PACKAGES = {"jax": "jax", "torch": "torch", "numpy": "numpy", "tensorflow": "tensorflow"}


def run(*words: str | Path, **environment: str) -> str:
    """What a Python with this environment prints."""
    found = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def cases(name: str, *words: str, **environment: str) -> None:
    """Run the test functions of a file that is not collected here."""
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", *words, HERE / name, **environment)


def test_jax() -> None:
    cases("jax_cases.py", **EIGHT_DEVICES)


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy", pytest.param("tensorflow", marks=pytest.mark.soak)])
def test_keras(backend: str) -> None:
    if not find_spec(PACKAGES[backend]):
        pytest.skip(f"{backend} is not installed: make .venv/peers")
    cases("keras_cases.py", KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", **EIGHT_DEVICES)


@pytest.mark.parametrize(
    "backend",
    ["jax", pytest.param("torch", marks=pytest.mark.soak), pytest.param("tensorflow", marks=pytest.mark.soak)],
)
def test_parity(backend: str) -> None:
    if not find_spec(PACKAGES[backend]):
        pytest.skip(f"{backend} is not installed: make .venv/peers")
    printed = run(ROOT / "docs" / "examples" / "parity.py", KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    digests = {line.split(": ")[1].split(",")[0] for line in printed.splitlines()}
    assert len(printed.splitlines()) == 6
    assert len(digests) == 2, printed
