"""Distance between a sample of a scheme and its exact distribution. As a script, writes tables of docs/statistics.md.

SciPy provides the scheme's real distribution, from the recipe's parameters alone. The exact distribution of a storage
type is the real one, restricted to the storage type's numbers inside its bounds and rounded once. For F64 and F32 the
tests use the real distribution: their rounding is thousands of times finer than 2^26 draws resolve.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, special, stats

from fanin.backends import load
from fanin.dtypes import DTYPES, DType, DTypeName
from fanin.file.layout import Entry, FileLayout

Doubles = NDArray[np.float64]

SHAPE = (1024, 65536)
"""Shape of every tensor: 2^26 elements, fan_in 1024 in the keras layout."""
CHUNK = 1 << 18
LAGS = (1, 2, 3, 4)
TAILS = (3.0, 4.0, 4.5, 5.0, 5.5)
"""Distances from the mean beyond which elements are counted, in standard deviations before truncation."""
CELL_BITS = {"F64": 19, "F32": 16}
"""Elements are counted by these top bits of their pattern (7 of the mantissa); other types by all bits."""
MIN_EXPECTED = 4096.0
"""Adjacent cells are joined until this many elements are expected. One atom of a 24-bit uniform is then negligible."""
MAX_Z, MIN_P = 5.0, 1e-6


@dataclass(frozen=True)
class Distribution:
    """A scheme with parameters, and its real distribution."""

    name: str
    tensor: Mapping[str, Any]
    """The members of the recipe's tensor."""
    low: float
    """Lower and upper (`high`) bound of the values."""
    high: float
    mean: float = 0.0
    """Mean of the normal distribution before truncation."""
    std: float | None = None
    """Standard deviation of the same; `None` for a uniform distribution."""

    def cdf(self, x: Doubles) -> Doubles:
        inside = np.clip(x, self.low, self.high)
        if self.std is None:
            return (inside - self.low) / (self.high - self.low)
        with np.errstate(over="ignore"):  # the ends of float64's range count as infinite
            below, up_to, above = (special.ndtr((at - self.mean) / self.std) for at in (self.low, inside, self.high))
        return np.asarray((up_to - below) / (above - below))

    def moments(self) -> tuple[float, Doubles]:
        """Return the mean, and the central moments of orders 0 to 8."""
        if self.std is None:
            half = (self.high - self.low) / 2
            return (self.low + self.high) / 2, np.array([half**n / (n + 1) if n % 2 == 0 else 0.0 for n in range(9)])
        a, b = (float(np.clip((at - self.mean) / self.std, -30, 30)) for at in (self.low, self.high))
        mass = special.ndtr(b) - special.ndtr(a)
        peaks = [point for point in (-4.0, 0.0, 4.0) if a < point < b]

        def expected(centre: float, order: int) -> float:
            def integrand(z: float) -> float:
                return float((z - centre) ** order * np.exp(-z * z / 2) / np.sqrt(2 * np.pi) / mass)

            return float(integrate.quad(integrand, a, b, points=peaks or None, epsabs=1e-11, epsrel=1e-9, limit=200)[0])

        centre = expected(0.0, 1)
        return self.mean + self.std * centre, np.array([self.std**n * expected(centre, n) for n in range(9)])


@dataclass(frozen=True)
class Mapped(Distribution):
    """A monotone function of a uniform number in an interval."""

    function: Callable[[Any], Any] = np.asarray
    inverse: Callable[[Any], Any] = np.asarray
    interval: tuple[float, float] = (0.0, 1.0)

    def cdf(self, x: Doubles) -> Doubles:
        first, last = (self.inverse(np.float64(end)) for end in (self.low, self.high))
        return np.asarray((self.inverse(np.clip(x, self.low, self.high)) - first) / (last - first))

    def moments(self) -> tuple[float, Doubles]:
        low, high = self.interval

        def expected(centre: float, order: int) -> float:
            def integrand(u: float) -> float:
                return float((self.function(u) - centre) ** order) / (high - low)

            return float(integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-10, limit=400)[0])

        mean = expected(0.0, 1)
        return mean, np.array([1.0, 0.0, *(expected(mean, n) for n in range(2, 9))])

    @classmethod
    def of(
        cls,
        name: str,
        tensor: Mapping[str, Any],
        function: Callable[[Any], Any],
        inverse: Callable[[Any], Any],
        interval: tuple[float, float],
    ) -> Mapped:
        ends = sorted(float(function(end)) for end in interval)
        return cls(name, tensor, ends[0], ends[1], function=function, inverse=inverse, interval=interval)


