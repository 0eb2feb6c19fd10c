"""A million draws of every random scheme and storage type follow its distribution; tests/soak has the long run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanin.dtypes import DTYPES, DType, DTypeName
from fanin.file_layout import Entry
from tests.statistics import distributions
from tests.statistics.distributions import LAWS, Law, measure, row

COUNT = 1 << 20


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_follows_its_law(law: Law, dtype: DTypeName) -> None:
    result = measure(law, dtype, COUNT)
    assert not result.failures, row(result)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("name", ["normal", "variance scaling, truncated"])
def test_another_law_is_noticed(name: str, dtype: DTypeName) -> None:
    law = LAWS[name]
    assert law.std is not None
    assert measure(replace(law, std=1.01 * law.std), dtype, COUNT).failures
    assert measure(replace(law, mean=0.01 * law.std), dtype, COUNT).failures


def test_equal_streams_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = distributions._entry

    def same(law: Law, dtype: DType, _prefix: str, _seed: int) -> Entry:
        return entry(law, dtype, "layers.0", 0)

    monkeypatch.setattr(distributions, "_entry", same)
    result = measure(LAWS["uniform"], "F32", COUNT)
    assert [failure.split(":")[0] for failure in result.failures] == ["names", "seeds"]
