"""The figures of a study, looked up: all that reports, plots and findings know of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]
Case = dict[str, Any]
Setting = tuple[str, str, int]
"""Network, activation, depth."""


class Figures:
    """A document of `study`, by its parts."""

    def __init__(self, document: Document) -> None:
        """Of the JSON document alone."""
        self.document = document
        self.cases: list[Case] = document["cases"]
        self.networks: list[str] = self._values("network")
        self.activations: list[str] = self._values("activation")
        self.depths: list[int] = sorted(self._values("depth"))
        self.schemes: list[str] = list(document["schemes"])
        self.settings: list[Setting] = list(dict.fromkeys(setting_of(case) for case in self.cases))
        self._found = {(*setting_of(case), case["scheme"]): case for case in self.cases}

    def _values(self, field: str) -> list[Any]:
        return list(dict.fromkeys(case[field] for case in self.cases))

    def label(self, scheme: str) -> str:
        """What people call it."""
        return str(self.document["schemes"][scheme]["label"])

    def find(self, setting: Setting, scheme: str) -> Case | None:
        """One case, if it was part of the study."""
        return self._found.get((*setting, scheme))

    def of(self, setting: Setting) -> list[Case]:
        """All schemes in one setting, the most accurate first."""
        cases = [case for case in self.cases if setting_of(case) == setting]
        return sorted(cases, key=lambda case: -accuracy(case))

    def as_good_as_the_best(self, setting: Setting) -> list[Case]:
        """Those of `of` that are within a point of the best."""
        cases = self.of(setting)
        return [case for case in cases if accuracy(case) >= accuracy(cases[0]) - POINT]


POINT = 0.01
"""A hundredth of the test images."""
LEARNT = 0.5
"""Accuracy from which a network counts as having learnt something: five times that of guessing."""


def setting_of(case: Case) -> Setting:
    """Where a scheme was tried."""
    return case["network"], case["activation"], case["depth"]


def accuracy(case: Case) -> float:
    """Share of the test images recognized at the end, the median over seeds."""
    return float(case["accuracy"]["median"][-1])


def per_layer(case: Case, name: str) -> float | None:
    """By what factor a variance changes from one layer to the next in the signal's direction; a geometric mean.

    `activations` run forward, `gradients` backward. Nothing where a variance is 0 or has overflowed.
    """
    line = case[name]["median"]
    first, last = (line[0], line[-1]) if name == "activations" else (line[-1], line[0])
    return float((last / first) ** (1 / (len(line) - 1))) if first and last else None


def listed(words: Iterable[object]) -> str:
    """With commas, and `and` before the last."""
    *others, last = map(str, words)
    return f"{', '.join(others)} and {last}" if others else last


def shown(value: float) -> str:
    """Three digits; an exponent where it is very large or very small."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def stretch(case: Case) -> float | None:
    """The largest singular value over that at a quarter of the rank: 1 for an isometry.

    Not over the smallest: ReLU loses half of all directions, whatever the weights. Nothing where a value is 0 or has
    overflowed.
    """
    values = case["singular"]["median"]
    largest, quarter = values[0], values[len(values) // 4]
    return float(largest / quarter) if largest and quarter else None
