"""Recorded recipes of Keras models, compared with their initialization by Keras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from tests.recording.comparing import assert_one_distribution_each


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keras")
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-m", "tests.recording.keras_runs", str(directory)], check=True, env=environment)
    return directory


@pytest.fixture(scope="module")
def told(runs: Path) -> Any:
    return json.loads((runs / "told.json").read_text())


@pytest.mark.parametrize("model", ["mobile_net", "sequences"])
def test_the_distribution_is_that_of_the_models_own_run(runs: Path, model: str) -> None:
    recipe = fanin.as_recipe((runs / f"{model}.json").read_text())
    with np.load(runs / f"{model}.npz") as weights:
        assert set(weights.files) == set(recipe.tensors)
        assert_one_distribution_each(recipe, {name: weights[name].astype(np.float64) for name in weights.files})


def test_an_lstm_forgets_little(runs: Path) -> None:
    recipe = fanin.as_recipe((runs / "sequences.json").read_text())
    bias = next(tensor for name, tensor in recipe.tensors.items() if name.endswith("forward_lstm/lstm_cell/bias"))
    assert [(part["scheme"], part["size"]) for part in bias.parts] == [("zeros", 24), ("ones", 24), ("zeros", 48)]


def test_what_no_scheme_says_is_refused_by_name(told: Any) -> None:
    assert len(told["custom"]) == 4
    for fault, (pointer, words) in zip(
        told["custom"],
        [
            ("/custom~1class~1kernel", "__main__.Halves"),
            ("/custom~1random~1kernel", "random function custom.<locals>.<lambda>"),
            ("/custom~1ramp~1kernel", "no scheme describes the function custom.<locals>.<lambda>"),
            ("/custom~1nan~1kernel", "no scheme has the NaN or infinite values of custom.<locals>.<lambda>"),
        ],
        strict=True,
    ):
        assert fault.startswith(f"{pointer}: ")
        assert words in fault
    assert "is not built" in told["unbuilt"][0]
    assert "not dict" in told["not a model"][0]
    assert "two weights have this path" in told["one path"][0]


def test_assigned_values_are_refused(told: Any) -> None:
    words = "the model assigns a value to it after its initializer"
    names = ("one~1kernel", "three~1kernel", "three~1bias")
    assert told["assigned"] == [f"/assigned~1{name}: {words}" for name in names]


def test_nothing_is_allocated(told: Any) -> None:
    assert told["wide"] == ["wide/dense/bias", "wide/dense/kernel"]
    assert told["waiting"] == []


def test_counters_are_in_the_recipe(told: Any) -> None:
    assert told["counter"] == ["I32", "zeros"]


def test_recordings_in_threads_leave_keras_as_it_is(told: Any) -> None:
    assert told["threads"] == {"drawn": [True, True], "is whole": True}


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized_weights_are_refused(told: Any, mode: str) -> None:
    words = f"quantization ({mode}) has removed its initializer: record before quantize()"
    assert f"/quantized~1one~1kernel: {words}" in told["quantized"][mode]
    assert all(words in fault for fault in told["quantized"][mode])


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantization_in_the_builder_is_refused(told: Any, mode: str) -> None:
    assert told["quantized in the builder"][mode]
    assert all("record before quantize()" in fault for fault in told["quantized in the builder"][mode])


def test_variables_without_an_initializer_are_refused_by_name(told: Any) -> None:
    words = "it has a value already: it was built before, or in a thread of the builder"
    assert told["built before"] == [f"/before~1{name}: {words}" for name in ("kernel", "bias")]
    assert "creates a variable from values, not from an initializer" in told["from values"][0]


def test_weights_of_a_float8_layer_keep_their_own_initializers(told: Any) -> None:
    found = {name.removeprefix("quantized/"): words for name, *words in told["float8"]}
    assert found["one/kernel"] == ["variance_scaling", [4, 5]]
    assert found["one/bias"] == ["zeros", [5]]
    assert found["one/kernel_scale"] == ["ones", []]
    assert found["one/kernel_amax_history"] == ["zeros", [1024]]


def test_a_compiled_model_is_recorded(told: Any) -> None:
    assert told["compiled"] == ["compiled/dense/bias", "compiled/dense/kernel"]


def test_weights_are_told_apart_by_their_paths(told: Any) -> None:
    assert told["late"] == {"late/first": "zeros", "late/second": "ones"}


def test_weights_that_cannot_be_told_apart_are_refused(told: Any) -> None:
    assert told["renamed"] == ["(recipe): renamed has other weights when it is created again: pass its builder"]


def test_a_literal_with_another_order_in_memory_is_written_as_it_is(told: Any) -> None:
    assert told["table"] == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
