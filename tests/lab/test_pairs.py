"""Ratios of pairs: what they cancel, and when they are doubted."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest

from fanin_lab.bench import pairs


def test_load_that_hits_both_works_cancels() -> None:
    """Ten times slower turns, in an order that moves the two medians apart."""
    load = [1, 10, 1, 10, 1, 10, 1, 10, 10]
    ours, theirs = [2.0 * by for by in load], [5.0 * by for by in load]
    found = pairs.ratio(theirs, ours)
    assert found == pairs.Summary(2.5, 2.5, 2.5, 9)
    assert found.doubt == ""
    # Load in single measurements does not cancel. The median stands, and one outlier at each end does not widen it.
    assert pairs.ratio([50, 5, 5, 5, 5, 5, 5, 5, 0.5], [2] * 9) == pairs.Summary(2.5, 2.5, 2.5, 9)


@pytest.mark.parametrize("count", [5, 7, 8, 9, 11, 20, 101])
def test_the_interval_encloses_the_median_as_often_as_it_says(count: int) -> None:
    """By the binomial distribution, and no narrower interval of the same kind does."""

    def covered(rank: int) -> float:
        return sum(math.comb(count, below) for below in range(rank + 1, count - rank)) / 2**count

    found = pairs.summary(range(1, count + 1))
    rank = int(found.low) - 1
    assert found.high == count - rank
    assert covered(rank) >= pairs.CONFIDENCE > covered(rank + 1)
    assert covered(0) >= pairs.CONFIDENCE


def test_the_interval_covers_skewed_noise() -> None:
    """Log-normal noise, as of a machine that is sometimes slow: at least 90 % of 2,000 intervals have the median 1."""
    noise = np.random.default_rng(1).lognormal(0, 1, (2000, 9))
    hits = sum(found.low <= 1 <= found.high for found in map(pairs.summary, noise.tolist()))
    assert hits / 2000 > 0.9


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ([1.0] * 4, "4 turns"),
        ([1.0] * 5, ""),
        ([1.0, 1.0, 1.0, 1.0, 1.19], ""),
        ([1.0, 1.0, 1.0, 1.0, 1.3], "noisy, +-15%"),
        ([1.0] * 8 + [9.0], ""),
        ([1.0] * 6 + [2.0] * 3, "noisy, +-50%"),
    ],
)
def test_figures_that_are_not_to_be_trusted_say_why(values: list[float], doubt: str) -> None:
    assert pairs.summary(values).doubt == doubt


def test_ratios_need_the_same_turns() -> None:
    with pytest.raises(ValueError, match="zip"):
        pairs.ratio([1, 2], [1, 2, 3])


def test_turns_run_every_work_in_changing_order() -> None:
    order: list[str] = []
    clock = itertools.count()

    def work(name: str) -> float:
        order.append(name)
        return next(clock)

    found = pairs.in_turns({name: partial(work, name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabccba"
    assert found == {"a": [5, 6, 11], "b": [4, 7, 10], "c": [3, 8, 9]}
    late = pairs.in_turns({"a": lambda: 1.0}, 100, until=0, least=6)
    assert late == {"a": [1.0] * 6}
