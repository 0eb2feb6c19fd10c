"""Adapters of JAX and Keras, each in a separate process: both start threads, and take their settings from the
environment when they are imported."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

import fanin

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LONG = [pytest.param(name, marks=pytest.mark.soak("frameworks")) for name in ("numpy", "tensorflow")]
EIGHT_DEVICES = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}


def run(*words: str | Path, **environment: str) -> str:
    """Return the text that a Python with this environment prints."""
    found = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def cases(*names: str, **environment: str) -> None:
    """Run the test functions of files that are not collected here."""
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", *(HERE / name for name in names), **environment)


def test_jax() -> None:
    cases("jax_cases.py", "jax_initializer_cases.py", **EIGHT_DEVICES)


@pytest.mark.soak("frameworks")
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_make_the_shards_of_their_own_devices(processes: int) -> None:
    recipe = {"seed": 5, "shape": [64, 48], "scheme": "he_normal", "dtype": "BF16"}
    weight = fanin.materialize(recipe)["weight"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    devices = {**EIGHT_DEVICES, "XLA_FLAGS": f"--xla_force_host_platform_device_count={8 // processes}"}
    with ThreadPoolExecutor() as pool:
        words = [str(processes), port, json.dumps(recipe)]
        printed = pool.map(
            lambda number: run(HERE / "one_process.py", str(number), *words, **devices), range(processes)
        )
        found = [json.loads(text) for text in printed]
    for of_each in zip(*found, strict=True):
        digests = {}
        for process in of_each:
            own = {str(shard["bounds"]): shard for shard in process["shards"]}
            assert process["made"] == sum(math.prod(stop - start for start, stop in s["bounds"]) for s in own.values())
            digests |= {name: (shard["bounds"], shard["sha256"]) for name, shard in own.items()}
        size = 0
        for bounds, digest in digests.values():
            part = weight[tuple(slice(*each) for each in bounds)]
            size += part.size
            assert digest == hashlib.sha256(part.tobytes()).hexdigest()
        assert size == weight.size


@pytest.mark.parametrize("backend", ["jax", "torch", *LONG])
def test_keras(backend: str) -> None:
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed: make .venv/peers")
    cases(
        "keras_cases.py", "keras_initializer_cases.py", KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", **EIGHT_DEVICES
    )


KERAS_DIFFERS = {
    "test_orthogonal": "a direct call",
    "test_random_normal": "a direct call",
    "test_random_uniform": "a direct call",
    "test_variance_scaling": "a direct call",
    "test_variance_scaling_with_axes": "a direct call",
    "test_serialization_with_seed_generator": "a SeedGenerator",
    "test_stft_initializer": "SciPy's tukey, and a list as a window",
    "test_identity_initializer": "keras.initializers.get gives Keras' own class",
}
"""Tests of Keras that fail here, and what docs/keras.md says of each."""


@pytest.mark.soak("frameworks")
def test_the_tests_of_keras() -> None:
    ran, failed = json.loads(
        run(HERE / "keras_own_tests.py", KERAS_BACKEND="jax", JAX_PLATFORMS="cpu").splitlines()[-1]
    )
    assert len(ran) >= 20
    assert set(failed) == set(KERAS_DIFFERS)


@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.soak("frameworks")), *LONG])
def test_parity(backend: str) -> None:
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed: make .venv/peers")
    printed = run(ROOT / "docs" / "examples" / "parity.py", KERAS_BACKEND=backend, JAX_PLATFORMS="cpu")
    digests = {line.split(": ")[1].split(",")[0] for line in printed.splitlines()}
    assert len(printed.splitlines()) == 6
    assert len(digests) == 2, printed
