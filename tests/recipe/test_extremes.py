"""Parameters at the ends of their ranges: a tensor is finite and within its bounds, or a fault is reported."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings

import fanin
from fanin.errors import Fault
from tests.support.extremes import TENSORS

QUIET = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
NARROW = {"shape": [4], "scheme": "truncated_normal", "std": 1.0, "high": 1e-200}


def made_or_refused(tensor: dict[str, Any]) -> None:
    faults: list[Fault] = []
    try:
        values = fanin.materialize(tensor)["weight"]
    except fanin.RecipeError as error:
        faults = error.faults
    if faults:
        assert all(fault.pointer.startswith("/") and fault.detail for fault in faults)
        return
    assert np.isfinite(values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)).all()
    draw = fanin.as_recipe(tensor).tensors["weight"].draw
    if values.size and hasattr(draw, "low"):
        assert draw.low <= values.min()
        assert values.max() <= draw.high
    described = fanin.describe(tensor)["tensors"]["weight"]
    json.dumps(described, allow_nan=False)
    parts = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64).reshape(-1).view(np.float64)
    assert not values.size or described["low"] is None or described["low"] <= parts.min()
    assert not values.size or described["high"] is None or parts.max() <= described["high"]


@settings(max_examples=1000, **QUIET)
@given(TENSORS)
@example({"shape": [16], "scheme": "dt_bias", "dt_min": 1e-300, "dt_max": 64.0, "dt_floor": 0.0, "dtype": "F64"})
@example({"shape": [16], "scheme": "dt_bias", "dt_min": 5e-324, "dt_max": 1e-320, "dt_floor": 0.0, "dtype": "F64"})
@example({**NARROW, "low": 0.0, "corrected": True})
@example({**NARROW, "low": -1e-200, "dtype": "C64", "corrected": True})
@example({**NARROW, "low": -1e5, "high": 1e5, "dtype": "C64", "corrected": True})
@example({**NARROW, "low": -7.0, "high": 7.0, "dtype": "C64"})
@example({**NARROW, "std": 1e-6, "mean": -1.0, "high": 2.0, "dtype": "BF16"})
def test_a_tensor_is_made_or_refused(tensor: dict[str, Any]) -> None:
    made_or_refused(tensor)


@pytest.mark.soak("schemes")
@settings(max_examples=100_000, **QUIET)
@given(TENSORS)
def test_many_tensors_are_made_or_refused(tensor: dict[str, Any]) -> None:
    made_or_refused(tensor)


def test_of_a_small_disk_no_wrong_numbers_are_made() -> None:
    """Its probability was 0 to 120 digits, and 0 stands for the uniform distribution on the disk of radius `std`."""
    with pytest.raises(fanin.RecipeError, match="/high: 1e-200 is too small"):
        fanin.materialize({**NARROW, "low": -1e-200, "dtype": "C64"})
    made = fanin.materialize({**NARROW, "shape": [4096], "low": -0.00025, "high": 0.00025, "dtype": "C64"})["weight"]
    # The disk is so small that the distribution is uniform on it.
    assert np.abs(made).max() <= 0.00025 * (1 + 1e-6)
    assert (np.abs(made.astype(np.complex128)) ** 2).mean() == pytest.approx(0.00025**2 / 2, rel=0.05)


def test_small_time_steps_are_their_own_inverse_softplus() -> None:
    """ln(e^x - 1) of a small x is ln x: the draw lies between the logarithms of its ends."""
    tensor = {"shape": [4096], "scheme": "dt_bias", "dt_min": 1e-300, "dt_max": 1e-200, "dt_floor": 0, "dtype": "F64"}
    made = fanin.materialize(tensor)["weight"]
    assert np.log(1e-300) - 1e-9 <= made.min() < np.log(1e-299)
    assert np.log(1e-201) < made.max() <= np.log(1e-200) + 1e-9


@pytest.mark.parametrize("power", [1, 2])
def test_rational_values_of_a_range_are_exact(power: int) -> None:
    """A value midway between two float32 numbers is rounded to the even one, above it here."""
    midway = 1 + 3 * 2.0**-24
    tensor = {"shape": [4], "scheme": "power_range", "low": 0, "high": 3**power * midway, "power": power}
    assert float(fanin.materialize(tensor)["weight"][1]) == 1 + 2.0**-22


def test_a_range_that_ends_at_zero_keeps_its_digits() -> None:
    tensor = {"shape": [4], "scheme": "power_range", "low": -1, "high": 0, "power": 1e-200, "dtype": "F64"}
    expected = [-1, 1e-200 * np.log(1 / 3), 1e-200 * np.log(2 / 3), 0]
    assert fanin.materialize(tensor)["weight"] == pytest.approx(expected, rel=1e-14, abs=0)
