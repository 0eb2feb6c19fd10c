"""Arrays in memory: complete recipes, and slices that equal NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import fanin
from fanin import FileLayout, arrays
from fanin.region import Region
from tests.support.samples import MIXED


def test_materialize_gives_every_tensor_in_the_recipes_order() -> None:
    made = fanin.materialize(MIXED)
    assert list(made) == list(MIXED["tensors"])
    for entry in FileLayout.of(MIXED).entries:
        assert made[entry.name].shape == entry.shape
        assert made[entry.name].dtype == entry.dtype.numpy
        assert made[entry.name].flags.writeable


def test_elements_depend_on_seed_name_and_position_only() -> None:
    distribution = {"scheme": "normal", "std": 1.0}
    one = fanin.materialize({"tensors": {"w": {"shape": [6, 4], **distribution}, "v": {"shape": [5], **distribution}}})
    other = fanin.materialize({"tensors": {"w": {"shape": [3, 5], **distribution}}})
    np.testing.assert_array_equal(one["w"].reshape(-1)[:15], other["w"].reshape(-1))
    assert not np.array_equal(one["v"], one["w"].reshape(-1)[:5])
    assert not np.array_equal(
        one["v"], fanin.materialize({"seed": 1, "tensors": {"v": {"shape": [5], **distribution}}})["v"]
    )


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F8_E4M3", "F8_E5M2"])
def test_a_storage_type_rounds_the_same_draw(dtype: str) -> None:
    tensor: dict[str, Any] = {"shape": [1000], "scheme": "normal", "std": 0.5}
    narrow = fanin.materialize({**tensor, "dtype": dtype})["weight"]
    wide = fanin.materialize(tensor)["weight"]
    np.testing.assert_array_equal(narrow, wide.astype(narrow.dtype))


@pytest.mark.parametrize(
    "distribution",
    [
        {"scheme": "normal", "std": 1},
        {"scheme": "uniform", "low": -1, "high": 1},
        {"scheme": "truncated_normal", "std": 1},
        {"scheme": "truncated_normal", "std": 1, "low": 3, "high": None},
    ],
)
def test_float64_refines_the_float32_draw(distribution: dict[str, Any]) -> None:
    wide = fanin.materialize({"shape": [100_000], "dtype": "F64", **distribution})["weight"]
    narrow = fanin.materialize({"shape": [100_000], **distribution})["weight"].astype(np.float64)
    # 2^-23 of a probability moves z by less than this where the density is least.
    np.testing.assert_allclose(wide, narrow, rtol=2e-6, atol=2e-7)
    assert (wide != narrow).mean() > 0.9


@settings(max_examples=300, deadline=None)
@given(data=st.data(), shape=array_shapes(max_dims=5, max_side=9))
def test_slices_are_those_of_numpy(data: st.DataObject, shape: tuple[int, ...]) -> None:
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    tensor: dict[str, Any] = {"shape": list(shape), "scheme": "normal", "std": 1}
    sliced = fanin.slice(tensor, "weight", index)
    np.testing.assert_array_equal(sliced, fanin.materialize(tensor)["weight"][index], strict=True)


def test_a_slice_of_a_tensor_that_fits_nowhere() -> None:
    tensor: dict[str, Any] = {"shape": [10**6, 10**8], "scheme": "normal", "std": 1}
    corner = fanin.slice(tensor, "weight", np.s_[-2:, -3:])
    row = fanin.slice(tensor, "weight", np.s_[-1, -10:])
    np.testing.assert_array_equal(corner[1], row[-3:])


@pytest.mark.parametrize("step", [2, -3, 1000, -70_000])
def test_long_strides(step: int) -> None:
    tensor: dict[str, Any] = {"shape": [300_000], "scheme": "uniform", "low": 0, "high": 1}
    strided = fanin.slice(tensor, "weight", slice(None, None, step))
    np.testing.assert_array_equal(strided, fanin.materialize(tensor)["weight"][::step])


def test_a_slice_makes_only_what_it_selects(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = arrays.backends.get()

    class Counting(arrays.backends.ForwardingBackend):
        def _generate(self, draw: Any, stream: Any, dtype: Any, first: int, out: memoryview) -> None:
            made.append(len(out) // dtype.itemsize)
            super()._generate(draw, stream, dtype, first, out)

    monkeypatch.setattr(arrays.backends, "get", lambda name: Counting(original))
    fanin.slice({"shape": [1000, 1000], "scheme": "normal", "std": 1}, "weight", np.s_[3:5, 10:20])
    assert made == [10, 10]
    made.clear()
    fanin.slice({"shape": [1000, 1000], "scheme": "normal", "std": 1}, "weight", np.s_[3:5])
    assert made == [2000]


@pytest.mark.parametrize(
    "index", [5, -6, (0, 0, 0), (..., ...), 1.5, None, True, "a", [0, 1], (slice(None), np.array([0]))]
)
def test_indices_that_do_not_fit(index: Any) -> None:
    with pytest.raises(IndexError):
        Region.of((5, 4), index)


def test_unknown_names_are_told() -> None:
    with pytest.raises(KeyError, match="nope"):
        fanin.slice(MIXED, "nope", 0)
    with pytest.raises(fanin.BackendError, match="native"):
        fanin.materialize(MIXED, backend="cray")


def test_bounds_hold_beyond_what_the_distribution_reaches() -> None:
    """A bound 14 standard deviations out: no draw is near it, but rounding to a coarse type would step over it."""
    tensor = {"scheme": "truncated_normal", "mean": 1, "std": 0.001, "low": 9, "high": 14, "dtype": "F8_E4M3"}
    with pytest.raises(fanin.RecipeError, match="no F8_E4M3 number"):
        fanin.materialize({"shape": [9], **tensor})
    wide = fanin.materialize({"shape": [99], **tensor, "low": -14})["weight"].astype(np.float64)
    assert (wide == 1).all()


def test_bounds_hold_at_every_storage_type() -> None:
    for dtype in ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"):
        for low, high in ((-0.3, 0.7), (3, 4), (-0.011, 0.013), (2.9, 3.3)):
            for tensor in (
                {"scheme": "uniform", "low": low, "high": high},
                {"scheme": "truncated_normal", "std": 1, "low": low, "high": high},
                {"scheme": "truncated_normal", "std": 0.5, "low": low, "high": high, "bounds": "absolute"},
            ):
                made = fanin.materialize({"shape": [20_000], "dtype": dtype, **tensor})["weight"].astype(np.float64)
                assert low <= made.min() <= made.max() <= high, (dtype, tensor)
