"""Findings about several tensors: equal ones, and one that differs from those of equal layers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fanin.inspection.measures.patterns import looks_random
from fanin.inspection.measures.statistics import Statistics
from fanin.inspection.results import Finding, template
from fanin.inspection.sources import Source
from fanin.inspection.thresholds import CHAIN, FLOOR, SAME, deviations

_COPY = re.compile(r"teacher|target|momentum|(^|[._])ema([._]|$)|averaged", re.IGNORECASE)
_HEAD = re.compile(r"(^|[._])(lm_head|embed_tokens|wte|shared|embed_out|output|decoder)([._]|$)")


@dataclass(frozen=True, slots=True)
class Known:
    """Facts about a tensor that later tensors are compared with."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: str
    std: float | None
    std_error: float
    constant: float | None
    """Value of all elements; None if they differ."""
    is_random: bool
    digest: bytes
    memory: int | None
    is_given: bool
    """True if a recipe gives the distribution."""

    @classmethod
    def of(cls, source: Source, found: Statistics) -> Known:
        return cls(
            source.name,
            source.shape,
            source.dtype.name,
            source.role.kind,
            found.std,
            found.std_error,
            found.low if found.is_constant else None,
            source.dtype.is_random and not found.nonfinite and looks_random(found),
            found.digest,
            source.memory,
            source.expected is not None,
        )


def group_findings(tensors: Sequence[Known], tests: int) -> Iterator[Finding]:
    """Yield the findings about tensors that are equal, or that differ from their equals."""
    yield from _equal(tensors)
    groups: dict[tuple[str, tuple[int, ...]], list[Known]] = {}
    for each in tensors:
        groups.setdefault((template(each.name), each.shape), []).append(each)
    for group in groups.values():
        if len(group) >= CHAIN and not group[0].is_given:
            yield from _outlier(group, tests)


def _equal(tensors: Sequence[Known]) -> Iterator[Finding]:
    first: dict[tuple[object, ...], Known] = {}
    for each in tensors:
        if not each.is_random or each.kind == "buffer":
            continue
        key = (each.shape, each.dtype, each.digest)
        other = first.setdefault(key, each)
        if other is each or (each.memory is not None and each.memory == other.memory):
            continue
        names = each.name, other.name
        # Equal biases of units with different weights break no symmetry.
        is_vector = max(each.shape) == math.prod(each.shape)
        is_note = is_vector or any(_COPY.search(name) for name in names) or all(_HEAD.search(name) for name in names)
        yield Finding(
            "note" if is_note else "warning",
            "equal-tensors",
            each.name,
            f"the same bits as {other.name}, in separate memory",
            "another draw, or one parameter under two names",
            "the two are not tied: they begin equal and get separate gradients, so layers begin as copies",
            "initialize each, for example after copy.deepcopy, or tie them",
        )


def _outlier(group: Sequence[Known], tests: int) -> Iterator[Finding]:
    """One tensor that differs, where all others agree with each other."""
    for place, each in enumerate(group):
        others = [*group[:place], *group[place + 1 :]]
        text = _difference(each, others, deviations(tests))
        if text:
            is_end = place in (0, len(group) - 1)
            yield Finding(
                "note" if is_end else "warning",
                "unlike-its-equals",
                each.name,
                text[0],
                f"{text[1]}, as in {len(others)} equal layers such as {others[0].name}",
                "one layer begins with another scale than its equals: a loop missed it, or wrote it twice",
                "initialize it as the others, unless the difference is intended",
            )
            return


def _difference(each: Known, others: Sequence[Known], limit: float) -> tuple[str, str] | None:
    """Return what a tensor is and what all others are, if they agree with each other and not with it."""
    values = {other.constant for other in others}
    if len(values) == 1 and None not in values:
        (value,) = values
        if each.constant == value or each.std is None:
            return None
        mine = f"all elements {each.constant:.6g}" if each.constant is not None else f"std {each.std:.4g}"
        return mine, f"all elements {value:.6g}"
    if not all(other.is_random and other.std for other in others):
        return None
    logs = [math.log(other.std) for other in others if other.std]
    error = max(other.std_error for other in others)
    if max(logs) - min(logs) > limit * error * math.sqrt(2) + FLOOR:
        return None
    mean = math.fsum(logs) / len(logs)
    expected = f"std {math.exp(mean):.4g}"
    if each.constant is not None:
        return f"all elements {each.constant:.6g}", expected
    if not each.std or not each.is_random:
        return None
    gap = abs(math.log(each.std) - mean)
    if gap > limit * (each.std_error + error) + FLOOR and gap > math.log(SAME):
        return f"std {each.std:.4g}", expected
    return None
