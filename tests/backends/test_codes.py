"""The kernels of quantized numbers, at every level of instructions, against NumPy."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.backends import codes, native
from fanin.draws import Normal, Quantized
from fanin.draws.types import Element

BACKENDS = {
    (level, threads): native.NativeBackend(level, threads=threads)
    for level in native.NativeBackend().levels
    for threads in (1, 3)
}
LIMITS = {"E4M3": 900.0, "E2M1": 9.0, "I8": 300.0, "I4": 12.0, "U4": 40.0}
"""Magnitudes beyond the largest code of each element."""


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the memory that the kernels write to with a pattern, so that a test sees what they leave out."""
    empty = np.empty

    def poisoned(*args: Any, **options: Any) -> Any:
        array = empty(*args, **options)
        array.view(np.uint8)[...] = 0xA5
        return array

    monkeypatch.setattr(np, "empty", poisoned)


def numbers(element: Element, shape: tuple[int, int], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return random numbers: half of them multiples of powers of 2, so that ties occur, and zeros and tiny numbers."""
    random = np.random.default_rng(seed)
    values = random.uniform(-LIMITS[element], LIMITS[element], shape)
    scale = 2.0 ** random.integers(-11, 3, shape)
    values = np.where(random.random(shape) < 0.5, np.rint(values / scale) * scale, values)
    few = random.random(shape)
    values[few < 0.1] *= 1e-42
    values[few > 0.95] = 0.0
    values[few > 0.97] = -0.0
    return values.astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=[f"{level}-{threads}" for level, threads in BACKENDS])
@pytest.mark.parametrize("element", get_args(Element))
@given(
    group=st.one_of(
        st.tuples(st.integers(1, 5), st.integers(1, 70)), st.tuples(st.just(1), st.sampled_from([16, 32, 64, 128]))
    ),
    groups=st.tuples(st.integers(1, 6), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_kernels_are_numpy(
    backend: native.NativeBackend, element: Element, group: tuple[int, int], groups: tuple[int, int], seed: int
) -> None:
    values = numbers(element, (group[0] * groups[0], group[1] * groups[1]), seed)
    for made, expected in zip(backend.magnitudes(values, group), codes.magnitudes(values, group), strict=True):
        assert made.tobytes() == (expected + np.float32(0)).tobytes()  # without -0
    random = np.random.default_rng(seed)
    divisors = np.where(random.random(groups) < 0.5, 1.0, random.uniform(0.7, 3.0, groups)).astype(np.float32)
    zeros = random.integers(0, 16, groups).astype(np.float32)
    made_codes = backend.codes(element, values, group, divisors, zeros)
    np.testing.assert_array_equal(made_codes, codes.codes(element, values, group, divisors, zeros))


@pytest.mark.parametrize("element", ["E4M3", "E2M1"])
def test_all_upper_halves_of_floats(element: Element) -> None:
    """All finite numbers of BF16, and their neighbours in float32: every tie of a narrower type is among them."""
    upper = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    values = np.concatenate([upper, upper + np.uint32(1), upper - np.uint32(1)]).view(np.float32)
    values = values[np.isfinite(values)][np.newaxis]
    one = np.ones((1, 1), np.float32)
    expected = codes.codes(element, values, values.shape, one, None)
    assert len(np.unique(expected)) == {"E4M3": 254, "E2M1": 16}[element]
    for backend in BACKENDS.values():
        np.testing.assert_array_equal(backend.codes(element, values, values.shape, one, None), expected)


def test_matrices_of_other_memory() -> None:
    """A transposed matrix, and one of every second column."""
    values = numbers("I4", (96, 64), 7)
    for backend in BACKENDS.values():
        for matrix in (values.T, values[:, ::2]):
            group = (2, 16)
            below, above = backend.magnitudes(matrix, group)
            np.testing.assert_array_equal((below, above), codes.magnitudes(np.ascontiguousarray(matrix), group))
            made = backend.codes("I4", matrix, group, np.maximum(below, above), None)
            np.testing.assert_array_equal(made, codes.codes("I4", matrix, group, np.maximum(below, above), None))


def test_packed_words_are_those_of_the_formats() -> None:
    """A word has eight codes, the first in its lowest 4 bits; AWQ has another order."""
    found = np.arange(48, dtype=np.uint8).reshape(3, 16) * 5 % 16

    def words(packing: Any) -> Any:
        draw = Quantized(Normal(0.0, 1.0), None, 3, 16, False, (1, 8), "I4", "largest", 0.0, "F32", "data", packing)
        return codes.packed(draw, found.T if packing == "awq" else found)

    for row, made, awq in zip(found.tolist(), words("words").tolist(), words("awq").T.tolist(), strict=True):
        for word, order in ((made, range(8)), (awq, (0, 2, 4, 6, 1, 3, 5, 7))):
            assert word == [sum(row[8 * n + number] << 4 * place for place, number in enumerate(order)) for n in (0, 1)]
