"""Permutations of the rows of sparse tensors: each is one, and they are random."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from fanin.backends.native import NativeBackend
from fanin.backends.permutations import permuted, rounds, sides, zeros
from fanin.draws import Fill, Sparse
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
    """Which rows have the first places: each choice as often as any other."""
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


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("size", "inner"), [(1, 7), (2, 1), (7, 3), (130, 11), (70_000, 2), (2**32 - 1, 5)])
def test_c_marks_the_same(size: int, inner: int, threads: int) -> None:
    draw = Sparse(Fill(1.0), size, inner, size // 2)
    positions = np.random.default_rng(size).integers(0, min(size * inner * 1000, 2**62), 3000).astype(np.uint64)[::2]
    stream = Stream("fanin/1", 3, "w")
    found = NativeBackend(threads=threads).zeros(draw, stream, positions)
    assert (found == zeros(draw, stream.key("sparse"), positions)).all()
