"""The 8-bit types F8_E4M3FNUZ, F8_E5M2FNUZ and F8_E8M0, against ml_dtypes, torch and safetensors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import fanin
from fanin import FileLayout, RecipeError, as_recipe, backends
from fanin.backends.reference import store
from fanin.dtypes import CONVERTED, DTYPES, SCALE
from fanin.file.plan import read_into
from fanin.scalars import rounded
from fanin.streams import Stream

BACKENDS = [backends.load(name) for name in backends.available()]
POISON = 0xA5
SINGLE = DTYPES["F32"]
TYPES = pytest.mark.parametrize("name", [name for name in CONVERTED if name != "F4"])
DRAWS: tuple[dict[str, Any], ...] = (
    {"scheme": "normal", "std": 1.0},
    {"scheme": "truncated_normal", "std": 0.01, "low": -1.5, "high": None},
    {"scheme": "he_uniform"},
    {"scheme": "orthogonal"},
    {"scheme": "sparse", "sparsity": 0.3, "std": 3.0},
    {"scheme": "blocks", "axis": 1, "parts": [{"size": 20, "scheme": "zeros"}, {"size": 17, "scheme": "he_normal"}]},
    {"scheme": "mamba2_a_log"},
    {"scheme": "constant", "value": -0.3},
)


@TYPES
def test_rounding_is_that_of_ml_dtypes(name: str) -> None:
    """All 2^16 upper halves of float32 with random lower ones, and the neighbours of every tie."""
    dtype = CONVERTED[name]
    upper = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    random = np.random.default_rng(1).integers(0, 2**16, (8, 2**16), np.uint32)
    numbers = np.arange(256, dtype=np.uint8).view(dtype.numpy).astype(np.float32)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    ties = ((numbers[1:] + numbers[:-1]) / 2).view(np.uint32)
    every = np.concatenate([(upper | random).reshape(-1), ties, ties + np.uint32(1), ties - np.uint32(1), upper])
    values = every.view(np.float32)
    # Larger ones are refused, and a carry of the largest that is not would be infinite.
    values = values[np.abs(values) <= np.float32(dtype.largest)]
    assert len(values) > 2**17
    expected = values.astype(dtype.numpy).view(np.uint8)
    np.testing.assert_array_equal(store(values, dtype).view(np.uint8), expected)
    assert 0x80 not in expected  # NaN
    for value, bits in zip(values[::997].tolist(), expected[::997].view(dtype.numpy), strict=True):
        assert rounded(Fraction(value), dtype) == float(bits)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@TYPES
@pytest.mark.parametrize("members", DRAWS, ids=lambda members: members["scheme"])
def test_elements_are_those_of_float32_rounded_once(
    backend: backends.Backend, name: str, members: dict[str, Any]
) -> None:
    tensor = {"shape": [41, 37], "seed": 3, "dtype": name, **members}
    layout = FileLayout.of(tensor)
    bounds = [getattr(layout.entries[0].draw, end, None) for end in ("low", "high")]  # numbers of the type
    single = fanin.materialize({**tensor, "dtype": "F32"}, backend="reference")["weight"]
    if None not in bounds:
        single = np.clip(single, *np.array(bounds, np.float32))
    content = layout.header + store(single.reshape(-1), CONVERTED[name]).tobytes()
    for start, stop in ((0, layout.size), (len(layout.header), layout.size), (layout.size - 700, layout.size - 3)):
        out = bytearray([POISON]) * (stop - start + 16)
        read_into(layout, start, memoryview(out)[8:-8], backend)
        assert out == bytes([POISON]) * 8 + content[start:stop] + bytes([POISON]) * 8
    entry = layout.entries[0]
    first = 2**34 - 3
    if members["scheme"] not in ("orthogonal", "sparse", "blocks"):
        far = bytearray([POISON]) * 70_000
        of_single = np.empty(70_000, np.float32)
        backend.fill(entry.draw, Stream("fanin/1", 3, "weight"), entry.dtype, first, memoryview(far))
        drawn = as_recipe({**tensor, "dtype": "F32"}).tensors["weight"].draw
        backend.fill(drawn, Stream("fanin/1", 3, "weight"), SINGLE, first, of_single.view(np.uint8).data)
        if None not in bounds:
            of_single = np.clip(of_single, *np.array(bounds, np.float32))
        assert bytes(far) == store(of_single, entry.dtype).tobytes()


def test_bounds_are_numbers_of_the_type() -> None:
    """They are rounded inwards, as for the other types."""
    values = fanin.uniform((4000,), low=-0.099, high=0.099, dtype="F8_E4M3FNUZ").astype(np.float32)
    assert values.max() == -values.min() == 0.09375
    with pytest.raises(RecipeError, match="beyond the largest finite F8_E4M3FNUZ, 240"):
        as_recipe({"shape": [2], "scheme": "uniform", "low": 0, "high": 241, "dtype": "F8_E4M3FNUZ"})


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_scales_are_all_powers_of_two(backend: backends.Backend) -> None:
    for exponent in range(-127, 128):
        made = fanin.constant((3,), value=2.0**exponent, dtype="F8_E8M0", backend=backend.name)
        assert made.dtype == SCALE.numpy
        assert made.view(np.uint8).tolist() == [exponent + 127] * 3


@pytest.mark.parametrize("value", [0, -1, 3, 0.1, 2.0**128, 2.0**-128])
def test_what_no_scale_is(value: float) -> None:
    with pytest.raises(RecipeError, match="is not a power of 2 from 2\\^-127 to 2\\^127, the numbers of F8_E8M0"):
        fanin.constant((3,), value=value, dtype="F8_E8M0")


@pytest.mark.parametrize("scheme", ["zeros", "eye", "arange", "he_normal", "orthogonal", "sinusoidal"])
def test_schemes_that_make_no_scales(scheme: str) -> None:
    with pytest.raises(RecipeError, match=r"powers? of 2"):
        as_recipe({"shape": [3, 3], "scheme": scheme, "dtype": "F8_E8M0"})


def test_readers_of_safetensors(tmp_path: Path) -> None:
    tensors = {
        "fnuz": {"shape": [30, 3], "scheme": "normal", "std": 1.0, "dtype": "F8_E4M3FNUZ"},
        "wide": {"shape": [30], "scheme": "he_normal", "in_axes": [0], "out_axes": [], "dtype": "F8_E5M2FNUZ"},
        "scale": {"shape": [2, 2], "scheme": "constant", "value": 0.5, "dtype": "F8_E8M0"},
    }
    path = tmp_path / "a.safetensors"
    fanin.save({"tensors": tensors}, path)
    loaded, arrays = safetensors.torch.load_file(path), fanin.load(path, verify="full").arrays
    assert {name: f"{each.dtype}" for name, each in loaded.items()} == {
        "fnuz": "torch.float8_e4m3fnuz",
        "wide": "torch.float8_e5m2fnuz",
        "scale": "torch.float8_e8m0fnu",
    }
    for name, each in loaded.items():
        np.testing.assert_array_equal(each.float().numpy(), arrays[name].astype(np.float32))
        assert each.view(torch.uint8).numpy().tobytes() == arrays[name].tobytes()
