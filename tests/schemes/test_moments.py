"""Mean, deviation and bounds that `describe` tells, beside formulas and beside the values themselves."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import fanin
from fanin.description import moments_of

TRUNCATED = 0.87962566103423978
DISK = math.sqrt(1 - 4 * math.exp(-4) / (1 - math.exp(-4)))
"""Deviation of the standard complex normal distribution in |z| < 2."""
PARTS = [
    {"size": 24, "scheme": "normal", "std": 2.0, "mean": 3.0},
    {"size": 8, "scheme": "constant", "value": -1.0},
    {"size": 32, "scheme": "uniform", "low": 0.0, "high": 6.0},
]
MEAN = (24 * 3.0 - 8 * 1.0 + 32 * 3.0) / 64
VARIANCE = (24 * (4 + (3 - MEAN) ** 2) + 8 * (1 + MEAN) ** 2 + 32 * (3 + (3 - MEAN) ** 2)) / 64
EXACT: list[tuple[dict[str, Any], tuple[float, float, float | None, float | None]]] = [
    ({"scheme": "zeros"}, (0, 0, 0, 0)),
    ({"scheme": "constant", "value": 0.1, "dtype": "BF16"}, (0.10009765625, 0, 0.10009765625, 0.10009765625)),
    ({"scheme": "constant", "value": 1e300, "dtype": "F64"}, (1e300, 0, 1e300, 1e300)),
    ({"scheme": "uniform", "low": -1.0, "high": 3.0}, (1, 4 / math.sqrt(12), -1, 3)),
    ({"scheme": "normal", "mean": 0.5, "std": 0.02}, (0.5, 0.02, None, None)),
    ({"scheme": "normal", "std": 0.02, "dtype": "C64"}, (0, 0.02, None, None)),
    ({"scheme": "uniform", "low": -1.0, "high": 1.0, "dtype": "C64"}, (0, math.sqrt(0.5), -1, 1)),
    # A disk of probability 1 in float64.
    ({"scheme": "truncated_normal", "std": 1.0, "low": -7.0, "high": 7.0, "dtype": "C64"}, (0, 1, None, None)),
    ({"scheme": "he_normal"}, (0, math.sqrt(2 / 64), None, None)),
    ({"scheme": "he_uniform"}, (0, math.sqrt(2 / 64), -math.sqrt(6 / 64), math.sqrt(6 / 64))),
    ({"scheme": "lecun_normal", "truncated": True}, (0, 1 / 8, -0.25 / TRUNCATED, 0.25 / TRUNCATED)),
    ({"scheme": "lecun_normal", "truncated": True, "dtype": "C64"}, (0, 1 / 8, -0.25 / DISK, 0.25 / DISK)),
    ({"scheme": "truncated_normal", "std": 0.5, "dtype": "BF16"}, (0, 0.5 * TRUNCATED, -1, 1)),
    ({"scheme": "truncated_normal", "std": 1.0, "low": 0.0, "high": None},
     (math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi), 0, None)),
    ({"scheme": "orthogonal", "gain": 2.0}, (0, 2 / 8, -2, 2)),
    ({"scheme": "sparse", "std": 1.0, "sparsity": 0.25}, (0, math.sqrt(0.75), None, None)),
    ({"scheme": "eye"}, (1 / 64, math.sqrt(1 / 64 - 1 / 64**2), 0, 1)),
    ({"scheme": "blocks", "parts": PARTS}, (MEAN, math.sqrt(VARIANCE), None, None)),
    ({"scheme": "blocks", "axis": 1, "parts": [{"size": 32, "scheme": "ones"}, {"size": 32, "scheme": "zeros"}]},
     (0.5, 0.5, 0, 1)),
]  # fmt: skip


def told(tensor: dict[str, Any]) -> tuple[float, float, float | None, float | None]:
    described = fanin.describe({"shape": [64, 64], **tensor})["tensors"]["weight"]
    json.dumps(described, allow_nan=False)
    return described["mean"], described["std"], described["low"], described["high"]


@pytest.mark.parametrize(
    ("tensor", "wanted"), EXACT, ids=lambda each: each.get("scheme") if isinstance(each, dict) else ""
)
def test_formulas(tensor: dict[str, Any], wanted: tuple[float, float, float | None, float | None]) -> None:
    found = told(tensor)
    assert found[:2] == pytest.approx(wanted[:2], rel=6e-8 if tensor.get("dtype") == "C64" else 2e-12, abs=1e-14)
    for bound, each in zip(found[2:], wanted[2:], strict=True):
        # Bounds are numbers of the storage type, rounded inwards.
        assert bound is each is None or bound == pytest.approx(each, rel=2e-7)


WIDE = [{"size": 4000, "scheme": "normal", "std": 0.5}, {"size": 96, "scheme": "ones"}]
SAMPLED: list[dict[str, Any]] = [
    {"scheme": "truncated_normal", "std": 1.0, "mean": 2.0, "low": -0.5, "high": 3.0},
    {"scheme": "truncated_normal", "std": 1.0, "low": 3.0, "high": None},
    {"scheme": "truncated_normal", "std": 1.0, "low": -1.0, "high": 1.0, "dtype": "C64"},
    {"scheme": "uniform", "low": -2.0, "high": 2.0, "dtype": "C64"},
    {"scheme": "log_of_uniform"},
    {"scheme": "dt_bias"},
    {"scheme": "dt_bias", "dt_min": 1e-6, "dt_floor": 1e-2},
    {"scheme": "rg_lru"},
    {"scheme": "rg_lru", "min_radius": 1e-3, "dtype": "F8_E5M2"},
    {"scheme": "rg_lru", "variant": "griffin"},
    {"scheme": "lru_nu", "min_radius": 1e-3},
    {"scheme": "logit_of_uniform", "low": 0.001, "high": 0.6},
    {"scheme": "sparse", "std": 0.5, "sparsity": 0.3},
    {"scheme": "blocks", "parts": [*PARTS[:2], {"size": 32, "scheme": "blocks", "axis": 1, "parts": WIDE}]},
]
TABLES: list[dict[str, Any]] = [
    {"scheme": "sinusoidal"},
    {"scheme": "sinusoidal", "variant": "fairseq", "padding": 3},
    {"scheme": "sinusoidal", "variant": "marian", "base": 3.0},
    {"scheme": "log_range"},
    {"scheme": "rope_frequencies"},
    {"scheme": "alibi_slopes", "shape": [64], "gain": -0.3},
    {"scheme": "retention_decay"},
    {"scheme": "hippo_legs", "shape": [2, 9, 9]},
    {"scheme": "sinusoidal", "shape": [35, 64], "variant": "mae", "grid": [5, 7]},
    {"scheme": "s4d_inv"},
    {"scheme": "bilinear", "shape": [4, 4, 3, 3]},
    {"scheme": "dirac", "shape": [4, 4, 3, 3]},
    {"scheme": "stft", "shape": [20, 1, 9]},
    {"scheme": "stft", "shape": [20, 1, 9], "side": "imag", "window": "hamming", "scaling": "spectrum"},
]


@pytest.mark.parametrize("tensor", SAMPLED, ids=lambda each: each["scheme"])
def test_drawn_values(tensor: dict[str, Any]) -> None:
    mean, std, low, high = told({**tensor, "shape": [64, 4096]})
    values = fanin.materialize({"seed": 11, "shape": [64, 4096], **tensor})["weight"]
    values = values.astype(np.complex128 if tensor.get("dtype") == "C64" else np.float64)
    errors = np.abs(values - mean) ** 2
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(errors.mean() - std**2) < 5 * errors.std() / math.sqrt(values.size)
    parts = values.view(np.float64)
    assert low is None or parts.min() >= low
    assert high is None or parts.max() <= high


@pytest.mark.parametrize("tensor", TABLES, ids=lambda each: each["scheme"])
def test_known_values(tensor: dict[str, Any]) -> None:
    tensor = {"shape": [50, 64], "dtype": "F64", **tensor}
    mean, std, low, high = told(tensor)
    values = fanin.materialize(tensor)["weight"]
    assert (mean, std) == pytest.approx((values.mean(), values.std()), rel=1e-9, abs=1e-12)
    assert low is not None
    assert high is not None
    assert low <= values.min() <= values.max() <= high


CLOSE: list[dict[str, Any]] = [
    {"scheme": "ones", "dtype": "C64"},
    {"scheme": "log_range", "start": 2, "dtype": "C64"},
    {"scheme": "constant", "value": -2.0, "dtype": "C64"},
    {"shape": [1, 1], "scheme": "orthogonal", "gain": 0.3, "dtype": "F16"},
    {"shape": [1, 1], "scheme": "orthogonal", "gain": 1.2244841252260346, "dtype": "F8_E4M3"},
    {"shape": [2, 2], "scheme": "orthogonal", "dtype": "F64"},
    {"shape": [3, 3, 1, 1], "scheme": "delta_orthogonal", "gain": 0.3, "dtype": "F8_E5M2"},
    {"shape": [3, 1, 4], "scheme": "stft", "window": "flattop", "scaling": "spectrum"},
    {"shape": [33, 1, 5], "scheme": "stft", "side": "imag", "window": "nuttall", "scaling": None, "dtype": "F8_E4M3"},
    {"scheme": "truncated_normal", "std": 0.3, "low": -0.01, "high": 0.01, "dtype": "C64"},
    {"scheme": "truncated_normal", "std": 0.3, "low": -7.0, "high": 7.0, "dtype": "C64"},
    {"scheme": "truncated_normal", "std": 0.3, "low": -1e6, "high": 1e6, "dtype": "C64"},
    # One number of the type lies between the bounds, or is beyond all words.
    {"scheme": "truncated_normal", "mean": -1.0, "std": 1e-6, "dtype": "BF16"},
    {"scheme": "truncated_normal", "mean": -0.34, "std": 5e-5, "low": -0.5, "high": None, "dtype": "BF16"},
    {"scheme": "truncated_normal", "mean": -0.77, "std": 1e-5, "low": None, "high": 3.0, "dtype": "F8_E5M2"},
    {"dialect": "torch", "scheme": "trunc_normal_", "mean": 1e-6, "std": 1e-20, "a": 1e-6},
]


@pytest.mark.parametrize("tensor", CLOSE, ids=lambda each: f"{each['scheme']}-{each.get('dtype', 'F32')}")
def test_every_stored_element_lies_between_the_bounds(tensor: dict[str, Any]) -> None:
    """Elements near a bound are rounded to the storage type, also away from zero."""
    tensor = {"shape": [64, 64], **tensor}
    mean, std, low, high = told(tensor)
    assert math.isfinite(mean)
    assert 0 <= std < 10
    for seed in range(200 if math.prod(tensor["shape"]) < 5 else 1):
        values = fanin.materialize({"seed": seed, **tensor})["weight"]
        parts = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64).view(np.float64)
        assert low is None or parts.min() >= low
        assert high is None or parts.max() <= high


def test_a_disk_with_all_of_the_distribution_has_its_deviation() -> None:
    """Beyond six deviations, the probability of the disk is 1 in float64."""
    for end in (5.0, 7.0, 100.0):
        found = told({"scheme": "truncated_normal", "std": 0.5, "low": -end, "high": end, "dtype": "C64"})
        assert found[:2] == pytest.approx((0, 0.5), rel=1e-9)


def test_the_mean_of_a_large_table_is_not_summed() -> None:
    """2^40 elements: a sum in float64 over fewer rows, and the formula at all."""
    mean, std, *_ = told({"shape": [2**24, 2**12], "scheme": "sinusoidal"})
    # Most rows of a wave are a whole number of turns, except for the slowest of base 10000: 2 pi 10^4 rows each.
    assert mean == pytest.approx(0, abs=1e-2)
    assert std == pytest.approx(math.sqrt(0.5), rel=1e-2)


def test_truncation_far_out_agrees_with_scipy() -> None:
    for low, high in ((4.0, 4.5), (-2.0, 7.0), (8.0, None), (-0.001, 0.001)):
        tensor = fanin.as_recipe(
            {
                "shape": [1],
                "scheme": "truncated_normal",
                "std": 3.0,
                "mean": 1.0,
                "low": low,
                "high": high,
                "dtype": "F64",
            }
        ).tensors["weight"]
        distribution = stats.truncnorm(low, math.inf if high is None else high, 1.0, 3.0)
        found = moments_of(tensor)
        assert (found.mean, found.std) == pytest.approx((distribution.mean(), distribution.std()), rel=1e-5)


@pytest.mark.parametrize("shape", [[0, 0], [0, 4, 0], [4, 0]])
def test_an_orthogonal_tensor_without_elements_has_a_description(shape: list[int]) -> None:
    described = fanin.describe({"shape": shape, "scheme": "orthogonal", "gain": 2.0})["tensors"]["weight"]
    assert (described["mean"], described["low"], described["high"]) == (0, -2, 2)


def test_a_bound_too_small_for_float64_is_zero_in_the_storage_type() -> None:
    tensor = {
        "scheme": "truncated_normal",
        "std": 1.0,
        "low": -1e-40,
        "high": 2.0,
        "bounds": "absolute",
        "dtype": "F16",
    }
    mean, std, low, high = told(tensor)
    distribution = stats.truncnorm(0, 2)
    assert (mean, std) == pytest.approx((distribution.mean(), distribution.std()), rel=1e-6)
    assert (low, high) == (0, 2)


@pytest.mark.parametrize(
    ("tensor", "wanted"),
    [
        # Both bounds are 8 in float32.
        ({"std": 1.0, "low": 8.0, "high": 8.0000001}, (8.00000005, 1e-7 / math.sqrt(12), 8, 8)),
        (
            {"std": 1.0, "low": 1.0, "high": 1 + 2**-50, "dtype": "F64"},
            (1 + 2**-51, 2**-50 / math.sqrt(12), 1, 1 + 2**-50),
        ),
        # Both bounds are 0, or far from the distribution, in float8.
        ({"std": 1e-7, "dtype": "F8_E4M3"}, (0, 1e-7 * TRUNCATED, 0, 0)),
        (
            {"std": 1e-4, "low": 1.0, "high": 100.0, "dtype": "F8_E4M3"},
            (1.5251352761609812e-4, 4.462036144747698e-5, 2**-9, 10 * 2**-10),
        ),
    ],
)
def test_bounds_that_meet(tensor: dict[str, Any], wanted: tuple[float, float, float | None, float | None]) -> None:
    assert told({"scheme": "truncated_normal", **tensor}) == pytest.approx(wanted, rel=1e-6, abs=1e-20)
