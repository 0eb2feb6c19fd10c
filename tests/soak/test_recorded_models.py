"""Every model that can be had, recorded, its recipe beside its own run: no wrong law, no crash.

What is not installed is skipped: `pip install --no-deps torchvision==0.28.0 diffusers==0.42.1` brings it, without CUDA.
"""

from __future__ import annotations

import importlib.util

import pytest

from tests.models.sweep.reports import page, swept

pytestmark = pytest.mark.soak

PARTS = {"transformers": 16, "timm": 16, "torchvision": 2, "diffusers": 2, "torch.nn": 1, "ordinary code": 1}
"""In how many parts, each under 40 minutes on two slow CPUs."""
NEEDS = {"timm": ("timm", "torchvision"), "torchvision": ("torchvision",), "diffusers": ("diffusers",)}


@pytest.mark.parametrize(
    ("collection", "part"), [(name, part) for name, parts in PARTS.items() for part in range(parts)]
)
def test_laws_are_those_of_the_models_own_run(collection: str, part: int) -> None:
    for package in (*NEEDS.get(collection, ()), *(["transformers"] if collection == "transformers" else [])):
        if not importlib.util.find_spec(package):
            pytest.skip(f"{package} is not installed")
    verdicts = swept(collection, part, PARTS[collection])
    page()
    assert [verdict for verdict in verdicts if verdict.said in ("wrong", "crashed")] == []
