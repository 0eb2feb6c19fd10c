"""Recipes, layouts and recordings on a screen and in a notebook."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from typing import Any

import pytest
import torch

import fanin
from fanin import FileLayout, Recipe, as_recipe
from fanin.names import MAX_NAME_BYTES
from fanin.recipe import display, formatting
from fanin.recording.literals import Recording

LARGE = {
    "seed": 42,
    "dtype": "BF16",
    "tensors": {"emb": {"shape": [32000, 64], "scheme": "normal", "std": 0.02}},
    "repeated": {
        "h.{0..11}.w": {"shape": [64, 64], "scheme": "he_normal"},
        "h.{0..11}.b": {"shape": [64], "scheme": "zeros"},
    },
}
ODD = "<b>&\u202e" + "x" * (MAX_NAME_BYTES - 10)


def shown(tensors: dict[str, Any], **members: Any) -> list[str]:
    return repr(as_recipe({**members, "tensors": tensors})).splitlines()


def test_repeated_layers_share_a_line() -> None:
    title, head, rule, *rows = repr(as_recipe(LARGE)).splitlines()
    assert title == f"Recipe: seed 42, 25 tensors, {32000 * 64 + 12 * 64 * 65:,} elements"
    assert head.split() == ["tensor", "dtype", "shape", "scheme"]
    assert set(rule) == {"-", " "}
    assert [row.split() for row in rows] == [
        ["emb", "BF16", "32000", "x", "64", "normal", "std=0.02"],
        ["h.{0..11}.w", "BF16", "64", "x", "64", "he_normal"],
        ["h.{0..11}.b", "BF16", "64", "zeros"],
    ]
    assert str(as_recipe(LARGE)) == repr(as_recipe(LARGE))


def test_it_fits_a_screen() -> None:
    many = {f"{chr(97 + n % 26)}{n}x": {"shape": [1] * 60 + [n], "scheme": "zeros"} for n in range(100)}
    parts = [{"size": 1, "scheme": "constant", "value": float(n)} for n in range(64)]
    many |= {ODD: {"shape": [64], "scheme": "blocks", "parts": parts}}
    for tensors in (many, dict(reversed(many.items()))):
        lines = shown(tensors)
        assert len(lines) == 3 + display.LINES + 1
        assert max(map(len, lines)) <= 100
        assert lines[-1] == f"... and {101 - display.LINES} more tensors"
        assert all(line.isprintable() for line in lines)
    assert "..." in shown({ODD: many[ODD]})[-1]
    assert shown({}) == ["Recipe: seed 0, 0 tensors, 0 elements"]


def test_many_tensors_are_not_all_looked_at() -> None:
    recipe = as_recipe({"repeated": {"{0..99999}": {"shape": [], "scheme": "ones"}}, "tensors": {}})
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_name in ("canonical", "_cells", "_boxes")

    sys.setprofile(count)
    try:
        lines = repr(recipe).splitlines()
    finally:
        sys.setprofile(None)
    assert lines[-1] == f"... and {100_000 - display.LINES} more tensors"
    assert calls <= 3 * display.LINES


class Cells(HTMLParser):
    """The texts of a table, and the tags in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_table_in_a_notebook() -> None:
    recipe = as_recipe(
        {
            "tensors": {
                "<script>&'\"": {"shape": [2, 3], "scheme": "normal", "std": 1e-3},
            }
        }
    )
    for each in (recipe, FileLayout.of(recipe)):
        found = Cells(each._repr_html_())
        assert found.tags == {"p", "table", "thead", "tbody", "tr", "th", "td"}
        assert found.texts[-4:] == ["<script>&'\"", "F32", "2 x 3", "normal std=0.001"]
    large = as_recipe({"tensors": {f"a{n}b": {"shape": [n], "scheme": "ones"} for n in range(70)}})
    assert Cells(large._repr_html_()).texts[-1] == f"... and {70 - display.NOTEBOOK_LINES} more tensors"


def test_layouts_and_recordings() -> None:
    layout = FileLayout.of(LARGE)
    assert repr(layout).splitlines()[0] == f"FileLayout: 25 tensors, {2 * (32000 * 64 + 12 * 64 * 65):,} bytes of data"
    assert repr(layout).splitlines()[1:] == repr(layout.recipe).splitlines()[1:]
    recording = Recording(as_recipe(LARGE), {"count": torch.tensor(0).numpy()})
    assert repr(recording).splitlines()[0] == "Recording: seed 42, 25 tensors, 1 literals"

    def build() -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        model[2].weight = model[1].weight
        return model

    recorded = fanin.torch.record(build, seed=7)
    assert repr(recorded).splitlines()[0] == "Recording: seed 7, 8 tensors, 0 literals, 1 tied names"
    assert "<table>" in recorded._repr_html_()


@pytest.mark.parametrize("stream", ["fanin/1", "fanin/2"])
def test_a_recipe_that_is_written_names_a_stream_that_is_not_the_default(stream: Any) -> None:
    recipe = Recipe.model_construct(stream=stream, seed=0, tensors=as_recipe(LARGE).tensors)
    assert (f'"stream": "{stream}"' in formatting.text(recipe)) == (stream != "fanin/1")
