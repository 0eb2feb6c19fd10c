"""Findings from the distribution that a recipe gives, and from the fans that a shape gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from fanin.inspection.measures.kolmogorov import Cdf, distance, normal_cdf, p_value
from fanin.inspection.measures.patterns import looks_random
from fanin.inspection.measures.statistics import Statistics
from fanin.inspection.results import Finding
from fanin.inspection.roles import FIXED, FORMULAS, candidates
from fanin.inspection.sources import Source
from fanin.inspection.thresholds import FAMILY, FEWEST, FLOOR, NEAR, NUMBERS, deviations, level


class Comparison(NamedTuple):
    """A tensor beside a distribution."""

    text: str
    """The distribution in words; empty if none is known."""
    std: float | None
    ks: float | None
    p: float | None


NOTHING = Comparison("", None, None, None)


def compared(source: Source, found: Statistics, tests: int) -> Comparison:
    """Return a tensor beside the distribution of its recipe, or the one that its fans suggest."""
    expected = source.expected
    if expected is None:
        return _suggested(source, found, tests)
    std = None if expected.moments is None else expected.moments.std
    if expected.cdf is None or not expected.is_varied or not len(found.sample):
        return Comparison(expected.text, std, None, None)
    return _measured(expected.text, std, expected.cdf, source, found)


def _measured(text: str, std: float | None, cdf: Cdf, source: Source, found: Statistics) -> Comparison:
    ks = distance(found.sample, cdf, source.dtype)
    return Comparison(text, std, ks, p_value(ks, len(found.sample)))


def _suggested(source: Source, found: Statistics, tests: int) -> Comparison:
    """Return the nearest formula whose standard deviation the tensor has, and its family: uniform or normal."""
    if not source.dtype.is_random or source.dtype.is_complex or found.count < FEWEST or not found.std:
        return NOTHING
    if not looks_random(found) or found.mean is None:
        return NOTHING
    measured, allowed = found.std, _tolerance(found, tests)
    near = []
    if source.role.fans is not None and source.role.kind == "kernel":
        near = [(f"{name}, {text}", std) for name, text, std in candidates(source.role.fans)]
    near += [(f"std {value:g}", value) for value in FIXED]
    label, std = min(near, key=lambda each: abs(math.log(measured / each[1])))
    if abs(math.log(measured / std)) > allowed:
        return NOTHING
    if found.count < FAMILY:
        return Comparison(label, std, None, None)
    if max(abs(found.low or 0.0), abs(found.high or 0.0)) < 1.9 * measured:
        half = math.sqrt(3) * std
        return _measured(f"uniform, {label}", std, lambda x: ((x + half) / (2 * half)).clip(0, 1), source, found)
    return _measured(f"normal, {label}", std, normal_cdf(0.0, std), source, found)


def recipe_findings(source: Source, found: Statistics, comparison: Comparison, tests: int) -> Iterator[Finding]:
    """Yield a finding if a tensor does not follow the distribution that its recipe gives."""
    expected = source.expected
    if expected is None or expected.moments is None or not len(found.values):
        return
    # Integers beyond 2^53 are not exact in float64, and bounds of complex numbers are those of their parts.
    if not source.dtype.is_random or source.dtype.is_complex:
        return
    measured = ""
    low, high = expected.moments.low, expected.moments.high
    assert found.low is not None
    assert found.high is not None
    assert found.mean is not None
    if (low is not None and found.low < low) or (high is not None and found.high > high):
        measured = f"elements from {found.low:.9g} to {found.high:.9g}, outside of the bounds {low} to {high}"
    elif comparison.p is not None and comparison.p < level(tests):
        measured = f"Kolmogorov-Smirnov distance {comparison.ks:.3g} of {len(found.sample)} elements,"
        measured += f" p = {comparison.p:.1e}"
    elif expected.cdf is not None and found.std is not None and source.dtype.itemsize > 1:
        limit = deviations(tests)
        rounding = 2.0**-source.dtype.precision * (abs(expected.moments.mean) + expected.moments.std)
        error = expected.moments.std / math.sqrt(found.count)
        if abs(found.mean - expected.moments.mean) > limit * error + rounding:
            measured = f"mean {found.mean:.6g}, of {found.count} elements"
    if measured:
        yield Finding(
            "error",
            "recipe",
            source.name,
            measured,
            f"{comparison.text}, as the recipe says",
            "the weights are not those of the recipe: they were trained, converted or damaged",
            "compare every byte with fanin verify, or make the file again",
        )


def _tolerance(found: Statistics, tests: int) -> float:
    """Return the largest difference of logarithms of two equal standard deviations."""
    return deviations(tests) * found.std_error + FLOOR


def fan_findings(source: Source, found: Statistics, tests: int) -> Iterator[Finding]:
    """Yield a finding if the standard deviation fits a formula with the wrong fans, and none with the right ones."""
    right, std = source.role.fans, found.std
    if right is None or not source.role.wrong or source.expected is not None or found.count < FEWEST or not std:
        return
    if not looks_random(found) or found.kurtosis is None:
        return
    allowed = _tolerance(found, tests)

    def gap(other: float) -> float:
        return abs(math.log(std / other))

    # A transposed kernel of fan_out is one whose author chose fan_in in torch.
    usual = [each for name, _, each in candidates(right) if not (source.role.is_transposed and "fan_out" in name)]
    if any(gap(each) <= allowed for each in usual) or any(
        gap(each) <= NUMBERS * found.std_error + FLOOR for each in FIXED
    ):
        return
    matching = [
        (name != source.role.default, gap(wrong), counted, name, text, wrong)
        for counted in source.role.wrong
        for name, text, wrong in candidates(counted.fans)
        if gap(wrong) <= NEAR * found.std_error + FLOOR
        and abs(math.log(wrong / math.sqrt(FORMULAS[name][1](right)))) >= 2 * allowed
    ]
    if not matching:
        return
    # The default of the layer's library explains its deviation best, then the nearest formula.
    is_other, _, counted, name, text, wrong = min(matching, key=lambda each: each[:2])
    intended = math.sqrt(FORMULAS[name][1](right))
    yield Finding(
        "warning" if is_other else "note",
        "wrong-fans",
        source.name,
        f"std {std:.4g}, which is {name}, {text}, with fan_in {counted.fans.fan_in} and fan_out {counted.fans.fan_out}",
        f"std {intended:.4g}, with fan_in {right.fan_in} and fan_out {right.fan_out}",
        f"the initializer counted {counted.how}; the signal or the gradient changes by {wrong / intended:.3g} in this"
        f" layer{'' if is_other else ', by the default of the library'}",
        "pass the standard deviation of the right fans, or use a recipe with groups, transposed or blocks",
    )
