"""Every model that can be had, recorded, its recipe beside its own run: no wrong distribution, no crash.

What is not installed is skipped: `pip install --no-deps torchvision==0.28.0 diffusers==0.42.1` brings it, without CUDA.
"""

from __future__ import annotations

import importlib.util

import pytest

from tests.recording.sweep.reports import page, swept
from tests.soak.parts import SWEEPS

NEEDS = {
    "transformers": ("transformers",),
    "timm": ("timm", "torchvision"),
    "torchvision": ("torchvision",),
    "diffusers": ("diffusers",),
}


@pytest.mark.parametrize(
    ("collection", "number"),
    [
        pytest.param(name, number, marks=pytest.mark.soak(f"recorded-{name}-{number}"))
        for name, count in SWEEPS.items()
        for number in range(1, count + 1)
    ],
)
def test_laws_are_those_of_the_models_own_run(collection: str, number: int) -> None:
    for package in NEEDS.get(collection, ()):
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
    verdicts = swept(collection.replace("-", " "), number - 1, SWEEPS[collection])
    page()
    assert [verdict for verdict in verdicts if verdict.said in ("wrong", "crashed")] == []
