"""Recipes in the words of a library: defaults, other names, and faults."""

from __future__ import annotations

import re
from typing import Any

import pytest

import fanin
from fanin import RecipeError
from fanin.dialects import DIALECTS


def canonical(**recipe: Any) -> bytes:
    return fanin.as_recipe(recipe).canonical


def test_a_tensor_may_have_a_dialect_of_its_own() -> None:
    kernel = {"shape": [8, 4]}
    mixed = {
        "dialect": "torch",
        "layout": "torch",
        "tensors": {
            "torch": {**kernel, "scheme": "kaiming_normal_"},
            "ours": {**kernel, "scheme": "he_normal", "dialect": "fanin"},
            "keras": {**kernel, "scheme": "he_normal", "dialect": "keras"},
        },
    }
    tensors = {
        "torch": {**kernel, "scheme": "he_normal", "layout": "torch"},
        "ours": {**kernel, "scheme": "he_normal", "layout": "torch"},
        "keras": {**kernel, "scheme": "variance_scaling", "scale": 2},
    }
    assert canonical(**mixed) == canonical(tensors=tensors)


@pytest.mark.parametrize("dialect", [name for name, library in DIALECTS.items() if library.aliases])
def test_other_names(dialect: str) -> None:
    required: dict[str, dict[str, Any]] = {
        "Constant": {"value": 1},
        "constant_": {"val": 1},
        "sparse_": {"sparsity": 0.5},
        "dirac_": {"shape": [4, 4, 4]},
        "STFT": {"shape": [8, 1, 5]},
    }
    for alias, name in DIALECTS[dialect].aliases.items():
        tensor = {"dialect": dialect, "shape": [4, 4], **required.get(name, {})}
        assert canonical(**tensor, scheme=alias) == canonical(**tensor, scheme=name)


def test_axes_of_keras() -> None:
    """Only given axes count; others do not belong to the receptive field."""
    tensor = {"shape": [3, 3, 24, 40]}
    given = canonical(**tensor, dialect="keras", scheme="HeUniform", input_axes=[2], output_axes=[-1])
    same = {"scheme": "variance_scaling", "scale": 2, "distribution": "uniform"}
    assert given == canonical(**tensor, **same, in_axes=[2], out_axes=[-1], batch_axes=[0, 1])


