"""The stored models of the catalogue are those that its scripts write, with the published numbers of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.catalogue import page
from docs.catalogue.generate import agrees, write
from docs.catalogue.page import ALL
from fanin import models

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers and its dependencies
FEW = ("gpt-oss-20b", "tiny-resnet", "flux.1-dev")


@pytest.mark.parametrize(
    "name", [*FEW, *(pytest.param(name, marks=pytest.mark.soak("catalogue")) for name in ALL if name not in FEW)]
)
def test_the_recipe_is_recorded_again(name: str, tmp_path: Path) -> None:
    model = models.get(name)
    entry = write(name, ALL[name], tmp_path / name)
    assert models.CatalogueModel(name, **entry) == model
    assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == model.files()


def test_numbers_of_parameters_are_the_published_ones() -> None:
    assert models.names() == list(ALL)
    for name, model in ALL.items():
        assert not model.published or agrees(models.get(name).parameters, model.published), name
        assert bool(model.published) != name.startswith("tiny-")


def test_a_number_of_parameters_agrees_to_the_published_digits() -> None:
    assert agrees(8_030_261_248, "8.03B")
    assert not agrees(8_030_261_248, "8.04B")
    assert agrees(134_515_008, "135M")
    assert not agrees(134_499_999, "135M")


def test_the_page_is_up_to_date() -> None:
    assert page.page() == page.PAGE.read_text("utf-8")
