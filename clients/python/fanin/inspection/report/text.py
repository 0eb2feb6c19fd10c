"""An inspection as text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from fanin.inspection.results import Finding, Inspection, LayerReport, TensorReport
from fanin.names import MAX_NAME_BYTES, count, folded
from fanin.terminal import printable, table

WIDTH = 110
TENSOR_HEAD = (
    "tensor", "dtype", "shape", "mean", "std", "low", "high", "distinct", "kurtosis", "norm", "cond", "expected",
    "KS p",
)  # fmt: skip
LAYER_HEAD = ("layer", "type", "input", "output", "gain", "gradient", "dead")


def text(found: Inspection) -> str:
    """Return tables of tensors and layers, the findings and the remarks."""
    lines: list[str] = []
    if found.tensors:
        rows = [[printable(cell) for cell in tensor_row(each)] for each in found.tensors]
        lines += [*table(TENSOR_HEAD, rows, right=frozenset(range(3, 11)) | {12}), ""]
    if found.layers:
        rows = [[printable(cell) for cell in layer_row(each)] for each in found.layers]
        lines += [*table(LAYER_HEAD, rows, right=frozenset(range(2, 7))), ""]
    for each in found.findings:
        lines += [*_finding(each), ""]
    lines += [line for remark in found.remarks for line in _wrapped(f"remark: {remark}", "")]
    lines.append(summary(found))
    return "\n".join(lines)


def summary(found: Inspection) -> str:
    """Return the numbers of findings by level, in one line."""
    numbers = {level: sum(each.level == level for each in found.findings) for level in ("error", "warning", "note")}
    told = ", ".join(f"{number} {level}{'s' if number != 1 else ''}" for level, number in numbers.items())
    tensors = "1 tensor" if len(found.tensors) == 1 else f"{len(found.tensors)} tensors"
    return f"{printable(found.source)}: {tensors}, {told}"


def tensor_row(each: TensorReport) -> tuple[str, ...]:
    """Return the cells of a tensor, in the order of `TENSOR_HEAD`."""
    distinct = (
        f"{each.distinct}" if each.distinct_of == math.prod(each.shape) else f"{each.distinct} of {each.distinct_of}"
    )
    return (
        each.name,
        each.dtype,
        "x".join(map(str, each.shape)) or "scalar",
        number(each.mean),
        number(each.std),
        number(each.low),
        number(each.high),
        distinct,
        number(each.kurtosis),
        number(each.spectral_norm),
        number(each.condition),
        each.expected or each.role,
        number(each.ks_p),
    )


def layer_row(each: LayerReport) -> tuple[str, ...]:
    """Return the cells of a layer, in the order of `LAYER_HEAD`."""
    dead = "" if each.dead is None else f"{each.dead} of {each.units}"
    return (
        each.name,
        each.type,
        number(each.input),
        number(each.output),
        number(each.gain),
        number(each.gradient),
        dead,
    )


def number(value: float | None) -> str:
    """Return a number in three digits; nothing for None."""
    return "" if value is None else f"{value:.3g}"


def names(each: Finding) -> str:
    """Return the names that a finding is about, with ranges for equal layers."""
    if not each.more:
        return each.where
    # A file of others may have names that no recipe allows, such as numbers of thousands of digits.
    if any(len(name) > MAX_NAME_BYTES for name in (each.where, *each.more)):
        return f"{each.where} and {len(each.more)} more"
    plain, repeated = folded(dict.fromkeys((each.where, *each.more), ""))
    return ", ".join([*plain, *(f"{name} ({count(name)})" for name in repeated)])


def _finding(each: Finding) -> Iterator[str]:
    yield from _wrapped(f"{each.level}: {each.kind}: {names(each)}", "")
    for label, told in (
        ("measured", each.measured),
        ("expected", each.expected),
        ("why", each.why),
        ("advice", each.advice),
    ):
        yield from _wrapped(f"{label:<9} {told}", "  ")


def _wrapped(line: str, indent: str) -> Sequence[str]:
    return textwrap.wrap(printable(line), WIDTH, initial_indent=indent, subsequent_indent=indent + "  ") or [indent]
