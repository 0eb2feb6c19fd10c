"""Access to the figures of a study, for reports, plots and findings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]
Case = dict[str, Any]
Setting = tuple[str, str, int]
"""Network, activation, depth."""


class Figures:
    """The parts of a document that `study` returned."""

    def __init__(self, document: Document) -> None:
        """Read the JSON document."""
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
        """Return the name of a scheme for readers."""
        return str(self.document["schemes"][scheme]["label"])

    def find(self, setting: Setting, scheme: str) -> Case | None:
        """Return one case; `None` if it was not part of the study."""
        return self._found.get((*setting, scheme))

    def of(self, setting: Setting) -> list[Case]:
        """Return the cases of all schemes in one setting, the most accurate first."""
        cases = [case for case in self.cases if setting_of(case) == setting]
        return sorted(cases, key=lambda case: -accuracy(case))

    def as_good_as_the_best(self, setting: Setting) -> list[Case]:
        """Return the cases of `of` whose accuracy is within `POINT` of the best."""
        cases = self.of(setting)
        return [case for case in cases if accuracy(case) >= accuracy(cases[0]) - POINT]


POINT = 0.01
"""One hundredth of the test images."""
LEARNT = 0.5
"""Minimum accuracy of a network that has learnt something: five times that of guessing."""


def setting_of(case: Case) -> Setting:
    """Return the setting of a case."""
    return case["network"], case["activation"], case["depth"]


def accuracy(case: Case) -> float:
    """Return the share of test images recognized after training, the median over seeds."""
    return float(case["accuracy"]["median"][-1])


def per_layer(case: Case, name: str) -> float | None:
    """Return the factor of a variance from one layer to the next in the signal's direction, a geometric mean.

    `activations` run forward, `gradients` backward. Returns `None` if a variance is 0 or has overflowed.
    """
    line = case[name]["median"]
    first, last = (line[0], line[-1]) if name == "activations" else (line[-1], line[0])
    return float((last / first) ** (1 / (len(line) - 1))) if first and last else None


def listed(words: Iterable[object]) -> str:
    """Join words with commas, and with `and` before the last."""
    *others, last = map(str, words)
    return f"{', '.join(others)} and {last}" if others else last


def shown(value: float) -> str:
    """Format a number with three digits, and with an exponent if it is very large or very small."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def stretch(case: Case) -> float | None:
    """Return the largest singular value divided by that at a quarter of the rank: 1 for an isometry.

    The smallest value would not serve: ReLU loses half of all directions with any weights. Returns `None` if a value
    is 0 or has overflowed.
    """
    values = case["singular"]["median"]
    largest, quarter = values[0], values[len(values) // 4]
    return float(largest / quarter) if largest and quarter else None
