"""Every available model is recorded, and its recipe compared with its own run: no wrong distribution, no crash.

A part is skipped if its packages are not installed. `pip install --no-deps diffusers==0.42.1` is fine beside
transformers. The parts of torchvision and timm need a separate environment: torchvision beside a torch for CPUs alone
breaks the imports of transformers. There, run `pip install --no-deps torchvision==0.28.0`.
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
def test_distributions_are_those_of_the_models_own_run(collection: str, number: int) -> None:
    for package in NEEDS.get(collection, ()):
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
    verdicts = swept(collection.replace("-", " "), number - 1, SWEEPS[collection])
    page()
    assert [verdict for verdict in verdicts if verdict.said in ("wrong", "crashed")] == []
