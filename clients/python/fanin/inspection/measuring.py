"""The report of each tensor, and the findings about all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fanin.backends.base import numpy_without_errors
from fanin.inspection.measures import storage
from fanin.inspection.measures.spectra import Spectrum, spectrum
from fanin.inspection.measures.statistics import Statistics, statistics
from fanin.inspection.results import Finding, TensorReport
from fanin.inspection.rules.expectations import Comparison, compared, fan_findings, recipe_findings
from fanin.inspection.rules.groups import Known, group_findings
from fanin.inspection.rules.tensors import tensor_findings
from fanin.inspection.sources import Array, Source

TESTS = 8
"""Statistical tests of one tensor, at most: distance and mean against a recipe, fans, and its equals."""


@numpy_without_errors()
def measured(sources: Sequence[Source], has_signal: bool = False) -> tuple[list[TensorReport], list[Finding], int]:
    """Read every tensor once, and return the reports, the findings and the number of statistical tests.

    Tensors that share memory are read once. The memory in use is that of one block, one sample and the first elements
    of one tensor.
    """
    tests = TESTS * len(sources)
    reports: list[TensorReport] = []
    findings: list[Finding] = []
    known: list[Known] = []
    seen: set[int] = set()
    for source in sources:
        if source.is_meta:
            findings.append(_meta(source))
            continue
        if source.memory is not None and source.memory in seen:
            continue
        if source.memory is not None:
            seen.add(source.memory)
        found = statistics(_parts(source), source.count * (2 if source.dtype.is_complex else 1))
        comparison = compared(source, found, tests)
        reports.append(_report(source, found, comparison))
        findings += tensor_findings(source, found, has_signal)
        findings += recipe_findings(source, found, comparison, tests)
        findings += fan_findings(source, found, tests)
        known.append(Known.of(source, found))
    findings += group_findings(known, tests)
    return reports, list(_without_consequences(findings)), tests


def _parts(source: Source) -> Iterable[Array]:
    """Return the blocks of a tensor, with the parts of complex numbers as separate elements."""
    if not source.dtype.is_complex:
        return source.blocks()
    return (block.view(np.float32) for block in source.blocks())


def _without_consequences(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings, without those that follow from an error of the same tensor."""
    findings = list(findings)
    broken = {each.where for each in findings if each.kind in ("nonfinite", "uninitialized")}
    for each in findings:
        if each.where not in broken or each.kind in ("nonfinite", "uninitialized"):
            yield each


def _meta(source: Source) -> Finding:
    return Finding(
        "error",
        "meta",
        source.name,
        "a shape without memory: the tensor is on the meta device, or not yet materialized",
        "memory with values",
        "the model cannot run, and to_empty would leave its values undefined",
        "fill it, for example with fanin.torch.init_, or move the model with to_empty and initialize it",
    )


def _report(source: Source, found: Statistics, comparison: Comparison) -> TensorReport:
    shape: Spectrum | None = None
    if source.dtype.is_random and not source.dtype.is_complex:
        sides = source.shape
        if source.role.is_output_last:
            sides = (math.prod(sides[:-1]), sides[-1])
        shape = spectrum(found.head, sides)
    effects: dict[str, Any] = {}
    if source.dtype.is_random and not source.dtype.is_complex and len(source.shape) > 1:
        effects = dict(storage.effects(found.sample, source.dtype))
    exact = source.dtype.itemsize <= 2 or found.count == len(found.sample)
    return TensorReport(
        name=source.name,
        shape=source.shape,
        dtype=source.dtype.name,
        mean=_known(found.mean),
        std=_known(found.std),
        low=_known(found.low),
        high=_known(found.high),
        kurtosis=_known(found.kurtosis),
        zeros=found.zeros,
        nonfinite=found.nonfinite,
        distinct=len(found.values),
        distinct_of=found.count if exact else len(found.sample),
        role=source.role.label,
        expected=comparison.text,
        expected_std=comparison.std,
        ks=comparison.ks,
        ks_p=comparison.p,
        ks_of=len(found.sample) if comparison.ks is not None else 0,
        spectral_norm=shape.norm if shape else None,
        condition=shape.condition if shape else None,
        spectrum_of=(shape.rows, shape.columns) if shape else None,
        storage=effects,
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
