"""Findings of a study: the ranks of schemes, and textbook claims compared with the figures.

A claim is left out if the study lacks a case that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from fanin_lab.compare.figures import Case, Figures, accuracy, listed, per_layer, setting_of, shown, stretch
from fanin_lab.compare.networks import CHANNELS, WIDTH
from fanin_lab.compare.ranking import rankings
from fanin_lab.compare.schemes import SYMMETRIC

T = TypeVar("T")

FIXED = ("small_normal", "large_normal")
"""Schemes that do not depend on the size of the layer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim, its evidence, and whether the figures of this study confirm it."""

    claim: str
    evidence: str
    holds: bool


def findings(figures: Figures) -> list[Finding]:
    """Return all findings: first the ranks by accuracy, then the textbook claims."""
    found = [Finding(claim, evidence, True) for claim, evidence in rankings(figures)]
    for tell in _ALL:
        try:
            found.append(tell(figures))
        except _MissingError:
            continue
    return found


class _MissingError(Exception):
    """The study lacks a case, or the case lacks a figure."""


def _case(figures: Figures, network: str, activation: str, scheme: str, depth: int | None = None) -> Case:
    """Return a case, by default at the greatest depth.

    Raises:
        _MissingError: the study lacks it.
    """
    case = figures.find((network, activation, figures.depths[-1] if depth is None else depth), scheme)
    if case is None:
        raise _MissingError
    return case


def _factor(case: Case, name: str) -> float:
    value = per_layer(case, name)
    if value is None:
        raise _MissingError
    return value


def _some(values: Sequence[T]) -> Sequence[T]:
    if not values:
        raise _MissingError
    return values


def _scaled(figures: Figures) -> list[str]:
    """Random schemes that depend on the size of the layer."""
    return [scheme for scheme in figures.schemes if scheme not in (*SYMMETRIC, *FIXED)]


def _told(case: Case) -> str:
    return f"{accuracy(case):.1%}"


def _units(cases: Sequence[Case]) -> list[float]:
    """Return the numbers of distinct units after training, except for cases whose outputs overflowed."""
    return [case["units"] for case in cases if case["units"] is not None]


def _symmetry(figures: Figures) -> Finding:
    alike = _some([case for case in figures.cases if case["scheme"] in SYMMETRIC])
    others = _some([case for case in figures.cases if case["scheme"] in _scaled(figures)])
    counts = _some(_units(alike))
    behind = [accuracy(figures.of(setting_of(case))[0]) - accuracy(case) for case in alike]
    usual = {kind: _some(_units([case for case in others if case["network"] == kind])) for kind in figures.networks}
    told = ", ".join(
        f"{median(found):.0f} of {CHANNELS if kind == 'conv' else WIDTH} ({kind})" for kind, found in usual.items()
    )
    return Finding(
        "Zeros and constants do not break symmetry: never start weights from them.",
        "Units that start alike get the same gradient and stay alike. After training, the first hidden layer had "
        f"{max(counts):g} distinct unit in each of the {len(counts)} settings that did not overflow. From random "
        f"weights it had {told}, as medians over settings. Zeros and constants ended {100 * min(behind):.0f} to "
        f"{100 * max(behind):.0f} points behind the best scheme.",
        max(counts) == 1 and min(behind) > 0.1,
    )


def _zeros(figures: Figures) -> Finding:
    cases = _some([case for case in figures.cases if case["scheme"] == "zeros" and case["activation"] != "sigmoid"])
    silent = sum(case["silent"] == case["depth"] + 1 for case in cases)
    return Finding(
        "From zeros only the biases of the output layer learn.",
        f"In {silent} of {len(cases)} settings the gradient of every weight of every layer was exactly 0 at the start.",
        silent == len(cases),
    )


def _shallow(figures: Figures) -> Finding:
    depth = figures.depths[0]
    spreads = []
    for setting in (setting for setting in figures.settings if setting[2] == depth):
        found = _some([accuracy(case) for case in figures.of(setting) if case["scheme"] in _scaled(figures)])
        spreads.append(max(found) - min(found))
    return Finding(
        "In shallow networks, any scheme that depends on the layer's size works.",
        f"These are {listed(map(figures.label, _scaled(figures)))}. With {depth} hidden layers, the best and the worst "
        f"of them lie {100 * median(spreads):.1f} points apart (median over {len(spreads)} settings; at most "
        f"{100 * max(spreads):.1f}). Larger differences come from depth.",
        median(spreads) < 0.05,
    )


def _fixed(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    small, large = (_case(figures, "dense", "relu", scheme) for scheme in FIXED)
    best = figures.of(("dense", "relu", depth))[0]
    return Finding(
        "One standard deviation for all layers suits one width only.",
        f"In {depth} dense layers with ReLU, each layer multiplied the variance of activations by "
        f"{_factor(small, 'activations'):.2g} with std 0.01 and by {_factor(large, 'activations'):.2g} with std 1. "
        f"They recognized {_told(small)} and {_told(large)}, the best scheme {_told(best)}.",
        max(accuracy(small), accuracy(large)) < accuracy(best) / 2,
    )


def _relu(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    he, glorot = (_case(figures, "dense", "relu", scheme) for scheme in ("he_normal", "glorot_uniform"))
    keeps, halves = _factor(he, "activations"), _factor(glorot, "activations")
    return Finding(
        "ReLU: He.",
        "ReLU removes half of the signal's power, and He's variance, 2 / fan_in, compensates for it. In "
        f"{depth} dense layers, each layer multiplied the variance of activations by {keeps:.2f} with He and by "
        f"{halves:.2f} with Glorot (theory: 1 and 0.5). They recognized {_told(he)} and {_told(glorot)}.",
        0.8 < keeps < 1.1 and 0.4 < halves < 0.55 and accuracy(he) > accuracy(glorot),
    )


def _gelu(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    he, glorot, orthogonal = (
        _case(figures, "dense", "gelu", scheme) for scheme in ("he_normal", "glorot_uniform", "orthogonal_relu")
    )
    fades, vanishes = _factor(he, "activations"), _factor(glorot, "activations")
    return Finding(
        "GELU: as for ReLU.",
        f"In {depth} dense layers, each layer multiplied the variance of activations by {fades:.2f} with He and by "
        f"{vanishes:.2f} with Glorot. They recognized {_told(he)} and {_told(glorot)}, and "
        f"{figures.label('orthogonal_relu')} {_told(orthogonal)}. A weak signal fades faster than with ReLU, since "
        "GELU is almost linear near 0, with slope 1/2.",
        accuracy(glorot) < accuracy(he) and vanishes < fades,
    )


def _tanh(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    glorot, he, orthogonal = (
        _case(figures, "dense", "tanh", scheme) for scheme in ("glorot_uniform", "he_normal", "orthogonal")
    )
    fades, grows = _factor(glorot, "gradients"), _factor(he, "gradients")
    return Finding(
        "tanh: Glorot, or orthogonal in deep networks.",
        f"Near 0 tanh is the identity, and a variance of 1 / fan_in almost preserves gradients: by a factor of "
        f"{fades:.2f} per layer in {depth} dense layers. With He's doubled variance they grow by {grows:.2f} per "
        f"layer. Glorot recognized {_told(glorot)}, He {_told(he)}, orthogonal {_told(orthogonal)}.",
        fades < 1 < grows and accuracy(he) <= accuracy(glorot) <= accuracy(orthogonal),
    )


def _orthogonal(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    told, holds = [], True
    for name, ours, theirs in ("tanh", "orthogonal", "lecun_normal"), ("relu", "orthogonal_relu", "he_normal"):
        orthogonal, gaussian = (_case(figures, "dense", name, scheme) for scheme in (ours, theirs))
        narrow, wide = stretch(orthogonal), stretch(gaussian)
        if narrow is None or wide is None:
            raise _MissingError
        holds = holds and narrow < wide / 2 and accuracy(orthogonal) > accuracy(gaussian)
        told.append(
            f"With {name}, it is {shown(narrow)} with orthogonal weights and {shown(wide)} with Gaussian ones of the "
            f"same variance. After training, they recognized {_told(orthogonal)} and {_told(gaussian)}."
        )
    return Finding(
        "Orthogonal weights keep directions apart in deep networks, and train better.",
        f"For the Jacobian of {depth} dense layers, take the ratio of the largest singular value to the one at a "
        f"quarter of the rank. {' '.join(told)}",
        holds,
    )


def _default(figures: Figures) -> Finding:
    depth = figures.depths[-1]
    cases = {name: _case(figures, "dense", name, "torch_default") for name in figures.activations}
    bests = {name: figures.of(("dense", name, depth))[0] for name in cases}
    factors = ", ".join(f"{_factor(case, 'activations'):.2f} with {name}" for name, case in cases.items())
    reached = ", ".join(f"{_told(case)} with {name} (best: {_told(bests[name])})" for name, case in cases.items())
    return Finding(
        "torch's default is not for deep plain networks.",
        f"Its variance is 1 / (3 fan_in). In {depth} dense layers, each layer multiplied the variance of activations "
        f"by {factors}. It recognized {reached}.",
        all(accuracy(case) < accuracy(bests[name]) - 0.1 for name, case in cases.items()),
    )


def _shape(figures: Figures) -> Finding:
    pairs = [
        [figures.find(setting, scheme) for scheme in ("lecun_normal", "glorot_uniform")]
        for setting in figures.settings
        if setting[0] != "conv"  # fan_in and fan_out of the first layer differ
    ]
    apart = _some([abs(accuracy(one) - accuracy(other)) for one, other in pairs if one and other])
    return Finding(
        "The variance matters; normal or uniform hardly does.",
        "LeCun normal and Glorot uniform have the same variance in these hidden layers. They ended "
        f"{100 * median(apart):.1f} points apart (median over {len(apart)} settings without convolutions).",
        median(apart) < 0.02,
    )


def _batch_norm(figures: Figures) -> Finding:
    depth, schemes = figures.depths[-1], [*_scaled(figures), *FIXED]
    plain, normed = (
        [_case(figures, network, "relu", scheme) for scheme in schemes] for network in ("dense", "batch_norm")
    )
    low, *_, high = sorted(map(accuracy, plain))
    worst, *_, best = sorted(map(accuracy, normed))
    growth = [_factor(case, "gradients") for case in normed]
    return Finding(
        "Batch norm tolerates almost any random scale, but not symmetry.",
        f"In {depth} layers with ReLU, all random schemes, including fixed deviations, recognized {worst:.1%} to "
        f"{best:.1%} with batch norm, and {low:.1%} to {high:.1%} without. Before training, however, gradients grow by "
        f"a factor of {min(growth):.2f} to {max(growth):.2f} per layer towards the input, with every scheme "
        "(theory: 1.47; Yang et al. 2019).",
        best - worst < (high - low) / 2 and min(growth) > 1.2,
    )


_ALL: tuple[Callable[[Figures], Finding], ...] = (
    _relu,
    _gelu,
    _tanh,
    _orthogonal,
    _batch_norm,
    _shallow,
    _default,
    _fixed,
    _shape,
    _symmetry,
    _zeros,
)
"""Functions that check one claim each, in the order of the report."""
