"""Byte ranges: any range equals that slice of the complete file, any partition joins to it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanin import FileLayout, backends
from fanin.file.plan import Elements, Header, plan, read_into
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)
BACKEND = backends.get()


def read(start: int, stop: int) -> bytes:
    out = bytearray(b"\xa5" * (stop - start))
    read_into(LAYOUT, start, memoryview(out), BACKEND)
    return bytes(out)


WHOLE = read(0, LAYOUT.size)
offsets = st.integers(0, LAYOUT.size)


@settings(max_examples=500, deadline=None)
@given(offsets, offsets)
def test_a_range_is_a_slice_of_the_whole(one: int, other: int) -> None:
    start, stop = sorted((one, other))
    assert read(start, stop) == WHOLE[start:stop]


@settings(deadline=None)
@given(st.lists(offsets, max_size=30))
def test_a_partition_joins_to_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), LAYOUT.size]
    assert b"".join(read(start, stop) for start, stop in itertools.pairwise(edges)) == WHOLE


def test_every_single_byte_around_tensor_borders() -> None:
    for entry in LAYOUT.entries:
        for start in range(max(0, entry.start - 9), min(LAYOUT.size, entry.start + 9)):
            assert read(start, start + 1) == WHOLE[start : start + 1]


@given(offsets, offsets)
def test_pieces_are_whole_elements_unless_cut(one: int, other: int) -> None:
    start, stop = sorted((one, other))
    total = 0
    for piece in plan(LAYOUT, start, stop):
        if isinstance(piece, Elements):
            assert piece.length == piece.count * piece.entry.dtype.itemsize or piece.count == 1
            total += piece.length
        elif isinstance(piece, Header):
            total += piece.stop - piece.start
        else:
            assert piece.length == LAYOUT.entries[piece.last - 1].stop - LAYOUT.entries[piece.first].start
            total += piece.length
    assert total == stop - start


def test_ranges_of_a_file_of_100_terabytes() -> None:
    layout = FileLayout.of({"shape": [5 * 10**6, 10**7], "scheme": "normal", "std": 0.02, "dtype": "BF16"})
    assert layout.size == len(layout.header) + 10**14
    generator = random.Random(1)
    for start in [layout.size - 1000, *(generator.randrange(layout.size - 1000) for _ in range(50))]:
        whole = bytearray(1000)
        read_into(layout, start, memoryview(whole), BACKEND)
        cut = generator.randrange(1000)
        parts = bytearray(1000)
        read_into(layout, start, memoryview(parts)[:cut], BACKEND)
        read_into(layout, start + cut, memoryview(parts)[cut:], BACKEND)
        assert whole == parts
        assert any(whole)


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (LAYOUT.size, 1), (0, LAYOUT.size + 1)])
def test_ranges_outside_the_file_are_refused(start: int, length: int) -> None:
    with pytest.raises(ValueError, match="not within"):
        read_into(LAYOUT, start, memoryview(bytearray(length)), BACKEND)
