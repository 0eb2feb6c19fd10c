"""Pieces: consecutive elements of one distribution. Functions cut, convert and read them."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from fanin.recording.arithmetic import affine
from fanin.recording.distributions import (
    Circular,
    Constant,
    Diagonal,
    Distribution,
    Normal,
    Partly,
    Random,
    Signs,
    Statistic,
    Unknown,
    Unset,
    Values,
    displaced,
    is_held,
)

MOST_VALUES = 1 << 24
"""Maximum number of computed values of one tensor. Masks and tables are smaller; weights can be larger."""
MOST_STRETCHES = 1 << 16
"""Maximum number of stretches of a view that are followed, such as the rows of a block of columns."""

Piece = tuple[int, Distribution]
"""Number of elements, and their distribution."""


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces with adjacent pieces combined where the second continues the first."""
    result: list[Piece] = []
    for length, dist in pieces:
        if result and _continues(*result[-1], dist):
            result[-1] = (result[-1][0] + length, result[-1][1])
        elif length:
            result.append((length, dist))
    return result


def _continues(length: int, dist: Distribution, following: Distribution) -> bool:
    if isinstance(dist, Random) and isinstance(following, Random):
        return dist.goes_on(length, following)
    return dist == following


class Stretches:
    """Pieces that can be cut at any element."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._ends = list(itertools.accumulate(length for length, _ in pieces))

    def part(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the pieces of elements [start, stop)."""
        for index in range(bisect.bisect_right(self._ends, start), len(self._pieces)):
            length, dist = self._pieces[index]
            at = self._ends[index] - length
            if at >= stop:
                return
            first, last = max(start - at, 0), min(stop - at, length)
            if isinstance(dist, Values):
                dist = Values(dist.tensor[first:last])
            elif isinstance(dist, Partly):
                dist = partly(dist.tensor[first:last], dist.known[first:last])
            elif isinstance(dist, Statistic | Diagonal | Signs) and last - first < length:
                dist = displaced(dist)
            elif isinstance(dist, Random) and first:
                dist = replace(dist, place=dist.place + first)
            yield last - first, dist


def cast(pieces: Iterable[Piece], dtype: torch.dtype) -> list[Piece]:
    """Return pieces stored in a tensor of this type. Distributions stay: the recipe's storage type rounds elements."""

    def converted(dist: Distribution) -> Distribution:
        match dist:
            case Values(tensor):
                return Values(tensor.to(dtype))
            case Partly(tensor, known):
                return Partly(tensor.to(dtype), known)
            case Constant(complex(real=value)) if not dtype.is_complex:
                return Constant(value)
            case Constant(value) if not dtype.is_floating_point and not dtype.is_complex:
                return Constant(rounded(value, dtype))
            case Circular() if dtype.is_complex:
                return dist
            case Circular(std) if dtype.is_floating_point:
                return Normal(0.0, std / math.sqrt(2), draw=dist.draw, place=dist.place, order=dist.order)
            case Random() if not dtype.is_floating_point:
                return Unknown(f"a cast to {dtype}")
        return dist

    return [(length, converted(dist)) for length, dist in pieces]


def recast(pieces: Iterable[Piece], old: torch.dtype, new: torch.dtype) -> list[Piece]:
    """Return the pieces of a tensor that is cast to another type. Constants are rounded to both types."""

    def converted(dist: Distribution) -> Distribution:
        if not isinstance(dist, Constant):
            return used(dist, old)
        held = rounded(dist.value, old)
        return dist if rounded(dist.value, new) == rounded(held, new) else Constant(held)

    return list(pieces) if old == new else [(length, converted(dist)) for length, dist in pieces]


def used(dist: Distribution, dtype: torch.dtype) -> Distribution:
    """Return the distribution of elements of a tensor of this type, for another operation.

    It is `Unknown` if elements became infinite, zero or equal in the type, since no later operation restores them.
    """
    if not isinstance(dist, Random):
        return dist
    info = torch.finfo(dtype)
    return dist if is_held(dist, info.tiny, info.max, info.eps) else Unknown(f"random values that {dtype} cannot hold")


def rounded(value: complex, dtype: torch.dtype) -> complex:
    """Return the number that a tensor of this type holds for this value."""
    if isinstance(value, complex) and not dtype.is_complex:
        value = value.real
    widest = {int: torch.int64, float: torch.float64, complex: torch.complex128}.get(type(value))
    if isinstance(value, int) and value > torch.iinfo(torch.int64).max:
        widest = torch.uint64
    held: complex = torch.tensor(value, dtype=widest, device="cpu").to(dtype).item()
    return held


