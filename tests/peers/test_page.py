"""The page of other libraries' initializers is current, and its rows without a dialect are the known formulas."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import fanin
from fanin.draws import Blocks, Fill, Normal, Table, TruncatedNormal, Uniform

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "initializers.py"))
CUT = float(stats.truncnorm.std(-2, 2))


def test_the_page_is_current() -> None:
    assert SCRIPT["PAGE"].read_text("utf-8") == SCRIPT["page"](), "run: python docs/initializers.py"


@pytest.mark.parametrize(("library", "what", "tensor", "law"), SCRIPT["MORE"])
def test_a_row_is_its_formula(library: str, what: str, tensor: dict[str, Any], law: tuple[str, float]) -> None:
    recipe = {"shape": SCRIPT["KERNELS"]["keras"], **tensor}
    draw = fanin.as_recipe(recipe).tensors["weight"].draw
    kind, size = law
    match kind:
        case "U":
            assert isinstance(draw, Uniform)
            assert (draw.center, draw.half_width) == (0, pytest.approx(size, rel=1e-6))
        case "N":
            assert draw == Normal(0, pytest.approx(size, rel=1e-6))
        case "TN" | "TN2" | "TN3":
            std, cut = size / CUT if kind == "TN" else size, 3 if kind == "TN3" else 2
            assert isinstance(draw, TruncatedNormal)
            high = pytest.approx(2 if tensor.get("bounds") == "absolute" else cut * std, rel=1e-6)
            assert (draw.mean, draw.std, draw.high, -draw.low) == (0, pytest.approx(std, rel=1e-6), high, high)
        case "=":
            assert draw == Fill(pytest.approx(size, rel=1e-6))
        case "eye":
            assert isinstance(draw, Blocks)
            assert (fanin.materialize(recipe)["weight"] == np.eye(5)).all()
        case "table":  # their values: tests/backends/test_composed.py
            assert isinstance(draw, Table)