def _normal(name: str, tensor: Mapping[str, Any], std: float, a: float, b: float, mean: float = 0.0) -> Distribution:
    return Distribution(name, tensor, mean + std * a, mean + std * b, mean, std)


def _distributions() -> Iterator[Distribution]:
    cut = float(stats.truncnorm.std(-2, 2))
    truncated = {"scheme": "truncated_normal"}
    yield Distribution("uniform", {"scheme": "uniform", "low": -0.05, "high": 0.05}, -0.05, 0.05)
    yield _normal("normal", {"scheme": "normal", "std": 0.02}, 0.02, -np.inf, np.inf)
    yield _normal("truncated ±2", {**truncated, "std": 0.02}, 0.02, -2, 2)
    yield _normal("corrected ±2", {**truncated, "std": 0.02, "corrected": True}, 0.02 / cut, -2, 2)
    yield _normal("truncated [3, 4]", {**truncated, "mean": 0.5, "std": 0.25, "low": 3.0, "high": 4.0}, 0.25, 3, 4, 0.5)
    yield _normal(
        "truncated [-1, inf)", {**truncated, "mean": -0.5, "std": 1.0, "low": -1.0, "high": None}, 1.0, -1, np.inf, -0.5
    )
    yield _normal(
        "truncated [-0.5, 2.5]", {**truncated, "mean": 0.03, "std": 0.1, "low": -0.5, "high": 2.5}, 0.1, -0.5, 2.5, 0.03
    )
    std = (2 / SHAPE[0]) ** 0.5
    scaling = {"scheme": "variance_scaling", "scale": 2.0}
    limit = 3**0.5 * std
    yield Distribution("variance scaling, uniform", {**scaling, "distribution": "uniform"}, -limit, limit)
    yield _normal("variance scaling, normal", {**scaling, "distribution": "normal"}, std, -np.inf, np.inf)
    yield _normal("variance scaling, truncated", {**scaling, "distribution": "truncated_normal"}, std / cut, -2, 2)

    depth = (1 / 12) ** 0.5
    yield Distribution("fan_uniform", {"scheme": "fan_uniform", "fan": 12}, -depth, depth)
    limit = (6 / SHAPE[0]) ** 0.5 / 30
    yield Distribution("siren", {"scheme": "siren"}, -limit, limit)
    lookup = {"in_axes": [], "out_axes": [1], "batch_axes": [0]}
    yield Distribution("siren, first layer", {"scheme": "siren", "first": True, **lookup}, -1, 1)
    scaled = {"scheme": "scaled_normal", "std": 0.02, "depth": 12.0}
    yield _normal("scaled normal", scaled, 0.02 * depth, -np.inf, np.inf)
    yield _normal("scaled normal ±3", {**scaled, "cut": 3.0}, 0.02 * depth, -3, 3)
    yield _normal("small_init", {"scheme": "small_init", "width": 1000}, 0.02, -np.inf, np.inf)
    yield _normal("wang_init", {"scheme": "wang_init", "width": 2500, "layers": 4}, 0.01, -np.inf, np.inf)
    glorot = (2 / sum(SHAPE)) ** 0.5
    sides = {"encoder_layers": 6, "decoder_layers": 6}
    deepnorm = {"scheme": "deepnorm", **sides, "side": "encoder"}
    yield _normal("deepnorm", deepnorm, glorot * 0.87 * 6 ** (-5 / 16), -np.inf, np.inf)
    subln = {"scheme": "subln", **sides, "side": "decoder"}
    yield _normal("subln", subln, glorot * float(np.log(18)) ** 0.5, -np.inf, np.inf)
    fixup = {"scheme": "fixup", "layers": 16, "branch_layers": 3}
    yield _normal("fixup", fixup, std / 2, -np.inf, np.inf)

    yield Mapped.of("log of uniform", {"scheme": "log_of_uniform"}, np.log, np.exp, (1.0, 16.0))
    steps = float(np.log(0.001)), float(np.log(0.1))
    yield Mapped.of(
        "dt_bias",
        {"scheme": "dt_bias"},
        lambda u: np.log(np.expm1(np.exp(u))),
        lambda x: np.log(np.logaddexp(0, x)),
        steps,
    )
    yield Mapped.of(
        "rg_lru",
        {"scheme": "rg_lru"},
        lambda u: np.log(np.expm1(-np.log(u) / 2)),
        lambda x: np.exp(-2 * np.logaddexp(0, x)),
        (0.9**2, 0.999**2),
    )


