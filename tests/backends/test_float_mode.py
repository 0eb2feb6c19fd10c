"""Threads whose floating-point unit other libraries have set: the same bytes, or an error."""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import fanin
import fanin.torch
from fanin import BackendError, RecipeError
from fanin.backends.native import NativeBackend
from fanin.dtypes import STORAGE
from fanin.file.layout import FileLayout

BACKENDS = ("native", "reference")
DOWN, UP, TO_ZERO = 0x400, 0x800, 0xC00
"""Rounding modes of `fesetround` on x86."""


def made(recipe: dict[str, Any], backend: str) -> list[bytes]:
    return [array.tobytes() for array in fanin.materialize(recipe, backend=backend).values()]


@pytest.fixture
def flushing() -> Iterator[None]:
    """Make this thread flush subnormal numbers to zero."""
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such setting")
    yield
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dtype", "bits"), [("F32", 71362), ("BF16", 1), ("C64", 71362)], ids=lambda value: str(value))
@pytest.mark.usefixtures("flushing")
def test_subnormal_constants_have_their_bits(backend: str, dtype: str, bits: int) -> None:
    """1e-40 is 71,362 times 2^-149, and nearest to once 2^-133."""
    constant = {"scheme": "constant", "value": 1e-40}
    expected = bits.to_bytes(2 if dtype == "BF16" else 4, "little").ljust(STORAGE[dtype].itemsize, b"\0")
    assert made({"shape": [3], "dtype": dtype, **constant}, backend) == [3 * expected]
    parts = [{"size": 1, **constant}, {"size": 1, "scheme": "constant", "value": -1e-40}]
    (array,) = fanin.materialize(
        {"shape": [2], "dtype": dtype, "scheme": "blocks", "axis": 0, "parts": parts}, backend=backend
    ).values()
    assert array.tobytes()[: len(expected)] == expected
    assert array.tobytes() != 2 * expected


@pytest.mark.usefixtures("flushing")
def test_subnormal_constants_of_torch_have_their_bits() -> None:
    for dtype, bits in ((torch.float32, 71362), (torch.bfloat16, 1)):
        tensor = fanin.torch.initializers.constant_(torch.empty(5, dtype=dtype), 1e-40)
        found = tensor.view(torch.int32 if dtype == torch.float32 else torch.int16)
        assert found.tolist() == [bits] * 5


@pytest.mark.usefixtures("flushing")
def test_a_number_that_is_taken_for_zero_is_refused() -> None:
    recipe = {"shape": [3], "dtype": "F64", "scheme": "constant", "value": float("0")}
    assert made(recipe, "native") == [bytes(24)]
    for text in ("1e-310", "-5E-324", "0.000001e-310"):
        with pytest.raises(RecipeError, match="takes for zero"):
            fanin.as_recipe(f'{{"shape": [3], "dtype": "F64", "scheme": "constant", "value": {text}}}')
    for text in ("0.0", "-0.00e5", "0e0"):
        fanin.as_recipe(f'{{"shape": [3], "scheme": "constant", "value": {text}}}')
    smallest = np.frombuffer(bytes([1, 0, 0, 0, 0, 0, 0, 0]), np.float64)[0]
    fanin.constant((3,), value=0.0, dtype="F64")
    fanin.torch.initializers.constant_(torch.empty(3, dtype=torch.float64), 0.0)
    for value in (smallest, smallest.item()):
        with pytest.raises(RecipeError, match="takes for zero"):
            fanin.constant((3,), value=value, dtype="F64")
    with pytest.raises(RecipeError, match="takes for zero"):
        fanin.torch.initializers.constant_(torch.empty(3, dtype=torch.float64), smallest.item())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of the modes are those of x86")
@pytest.mark.parametrize("mode", [DOWN, UP, TO_ZERO])
def test_another_rounding_is_refused(mode: int) -> None:
    recipe = {"shape": [9], "scheme": "normal", "std": 1, "dtype": "F64"}
    expected = made(recipe, "native")
    library = ctypes.CDLL(None)
    library.fesetround(mode)
    try:
        with pytest.raises(BackendError, match="does not round to nearest"):
            fanin.materialize(recipe)
        with pytest.raises(BackendError, match="does not round to nearest"):
            fanin.normal((3,), std=1)
    finally:
        library.fesetround(0)
    assert made(recipe, "native") == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_of_numpy_do_not_matter(backend: str) -> None:
    """The square of the smallest of a million normal numbers is subnormal in Horner's rule."""
    recipe = {"seed": 1, "tensors": {"a": {"shape": [3000, 400], "scheme": "normal", "std": 0.1}}}
    expected = made(recipe, backend)
    with np.errstate(all="raise"):
        assert made(recipe, backend) == expected


def test_calls_of_kernels_do_without_the_errors_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its context takes a third of the time of a fill of a few elements."""
    tensors = {"a": {"shape": [9], "scheme": "normal", "std": 1}, "b": {"shape": [9], "scheme": "ones"}}
    recipe = {"seed": 1, "tensors": tensors}
    entries, backend = FileLayout.of(recipe).entries, NativeBackend()
    expected = made(recipe, "native")

    def forbidden(**_: object) -> None:
        raise AssertionError("a context of NumPy")

    monkeypatch.setattr(np, "errstate", forbidden)
    for entry in entries:
        out = bytearray(entry.nbytes)
        backend.fill(entry.draw, entry.stream, entry.dtype, 0, memoryview(out))
        assert bytes(out) in expected


@pytest.mark.parametrize("name", list(STORAGE))
def test_every_number_is_encoded_as_numpy_does(name: str) -> None:
    dtype = STORAGE[name]
    size = 4 if dtype.is_complex else dtype.itemsize
    real = np.dtype("<f4") if dtype.is_complex else dtype.numpy
    most = 2 if name == "BOOL" else 1 << (8 * size)
    numbers = np.random.default_rng(1).integers(0, most - 1, 5000, np.uint64, endpoint=True)
    ends = np.array([0, 1, 2, most // 512, most // 256, most // 256 + 1, most // 2 + 1], np.uint64)
    found = np.concatenate([numbers, np.minimum(ends, most - 1)]).astype(f"<u{size}").view(real)
    for value in found.tolist():
        if dtype.is_integer or (math.isfinite(value) and (value or math.copysign(1, value) > 0)):
            assert dtype.encoded(value) == np.array(value).astype(dtype.numpy).tobytes()
