"""Every backend gives the bits of `reference`, for any law, storage type, position, length and alignment."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fanin import RecipeError, backends
from fanin.draws import Draw
from fanin.dtypes import DTYPES, DType
from fanin.recipe import as_recipe
from fanin.streams import Stream

POISON = b"\xa5"
FAST = [name for name in backends.available() if name != "reference"]

small = st.floats(-3, 3, width=32).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
widths = st.floats(0.0078125, 4, width=32)


@st.composite
def laws(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["constant", "uniform", "normal", "truncated_normal", "open", "absolute"]))
    low, width, std, mean = draw(small), draw(widths), draw(st.floats(0.0078125, 2, width=32)), draw(small)
    match kind:
        case "constant":
            return {"scheme": "constant", "value": low}
        case "uniform":
            return {"scheme": "uniform", "low": low, "high": low + width}
        case "normal":
            return {"scheme": "normal", "mean": mean, "std": std}
        case "truncated_normal":
            far = draw(st.floats(-8, 8))
            return {"scheme": kind, "mean": mean, "std": std, "low": far, "high": far + width}
        case "open":
            return {"scheme": "truncated_normal", "std": std, "low": low, "high": None}
        case _:
            bounds = {"bounds": "absolute", "low": -width, "high": width}
            return {"scheme": "truncated_normal", "std": std, **bounds}


def fill(name: str, draw: Draw, dtype: DType, first: int, count: int, offset: int) -> bytes:
    """`count` elements written at an odd offset; what lies around them must stay as it was."""
    size = count * dtype.itemsize
    buffer = bytearray(POISON * (offset + size + 16))
    backends.get(name).fill(draw, Stream("fanin/1", 9, "w"), dtype, first, memoryview(buffer)[offset : offset + size])
    assert buffer[:offset] == POISON * offset
    assert buffer[offset + size :] == POISON * 16
    return bytes(buffer[offset : offset + size])


def test_a_fast_backend_is_there() -> None:
    assert FAST, "the kernels were not built: a compiler is part of the test environment"


@pytest.mark.parametrize("name", FAST)
@settings(max_examples=400, deadline=None)
@given(
    law=laws(),
    dtype=st.sampled_from(list(DTYPES.values())),
    first=st.one_of(st.integers(0, 3000), st.integers(2**34 - 2000, 2**34 + 2000), st.integers(0, 2**66 - 5000)),
    count=st.integers(0, 2100),
    offset=st.integers(0, 9),
)
def test_fills_as_the_reference_does(
    name: str, law: dict[str, Any], dtype: DType, first: int, count: int, offset: int
) -> None:
    try:
        draw = as_recipe({"shape": [1], "dtype": dtype.name, **law}).tensors["weight"].draw
    except RecipeError:
        reject()  # no number of this type lies between the bounds
    expected = fill("reference", draw, dtype, first, count, 0)
    assert fill(name, draw, dtype, first, count, offset) == expected


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
@pytest.mark.parametrize(
    "law",
    [
        {"scheme": "uniform", "low": -0.3, "high": 0.7},
        {"scheme": "normal", "std": 0.02},
        {"scheme": "truncated_normal", "std": 0.02},
        {"scheme": "truncated_normal", "std": 0.5, "low": 8.9, "high": None},
        {"scheme": "truncated_normal", "std": 0.5, "low": -1, "high": None},
    ],
)
def test_a_million_elements(name: str, dtype: DType, law: dict[str, Any]) -> None:
    draw = as_recipe({"shape": [1], "dtype": dtype.name, **law}).tensors["weight"].draw
    assert fill(name, draw, dtype, 3, 1 << 20, 1) == fill("reference", draw, dtype, 3, 1 << 20, 0)
