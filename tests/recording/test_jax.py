"""Recorded recipes of JAX programs, compared with runs of the programs."""

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
    directory = tmp_path_factory.mktemp("jax")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-m", "tests.recording.jax_runs", str(directory)], check=True, env=environment)
    return directory


@pytest.fixture(scope="module")
def told(runs: Path) -> Any:
    return json.loads((runs / "told.json").read_text())


@pytest.mark.parametrize("program", ["nnx", "linen", "old_key", "joined", "scanned"])
def test_the_distribution_is_that_of_the_programs_own_run(runs: Path, program: str) -> None:
    recipe = fanin.as_recipe((runs / f"{program}.json").read_text())
    with np.load(runs / f"{program}.npz") as arrays:
        assert set(arrays.files) == set(recipe.tensors)
        assert_one_distribution_each(recipe, {name: arrays[name] for name in arrays.files})


def test_layers_are_one_line(runs: Path) -> None:
    assert '"layers/{0..2}/kernel": {"shape": [32, 32], "scheme": "truncated_normal"' in (runs / "nnx.json").read_text()


def test_what_no_scheme_says_is_refused_by_name(told: Any) -> None:
    refused = dict(told["refused"])
    assert refused == {
        "/branch": "no scheme describes the result of cond",
        "/coarse": "no scheme describes the result of random values that bfloat16 cannot hold",
        "/cut": "no scheme describes the result of max",
        "/exponential": "no scheme describes the result of _exponential",
        "/folded_twice": "no scheme describes the result of draws with equal keys",
        "/gamma": "no scheme describes the result of _gamma",
        "/key": "a key of random numbers is not a weight: leave it out of the pytree",
        "/loop": "no scheme describes the result of draws with equal keys",
        "/loop_of_draws": "no scheme describes the result of scan",
        "/loop_of_kinds": "no scheme describes the result of scan",
        "/mapped": "no scheme describes the result of a draw with equal keys",
        "/mapped_seeds": "no scheme describes the result of a draw with equal keys",
        "/namesake": "no scheme describes the result of integer_pow",
        "/nested": "no scheme describes the result of draws with equal keys",
        "/one_key": "no scheme describes the result of draws with equal keys",
        "/overflow": "no scheme describes the result of random values that float16 cannot hold",
        "/own": "no scheme describes the result of draws with equal keys",
        "/part": "an orthogonal matrix of 4 x 8 in another shape",
        "/shuffled": "no scheme describes the result of transpose",
        "/split_twice": "no scheme describes the result of draws with equal keys",
        "/square": "no scheme describes the result of integer_pow",
        "/stretched": "no scheme describes the result of mul",
        "/twice": "no scheme describes the result of draws with equal keys",
        "/sum_of_loop": "no scheme describes the result of add",
        "/two_types": "no scheme describes the result of draws with equal keys",
        "/underflow": "no scheme describes the result of random values that float16 cannot hold",
        "/while": "no scheme describes the result of while",
    }


def test_nothing_is_allocated(told: Any) -> None:
    assert told["wide"] == ["params/bias", "params/kernel"]


def test_tables_are_literals(told: Any) -> None:
    assert told["literals"] == {"ramp": [0, 0.25, 0.5, 0.75, 1]}


def test_integers_are_in_the_recipe(told: Any) -> None:
    assert told["integers"] == {
        "count": {"shape": [], "dtype": "I32", "scheme": "zeros"},
        "steps": {"shape": [5], "dtype": "I32", "scheme": "arange"},
    }


def test_two_leaves_of_one_path_are_refused(told: Any) -> None:
    assert told["one path"] == [["/a~1b", "two leaves have this path: rename one of them"]]


def test_a_literal_has_a_name_that_its_file_can_hold(told: Any) -> None:
    assert told["reserved"] == [["/__metadata__", "__metadata__ is reserved by the safetensors format"]]


def test_literals_have_the_types_of_their_leaves(told: Any) -> None:
    assert told["types"] == {"complex": "complex64", "fortran": "int32"}


def test_a_literal_with_another_order_in_memory_is_written_as_it_is(told: Any) -> None:
    assert told["fortran"] == [[0, 1, 2], [3, 4, 5]]


def test_a_cast_constant_is_rounded(told: Any) -> None:
    values = {"bfloat16": 2.703125, "int32": 2.0, "bool": "ones"}
    expected = {f"{name}/{size}": value for name, value in values.items() for size in ("small", "large")}
    assert told["cast"] == {**expected, "own": 2.703125, "own/narrow": 2.7}
