"""Rank the schemes of a study by accuracy, for each kind of network and activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fanin_lab.compare.figures import LEARNT, POINT, Case, Figures, accuracy, listed

LARGE = 10 * POINT
"""Minimum difference of accuracies that is reported."""
_NAMED = 3
"""Maximum number of schemes that are listed by name; for more, the range is given."""


def rankings(figures: Figures) -> Iterator[tuple[str, str]]:
    """Yield a claim and its evidence for each network and activation at which schemes are far apart, at any depth.

    The evidence names, for every depth, the best scheme, those within `LARGE` of it, and the range of the others.
    """
    for network in figures.networks:
        for activation in figures.activations:
            settings = [(network, activation, depth) for depth in figures.depths]
            ranked = {setting[2]: cases for setting in settings if (cases := figures.of(setting))}
            if any(accuracy(cases[0]) - accuracy(cases[-1]) >= LARGE for cases in ranked.values()):
                evidence = " ".join(_told(figures, depth, cases) for depth, cases in ranked.items())
                yield f"{network}, {activation}: {_claim(figures, ranked)}", evidence


def _claim(figures: Figures, ranked: dict[int, list[Case]]) -> str:
    depth, cases = max(ranked.items())
    if accuracy(cases[0]) < LEARNT:
        return f"no scheme learns through {depth} hidden layers."
    best = [case for case in cases if accuracy(case) >= accuracy(cases[0]) - POINT]
    return f"{_names(figures, best)} through {depth} hidden layers."


def _names(figures: Figures, cases: Sequence[Case]) -> str:
    if len(cases) > _NAMED:
        return f"{figures.label(cases[0]['scheme'])} and {len(cases) - 1} more"
    return listed(figures.label(case["scheme"]) for case in cases)


def _told(figures: Figures, depth: int, cases: Sequence[Case]) -> str:
    """Return the ranks at one depth, from all its `cases`, the best first."""
    near = [case for case in cases if accuracy(case) > accuracy(cases[0]) - LARGE]
    far = cases[len(near) :]
    told = f"With {depth} hidden layers: {_group(figures, near)}"
    return f"{told}, then {_group(figures, far)}." if far else f"{told}."


def _group(figures: Figures, cases: Sequence[Case]) -> str:
    if len(cases) <= _NAMED:
        return listed(f"{figures.label(case['scheme'])} ({accuracy(case):.1%})" for case in cases)
    best, worst = cases[0], cases[-1]
    return (
        f"{len(cases)} schemes from {figures.label(best['scheme'])} ({accuracy(best):.1%}) to "
        f"{figures.label(worst['scheme'])} ({accuracy(worst):.1%})"
    )
