"""The page of other libraries' initializers is current, and what it says of papers are their formulas."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

import fanin
from fanin.draws import Orthogonal
from tests.peers.distributions import distribution
from tests.peers.formulas import FORMULAS, NAMES, Formula
from tests.peers.page import PAGE, page

GRID = np.linspace(0, 1, 20_001)
PROBABILITIES = np.array([1e-6, 0.01, 0.1, 0.3, 0.5, 0.8, 0.97, 1 - 1e-6])


def test_the_page_is_current() -> None:
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "run: make docs"


@pytest.mark.parametrize("row", FORMULAS, ids=lambda row: f"{row.library} {row.what}")
def test_a_tensor_is_its_formula(row: Formula) -> None:
    recipe = row.layout.recipe
    tensor = recipe.tensors["weight"]
    indices = [np.arange(size) for size in tensor.shape[-2:]]
    places = {"i": indices[-1], "t": indices[0][:, np.newaxis]}
    expected = eval(row.formula, NAMES | places | {"p": GRID})
    if re.search(r"\bp\b", row.formula):
        made = fanin.materialize(recipe)["weight"]
        assert stats.kstest(np.interp(made, expected, GRID), "uniform").pvalue > 1e-6
        assert expected[0] <= made.min()
        assert made.max() <= expected[-1]
    elif isinstance(expected, Orthogonal):
        assert tensor.draw == Orthogonal(pytest.approx(expected.gain), expected.rows, expected.columns)
    elif hasattr(expected, "ppf"):
        assert distribution(tensor.draw).ppf(PROBABILITIES) == pytest.approx(expected.ppf(PROBABILITIES), rel=1e-6)
    else:
        made = fanin.materialize(recipe)["weight"]
        assert np.allclose(made, expected, rtol=1e-6, atol=1e-7)