DISTRIBUTIONS = {distribution.name: distribution for distribution in _distributions()}


@dataclass(frozen=True)
class Grid:
    """Cells in which stored values of one type are counted, in increasing order."""

    values: Doubles
    """The value of every bit pattern; empty for F64 and F32, whose values are used directly."""
    edges: Doubles
    """Edges of the cells, with both infinities. A number between edges n and n + 1 rounds to a value of cell n."""

    @staticmethod
    @lru_cache
    def of(dtype: DType) -> Grid:
        bits = CELL_BITS.get(dtype.name, 8 * dtype.itemsize)
        patterns = np.arange(1 << bits, dtype=np.uint64) << np.uint64(8 * dtype.itemsize - bits)
        with np.errstate(invalid="ignore"):  # the patterns of NaN
            every = patterns.astype(f"<u{dtype.itemsize}").view(dtype.numpy).astype(np.float64)
            edges = every[: len(every) // 2]
            if dtype.name not in CELL_BITS:
                edges = np.concatenate([[0.0], (edges[:-1] + edges[1:]) / 2])
        values = np.empty(0) if dtype.name in CELL_BITS else every
        edges = np.where(np.isfinite(edges), edges, np.inf)
        return Grid(values, np.concatenate([[-np.inf], -edges[:0:-1], edges, [np.inf]]))

    def decode(self, stored: NDArray[Any]) -> Doubles:
        return self.values[stored] if len(self.values) else stored.astype(np.float64)


@dataclass(frozen=True)
class StoredDistribution:
    """The exact distribution of the stored values."""

    distribution: Distribution
    grid: Grid
    low: float
    """Smallest and largest (`high`) stored value."""
    high: float
    below: Doubles
    """Probability below each edge of the grid."""
    mean: float
    central: Doubles
    """Central moments of orders 0 to 8."""

    @classmethod
    def of(cls, distribution: Distribution, dtype: DType) -> StoredDistribution:
        grid = Grid.of(dtype)
        below = distribution.cdf(grid.edges)
        if not len(grid.values):
            compute = dtype.numpy.type
            low, high = compute(distribution.low), compute(distribution.high)
            low = np.nextafter(low, compute(np.inf)) if low < distribution.low else low
            high = np.nextafter(high, compute(-np.inf)) if high > distribution.high else high
            return cls(distribution, grid, float(low), float(high), below, *distribution.moments())
        inside = grid.values[
            (grid.values >= distribution.low) & (grid.values <= distribution.high) & np.isfinite(grid.values)
        ]
        low, high = inside.min(), inside.max()
        below = np.where(grid.edges <= low, 0.0, np.where(grid.edges >= high, 1.0, below))
        half = len(grid.values) // 2
        values, probability = np.concatenate([grid.values[: half - 1 : -1], grid.values[:half]]), np.diff(below)
        used = probability > 0
        values, probability = values[used], probability[used]
        mean = float(values @ probability)
        central = np.array([(values - mean) ** n @ probability for n in range(9)])
        return cls(distribution, grid, float(low), float(high), below, mean, central)

    def beyond(self, sigmas: float) -> float:
        """Return the probability of a stored value more than `sigmas` standard deviations from the normal mean."""
        assert self.distribution.std is not None
        at = np.array(
            [
                self.distribution.mean - sigmas * self.distribution.std,
                self.distribution.mean + sigmas * self.distribution.std,
            ]
        )
        if not len(self.grid.values):
            lower, upper = self.distribution.cdf(at)
        else:
            # Count values strictly beyond the threshold. A value on it, or between it and the next edge, is not.
            finite = np.sort(self.grid.values[np.isfinite(self.grid.values)])
            outer = finite[finite < at[0]].max(), finite[finite > at[1]].min()
            first = np.searchsorted(self.grid.edges, outer[0], "right"), np.searchsorted(self.grid.edges, outer[1]) - 1
            lower, upper = self.below[first[0]], self.below[first[1]]
        return float(lower + (1 - upper))


@dataclass
class Sample:
    """Sums over a stream of stored values."""

    counts: NDArray[np.int64]
    powers: Doubles = field(default_factory=lambda: np.zeros(5))
    """Sums of the standardised values' powers 0 to 4."""
    products: Doubles = field(default_factory=lambda: np.zeros(len(LAGS)))
    chunks: int = 0
    """Number of chunks in the sums. `products` has no pairs across the ends of chunks."""
    name_product: float = 0.0
    seed_product: float = 0.0
    tails: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(TAILS), np.int64))
    smallest: float = np.inf
    largest: float = -np.inf


