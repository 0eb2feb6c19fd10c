"""Permutations of the rows of sparse tensors: each is one, and they are random."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from fanin import backends
from fanin.backends.native import NativeBackend
from fanin.backends.permutations import permuted, rounds, sides
from fanin.draws import Fill, Sparse
from fanin.dtypes import DTYPES
from fanin.streams import Stream

KEY = Stream("fanin/1", 1, "w").key("sparse")


def places(size: int, lines: int, first: int = 0) -> np.ndarray:
    """The place of each row, line by line."""
    every = np.repeat(np.arange(first, first + lines, dtype=np.uint64), size)
    return permuted(KEY, size, every, np.tile(np.arange(size, dtype=np.uint64), lines)).reshape(lines, size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 12, 16, 17, 100, 255, 257, 1000, 4097])
def test_every_row_has_a_place_of_its_own(size: int) -> None:
    found = np.sort(places(size, 30, first=2**41), axis=1)
    assert (found == np.arange(size)).all()


def test_sides_hold_all_rows() -> None:
    for size in (*range(1, 300), 65535, 65536, 2**32 - 1):
        a, b = sides(size)
        assert (a - 1) ** 2 < size <= a * b < size + a <= size + 2**16
        assert b <= a
        assert rounds(size) < 64


def test_the_ends_of_what_a_line_may_have() -> None:
    rows = np.array([0, 1, 2**31, 2**32 - 2], np.uint64)
    found = permuted(KEY, 2**32 - 1, np.full(4, 2**42 - 1, np.uint64), rows)
    assert len(set(found.tolist())) == 4
    assert (found < 2**32 - 1).all()


@pytest.mark.parametrize(("size", "chosen"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (9, 4), (10, 1)])
def test_all_subsets_are_alike(size: int, chosen: int) -> None:
    """Every choice of the rows at the first places is equally frequent."""
    lines = 300 * len(list(combinations(range(size), chosen)))
    chosen_rows = places(size, lines) < chosen
    codes = chosen_rows @ (1 << np.arange(size))
    counts = np.bincount(codes, minlength=1 << size)
    subsets = [sum(1 << row for row in rows) for rows in combinations(range(size), chosen)]
    assert counts.sum() == counts[subsets].sum() == lines
    assert stats.chisquare(counts[subsets]).pvalue > 1e-5


@pytest.mark.parametrize("size", [3, 4, 5])
def test_all_permutations_are_alike(size: int) -> None:
    every, counts = np.unique(places(size, 24_000), axis=0, return_counts=True)
    assert len(every) == np.prod(range(1, size + 1))
    assert stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize("size", [30, 100, 1000])
def test_rows_know_nothing_of_one_another(size: int) -> None:
    """Neighbours, rows with a common digit, and lines are chosen together as often as independent choices would be."""
    chosen, lines = size // 3, 400_000 // size
    found = places(size, lines) < chosen
    p = chosen / size
    _, second = sides(size)
    for apart in (1, second, size // 2):
        together = (found[:, apart:] & found[:, :-apart]).mean()
        expected = p * (chosen - 1) / (size - 1)
        spread = (expected * (1 - expected) / found[:, apart:].size) ** 0.5
        assert abs(together - expected) < 5 * spread, apart
    alike = (found[1:] & found[:-1]).mean()
    assert abs(alike - p * p) < 5 * (p * p * (1 - p * p) / found[1:].size) ** 0.5


SPARSE = [
    # size, inner, zeros
    (1, 7, 1),
    (2, 1, 1),
    (7, 3, 2),
    (7, 300, 0),
    (130, 11, 13),
    (130, 11, 130),
    (2048, 5, 205),
    (70_000, 2, 35_000),
    (2**32 - 1, 5, 2**31),
]
"""Lines that a range contains completely, in parts, and with at most one element of each."""


@pytest.mark.parametrize(("size", "inner", "zeros"), SPARSE)
@pytest.mark.parametrize("level", NativeBackend().levels)
def test_c_clears_the_same_elements(level: str, size: int, inner: int, zeros: int) -> None:
    """In ranges of any place and length. The bytes around a range stay as they are."""
    draw, stream, random = Sparse(Fill(1.0), size, inner, zeros), Stream("fanin/1", 3, "w"), np.random.default_rng(size)
    native, reference = {n: NativeBackend(level, threads=n) for n in (1, 2)}, backends.load("reference")
    end = 20_000 + min(size * inner * 1000, 2**61)
    for dtype in (DTYPES["F32"], DTYPES["BF16"], DTYPES["F8_E4M3"], DTYPES["F64"]):
        for count in (1, inner, 3 * inner + 2, 1000, 5000):
            first = int(random.integers(0, end - count))
            expected = bytearray(b"\xa5" * (count * dtype.itemsize + 16))
            reference.clear_zeros(draw, stream, dtype, first, memoryview(expected)[8:-8])
            found = bytearray(b"\xa5" * len(expected))
            native[1 + count % 2].clear_zeros(draw, stream, dtype, first, memoryview(found)[8:-8])
            assert found == expected, (dtype.name, first, count)


@pytest.mark.parametrize("size", [65, 2048, 10_000])
def test_each_line_has_as_many_zeros_as_the_draw(size: int) -> None:
    inner, lines, zeros = 3, 12, size // 3
    out = bytearray(b"\xa5" * (size * lines))
    draw = Sparse(Fill(1.0), size, inner, zeros)
    NativeBackend().clear_zeros(draw, Stream("fanin/1", 3, "w"), DTYPES["F8_E4M3"], 0, memoryview(out))
    found = np.frombuffer(out, np.uint8).reshape(-1, size, inner)
    assert ((found == 0).sum(axis=1) == zeros).all()
    assert ((found == 0) | (found == 0xA5)).all()
