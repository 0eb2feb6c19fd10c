"""A million draws of every random scheme and storage type follow its distribution; tests/soak has the long run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanin.dtypes import DTYPES, DType, DTypeName
from fanin.file.layout import Entry
from tests.statistics import distributions
from tests.statistics.distributions import DISTRIBUTIONS, Distribution, measure, row

COUNT = 1 << 20


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=list(DISTRIBUTIONS))
def test_follows_its_distribution(distribution: Distribution, dtype: DTypeName) -> None:
    result = measure(distribution, dtype, COUNT)
    assert not result.failures, row(result)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("name", ["normal", "variance scaling, truncated"])
def test_another_distribution_is_noticed(name: str, dtype: DTypeName) -> None:
    distribution = DISTRIBUTIONS[name]
    assert distribution.std is not None
    assert measure(replace(distribution, std=1.01 * distribution.std), dtype, COUNT).failures
    assert measure(replace(distribution, mean=0.01 * distribution.std), dtype, COUNT).failures


def test_equal_streams_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = distributions._entry

    def same(distribution: Distribution, dtype: DType, _prefix: str, _seed: int) -> Entry:
        return entry(distribution, dtype, "layers.0", 0)

    monkeypatch.setattr(distributions, "_entry", same)
    result = measure(DISTRIBUTIONS["uniform"], "F32", COUNT)
    assert [failure.split(":")[0] for failure in result.failures] == ["names", "seeds"]