@pytest.mark.parametrize(
    ("dialect", "scheme", "members", "same"),
    [
        ("keras", "RandomNormal", {"mean": 3, "stddev": 0}, {"scheme": "constant", "value": 3}),
        ("keras", "TruncatedNormal", {"mean": 3, "stddev": 0}, {"scheme": "constant", "value": 3}),
        ("keras", "RandomUniform", {"minval": 2, "maxval": 2}, {"scheme": "constant", "value": 2}),
        ("keras", "Orthogonal", {"gain": 0}, {"scheme": "zeros"}),
        ("keras", "Orthogonal", {"gain": -2}, {"scheme": "orthogonal", "gain": 2}),
        ("jax", "normal", {"stddev": 0}, {"scheme": "constant", "value": 0}),
        ("jax", "normal", {"stddev": -2}, {"scheme": "normal", "std": 2}),
        ("jax", "uniform", {"scale": 0}, {"scheme": "constant", "value": 0}),
        ("jax", "uniform", {"scale": -2}, {"scheme": "uniform", "low": -2, "high": 0}),
        ("jax", "truncated_normal", {"stddev": 0}, {"scheme": "constant", "value": 0}),
        ("jax", "truncated_normal", {"lower": None}, {"scheme": "truncated_normal", "std": 0.01, "low": None}),
        (
            "jax",
            "truncated_normal",
            {"stddev": -1, "lower": None, "upper": 3},
            {"scheme": "truncated_normal", "std": 1, "low": -3, "high": None},
        ),
        ("jax", "variance_scaling", {"scale": 0, "mode": "fan_in", "distribution": "normal"}, {"scheme": "zeros"}),
        ("jax", "orthogonal", {"scale": -2}, {"scheme": "orthogonal", "gain": 2}),
        ("jax", "delta_orthogonal", {"scale": 0}, {"scheme": "zeros"}),
    ],
)
def test_parameters_at_their_ends(dialect: str, scheme: str, members: dict[str, Any], same: dict[str, Any]) -> None:
    shape = [3, 4, 8]
    assert canonical(shape=shape, dialect=dialect, scheme=scheme, **members) == canonical(shape=shape, **same)


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        ({"dialect": "torch", "shape": [8], "scheme": "kaiming_normal_"}, "/shape"),
        ({"dialect": "torch", "shape": [8, 4], "scheme": "he_normal"}, "/scheme"),
        ({"dialect": "torch", "shape": [8, 4], "scheme": 3}, "/scheme"),
        ({"dialect": "torch", "shape": [8, 4]}, "/scheme"),
        ({"dialect": "torch", "scheme": "ones_"}, "/shape"),
        ({"dialect": "torch", "shape": [8, -4], "scheme": "ones_"}, "/shape/1"),
        ({"dialect": "torch", "shape": "8", "scheme": "ones_"}, "/shape"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "std": -1}, "/std"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "stddev": 1}, "/stddev"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "_shape": [1]}, "/_shape"),
        ({"dialect": "torch", "shape": [8], "scheme": "constant_"}, "/val"),
        ({"dialect": "torch", "shape": [8, 8], "scheme": "kaiming_normal_", "nonlinearity": "gelu"}, "/nonlinearity"),
        ({"dialect": "torch", "shape": [8, 8, 8], "scheme": "eye_"}, "/shape"),
        ({"dialect": "keras", "shape": [8, 8], "scheme": "VarianceScaling", "input_axes": [0]}, "/output_axes"),
        (
            {"dialect": "keras", "shape": [8, 8], "scheme": "HeNormal", "input_axes": 0, "output_axes": [1]},
            "/input_axes",
        ),
        ({"dialect": "keras", "shape": [8], "scheme": "Orthogonal"}, "/shape"),
        ({"dialect": "keras", "shape": [8, 1, 5], "scheme": "STFT", "window": "kaiser"}, "/window"),
        ({"dialect": "torch", "shape": [8, 8], "scheme": "sparse_", "sparsity": 1.5}, "/sparsity"),
        ({"dialect": "torch", "shape": [8], "scheme": "sparse_", "sparsity": 0.5}, "/shape"),
        ({"dialect": "jax", "shape": [3, 8, 4], "scheme": "delta_orthogonal"}, "/shape"),
        ({"dialect": "jax", "shape": [3, 4, 8], "scheme": "delta_orthogonal", "column_axis": 2}, "/column_axis"),
        ({"dialect": "jax", "shape": [8, 8, 8], "scheme": "orthogonal", "column_axis": 1}, "/column_axis"),
        ({"dialect": "torch", "shape": [8], "scheme": "constant_", "val": 1, "dtype": "F31"}, "/dtype"),
        ({"dialect": "flax", "shape": [8, 4], "scheme": "he_normal"}, "/dialect"),
    ],
)
def test_what_a_library_has_not_is_told(tensor: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fanin.as_recipe(tensor)
    assert [fault.pointer for fault in caught.value.faults] == [field]


@pytest.mark.parametrize(
    ("tensor", "field", "value", "said"),
    [
        ({"dialect": "torch", "scheme": "uniform_", "a": 2, "b": 1}, "/a", 2, "a (2) must be less than b (1)"),
        ({"dialect": "torch", "scheme": "constant_", "val": 1e9, "dtype": "F16"}, "/val", 1e9, "beyond the largest"),
        ({"dialect": "torch", "scheme": "xavier_normal_", "gain": 1e300}, "/gain", 1e300, ""),
        ({"dialect": "torch", "scheme": "dirac_", "groups": 3, "shape": [8, 8, 3]}, "/groups", 3, "divide"),
        (
            {"dialect": "keras", "scheme": "RandomUniform", "minval": 1},
            "/minval",
            1,
            "minval (1) must be less than maxval",
        ),
        ({"dialect": "keras", "scheme": "RandomNormal", "stddev": 1e99}, "/stddev", 1e99, "beyond"),
        (
            {"dialect": "keras", "scheme": "HeNormal", "input_axes": [0], "output_axes": [7]},
            "/output_axes",
            "[7]",
            "axis 7",
        ),
        ({"dialect": "jax", "scheme": "he_normal", "shape": [8]}, "/in_axis", None, "axis -2"),
        ({"dialect": "jax", "scheme": "he_normal", "in_axis": [0], "out_axis": 0}, "/in_axis", "[0]", "out_axis"),
        ({"dialect": "jax", "scheme": "uniform", "scale": 1e99}, "/scale", 1e99, "beyond"),
        ({"dialect": "jax", "scheme": "orthogonal", "scale": 1e99}, "/scale", 1e99, "beyond"),
        ({"dialect": "jax", "scheme": "truncated_normal", "lower": 11, "upper": 12}, "/lower", 11, "interval"),
    ],
)
def test_faults_are_in_the_words_of_the_dialect(tensor: dict[str, Any], field: str, value: Any, said: str) -> None:
    """The member that was given is named, not the one of ours that it became."""
    for recipe, prefix in (
        ({"shape": [8, 8], **tensor}, ""),
        ({"tensors": {"w": {"shape": [8, 8], **tensor}}}, "/tensors/w"),
    ):
        with pytest.raises(RecipeError) as caught:
            fanin.as_recipe(recipe)
        (fault,) = caught.value.faults
        assert (fault.pointer, fault.value) == (prefix + field, value)
        assert said in fault.detail
        assert not re.search(r"\b(low|high|std|in_axes|out_axes)\b", fault.detail)


def test_faults_beside_a_dialect() -> None:
    """A wrong default beside a dialect is the only fault reported, and so is an unknown dialect."""
    tensors = {"w": {"shape": [8, 8], "scheme": "kaiming_normal_"}}
    for wrong in ({"dialect": "torch", "dtype": "F31"}, {"dialect": "torch", "layout": "x"}, {"dialect": "flax"}):
        with pytest.raises(RecipeError) as caught:
            fanin.as_recipe({**wrong, "tensors": tensors})
        (fault,) = caught.value.faults
        assert fault.pointer == f"/{list(wrong)[-1]}"


@pytest.mark.parametrize("dialect", ["torch", "flax", ["torch"], None])
@pytest.mark.parametrize("scheme", ["ones_", "bogus", 3, None])
def test_faults_of_all_kinds_at_once(dialect: Any, scheme: Any) -> None:
    tensors = {"w": {"shape": "x", "scheme": scheme}, "v": 3, "u": {"shape": [2], "scheme": scheme, "dialect": dialect}}
    for repeated in (3, {}, {"w": tensors["w"]}):
        with pytest.raises(RecipeError):
            fanin.as_recipe({"dialect": dialect, "repeated": repeated, "tensors": tensors})


def test_the_tensor_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        fanin.as_recipe({"tensors": {"a/b": {"dialect": "x", "shape": [1], "scheme": "zeros"}}})
    assert caught.value.faults[0].pointer == "/tensors/a~1b/dialect"