@dataclass(frozen=True)
class Result:
    """Results of the tests of one distribution and storage type."""

    distribution: str
    dtype: DTypeName
    count: int
    z: dict[str, float]
    """Standard scores of statistics that are normal for this number of draws."""
    p: dict[str, float]
    """p-values, small where the sample is unlikely."""
    cells: int
    """Number of cells of the chi-square test."""
    tails: dict[float, tuple[int, float]]
    """Counted and expected elements beyond each number of standard deviations."""
    within_bounds: bool

    @property
    def failures(self) -> list[str]:
        """Return every test that the sample fails."""
        return [
            *(f"{name}: z = {z:.2f}" for name, z in self.z.items() if not abs(z) < MAX_Z),
            *(f"{name}: p = {p:.2g}" for name, p in self.p.items() if not p > MIN_P),
            *([] if self.within_bounds else ["a value is out of bounds"]),
        ]

    @property
    def tests(self) -> int:
        return len(self.z) + len(self.p) + 1


def measure(distribution: Distribution, dtype_name: DTypeName, count: int, backend: str = "native") -> Result:
    """Draw `count` elements, test them, and return the results."""
    dtype = DTYPES[dtype_name]
    exact = StoredDistribution.of(distribution, dtype)
    return _judge(exact, dtype, count, _sample(exact, distribution, dtype, count, backend))


def _sample(exact: StoredDistribution, distribution: Distribution, dtype: DType, count: int, backend: str) -> Sample:
    entries = [
        _entry(distribution, dtype, name, seed) for name, seed in (("layers.0", 0), ("layers.1", 0), ("layers.0", 1))
    ]
    kernels = load(backend)
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    shift = unsigned.type(8 * dtype.itemsize - CELL_BITS.get(dtype.name, 8 * dtype.itemsize))
    sample = Sample(np.zeros(len(exact.grid.edges) - 1, np.int64))
    scale = exact.central[2] ** -0.5
    for first in range(0, count, CHUNK):
        stored = np.empty((3, min(CHUNK, count - first)), dtype.numpy if dtype.name in CELL_BITS else unsigned)
        for entry, row in zip(entries, stored, strict=True):
            kernels.fill(entry.draw, entry.stream, dtype, first, memoryview(row.view(np.uint8)))
        sample.counts += np.bincount((stored[0].view(unsigned) >> shift).astype(np.int64), minlength=len(sample.counts))
        value = exact.grid.decode(stored[0])
        x, by_name, by_seed = ((each - exact.mean) * scale for each in (value, *map(exact.grid.decode, stored[1:])))
        square = x * x
        sample.powers += [len(x), x.sum(), square.sum(), square @ x, square @ square]
        sample.products += [x[lag:] @ x[:-lag] for lag in LAGS]
        sample.chunks += 1
        sample.name_product += x @ by_name
        sample.seed_product += x @ by_seed
        sample.smallest = min(sample.smallest, value.min())
        sample.largest = max(sample.largest, value.max())
        if distribution.std is not None:
            distance = np.abs(value - distribution.mean)
            far = distance[distance > TAILS[0] * distribution.std]
            sample.tails += [np.count_nonzero(far > sigmas * distribution.std) for sigmas in TAILS]
    return sample


def _entry(distribution: Distribution, dtype: DType, prefix: str, seed: int) -> Entry:
    """Return a tensor with separate streams for each distribution and type, so that their tests are independent."""
    tensor = {"shape": SHAPE, "dtype": dtype.name, **distribution.tensor}
    return FileLayout.of({"seed": seed, "tensors": {f"{prefix}.{distribution.name}.{dtype.name}": tensor}}).entries[0]


