"""The memory that backends write to: of any type and number of axes, as long as it is contiguous."""

from __future__ import annotations

import numpy as np
import pytest

import fanin
from fanin import FileLayout, backends


@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize("dtype", ["F32", "BF16", "C64", "I32", "F8_E4M3", "F4"])
def test_all_of_the_memory_is_filled(name: str, dtype: str) -> None:
    scheme = {"scheme": "arange"} if dtype == "I32" else {"scheme": "normal", "std": 0.3}
    recipe = {"shape": [4, 6], "dtype": dtype, **scheme}
    expected = fanin.materialize(recipe, backend="reference")["weight"]
    entry, backend = FileLayout.of(recipe).entries[0], backends.get(name)
    array = np.zeros((4, 6), entry.dtype.numpy)
    backend.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)
    assert array.tobytes() == expected.tobytes()
    memory = np.zeros((4, 6 * entry.dtype.itemsize // 2), np.uint16 if entry.dtype.itemsize > 1 else np.uint8)
    memory = memory if memory.nbytes == expected.nbytes else np.zeros((4, 6), np.uint8)
    backend.fill(entry.draw, entry.stream, entry.dtype, 0, memoryview(memory))
    assert memory.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["native", "reference"])
def test_memory_with_gaps_is_refused(name: str) -> None:
    entry, backend = FileLayout.of({"shape": [4], "scheme": "ones"}).entries[0], backends.get(name)
    array = np.zeros(8, np.float32)[::2]
    with pytest.raises(TypeError, match="contiguous"):
        backend.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)
    with pytest.raises(TypeError, match="contiguous"):
        backend.fill(entry.draw, entry.stream, entry.dtype, 0, memoryview(array))
    assert not array.any()
