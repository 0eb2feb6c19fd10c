"""2^26 draws of every random scheme at every storage type follow its distribution; figures: docs/statistics.md."""

from __future__ import annotations

import sys

import pytest

from fanin.dtypes import DTYPES, DTypeName
from tests.statistics.distributions import DISTRIBUTIONS, HEADER, TAIL_HEADER, Distribution, measure, row, tail_row

pytestmark = pytest.mark.soak("statistics")

COUNT = 1 << 26


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=list(DISTRIBUTIONS))
def test_follows_its_distribution(distribution: Distribution, dtype: DTypeName) -> None:
    result = measure(distribution, dtype, COUNT)
    sys.stdout.write(f"\n{HEADER}{row(result)}\n{TAIL_HEADER}{tail_row(result)}")
    assert not result.failures
