"""Compare works on a noisy machine: run them in turns, and summarize the ratios of each turn.

Load from outside hits all works of a turn alike, so that it cancels in their ratio. A ratio of two medians keeps it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

Name = TypeVar("Name", bound=Hashable)

CONFIDENCE = 0.9
"""Minimum probability that `low` and `high` of a summary enclose the median of infinitely many turns."""
FEWEST = 5
"""Minimum number of turns. The extremes of fewer do not enclose the median with that probability."""
WIDEST = 0.1
"""Maximum half width of the interval, as a part of the median, of a figure that is to be trusted."""


class Summary(NamedTuple):
    """Median of measured values or ratios, and its confidence interval."""

    median: float
    low: float
    high: float
    turns: int

    @property
    def spread(self) -> float:
        """Return half the width of the interval, as a part of the median."""
        return (self.high - self.low) / 2 / self.median

    @property
    def doubt(self) -> str:
        """Return why the figure is not to be trusted, or an empty string."""
        if not self.turns:
            return "not in pairs"
        if self.turns < FEWEST:
            return f"{self.turns} turns"
        return "" if self.spread <= WIDEST else f"noisy, +-{self.spread:.0%}"


def summary(values: Iterable[float]) -> Summary:
    """Return the median of positive values, and its interval between two of the values.

    The interval makes no assumption about their distribution: the number of values below the true median is binomial.
    """
    ordered = sorted(values)
    rank = _rank(len(ordered))
    return Summary(statistics.median(ordered), ordered[rank], ordered[-1 - rank], len(ordered))


def ratio(above: Sequence[float], below: Sequence[float]) -> Summary:
    """Return the summary of the ratios of two works, turn by turn.

    Raises:
        ValueError: the two have different numbers of turns.
    """
    return summary(one / other for one, other in zip(above, below, strict=True))


def quotient(above: Summary, below: Summary) -> Summary:
    """Return the ratio of works that had no turns in common. Its interval is wide: it has all that both allow."""
    median, turns = above.median / below.median, min(above.turns, below.turns)
    return Summary(median, above.low / below.high, above.high / below.low, turns)


def in_turns(
    works: Mapping[Name, Callable[[], float]], turns: int, until: float = math.inf, least: int = FEWEST
) -> dict[Name, list[float]]:
    """Return what each work returned in each of at most `turns` turns, after one turn that warms up.

    Every second turn runs the works in reverse order, so that a load that grows favours none. After the time `until`
    of `time.monotonic`, only `least` turns are completed.
    """
    found: dict[Name, list[float]] = {name: [] for name in works}
    for turn in range(turns + 1):
        if turn > least and time.monotonic() > until:
            break
        for name in turn_order(list(works), turn):
            value = works[name]()
            if turn:
                found[name].append(value)
    return found


def turn_order(works: Sequence[Name], turn: int) -> list[Name]:
    """Return the works in the order of this turn: reversed in every second one."""
    return list(works if turn % 2 == 0 else reversed(works))


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """Return a function that runs the work once and returns its seconds by this clock."""

    def run() -> float:
        started = clock()
        work()
        return clock() - started

    return run


def _rank(count: int) -> int:
    """Return how many values at each end lie outside the interval."""
    outside = 0.0  # probability that at most `rank` values lie below the true median
    for rank in range(count):
        outside += math.comb(count, rank) / 2**count
        if 2 * outside > 1 - CONFIDENCE:
            return max(rank - 1, 0)
    return 0
