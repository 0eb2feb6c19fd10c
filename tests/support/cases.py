"""Draws, ranges and streams on which every build of the kernels must give the bytes of the `reference` backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from fanin import draws
from fanin.draws import Draw, TruncatedNormal
from fanin.dtypes import DTYPES, DType
from fanin.streams import Key, Purpose, Stream


class Keyed(Stream):
    """A stream of given keys. Streams with equal names are equal, so the name contains the keys."""

    main: Key
    low: Key

    def __new__(cls, version: str, seed: int, name: str, main: Key, low: Key) -> Self:
        made = super().__new__(cls, version, seed, f"{name} {main} {low}")
        made.main, made.low = main, low
        return made

    def key(self, purpose: Purpose) -> Key:
        return self.main if purpose == "main" else self.low


@dataclass(frozen=True)
class Case:
    """Elements [first, first + count) of a draw."""

    label: str
    draw: Draw
    dtype: DType
    stream: Stream
    first: int
    count: int


STREAM = Stream("fanin/1", 42, "layers.0.weight")
DISTRIBUTIONS = (
    "uniform",
    "asymmetric uniform",
    "normal",
    "truncated",
    "far truncated",
    "half open",
    "farthest above",
    "farthest below",
    "narrow",
)
RANGES = (
    *((0, count) for count in (1, 3, 4, 5)),
    *((first, 9) for first in (1, 2, 3, 5)),
    *((1 << bits, (1 << bits) + step) for bits in (8, 12) for step in (-1, 0, 1)),
    (507, 1040),
    (2**32 - 2, 7),
    (2**34 - 5, 11),
    (2**34 + 1, 1025),
    (2**63 - 1, 6),
    (2**66 - 10, 10),
)
"""(first, count): around powers of two, the kernels' chunks, and where a 32-bit half of the block counter wraps."""


FIRST_AND_LAST = (0, 2**32 - 1, 0, 2**32 - 1)
LOW_COUNTERS = (
    *(
        5169782409,
        1584978071,
        2320387796,
        89168930,
        416018645,
        110682933,
        9463604,
        111364650,
        55371656,
        11636969,
        11231924,
    ),
    *(
        1406388,
        1378140,
        984551,
        38505,
        359072,
        148,
        23720,
        45363,
        15324,
        3432,
        3407,
        2469,
        2144,
        82,
        9,
        303,
        157,
        100,
        13,
        3,
    ),
    *(8, 0),
    *(1272957273, 5582755106, 151716920, 43740936, 44106925, 35588047, 130424034, 47297012, 34353024, 5708057, 3453182),
    *(
        1179743,
        3071155,
        808516,
        25557,
        14643,
        45231,
        45947,
        22233,
        10546,
        11157,
        465,
        488,
        330,
        309,
        96,
        36,
        0,
        3,
        2,
        1,
        4,
    ),
)
"""Upper halves of the counter, found by search: the low words beside `FIRST_AND_LAST` have every bit length."""


def draw(distribution: str, dtype: DType) -> Draw:
    """Return the draw of one of `DISTRIBUTIONS`, lowered for this storage type."""
    number = Fraction
    match distribution:
        case "uniform":
            return draws.uniform(number("-0.05"), number("0.05"), dtype)
        case "asymmetric uniform":
            return draws.uniform(number("-0.3"), number("2.5"), dtype)
        case "normal":
            return draws.normal(number("0.01"), number("0.02"), dtype)
        case "truncated":
            return draws.truncated_normal(number(0), number("0.02"), number(-2), number(2), dtype)
        case "far truncated":
            return draws.truncated_normal(number(1), number("0.25"), number(3), number(4), dtype)
        case "half open":
            return draws.truncated_normal(number("-0.5"), number(1), number(-1), None, dtype)
        case "farthest above":
            return draws.truncated_normal(number(0), number("0.5"), number(9), None, dtype)
        case "farthest below":
            return draws.truncated_normal(number(0), number("0.5"), None, number(-9), dtype)
        case "narrow":
            return draws.truncated_normal(number(1), number(2), number("0.1"), number("0.3"), dtype)
    raise ValueError(distribution)


def cases(dtype: DType) -> Iterator[Case]:
    """Yield all draws of `DISTRIBUTIONS` at all ranges, then at words where a kernel changes branch or table row."""
    for distribution in DISTRIBUTIONS:
        lowered = draw(distribution, dtype)
        for first, count in RANGES:
            yield Case(f"{distribution} {dtype.name} [{first}, +{count})", lowered, dtype, STREAM, first, count)
        for words in _fours(_edge_words(lowered)):
            label = f"{distribution} {dtype.name} words {' '.join(f'{word:08x}' for word in words)}"
            block, key = counter_of(words)
            stream = Keyed(STREAM.version, STREAM.seed, STREAM.name, key, STREAM.key("low"))
            yield Case(label, lowered, dtype, stream, 4 * block, 4)
        if dtype.name == "F64":
            for counter in LOW_COUNTERS:
                yield Case(f"{distribution} low {counter}", lowered, dtype, low_stream(counter), 4 * LOW_BLOCK, 4)


def every_case() -> Iterator[Case]:
    for dtype in DTYPES.values():
        yield from cases(dtype)


def _edge_words(lowered: Draw) -> list[int]:
    """Return words around every octave of both tails, every branch, and both ends."""
    powers = [1 << bits for bits in range(33)]
    edges = [*powers, *(2**32 - power for power in powers)]
    whole = draws.WHOLE_SIDE["F32"]
    halves = (lowered.negative, lowered.positive) if isinstance(lowered, TruncatedNormal) else (whole, whole)
    for side, mirrored in zip(halves, (False, True), strict=True):
        edges += [2**32 - at if mirrored else at for at in (side.count, side.tail_count)]
    near = {edge + step for edge in edges for step in (-2, -1, 0, 1)}
    return sorted(word for word in near if 0 <= word < 2**32)


def _fours(words: list[int]) -> Iterator[tuple[int, ...]]:
    for at in range(0, len(words), 4):
        yield (*words[at : at + 4], 0, 0, 0)[:4]


def counter_of(words: tuple[int, ...]) -> tuple[int, Key]:
    """Return the block and the key at which Philox4x32-10 returns these four words, by its inverse rounds."""
    mask = 0xFFFFFFFF
    inverses = pow(0xD2511F53, -1, 2**32), pow(0xCD9E8D57, -1, 2**32)
    k0, k1 = STREAM.key("main")[:2]
    c0, c1, c2, c3 = words
    for n in reversed(range(10)):
        round0, round1 = (k0 + n * 0x9E3779B9) & mask, (k1 + n * 0xBB67AE85) & mask
        before0, before2 = c3 * inverses[0] & mask, c1 * inverses[1] & mask
        before1 = c0 ^ (before2 * 0xCD9E8D57 >> 32) ^ round0
        before3 = c2 ^ (before0 * 0xD2511F53 >> 32) ^ round1
        c0, c1, c2, c3 = before0, before1, before2, before3
    return c1 << 32 | c0, (k0, k1, c2, c3)


LOW_BLOCK, _FIRST_AND_LAST_KEY = counter_of(FIRST_AND_LAST)


def low_stream(counter: int) -> Keyed:
    """Return the stream with the words `FIRST_AND_LAST` and low words from `counter` in block `LOW_BLOCK`."""
    k0, k1 = _FIRST_AND_LAST_KEY[:2]
    low = (k0, k1, counter % 2**32, counter >> 32)
    return Keyed(STREAM.version, STREAM.seed, STREAM.name, _FIRST_AND_LAST_KEY, low)