def _judge(exact: StoredDistribution, dtype: DType, count: int, sample: Sample) -> Result:
    central = exact.central / exact.central[2] ** (np.arange(9) / 2)
    z = {}
    for order, name in enumerate(("mean", "variance", "skewness", "kurtosis"), start=1):
        spread = (central[2 * order] - central[order] ** 2) / count
        z[name] = (sample.powers[order] / count - central[order]) / spread**0.5
    for lag, product in zip(LAGS, sample.products, strict=True):
        z[f"lag {lag}"] = product / (count - lag * sample.chunks) ** 0.5
    z["names"], z["seeds"] = sample.name_product / count**0.5, sample.seed_product / count**0.5

    half = len(sample.counts) // 2
    counts = np.concatenate([sample.counts[: half - 1 : -1], sample.counts[:half]])
    # On a grid of edges the largest distance can only be smaller, so this p-value can only be too large.
    distance = np.abs(np.cumsum(counts) / count - exact.below[1:]).max()
    observed, expected = _joined(counts, np.diff(exact.below) * count)
    chi_square = ((observed - expected) ** 2 / expected).sum()
    freedom = len(expected) - 1
    # Test both sides: a sample that is too even is not random either.
    tail = min(stats.chi2.sf(chi_square, freedom), stats.chi2.cdf(chi_square, freedom))
    p = {"KS": float(special.kolmogorov(count**0.5 * distance)), "chi-square": min(1.0, 2 * float(tail))}

    tails = {}
    if exact.distribution.std is not None:
        for sigmas, seen in zip(TAILS, sample.tails, strict=True):
            probability = exact.beyond(sigmas)
            if 0 < probability < 1:  # otherwise the tests of the bounds cover it
                tails[sigmas] = int(seen), count * probability
                less, more = stats.binom.cdf(seen, count, probability), stats.binom.sf(seen - 1, count, probability)
                p[f"> {sigmas:g} sigma"] = min(1.0, 2 * float(min(less, more)))
    within = exact.low <= sample.smallest and sample.largest <= exact.high
    z = {name: float(score) for name, score in z.items()}
    return Result(exact.distribution.name, dtype.name, count, z, p, len(expected), tails, bool(within))


def _joined(counts: NDArray[np.int64], expected: Doubles) -> tuple[NDArray[np.int64], Doubles]:
    """Return the counts with adjacent cells joined until MIN_EXPECTED elements are expected in each."""
    starts, total = [0], 0.0
    for cell, one in enumerate(expected.tolist()):
        if total >= MIN_EXPECTED:
            starts.append(cell)
            total = 0.0
        total += one
    if total < MIN_EXPECTED and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(counts, starts), np.add.reduceat(expected, starts)


HEADER = (
    "| distribution | type | mean | variance | skewness | kurtosis | KS | chi-square (cells)"
    " | lags 1-4 | names | seeds |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
)
TAIL_HEADER = (
    f"| distribution | type | {' | '.join(f'{sigmas:g}' for sigmas in TAILS)} |\n|---|---|{'---|' * len(TAILS)}\n"
)


def row(result: Result) -> str:
    """Return a line of the main table: standard scores, p-values of KS and chi-square, largest score of the lags."""
    z, p = result.z, result.p
    lags = max((z[f"lag {lag}"] for lag in LAGS), key=abs)
    cells = [
        result.distribution,
        result.dtype,
        *(f"{z[name]:+.2f}" for name in ("mean", "variance", "skewness", "kurtosis")),
        f"{p['KS']:.3f}",
        f"{p['chi-square']:.3f} ({result.cells})",
        *(f"{score:+.2f}" for score in (lags, z["names"], z["seeds"])),
    ]
    return f"| {' | '.join(cells)} |\n"


def tail_row(result: Result) -> str:
    """Return a line of the table of tails: counted / expected (p-value)."""
    cells = []
    for sigmas in TAILS:
        if sigmas in result.tails:
            seen, expected = result.tails[sigmas]
            cells.append(f"{seen} / {expected:.1f} ({result.p[f'> {sigmas:g} sigma']:.2f})")
        else:
            cells.append("")
    return f"| {result.distribution} | {result.dtype} | {' | '.join(cells)} |\n"


def main() -> None:
    """Write the tables to standard output."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--log2-count", type=int, default=26, help="draws of each distribution and type, at most 26")
    count = 1 << parser.parse_args().log2_count
    results = []
    sys.stdout.write(HEADER)
    for distribution in DISTRIBUTIONS.values():
        for dtype in DTYPES.values():
            results.append(measure(distribution, dtype.name, count))
            sys.stdout.write(row(results[-1]))
            sys.stdout.flush()
    sys.stdout.write("\n" + TAIL_HEADER + "".join(tail_row(result) for result in results if result.tails))
    scores = [abs(score) for result in results for score in result.z.values()]
    p_values = [p for result in results for p in result.p.values()]
    failures = [f"{result.distribution}, {result.dtype}: {text}" for result in results for text in result.failures]
    sys.stdout.write(
        f"\n| {len(results)} samples of {count:,} draws | number | most extreme |\n|---|---|---|\n"
        f"| standard scores | {len(scores)} | {max(scores):.2f} |\n"
        f"| p-values | {len(p_values)} | {min(p_values):.2g} |\n"
        f"| bounds | {len(results)} | |\n"
        f"\nFailures: {'; '.join(failures) or 'none'}.\n"
    )


if __name__ == "__main__":
    main()
