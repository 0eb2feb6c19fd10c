"""Findings about one tensor, from its statistics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np

from fanin.inspection.measures import storage
from fanin.inspection.measures.patterns import equal_rows, looks_random
from fanin.inspection.measures.statistics import Statistics
from fanin.inspection.results import Finding, Level
from fanin.inspection.roles import STARTS_AT_ZERO
from fanin.inspection.sources import Source
from fanin.inspection.thresholds import COARSE, COLLAPSED, GARBAGE_SHARE, GARBAGE_SPAN, UNDERFLOW

_MASK = re.compile(r"mask|attn_bias|causal", re.IGNORECASE)
"""Names of tensors in which minus infinity has a meaning."""


def tensor_findings(source: Source, found: Statistics, has_signal: bool) -> Iterator[Finding]:
    """Yield the findings about a tensor, from its elements alone.

    Args:
        has_signal: Whether a signal was sent through the model. It shows the effect of tensors of zeros better.
    """
    if not found.count or not source.dtype.is_random:
        return
    yield from _nonfinite(source, found)
    if not len(found.values):
        return
    yield from _garbage(source, found)
    yield from _constant(source, found, has_signal)
    if source.expected is not None and not source.expected.is_varied:
        return
    yield from _repeated(source, found)
    if looks_random(found):
        if source.expected is None:
            yield from _piled(source, found)
            yield from _coarse(source, found)
        yield from _saturated(source, found)
    yield from _underflow(source, found)
    if source.role.kind == "norm" and source.expected is None:
        yield from _norm(source, found)


def _nonfinite(source: Source, found: Statistics) -> Iterator[Finding]:
    if found.nonfinite:
        is_mask = source.role.kind == "buffer" or bool(_MASK.search(source.name))
        yield Finding(
            "note" if is_mask else "error",
            "nonfinite",
            source.name,
            f"{found.nonfinite} of {found.count} elements are NaN or infinite",
            "finite numbers",
            "every output that depends on one of them is NaN or infinite",
            "find the code that writes the tensor: an overflow, 0 / 0, or memory that nothing has written",
        )


def _garbage(source: Source, found: Statistics) -> Iterator[Finding]:
    magnitudes, counts = np.abs(found.values), found.counts
    largest = float(magnitudes.max())
    tiny = (magnitudes > 0) & (magnitudes * GARBAGE_SPAN < largest)
    share = float(counts[tiny].sum() / counts.sum())
    if share > GARBAGE_SHARE and len(magnitudes) > 2 and counts[tiny].sum() > 1:
        least = float(magnitudes[magnitudes > 0].min())
        yield Finding(
            "error",
            "uninitialized",
            source.name,
            f"nonzero magnitudes from {least:.3g} to {largest:.3g}; {share:.1%} of the elements are tiny",
            "a draw has magnitudes within a factor of 2^64",
            "these bits were not drawn: memory that nothing has written holds the data of other programs or objects",
            "initialize the tensor after torch.empty, to_empty or empty_like",
        )


def _constant(source: Source, found: Statistics, has_signal: bool) -> Iterator[Finding]:
    is_matrix = len(source.shape) > 1 and max(source.shape) < math.prod(source.shape)
    if not found.is_constant or not is_matrix or source.role.kind in ("norm", "bias", "buffer"):
        return
    value = found.low
    if value == 0:
        intended = source.expected is not None or has_signal or bool(STARTS_AT_ZERO.search(source.name))
        level: Level = "note" if intended else "warning"
        yield Finding(
            level,
            "zero-weight",
            source.name,
            f"all {found.count} elements are 0",
            "a random weight, unless the layer ends a residual branch or is meant to start silent",
            "a layer of zeros sends no signal forward, and no gradient to the layers before it",
            "initialize it, or check that its output is added to another signal",
        )
    elif source.expected is None:
        yield Finding(
            "warning",
            "constant-weight",
            source.name,
            f"all {found.count} elements are {value:.6g}",
            "a random weight",
            "units with equal weights get equal gradients and stay equal: the layer has one unit",
            "draw the weight at random",
        )


def _repeated(source: Source, found: Statistics) -> Iterator[Finding]:
    if source.role.kind == "buffer" or not (repeated := equal_rows(found.head, source.shape)):
        return
    axis, again, total, (first, second) = repeated
    yield Finding(
        "warning",
        "equal-rows",
        source.name,
        f"{again} of the first {total} {axis} repeat earlier ones; {axis} {first} and {second} are equal",
        f"random {axis} that all differ",
        "units, or heads, with equal weights get equal gradients and stay equal",
        "draw each head and each row separately, without repeat, expand or broadcasting",
    )


def _piled(source: Source, found: Statistics) -> Iterator[Finding]:
    """Several elements at the largest magnitude, far beyond all others."""
    magnitudes, places = np.unique(np.abs(found.values), return_inverse=True)
    counts = np.bincount(places, weights=found.counts)
    if len(magnitudes) < 8 or counts.sum() < 256 or counts[-1] < 3 or magnitudes[-1] < 2 * magnitudes[-2]:
        return
    yield Finding(
        "warning",
        "collapsed",
        source.name,
        f"{int(counts[-1])} elements have the magnitude {magnitudes[-1]:.6g}, and all others at most"
        f" {magnitudes[-2]:.6g}",
        "few elements at the largest magnitude, near the next one",
        "elements at a bound raise the standard deviation: a uniform number rounded to 0 or 1 in a narrow type became"
        " infinite and was clamped",
        "draw in float32 and round once",
    )


def _coarse(source: Source, found: Statistics) -> Iterator[Finding]:
    if source.role.kind not in ("kernel", "embedding") or len(found.values) < 3 or found.count < 1024:
        return
    expected = storage.expected_distinct(found, source.dtype)
    factor = expected / len(found.values)
    if expected < 128 or factor < COARSE:
        return
    is_sampled = source.dtype.itemsize > 2
    yield Finding(
        "warning" if factor >= COLLAPSED and not is_sampled else "note",
        "coarse",
        source.name,
        f"{len(found.values)} distinct values",
        f"about {expected:.0f} for a normal draw of this size in {source.dtype.name}",
        "the values were drawn with fewer bits than the type stores, so tails and small numbers are missing",
        "draw in float32 and round once",
    )


def _saturated(source: Source, found: Statistics) -> Iterator[Finding]:
    """More elements at the largest number of a type than just below it."""
    if source.dtype.itemsize > 2:
        return
    magnitudes, places = np.unique(np.abs(found.values), return_inverse=True)
    counts = np.bincount(places, weights=found.counts)
    if magnitudes[-1] != source.dtype.largest or len(magnitudes) < 8:
        return
    most, next_to = int(counts[-1]), int(counts[-2])
    if most > 2 * next_to + 10:
        yield Finding(
            "warning",
            "clamped",
            source.name,
            f"{most} of {found.count} elements are at ±{source.dtype.largest:g}, the largest number of"
            f" {source.dtype.name}, and {next_to} at the number below it",
            "fewer elements at the largest number than below it",
            "larger weights were clamped, so the layer has another scale than intended",
            "scale the tensor before it is stored, and keep the scale beside it",
        )


def _underflow(source: Source, found: Statistics) -> Iterator[Finding]:
    if source.dtype.itemsize > 2 or len(found.values) < 3:
        return
    share = found.zeros / found.count
    least = min((float(each) for each in np.abs(found.values) if each), default=0.0)
    tiny = storage.smallest(source.dtype)
    if least != tiny or share < 0.01:
        return
    yield Finding(
        "warning" if share > UNDERFLOW else "note",
        "underflow",
        source.name,
        f"{share:.1%} of the elements are 0, and the smallest others ±{least:.3g}, the smallest number of"
        f" {source.dtype.name}",
        "almost no zeros",
        "small weights were rounded to 0, so the layer has another scale than intended",
        "scale the tensor before it is stored, and keep the scale beside it",
    )


def _norm(source: Source, found: Statistics) -> Iterator[Finding]:
    """A weight of a normalization that is random and not near 1. Names with norm may also be projections."""
    if found.is_constant or len(source.shape) != 1 or found.mean is None or not found.std:
        return
    if abs(found.mean) < 0.5 and found.count >= 8 and source.role.text == "scale of a normalization":
        yield Finding(
            "warning",
            "norm-weight",
            source.name,
            f"mean {found.mean:.3g}, standard deviation {found.std:.3g}",
            "1, or a constant",
            "a normalization with small random scales undoes itself: it shrinks the signal and changes signs",
            "leave the weights of normalizations at 1; initialize by the type of a module, not by its shape",
        )
