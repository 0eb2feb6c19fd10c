"""Recipes: validation in the user's words, one canonical form, and the short form."""

from __future__ import annotations

import copy
import json
import operator
import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fanin import Fault, Recipe, RecipeError, as_recipe
from fanin.errors import ModuleError, RecordError
from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.distributions import Normal

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda name: name != "__metadata__"
)
seeds = st.integers(0, 2**64 - 1)
reals = st.floats(min_value=-1e20, max_value=1e20).filter(lambda x: x == 0 or abs(x) > 1e-20)
tensors = st.fixed_dictionaries(
    {"shape": st.lists(st.integers(0, 2**53 - 1), max_size=6), "scheme": st.just("constant"), "value": reals},
    optional={"dtype": st.sampled_from(["F32", "F64"])},
)


@given(seed=seeds, tensors=st.dictionaries(names, tensors, max_size=5), dtype=st.sampled_from(["F32", "F64"]))
def test_the_canonical_text_is_jcs_and_spells_the_same_recipe(seed: int, tensors: dict[str, Any], dtype: str) -> None:
    recipe = as_recipe({"seed": seed, "dtype": dtype, "tensors": tensors})
    document = json.loads(recipe.canonical, parse_int=lambda text: int(text) if len(text) < 16 else float(text))
    assert recipe.canonical == rfc8785.dumps(document)
    assert document["seed"] == str(seed)
    again = as_recipe(recipe.canonical)
    assert again == recipe
    assert again.digest == recipe.digest


def test_two_spellings_of_one_meaning_have_one_digest() -> None:
    one = {
        "seed": "5",
        "dtype": "BF16",
        "layout": "torch",
        "tensors": {
            "b": {"shape": [3], "scheme": "batch_norm_gamma"},
            "w": {"shape": [4, 2], "scheme": "xavier_uniform", "gain": 1, "groups": 1},
        },
    }
    other = {
        "tensors": {
            "w": {"dtype": "BF16", "scheme": "glorot_uniform", "shape": [4, 2], "layout": "torch"},
            "b": {"dtype": "BF16", "scheme": "ones", "shape": [3]},
        },
        "stream": "fanin/1",
        "seed": 5,
    }
    assert as_recipe(one).digest == as_recipe(json.dumps(other)).digest
    assert as_recipe(one) == as_recipe(other)


@pytest.mark.parametrize(
    "change",
    [{"seed": 6}, {"dtype": "F16"}, {"layout": "keras"}],
)
def test_what_changes_bytes_changes_the_digest(change: dict[str, Any]) -> None:
    base = {"seed": 5, "layout": "torch", "tensors": {"w": {"shape": [4, 2], "scheme": "he_normal"}}}
    assert as_recipe(base).digest != as_recipe({**base, **change}).digest


