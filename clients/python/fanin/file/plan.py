"""The plan of a byte range of a file: header bytes and element ranges of tensors.

Ranges are half-open. A range can begin or end within an element. Backends generate complete elements only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fanin.backends import Backend
from fanin.file.layout import Entry, FileLayout


@dataclass(frozen=True, slots=True)
class Header:
    """Bytes [start, stop) of the file header."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Elements:
    """Elements [first, first + count) of a tensor, of which the range needs bytes [skip, skip + length).

    If the range begins or ends within an element, that element is separate, with a count of 1. Pairs of elements in a
    byte are counted as elements.
    """

    entry: Entry
    first: int
    count: int
    skip: int
    length: int


@dataclass(frozen=True, slots=True)
class Whole:
    """All bytes of tensors [first, last) of the layout."""

    first: int
    last: int
    length: int


Piece = Header | Elements | Whole


def plan(layout: FileLayout, start: int, stop: int) -> Iterator[Piece]:
    """Yield the pieces of bytes [start, stop) of the file, in order and without gaps."""
    if start < len(layout.header):
        yield Header(start, min(stop, len(layout.header)))
        start = len(layout.header)
    index, last = layout.index_at(start), layout.index_at(stop)
    packed = layout.packed
    while start < stop:
        entry = layout.entries[index]
        # A backend fills several tensors as arrays, in which a byte has one element.
        several = index if index in packed else min(last, packed.start) if index < packed.start else last
        # A single tensor takes a third of the time as elements: a backend prepares tables for many of them.
        if start == entry.start and index + 1 < several:
            end = layout.entries[several - 1].stop
            yield Whole(index, several, end - start)
            index = several
        else:
            end = min(stop, entry.stop)
            yield from _elements(entry, start - entry.start, end - entry.start)
            index += 1
        start = end


def _elements(entry: Entry, start: int, stop: int) -> Iterator[Elements]:
    """Yield bytes [start, stop) of one tensor: a partial element, full ones, a partial one, each if it exists."""
    size = entry.dtype.in_file.itemsize
    first, skip = divmod(start, size)
    if skip:
        length = min(size - skip, stop - start)
        yield Elements(entry, first, 1, skip, length)
        start += length
        first += 1
    count, rest = divmod(stop - start, size)
    if count:
        yield Elements(entry, first, count, 0, count * size)
    if rest:
        yield Elements(entry, first + count, 1, 0, rest)


def read_into(layout: FileLayout, start: int, out: memoryview, backend: Backend) -> None:
    """Write bytes [start, start + len(out)) of the file into `out`, a writable byte buffer.

    Raises:
        ValueError: the range is not within the file.
    """
    stop = start + len(out)
    if not 0 <= start <= stop <= layout.size:
        raise ValueError(f"bytes {start} to {stop} are not within a file of {layout.size} bytes")
    at = 0
    for piece in plan(layout, start, stop):
        match piece:
            case Header():
                length = piece.stop - piece.start
                out[at : at + length] = layout.header[piece.start : piece.stop]
            case Elements(entry=entry):
                length, dtype = piece.length, entry.dtype.in_file
                whole = piece.count * dtype.itemsize
                if length == whole:
                    backend.fill(entry.draw, entry.stream, dtype, piece.first, out[at : at + length])
                else:
                    element = bytearray(whole)
                    backend.fill(entry.draw, entry.stream, dtype, piece.first, memoryview(element))
                    out[at : at + length] = element[piece.skip : piece.skip + length]
            case Whole(first, last, length):
                starts = np.array(layout.entries.offsets[first:last], np.uint64)
                address = np.frombuffer(out, np.uint8)[at:].ctypes.data
                backend.fill_tensors(layout.entries, starts - starts[0] + np.uint64(address), first)
        at += length