def reinterpreted(pieces: Iterable[Piece], old: torch.dtype, new: torch.dtype) -> list[Piece]:
    """Return the pieces of the same bytes as elements of another type."""
    if old == new:
        return list(pieces)
    result = []
    for length, dist in _with_whole_tables(pieces, old):
        count, rest = divmod(length * old.itemsize, new.itemsize)
        result.append((count, Unknown("view.dtype") if rest else _seen_as(length, dist, old, new)))
    return result


def _with_whole_tables(pieces: Iterable[Piece], dtype: torch.dtype) -> Iterator[Piece]:
    """Yield the pieces with adjacent pieces of known values combined."""
    for has_values, group in itertools.groupby(pieces, lambda piece: isinstance(piece[1], Constant | Values)):
        run = list(group)
        flat = values(run, dtype) if has_values and len(run) > 1 else None
        yield from run if flat is None else [(len(flat), Values(flat))]


def _seen_as(length: int, dist: Distribution, old: torch.dtype, new: torch.dtype) -> Distribution:
    match dist:
        case Unset() | Unknown():
            return dist
        case Constant(0 | False):
            return Constant(0)
        case Constant() | Values():
            flat = values([(length, dist)], old)
            return Unknown("view.dtype") if flat is None else Values(flat.contiguous().view(new))
        case Normal(0, std, low, high) if math.isinf(low) and math.isinf(high) and new.to_real() == old:
            return Circular(std * math.sqrt(2), draw=dist.draw, place=dist.place // 2, order=dist.order)
        case Circular(std) if old.to_real() == new:
            return Normal(0.0, std / math.sqrt(2), draw=dist.draw, place=dist.place * 2, order=dist.order)
    return Unknown("view.dtype")


def resolved(pieces: Iterable[Piece], tensor: torch.Tensor) -> list[Piece]:
    """Return the pieces conjugated or negated, as the tensor does when it reads or writes its memory."""

    def converted(dist: Distribution) -> Distribution:
        if tensor.is_conj():
            if isinstance(dist, Values):
                dist = Values(dist.tensor.conj_physical())
            elif isinstance(dist, Constant) and isinstance(dist.value, complex):
                dist = Constant(dist.value.conjugate())
            elif isinstance(dist, Partly):
                dist = Unknown("conj")
        return affine(dist, -1, 0, "neg") if tensor.is_neg() else dist

    if not tensor.is_conj() and not tensor.is_neg():
        return list(pieces)
    return [(length, converted(dist)) for length, dist in pieces]


def values(pieces: list[Piece], dtype: torch.dtype) -> torch.Tensor | None:
    """Return the values as a one-dimensional tensor in memory; `None` if some are unknown or there are too many."""
    if sum(length for length, _ in pieces) > MOST_VALUES:
        return None
    parts = []
    for length, dist in pieces:
        match dist:
            case Constant(value):
                parts.append(torch.full((length,), value, dtype=dtype, device="cpu"))
            case Values(tensor):
                parts.append(tensor.to(dtype))
            case _:
                return None
    return torch.cat(parts) if parts else torch.empty(0, dtype=dtype, device="cpu")


def partial(pieces: list[Piece], dtype: torch.dtype) -> Partly | None:
    """Return the known values among the pieces; `None` if there are too many elements."""
    if sum(length for length, _ in pieces) > MOST_VALUES:
        return None
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    for length, dist in pieces:
        if isinstance(dist, Partly):
            parts.append((dist.tensor, dist.known))
        else:
            flat = values([(length, dist)], dtype)
            known = torch.full((length,), flat is not None, device="cpu")
            parts.append((torch.zeros(length, dtype=dtype, device="cpu") if flat is None else flat, known))
    found, known = (torch.cat(each) for each in zip(*parts, strict=True))
    return Partly(found, known)


def partly(tensor: torch.Tensor, known: torch.Tensor) -> Distribution:
    """Return `Partly`, or `Values` if all values are known."""
    return Values(tensor) if bool(known.all()) else Partly(tensor, known)


def along(tags: torch.Tensor, pieces: Sequence[Piece], numbers: Sequence[float]) -> list[Piece] | None:
    """Return the pieces of elements that are selected by their places; `None` for too many stretches.

    `tags` is one-dimensional. A negative place -k - 1 selects `numbers[k]`.
    """
    if not len(tags):
        return []
    steps = tags[1:] - tags[:-1]
    breaks = ((steps != 1) | (tags[1:] < 0) | (tags[:-1] < 0)) & ((steps != 0) | (tags[1:] >= 0))
    starts = [0, *(breaks.nonzero().flatten() + 1).tolist(), len(tags)]
    if len(starts) > MOST_STRETCHES:
        return None
    whole, found = Stretches(pieces), list[Piece]()
    for start, stop in itertools.pairwise(starts):
        first = int(tags[start])
        if first < 0:
            found.append((stop - start, Constant(numbers[-first - 1])))
        else:
            found += whole.part(first, first + stop - start)
    return joined(found)
