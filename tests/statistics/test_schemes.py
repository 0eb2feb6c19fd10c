"""Every element and pair of a random scheme follows its formula; the tests detect other distributions.

The distribution function maps a sample to independent uniform numbers in (0, 1), or the distribution is wrong. Seeds
are fixed, so the results are the same in each run. FALSE_ALARM is the probability that a random choice of the seeds
fails any test of any sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import fanin
from fanin.schemes import SCHEMES
from tests.statistics.exact import SAMPLES, SHAPE, Sample

Doubles = NDArray[np.float64]

FALSE_ALARM = 1e-3
TESTS = 13
"""Maximum number of tests of one sample."""
CELLS = 256
SLACK = 2.0**-22
"""Relative rounding error of float32 at the bound of a modulus: the parts are rounded, not the modulus."""
CASES = [
    pytest.param(sample, dtype, id=f"{sample.name}, {dtype}")
    for sample in SAMPLES
    for dtype in ([sample.tensor["dtype"]] if "dtype" in sample.tensor else ["F32", "F64"])
]
WITHOUT_CHANCE = {
    *("zeros", "ones", "constant", "eye", "dirac", "log_range", "power_range", "rope_frequencies", "alibi_slopes"),
    *("arange", "bilinear", "sinusoidal", "stft", "retention_decay", "hippo_legs", "s4d_inv", "quantized"),
}
MATRICES = {"orthogonal", "delta_orthogonal"}
"""Schemes that test_haar.py tests."""


def uniforms(sample: Sample, name: str, seed: int, dtype: str, count: int) -> list[Doubles]:
    """Return the uniform numbers of `count` tensors, each with separate streams."""
    made = []
    for n in range(count):
        recipe = {"seed": seed, "tensors": {f"{name}.{n}": {"shape": SHAPE, "dtype": dtype, **sample.tensor}}}
        (values,) = fanin.materialize(recipe).values()
        size = np.abs(values) if np.iscomplexobj(values) else values
        low, high = sample.support
        slack = SLACK * high if np.iscomplexobj(values) and np.isfinite(high) else 0.0
        assert size.min() >= np.float32(low) - 1e-7 * abs(low), "below the support"
        assert size.max() <= high + slack + 1e-7 * abs(high), "beyond the support"
        made.append(sample.uniform(values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)))
    return made


def probabilities(u: Doubles, other_name: Doubles, other_seed: Doubles) -> Iterator[tuple[str, float]]:
    """Yield the p-value of each test for uniform and independent numbers."""
    count = len(u)
    yield "KS", float(stats.kstest(u, "uniform").pvalue)
    cells = np.bincount(np.clip((u * CELLS).astype(np.int64), 0, CELLS - 1), minlength=CELLS)
    chi_square = float(((cells - count / CELLS) ** 2).sum() / (count / CELLS))
    # Test both sides: a sample that is too even is not random either.
    yield "quantiles", 2 * min(stats.chi2.sf(chi_square, CELLS - 1), stats.chi2.cdf(chi_square, CELLS - 1), 0.5)
    z = stats.norm.isf(np.clip(u, 1e-12, 1 - 1e-12))
    scores = {"mean": z.mean() * count**0.5}
    for order, spread in ((2, 2), (3, 15), (4, 96)):
        expected = 0 if order % 2 else order - 1
        scores[f"moment {order}"] = ((z**order).mean() - expected) * (count / spread) ** 0.5
    for lag in (1, 2, 3, 4, SHAPE[1]):
        scores[f"lag {lag}"] = (z[lag:] @ z[:-lag]) / (count - lag) ** 0.5
    for name, other in (("names", other_name), ("seeds", other_seed)):
        size = min(count, len(other))
        scores[name] = (z[:size] @ stats.norm.isf(np.clip(other[:size], 1e-12, 1 - 1e-12))) / size**0.5
    for name, score in scores.items():
        yield name, 2 * float(stats.norm.sf(abs(score)))


def failures(u: Doubles, other_name: Doubles, other_seed: Doubles) -> list[str]:
    limit = FALSE_ALARM / (TESTS * len(CASES))
    found = list(probabilities(u, other_name, other_seed))
    assert len(found) <= TESTS
    return [f"{name}: p = {p:.2g}" for name, p in found if not p > limit]


def check(sample: Sample, dtype: str, count: int) -> None:
    u = [uniforms(sample, name, seed, dtype, count) for name, seed in (("a", 0), ("b", 0), ("a", 1))]
    assert not failures(*map(np.concatenate, u))


@pytest.mark.parametrize(("sample", "dtype"), CASES)
def test_follows_its_distribution(sample: Sample, dtype: str) -> None:
    check(sample, dtype, 1)


@pytest.mark.soak("schemes")
@pytest.mark.parametrize(("sample", "dtype"), CASES)
def test_follows_its_distribution_for_long(sample: Sample, dtype: str) -> None:
    check(sample, dtype, 256)


def test_every_random_scheme_is_tested() -> None:
    tested = {fanin.as_recipe({"shape": SHAPE, **sample.tensor}).tensors["weight"].scheme for sample in SAMPLES}
    assert tested | WITHOUT_CHANCE | MATRICES == set(SCHEMES)
    assert not tested & (WITHOUT_CHANCE | MATRICES)


NOTICED = [
    sample for sample in SAMPLES if sample.name in ("He normal", "blocks", "sparse", "RG-LRU", "complex uniform")
]


@pytest.mark.parametrize("sample", NOTICED, ids=lambda sample: sample.name)
def test_another_distribution_is_noticed(sample: Sample) -> None:
    """Two percent more spread, equal neighbours, and equal tensors each fail a test."""
    dtype = str(sample.tensor.get("dtype", "F32"))
    u, v, w = (uniforms(sample, name, seed, dtype, 1)[0] for name, seed in (("a", 0), ("b", 0), ("a", 1)))
    wider = stats.norm.cdf(1.02 * stats.norm.ppf(np.clip(u, 1e-12, 1 - 1e-12)))
    assert failures(wider, v, w)
    assert failures(np.repeat(u[::2], 2), v, w)
    assert [failure.split(":")[0] for failure in failures(u, u, u)] == ["names", "seeds"]
