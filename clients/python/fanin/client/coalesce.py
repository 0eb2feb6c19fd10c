"""Spans: byte ranges to fetch for a slice, with few requests and few bytes that the slice does not need."""

from __future__ import annotations

from collections.abc import Iterator

from fanin.region import Region, Run

GAP = 128 << 10
"""Maximum gap between two runs of a slice that one request fetches, in bytes. A network of one gigabit per second
transfers as many bytes in the millisecond that another request takes."""


def _pieces(run: Run, size: int, request_bytes: int) -> Iterator[Run]:
    """Yield a run in parts: single elements where the gaps between them are wide, else parts of one request at most."""
    most = 1 if abs(run.step) * size > GAP else max(1, request_bytes // (abs(run.step) * size))
    if run.step == 1:
        yield run
        return
    for at in range(0, run.count, most):
        yield Run(run.first + at * run.step, min(most, run.count - at), run.step)


def spans(region: Region, size: int, request_bytes: int) -> Iterator[tuple[int, int, list[tuple[int, Run]]]]:
    """Yield element ranges to fetch, each with the runs in it and their places in the result.

    `size` is the size of an element in bytes. A range with gaps has at most about `request_bytes` bytes.
    """
    placed: list[tuple[int, Run]] = []
    at = 0
    for run in region.runs():
        for piece in _pieces(run, size, request_bytes):
            placed.append((at, piece))
            at += piece.count
    placed.sort(key=lambda item: item[1].span)
    first = stop = 0
    members: list[tuple[int, Run]] = []
    for item in placed:
        low, high = item[1].span
        if members and ((low - stop) * size > GAP or (high - first) * size > request_bytes):
            yield first, stop, members
            members = []
        if not members:
            first = low
        stop = high
        members.append(item)
    if members:
        yield first, stop, members