def test_the_short_form_is_one_tensor_named_weight() -> None:
    short = as_recipe({"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42})
    assert short == as_recipe({"seed": 42, "tensors": {"weight": {"shape": [784, 10], "scheme": "glorot_uniform"}}})


def test_a_layout_is_handed_only_to_tensors_that_use_one() -> None:
    recipe = as_recipe(
        {
            "layout": "torch",
            "tensors": {
                "kernel": {"shape": [4, 2], "scheme": "he_normal"},
                "axes": {"shape": [4, 2], "scheme": "he_normal", "in_axes": [0], "out_axes": [1]},
                "own": {"shape": [4, 2], "scheme": "he_normal", "layout": "keras"},
                "bias": {"shape": [4], "scheme": "zeros"},
            },
        }
    )
    fans = {name: tensor.fans.fan_in for name, tensor in recipe.tensors.items() if name != "bias"}
    assert fans == {"kernel": 2, "axes": 4, "own": 4}


def test_a_copy_has_a_draw_and_a_digest_of_its_own() -> None:
    recipe = as_recipe({"seed": 1, "tensors": {"w": {"shape": [4, 2], "scheme": "he_normal", "layout": "torch"}}})
    assert recipe.digest
    assert recipe.model_copy(update={"seed": 2}).digest == as_recipe(recipe.canonical.replace(b'"1"', b'"2"')).digest
    tensor = recipe.tensors["w"]
    assert (
        tensor.model_copy(update={"shape": [4, 8]}).draw
        == as_recipe({"shape": [4, 8], "scheme": "he_normal", "layout": "torch"}).tensors["weight"].draw
    )
    with pytest.raises(ValueError, match="greater than"):
        tensor.model_copy(update={"shape": [-1]})


NESTED: dict[str, Any] = {
    "seed": 3,
    "tensors": {
        "w": {"shape": [4, 2], "scheme": "he_normal", "in_axes": [0], "out_axes": [1]},
        "b": {
            "shape": [6],
            "scheme": "blocks",
            "parts": [
                {"size": 2, "scheme": "zeros"},
                {"size": 4, "scheme": "blocks", "parts": [{"size": 4, "scheme": "fan_uniform", "fan": 3}]},
            ],
        },
    },
}
CHANGES: dict[str, Callable[[Any], Any]] = {
    "a tensor": lambda r: operator.setitem(r.tensors, "w", r.tensors["b"]),
    "no tensor": lambda r: operator.delitem(r.tensors, "w"),
    "update": lambda r: r.tensors.update(w=r.tensors["b"]),
    "ior": lambda r: operator.ior(r.tensors, {"w": r.tensors["b"]}),
    "setdefault": lambda r: r.tensors.setdefault("c", r.tensors["b"]),
    "pop": lambda r: r.tensors.pop("w"),
    "popitem": lambda r: r.tensors.popitem(),
    "clear": lambda r: r.tensors.clear(),
    "repeated": lambda r: operator.setitem(r.repeated, "w{0..1}", r.tensors["w"]),
    "the seed": lambda r: setattr(r, "seed", 4),
    "the digest": lambda r: setattr(r, "digest", ""),
    "tensors": lambda r: delattr(r, "tensors"),
    "a draw": lambda r: setattr(r.tensors["w"], "draw", r.tensors["b"].draw),
    "a shape": lambda r: operator.setitem(r.tensors["w"].shape, 0, 8),
    "an axis": lambda r: operator.setitem(r.tensors["w"].in_axes, 0, 1),
    "a part": lambda r: operator.setitem(r.tensors["b"].parts[0], "scheme", "ones"),
    "a part of a part": lambda r: operator.setitem(r.tensors["b"].parts[1]["parts"][0], "fan", 4),
    "no part": lambda r: r.tensors["b"].parts[1]["parts"].clear(),
    "tensors of parts": lambda r: r.tensors["b"].tensors.clear(),
}


@pytest.mark.parametrize("kind", [RecipeError, RecordError, ModuleError])
def test_errors_come_whole_from_another_process(kind: type[RecipeError]) -> None:
    error = kind([Fault("/tensors/w/std", "must be positive", -1), Fault("/seed", "must be an integer")])
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is kind
    assert received.faults == error.faults
    assert str(received) == str(error) == "/tensors/w/std: must be positive\n/seed: must be an integer"


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("way", [lambda r: r, lambda r: pickle.loads(pickle.dumps(r)), copy.deepcopy, copy.copy])
def test_nothing_in_a_recipe_can_be_changed(change: Callable[[Any], Any], way: Callable[[Recipe], Recipe]) -> None:
    recipe = way(as_recipe(NESTED))
    canonical, digest = recipe.canonical, recipe.digest
    with pytest.raises((TypeError, AttributeError)):
        change(recipe)
    assert as_recipe(NESTED).canonical == canonical
    assert recipe.digest == digest == recipe.seeded(3).digest == as_recipe(canonical).digest


def test_what_a_recipe_was_made_of_can_be_changed_afterwards() -> None:
    given = copy.deepcopy(NESTED)
    recipe = as_recipe(given)
    given["tensors"]["w"]["shape"][0] = 8
    given["tensors"]["w"]["in_axes"][0] = 1
    given["tensors"]["b"]["parts"][1]["parts"][0]["fan"] = 9
    del given["tensors"]["b"]
    assert recipe.digest == as_recipe(NESTED).digest


def test_a_changed_recipe_is_a_new_one() -> None:
    recipe = as_recipe(NESTED)
    before, ones = recipe.digest, {"shape": [2], "scheme": "ones"}
    w, b = (NESTED["tensors"][name] for name in "wb")
    made = {
        recipe.with_tensors({"w": ones}): {"w": ones, "b": b},
        recipe.with_tensors({"c": ones}): {"w": w, "b": b, "c": ones},
        recipe.with_tensors({"c": {"shape": [2], "dialect": "keras", "scheme": "Ones"}}): {"w": w, "b": b, "c": ones},
        recipe.without("b"): {"w": w},
        recipe.renamed({"w": "b", "b": "w"}): {"b": w, "w": b},
    }.items()
    for changed, tensors in made:
        assert changed.digest == as_recipe({"seed": 3, "tensors": tensors}).digest
    for seed in (5, "5"):
        assert recipe.seeded(seed).digest == as_recipe({**NESTED, "seed": 5}).digest
    assert recipe.digest == before
    # pydantic's own copies keep the digest of the original.
    assert recipe.copy(update={"seed": 5}).digest == recipe.seeded(5).digest != before


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        (lambda r: r.with_tensors({"c": {"shape": [2], "scheme": "normal"}}), "/tensors/c/std"),
        (lambda r: r.with_tensors({"": {"shape": [2], "scheme": "ones"}}), "/tensors/"),
        (lambda r: r.renamed({"w": "b"}), "/tensors/b"),
        (lambda r: r.renamed({"w": "\0"}), "/tensors/\0"),
        (lambda r: r.seeded(-1), "/seed"),
        (lambda r: r.seeded("x"), "/seed"),
    ],
)
def test_a_wrong_change_is_refused(change: Callable[[Recipe], Recipe], pointer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        change(as_recipe(NESTED))
    assert caught.value.faults[0].pointer == pointer


@pytest.mark.parametrize("change", [lambda r: r.without("x"), lambda r: r.renamed({"x": "y"}), lambda r: r.part("x")])
def test_a_change_of_no_tensor_is_refused(change: Callable[[Recipe], Recipe]) -> None:
    with pytest.raises(KeyError, match="x"):
        change(as_recipe(NESTED))


def test_a_changed_recipe_keeps_its_stream() -> None:
    later = Recipe.model_construct(stream="fanin/2", seed=0, tensors=as_recipe(NESTED).tensors)
    for changed in (later.seeded(1), later.without("b"), later.renamed({"b": "c"}), later.part(["w"])):
        assert changed.stream == "fanin/2"
    # Validation refuses an unknown stream, and does not replace it by another one.
    for change in (lambda: later.model_copy(update={"seed": 1}), lambda: later.with_tensors({"w": {}})):
        with pytest.raises(ValueError, match="fanin/1"):
            change()


def test_defaults_reach_tensors_that_are_models_already() -> None:
    distribution: dict[str, Any] = {"shape": (2,), "scheme": "normal", "std": 1.0}
    tensors = {"bare": Normal(**distribution), "own": Normal(**distribution, dtype="F32")}
    recipe = as_recipe({"dtype": "BF16", "tensors": tensors})
    assert (recipe.tensors["bare"].dtype, recipe.tensors["own"].dtype) == ("BF16", "F32")


def test_aliases_are_schemes() -> None:
    assert set(ALIASES.values()) <= set(SCHEMES)
    assert not set(ALIASES) & set(SCHEMES)


VALID = {"shape": [4, 2], "scheme": "glorot_uniform"}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("recipe", "pointer", "words"),
    [
        ({**VALID, "seed": -1}, "/seed", "0 to 2^64"),
        ({**VALID, "seed": 2**64}, "/seed", "0 to 2^64"),
        ({**VALID, "seed": True}, "/seed", "0 to 2^64"),
        ({**VALID, "seed": "007"}, "/seed", "0 to 2^64"),
        ({**VALID, "seed": "٣"}, "/seed", "0 to 2^64"),
        ({**VALID, "seed": 1.0}, "/seed", "0 to 2^64"),
        ({**VALID, "stream": "fanin/2"}, "/stream", "fanin/1"),
        (
            {**VALID, "dtype": "FP32"},
            "/dtype",
            "'U8' or 'BOOL'; did you mean F32?",
        ),
        ({**VALID, "dtype": "torch.BF16"}, "/dtype", "did you mean BF16?"),
        ({**VALID, "dtype": "fp16"}, "/dtype", "did you mean F16?"),
        ({**VALID, "dtype": "Complex64"}, "/dtype", "did you mean C64?"),
        ({"tensors": {"a": {**VALID, "dtype": "float8_e4m3"}}}, "/tensors/a/dtype", "did you mean F8_E4M3?"),
        ({**VALID, "layout": "hwio"}, "/layout", "keras"),
        ({**VALID, "shape": [4, -2]}, "/shape/1", "greater than or equal to 0"),
        ({**VALID, "shape": [4, 2.0]}, "/shape/1", "integer"),
        ({**VALID, "shape": [True, 2]}, "/shape/0", "integer"),
        ({**VALID, "shape": [2**53, 2]}, "/shape/0", "less than or equal"),
        ({**VALID, "shape": "42"}, "/shape", "array of integers"),
        ({**VALID, "shape": [1] * 65}, "/shape", "64"),
        ({**VALID, "gain": 0}, "/gain", "greater than 0"),
        ({**VALID, "gain": "1"}, "/gain", "number"),
        ({**VALID, "gain": float("nan")}, "/gain", "finite"),
        ({**VALID, "gain": float("inf")}, "/gain", "finite"),
        ({**VALID, "gain": 10**400}, "/gain", "number"),
        ({**VALID, "gain": 1e300}, "/gain", "beyond"),
        ({**VALID, "gain": 1e-200}, "/gain", "2^-90"),
        ({**VALID, "std": 1.0}, "/std", "unknown field"),
        ({**VALID, "scheme": "glorot_unifrm"}, "/scheme", "did you mean glorot_uniform"),
        ({**VALID, "scheme": "HeNormal"}, "/scheme", 'mean he_normal, or HeNormal with "dialect": "keras"?'),
        (
            {**VALID, "scheme": "kaiming_normal_"},
            "/scheme",
            'kaiming_normal, or kaiming_normal_ with "dialect": "torch"?',
        ),
        ({**VALID, "scheme": "trunc_normal_"}, "/scheme", 'did you mean trunc_normal_ with "dialect": "torch"?'),
        ("docs/examples/mlp.json", "", "the name of a file"),
        ({**VALID, "scheme": None}, "/scheme", ""),
        ({"shape": [4, 2]}, "/scheme", "needs a scheme"),
        ({"scheme": "zeros"}, "/shape", "required"),
        ({"shape": [3], "scheme": "glorot_uniform"}, "/in_axes", "give in_axes and out_axes"),
        ({"shape": [1] * 6, "scheme": "he_normal"}, "/in_axes", "no agreed layout"),
        ({**VALID, "in_axes": [0]}, "/out_axes", "together"),
        ({**VALID, "in_axes": [0], "out_axes": [0]}, "/in_axes", "twice"),
        ({**VALID, "in_axes": [0], "out_axes": [2]}, "/out_axes", "axis 2"),
        (
            {"tensors": {"a": {**VALID, "in_axes": [0], "out_axes": [1], "layout": "keras"}}},
            "/tensors/a/layout",
            "exclude",
        ),
        ({**VALID, "groups": 3}, "/groups", "do not divide"),
        ({**VALID, "depthwise": True, "groups": 2}, "/depthwise", "groups"),
        ({"shape": [3], "scheme": "uniform", "low": 1, "high": 1}, "/low", "less than"),
        ({"shape": [3], "scheme": "uniform", "low": 0.1, "high": 0.1001, "dtype": "F8_E4M3"}, "/low", "no F8_E4M3"),
        ({"shape": [3], "scheme": "uniform", "low": 0, "high": 1e6, "dtype": "F16"}, "/high", "beyond"),
        ({"shape": [3], "scheme": "normal", "std": 1e-40}, "/std", "2^-90"),
        ({"shape": [3], "scheme": "normal", "std": 1e-320}, "/std", "2^-90"),
        ({"shape": [3], "scheme": "uniform", "low": -1e10, "high": 450, "dtype": "F8_E4M3"}, "/low", "beyond"),
        ({"shape": [3], "scheme": "uniform", "low": 0, "high": 450, "dtype": "F8_E4M3"}, "/high", "beyond"),
        ({"shape": [0], "scheme": "he_normal"}, "/in_axes", "give in_axes"),
        ({"shape": [0], "scheme": "uniform", "low": 1, "high": 0}, "/low", "less than"),
        ({"shape": [3], "scheme": "normal", "std": 1, "mean": 1e30}, "/mean", "2^-90"),
        ({"shape": [3], "scheme": "normal", "std": 40, "dtype": "F8_E4M3"}, "/std", "beyond"),
        ({"shape": [3], "scheme": "constant", "value": 1e5, "dtype": "F16"}, "/value", "beyond"),
        ({"shape": [3], "scheme": "constant", "value": 1.7976931348623157e308}, "/value", "beyond"),
        ({"shape": [3], "scheme": "constant", "value": -3.5e38}, "/value", "beyond"),
        ({"shape": [3], "scheme": "truncated_normal", "std": 1, "low": 3, "high": 2}, "/low", "less than"),
        ({"shape": [3], "scheme": "truncated_normal", "std": 1, "low": 10, "high": 20}, "/low", "9 standard"),
        ({"shape": [3], "scheme": "truncated_normal", "std": 1, "low": None, "high": -10}, "/high", "9 standard"),
        (
            {"shape": [3], "scheme": "truncated_normal", "std": 1, "bounds": "absolute", "corrected": True},
            "/corrected",
            "bounds",
        ),
        ({"tensors": {"": VALID}}, "/tensors/", "not empty"),
        ({"tensors": {"a\x00": VALID}}, "/tensors/a\x00", "control"),
        ({"tensors": {"__metadata__": VALID}}, "/tensors/__metadata__", "reserved"),
        ({"tensors": {"x" * 1025: VALID}}, "/tensors/" + "x" * 1025, "1024"),
        ({"tensors": {"a/b~c": {**VALID, "gain": -1}}}, "/tensors/a~1b~0c/gain", "greater than 0"),
        ({"tensors": {"a": 3}}, "/tensors/a", ""),
        ({"tensors": []}, "/tensors", "object of tensors by name"),
        ({"tensors": {}, "tensor": {}}, "/tensor", "unknown field"),
        ({}, "/tensors", "required"),
        ([], "", "object"),
        ("", "", "not JSON"),
        ("nul", "", "not JSON"),
        (b"\xff", "", "UTF-8"),
        ('{"shape": [3], "scheme": "normal", "std": NaN}', "", "NaN"),
        ('{"shape": [3], "scheme": "normal", "std": -Infinity}', "", "-Infinity"),
        ('{"shape": [3], "scheme": "normal", "std": 1e999}', "/std", "finite"),
        ('{"seed": 1, "seed": 2}', "/seed", "twice"),
        ('{"tensors": {"a": {"shape": [], "scheme": "ones", "shape": [1]}}}', "/tensors/a/shape", "twice"),
        ('{"tensors": {"\\ud800": {"shape": [], "scheme": "ones"}}}', "/tensors/���", "surrogates"),
        (DEEP, "", "nested too deeply"),
        ('{"a":' + "1" * 5000 + "}", "", "not JSON"),
    ],
)
def test_bad_recipes_name_the_field_and_what_is_allowed(recipe: Any, pointer: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe(recipe)
    assert pointer in [fault.pointer for fault in caught.value.faults]
    assert words in str(caught.value)
    json.dumps([fault.value for fault in caught.value.faults if fault.value not in (float("inf"),)])


def test_equal_tensors_of_a_mapping_are_one_object() -> None:
    tensors = {str(place): {"shape": (2, 3), "scheme": "normal", "std": 0.5} for place in range(1000)}

    assert len(as_recipe({"tensors": tensors}).tensors.distinct) == 1


def test_tensors_of_a_mapping_that_only_look_equal_are_not_shared() -> None:
    # The bytes of these numbers are equal, and their types differ.
    values = {"float": np.float64(1), "int": np.float64(1).view(np.int64), "python": 1.0}
    tensors = {
        f"{name}.{place}": {"shape": 2, "scheme": "constant", "dtype": "F64", "value": value}
        for name, value in values.items()
        for place in range(200)
    }

    found = {name: as_recipe({"tensors": tensors}).tensors[f"{name}.0"].canonical()["value"] for name in values}

    assert found == {"float": 1, "int": 0x3FF0000000000000, "python": 1}
    with pytest.raises(RecipeError) as refused:
        as_recipe({"tensors": {"a": {"shape": [1], "scheme": "zeros"}, "b": {"shape": [True], "scheme": "zeros"}}})
    assert [fault.pointer for fault in refused.value.faults] == ["/tensors/b/shape/0"]


def test_deep_python_values_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for field, recipe in (
        ("/shape", {**VALID, "shape": deep}),
        ("/odd", {**VALID, "odd": deep}),
        ("/tensors/a~1b/odd", {"tensors": {"a/b": {**VALID, "odd": deep}}}),
    ):
        with pytest.raises(RecipeError) as refused:
            as_recipe(recipe)
        assert [fault.pointer for fault in refused.value.faults] == [field]


def test_integers_of_numpy_are_integers() -> None:
    shape = np.zeros((4, 2)).shape
    recipe = as_recipe({"shape": [np.int64(4), shape[1]], "scheme": "glorot_uniform", "seed": np.uint64(5)})
    assert recipe == as_recipe({**VALID, "seed": 5})
    for wrong in (np.bool_(True), np.float64(4)):
        with pytest.raises(RecipeError):
            as_recipe({**VALID, "shape": [wrong, 2]})


@pytest.mark.parametrize(
    "members",
    [
        {"scheme": "normal", "std": np.float32(0.5)},
        {"scheme": "normal", "std": np.array(0.5)},
        {"scheme": "normal", "std": ml_dtypes.bfloat16(0.5)},
        {"dialect": "torch", "scheme": "normal_", "std": np.float16(0.5)},
    ],
)
def test_reals_of_numpy_are_reals(members: dict[str, Any]) -> None:
    assert as_recipe({**VALID, **members}) == as_recipe({**VALID, "scheme": "normal", "std": 0.5})


@pytest.mark.parametrize("wrong", [np.True_, np.array(True), np.complex64(1 + 2j), np.array([0.5]), "0.5"])
@pytest.mark.parametrize(
    "members",
    [
        {"scheme": "normal", "std": ...},
        {"scheme": "constant", "value": ...},
        {"scheme": "sparse", "std": 1.0, "sparsity": ...},
        {"scheme": "rg_lru", "min_radius": ...},
        {"scheme": "dt_bias", "dt_max": ...},
        {"dialect": "torch", "scheme": "constant_", "val": ...},
        {"dialect": "keras", "scheme": "RandomNormal", "stddev": ...},
    ],
    ids=lambda members: members["scheme"],
)
def test_booleans_and_complex_numbers_are_no_reals(members: dict[str, Any], wrong: Any) -> None:
    """Python converts those of NumPy to floats: True to 1, and 1 + 2j to 1."""
    with pytest.raises(RecipeError, match="Input should be a valid number"):
        as_recipe({**VALID, **{name: wrong if value is ... else value for name, value in members.items()}})


@pytest.mark.parametrize("wrong", [np.array([3]), np.array([3, 4]), np.True_, 3.0])
def test_arrays_are_no_seeds(wrong: Any) -> None:
    for call in (lambda: as_recipe({**VALID, "seed": wrong}), lambda: as_recipe(VALID).seeded(wrong)):
        with pytest.raises(RecipeError, match="/seed: must be an integer"):
            call()


@pytest.mark.parametrize("dtype", ["int4", "float8_e4m3b11fnuz", "floats", "", 32, None])
def test_no_storage_type_is_suggested_where_none_fits(dtype: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe({**VALID, "dtype": dtype})
    assert "did you mean" not in str(caught.value)


def test_every_fault_is_reported() -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe({"seed": -1, "tensors": {"a": {"shape": [-1], "scheme": "zeros"}, "b": {"scheme": "ones"}}})
    assert {fault.pointer for fault in caught.value.faults} == {"/seed", "/tensors/a/shape/0", "/tensors/b/shape"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_a_recipe_or_a_recipe_error(document: Any) -> None:
    with pytest.raises(RecipeError):
        as_recipe({"tensors": {"w": document}} if not isinstance(document, dict) else document)


@pytest.mark.parametrize(
    ("recipe", "pointer"),
    [
        ({"tensors": {"n" * 10**6: {"shape": [5], "scheme": "zeros"}}}, "/tensors/" + "n" * 2045 + "..."),
        ({"f" * 10**6: 1, "tensors": {}}, "/" + "f" * 2045 + "..."),
        ({"tensors": {"a": {"shape": [5], "scheme": "zeros", "f" * 10**6: 1}}}, "/tensors/a/" + "f" * 2045 + "..."),
        ({"tensors": {"n" * 1024: {"shape": [-5], "scheme": "zeros"}}}, "/tensors/" + "n" * 1024 + "/shape/0"),
    ],
)
def test_an_error_does_not_repeat_megabytes(recipe: Any, pointer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe(recipe)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_texts_of_lists_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser lets no other thread run between two empty lists, or for long between two empty objects."""
    monkeypatch.setattr(json, "loads", None)
    for text, what in (
        (b"[" + b"[]," * 200_000 + b"[]]", "lists"),
        ("[" * 200_000, "lists"),
        (b"[" + b"{}," * 200_000 + b"{}]", "objects"),
    ):
        with pytest.raises(RecipeError, match=rf"{what} in \d+ bytes; no recipe has that many"):
            as_recipe(text)
    monkeypatch.undo()
    # Names of tensors may contain brackets.
    name = "".join(f"[{n % 10}]" for n in range(300))
    few = {"tensors": {f"{name}{n}": {"shape": [1], "scheme": "zeros", "in_axes": [0]} for n in range(30)}}
    with pytest.raises(RecipeError, match="in_axes"):
        as_recipe(json.dumps(few))
    many = {"tensors": {f"['a']['b'][{n}]": {"shape": [1], "scheme": "zeros"} for n in range(5000)}}
    assert len(as_recipe(json.dumps(many, separators=(",", ":"))).tensors) == 5000


@pytest.mark.parametrize(
    ("recipe", "pointer"),
    [
        ({"shape": [0] * 1001, "scheme": "zeros"}, "/shape"),
        ({"shape": [[0] * 1001], "scheme": "zeros"}, "/shape/0"),
        ({"tensors": {"a": {"x": {"y": [0] * 1001}}}}, "/tensors/a/x/y"),
        ({"tensors": [0] * 1001}, "/tensors"),
        ({"repeated": {"a{0..1}": {"parts": [{"x": [0] * 1001}]}}}, "/repeated/a{0..1}/parts/0/x"),
    ],
)
def test_a_list_longer_than_any_of_a_recipe_is_refused(recipe: Any, pointer: str) -> None:
    with pytest.raises(RecipeError, match="1001 items; no list in a recipe has that many") as caught:
        as_recipe(json.dumps(recipe))
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_faults_are_not_all_collected() -> None:
    """Each would take a kilobyte, and a recipe of 8 MB has room for millions."""
    for document, pointers in (
        ({"shape": [""] * 1000, "scheme": "zeros"}, ["/shape"]),
        ({"shape": [2, 2], "scheme": "he_normal", "in_axes": [""] * 1000}, ["/in_axes"]),
        ({"shape": [2], "scheme": "zeros", **{f"x{n}": 0 for n in range(1000)}}, [""]),
        ({"tensors": {"a": dict.fromkeys(map(str, range(1000)))}}, ["/tensors/a"]),
        ({"tensors": dict.fromkeys(map(str, range(1000)), 7)}, [f"/tensors/{n}" for n in range(64)]),
    ):
        with pytest.raises(RecipeError) as caught:
            as_recipe(document)
        assert [fault.pointer for fault in caught.value.faults] == pointers


def test_many_tensors_are_validated_as_few_are() -> None:
    tensors = {f"t{n}": {"shape": [n, 3], "scheme": "he_normal"} for n in range(200)}
    many = as_recipe({"tensors": tensors, "dtype": "BF16", "layout": "torch", "seed": "7"})
    assert list(many.tensors) == list(tensors)
    spelled = {name: {**each, "dtype": "BF16", "layout": "torch"} for name, each in tensors.items()}
    assert many == Recipe.model_validate({"seed": 7, "tensors": spelled})
    assert as_recipe(many.canonical).digest == many.digest
    for wrong in ({"dtype": "F7"}, {"layout": 1}, {"seed": -1}, {"colour": 1}):
        with pytest.raises(RecipeError) as caught:
            as_recipe({"tensors": tensors, **wrong})
        assert [fault.pointer for fault in caught.value.faults] == [f"/{field}" for field in wrong]
