"""Results of an inspection, as values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
"""`error`: wrong in every model. `warning`: wrong in all but unusual designs. `note`: worth knowing, often intended."""
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
_NUMBER = re.compile(r"(?<![^._/])\d+(?![^._/])")


def template(name: str) -> str:
    """Return the name of a tensor with * for each number, which equal layers share."""
    return _NUMBER.sub("*", name)


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, with its evidence."""

    level: Level
    kind: str
    """Name of the rule, such as `zero-signal`; docs/inspect.md lists them."""
    where: str
    """Name of the tensor or of the layer."""
    measured: str
    expected: str
    why: str
    """Consequence of the fault."""
    advice: str
    more: tuple[str, ...] = ()
    """Other tensors or layers of the same kind, with the same finding."""


@dataclass(frozen=True, slots=True)
class TensorReport:
    """Measurements of one tensor. A value that does not exist is None."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    mean: float | None
    """Mean and standard deviation (`std`) of the finite elements, in float64."""
    std: float | None
    low: float | None
    """Least and greatest (`high`) finite element."""
    high: float | None
    kurtosis: float | None
    """Fourth central moment over the squared variance: 3 for a normal distribution, 1.8 for a uniform one."""
    zeros: int
    nonfinite: int
    """Number of NaN and infinite elements."""
    distinct: int
    """Distinct values among `distinct_of` elements: all of them, or the sample."""
    distinct_of: int
    role: str
    """Use of the tensor in its model, as far as name, shape and layer tell."""
    expected: str
    """Distribution that the recipe gives, or that shape and fans suggest; empty if none."""
    expected_std: float | None
    ks: float | None
    """Kolmogorov-Smirnov distance of a sample from that distribution as the type stores it."""
    ks_p: float | None
    """Probability of this distance or a larger one, for independent draws."""
    ks_of: int
    """Elements of the sample."""
    spectral_norm: float | None
    condition: float | None
    """Largest singular value over the least one; None for large matrices, and if the least is 0."""
    spectrum_of: tuple[int, int] | None
    """Rows and columns of the matrix that the singular values are of."""
    storage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Effects of storing the sample as BF16, F8_E4M3 and F8_E5M2: `distinct` values, shares `clamped` and `zero`, and
    the `error`, as root mean square over the standard deviation."""


@dataclass(frozen=True, slots=True)
class LayerReport:
    """Signal at one layer of a model, as root mean squares."""

    name: str
    type: str
    input: float | None
    output: float | None
    gain: float | None
    """Output over input."""
    gradient: float | None
    """Gradient of a random projection of the model's output with respect to the layer's output."""
    dead: int | None
    """Units of an activation that are zero for every example and position; None for other layers."""
    units: int | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of `fanin.inspect`."""

    source: str
    kind: str
    """`recipe`, `file`, `directory`, `arrays`, `torch`, `keras` or `jax`."""
    tensors: tuple[TensorReport, ...]
    layers: tuple[LayerReport, ...]
    findings: tuple[Finding, ...]
    """The most serious first."""
    remarks: tuple[str, ...]
    """Facts about the method: samples, and measurements that were not possible."""
    tests: int
    """Number of statistical tests that share the error probability of `thresholds.ALPHA`."""

    @property
    def is_quiet(self) -> bool:
        """True if there is neither an error nor a warning."""
        return all(each.level == "note" for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the inspection as JSON values. Numbers that JSON lacks, such as infinity, are None."""
        document: dict[str, Any] = _plain(asdict(self))
        document["quiet"] = self.is_quiet
        return document


def folded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings by level, with one for all equal layers that have the same one."""
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.level, each.kind, template(each.where)), []).append(each)
    merged = [
        replace(group[0], more=(*group[0].more, *(each.where for each in group[1:]))) for group in groups.values()
    ]
    return tuple(sorted(merged, key=lambda each: LEVELS.index(each.level)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
