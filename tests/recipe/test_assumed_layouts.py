"""Layouts that a recipe leaves to its default: what knows the framework asks for them."""

from __future__ import annotations

import pytest

from fanin import as_recipe
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Wanted, fit
from fanin.errors import ModuleError
from fanin.recipe.assumed_layouts import assumed
from fanin.recipe.formatting import text

PARTS = [{"size": 3, "scheme": "lecun_normal", "layout": "keras"}]
GIVEN = {
    "layout": "keras",
    "tensors": {
        "kernel": {"shape": [3, 4], "scheme": "he_normal"},
        "parts": {"shape": [3, 4], "scheme": "blocks", "parts": PARTS},
        "turned": {"shape": [4, 3], "scheme": "orthogonal", "layout": "torch"},
    },
}


def test_a_layout_that_was_given_stays_so() -> None:
    """Canonical text leaves out what is the default: copies and the spelling for people do not."""
    recipe = as_recipe(GIVEN)
    for same in (
        recipe,
        recipe.model_copy(update={"seed": 3}),
        recipe.part(["parts", "kernel"]),
        as_recipe({"tensors": recipe.tensors}),
        as_recipe(text(recipe)),
    ):
        assert assumed(same) == []
    assert as_recipe(text(recipe)).digest == recipe.digest
    assert assumed(as_recipe(recipe.canonical)) == ["kernel", "parts"]


def test_an_array_with_its_axes_reordered_asks_for_the_layout() -> None:
    recipe = {"shape": [1000, 10], "scheme": "he_normal"}
    wanted = {"kernel": Wanted((10, 1000), "float32")}
    names = {"kernel": ("weight", (1, 0))}
    with pytest.raises(ModuleError, match='"layout": "torch"'):
        fit(Given.of(recipe), wanted, names)
    assert fit(Given.of({**recipe, "layout": "torch"}), wanted, names)
    assert fit(Given.of(recipe), {"kernel": Wanted((1000, 10), "float32")}, {"kernel": ("weight", (0, 1))})
    square = {"shape": [10, 10], "scheme": "he_normal"}
    assert fit(Given.of(square), {"kernel": Wanted((10, 10), "float32")}, names)
