"""Repeated names, and recipes that are written with them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fanin
from fanin import RecipeError, as_recipe
from fanin.names import count, folded, written_out
from fanin.recipe.formatting import text
from tests.support.samples import MIXED

LAYER = {"shape": [4, 2], "scheme": "he_normal"}
texts = st.sampled_from(["", "a", "layers.", ".", "_", "/w", "b1", "{", "{0..1}", "07"])
numbers = st.integers(0, 12).map(str)
names = st.lists(texts | numbers, min_size=1, max_size=6).map("".join).filter(bool)


@given(st.dictionaries(names, st.integers(0, 1), max_size=60))
def test_folded_names_stand_for_just_those(values: dict[str, int]) -> None:
    plain, repeated = folded(values)
    expanded = [(name, value) for each, value in repeated.items() for name in written_out(each)]
    assert sorted([*plain.items(), *expanded]) == sorted(values.items())
    assert sum(map(count, repeated)) + len(plain) == len(values)


@pytest.mark.parametrize(
    ("names", "plain", "repeated"),
    [
        (["layers.0.w", "layers.1.w", "norm"], ["norm"], ["layers.{0..1}.w"]),
        ([f"h.{i}.e.{j}.w" for i in range(3) for j in range(4)], [], ["h.{0..2}.e.{0..3}.w"]),
        ([f"h.{i}.w" for i in (0, 1, 2, 5, 7, 8)], [], ["h.{0..2,5,7..8}.w"]),
        ([f"h.{i}.w" for i in range(1, 32, 2)], [], ["h.{1..31..2}.w"]),
        ([f"h.{i}.w" for i in range(32) if i % 8 != 4], [], ["h.{0..3,5..11,13..19,21..27,29..31}.w"]),
        (["h.1.w", "h.3.w"], [], ["h.{1,3}.w"]),
        (
            [f"h.{i * i}.w" for i in range(1, 20)],
            ["h.{324,361}.w"][:0],
            ["h.{1,4,9,16,25,36,49,64,81,100,121,144,169,196,225,256}.w", "h.{289,324,361}.w"],
        ),
        (
            [f"h.{i}.e.{j}" for i in (1, 2, 3) for j in range(i % 2, 3)],
            [],
            ["h.{1,3}.e.{1..2}", "h.2.e.{0..2}"],
        ),
        (["conv1", "conv2", "a.01", "a.02"], ["conv1", "conv2", "a.01", "a.02"], []),
        (["Dense_0/kernel", "Dense_1/kernel"], [], ["Dense_{0..1}/kernel"]),
        (["a.{0..1}", "a.0", "a.1"], ["a.{0..1}"], ["a.{0..1}"]),
        (["9", "10", "11"], [], ["{9..11}"]),
    ],
)
def test_what_is_folded(names: list[str], plain: list[str], repeated: list[str]) -> None:
    found = folded(dict.fromkeys(names, 0))
    assert (list(found[0]), list(found[1])) == (plain, repeated)


def test_a_repeated_tensor_is_each_of_its_tensors() -> None:
    short = {
        "seed": 3,
        "dtype": "BF16",
        "layout": "torch",
        "tensors": {"norm": {"shape": [2], "scheme": "ones"}},
        "repeated": {
            "layers.{0..2}.w": LAYER,
            "layers.{0..2}.experts.{10..11}.b": {"shape": [4], "scheme": "normal_", "dialect": "torch", "std": 0.5},
        },
    }
    layers = {f"layers.{i}.w": {**LAYER, "layout": "torch"} for i in range(3)}
    bias = {"shape": [4], "scheme": "normal", "std": 0.5}
    experts = {f"layers.{i}.experts.{j}.b": bias for i in range(3) for j in (10, 11)}
    long = {"seed": 3, "dtype": "BF16", "tensors": {"norm": {"shape": [2], "scheme": "ones"}, **layers, **experts}}
    assert as_recipe(short) == as_recipe(long)
    assert as_recipe(json.dumps(short)).canonical == as_recipe(long).canonical
    assert as_recipe(short).model_copy(update={"seed": 4}).digest == as_recipe({**long, "seed": 4}).digest
    ours, theirs = fanin.materialize(short), fanin.materialize(long)
    assert all((ours[name] == theirs[name]).all() for name in theirs)


@pytest.mark.parametrize(
    ("repeated", "pointer", "words"),
    [
        ({"a": LAYER}, "/repeated/a", "sets of numbers"),
        ({"a.{0..}": LAYER}, "/repeated/a.{0..}", "sets of numbers"),
        ({"a.{0..3}.{x}": LAYER}, "/repeated/a.{0..3}.{x}", "braces"),
        ({"a.{03..4}": LAYER}, "/repeated/a.{03..4}", "sets of numbers"),
        ({"a.{0..1000000000}": LAYER}, "/repeated/a.{0..1000000000}", "sets of numbers"),
        ({"a.{3..1}": LAYER}, "/repeated/a.{3..1}", "{3..1}"),
        ({"a.{3,1}": LAYER}, "/repeated/a.{3,1}", "ascending"),
        ({"a.{1..3,3}": LAYER}, "/repeated/a.{1..3,3}", "ascending"),
        ({"a.{0..5..2}": LAYER}, "/repeated/a.{0..5..2}", "does not reach its last number from its first"),
        ({"a.{0..4..0}": LAYER}, "/repeated/a.{0..4..0}", "sets of numbers"),
        ({"a\0{0..1}": LAYER}, "/repeated/a\0{0..1}", "control"),
        ({"a{0..1}" + "x" * 1024: LAYER}, "/repeated/a{0..1}" + "x" * 1024, "1024"),
        ({"a{0..9}": {**LAYER, "gain": 3}}, "/repeated/a{0..9}/gain", "unknown field"),
        ({"a{0..9}": {**LAYER, "scheme": "he_norma"}}, "/repeated/a{0..9}/scheme", "he_normal"),
        ({"a{0..9}": {**LAYER, "scheme": "he", "dialect": "jax"}}, "/repeated/a{0..9}/scheme", "jax"),
        ({"{0..9}": LAYER}, "/repeated/{0..9}", "7 is named twice"),
        ({"a{0..9}": LAYER, "{0..3}.{1..3}": LAYER, "{2..5}.{3..3}": LAYER}, "/repeated/{2..5}.{3..3}", "2.3 is named"),
        ({"{0..999999999}": LAYER}, "/repeated", "1000000001 tensors"),
        ({"{0..999999999}" * 60: LAYER}, "/repeated", "tensors"),
        ({"{0..9}": 3}, "/repeated/{0..9}", ""),
        ({f"{n}.{{0..9}}": {**LAYER, "shape": [n]} for n in range(100)}, "/repeated/0.{0..9}/in_axes", "rank 1"),
        ([], "/repeated", "must be an object of tensors by name"),
    ],
)
def test_faults_point_at_what_was_written(repeated: Any, pointer: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe({"tensors": {"7": {"shape": [1], "scheme": "ones"}}, "repeated": repeated})
    fault = caught.value.faults[0]
    assert fault.pointer == pointer
    assert words in fault.detail


def test_braces_in_tensors_are_characters() -> None:
    assert list(as_recipe({"tensors": {"a{0..3}": LAYER}}).tensors) == ["a{0..3}"]


def test_a_recipe_is_spelled_in_few_lines() -> None:
    recipe = as_recipe(
        {
            "seed": 2**64 - 1,
            "dtype": "BF16",
            "tensors": {"é": {"shape": [], "scheme": "ones", "dtype": "F32"}, "x{0..1}": LAYER},
            "repeated": {"h.{0..79}.w": LAYER, "h.{0..79}.b": {"shape": [4], "scheme": "zeros"}},
        }
    )
    assert text(recipe).splitlines() == [
        "{",
        '  "seed": "18446744073709551615",',
        '  "dtype": "BF16",',
        '  "tensors": {',
        '    "é": {"shape": [], "scheme": "ones", "dtype": "F32"},',
        '    "x{0..1}": {"shape": [4, 2], "scheme": "he_normal"}',
        "  },",
        '  "repeated": {',
        '    "h.{0..79}.w": {"shape": [4, 2], "scheme": "he_normal"},',
        '    "h.{0..79}.b": {"shape": [4], "scheme": "zeros"}',
        "  }",
        "}",
    ]
    for each in (recipe, as_recipe(MIXED), as_recipe({"tensors": {}})):
        assert as_recipe(text(each)).canonical == each.canonical
