"""Recognize the scheme of an integer array: equal elements, or evenly spaced ones along the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fanin.dtypes import DTYPE_NAMES, INTEGERS, DTypeName
from fanin.recording.distributions import Constant
from fanin.recording.to_scheme import scheme

_LEAST = 3
"""Least number of integers that are recorded as a range, unless it is 0, 1. Any two are evenly spaced."""


def constant(value: int, shape: Sequence[int], dtype: DTypeName) -> dict[str, Any]:
    """Return the members of a tensor of equal integers."""
    return {"shape": list(shape), "dtype": dtype, **(scheme(Constant(value), shape) or {})}


def members(array: np.ndarray) -> dict[str, Any] | None:
    """Return the members of a tensor with these integers or booleans; `None` if no scheme has them."""
    if DTYPE_NAMES.get(array.dtype.name) not in INTEGERS or not array.size:
        return None
    first = array.reshape(-1)[0].item()
    if (array == first).all():
        return constant(int(first), array.shape, DTYPE_NAMES[array.dtype.name])
    size = array.shape[-1]
    if array.dtype == np.bool_ or size < 2:
        return None
    rows = array.reshape(-1, size)
    step = int(rows[0, 1]) - int(first)
    if size < _LEAST and (first, step) != (0, 1):
        return None
    # Modulo 2^64, in which a difference that does not fit the type is right too.
    expected = np.uint64(first % 2**64) + np.uint64(step % 2**64) * np.arange(size, dtype=np.uint64)
    last = first + step * (size - 1)
    if int(rows[0, -1]) != last or not (rows.astype(np.uint64) == expected).all():
        return None
    found: dict[str, Any] = {"shape": list(array.shape), "dtype": DTYPE_NAMES[array.dtype.name], "scheme": "arange"}
    return found | ({"start": first} if first else {}) | ({"step": step} if step != 1 else {})
