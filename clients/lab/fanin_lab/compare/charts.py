"""Plots of a study in Vega-Lite, for an interactive page of one setting at a time, and for documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from fanin_lab.compare.figures import Case, Figures

Spec = dict[str, Any]
Point = tuple[float, tuple[float | None, ...]]
"""x, and the low end, median and high end of the figure."""

VEGA_LITE = "6.4"
GREY, OCHRE, PURPLE, BLUE, RED, GREEN = "#808080", "#b07800", "#b8629b", "#0072b2", "#d55e00", "#009e73"
"""Colours after Okabe & Ito 2008, distinct with any colour vision; contrast 3:1 or better on white and on black."""
STYLES: dict[str, tuple[str, list[int]]] = {
    "zeros": (GREY, [1, 3]),
    "constant": (GREY, [6, 3]),
    "small_normal": (OCHRE, [6, 3]),
    "large_normal": (OCHRE, [1, 0]),
    "torch_default": (PURPLE, [1, 0]),
    "lecun_normal": (BLUE, [6, 3]),
    "glorot_uniform": (BLUE, [1, 0]),
    "he_normal": (RED, [1, 0]),
    "orthogonal": (GREEN, [6, 3]),
    "orthogonal_relu": (GREEN, [1, 0]),
}
"""Colour and dashes of each scheme."""

REACH = 1e-12, 1e12
"""Range of a logarithmic axis. Outside it, float32 adds nothing to a 1; inside it, different lines stay apart."""
WHOLE = "datum.value % 1 ? '' : format(datum.value, 'd')"
TOLD = {"low": "a tenth of seeds below", "median": "median", "high": "a tenth of seeds above"}
"""Columns of a figure, and their meaning."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One kind of plot."""

    name: str
    title: str
    x: str
    y: str
    """Titles of the axes `x` and `y`, with units."""
    log: bool
    about: str
    """Explanation for readers."""
    whole: bool
    """True if x is a whole number."""
    points: Callable[[Case], Iterable[Point]]
    """Returns the points of a case."""


def _by_layer(name: str) -> Callable[[Case], list[Point]]:
    return lambda case: [(place + 1, band) for place, band in enumerate(_bands(case[name]))]


def _spectrum(case: Case) -> list[Point]:
    bands = _bands(case["singular"])
    return [(place / (len(bands) - 1), band) for place, band in enumerate(bands)]


def _by_epoch(case: Case) -> list[Point]:
    return list(enumerate(_bands(case["accuracy"])))


def _bands(figure: dict[str, list[float | None]]) -> list[tuple[float | None, ...]]:
    return list(zip(figure["low"], figure["median"], figure["high"]))


PLOTS = (
    Plot(
        "accuracy",
        "Training",
        "epochs of training",
        "test images recognized",
        False,
        "Each scheme with the learning rate that suits it best. A tenth is guessing.",
        True,
        _by_epoch,
    ),
    Plot(
        "activations",
        "Forward: variance of activations",
        "hidden layer",
        "variance",
        True,
        "Before training. A good start is a level line: the signal neither dies nor explodes.",
        True,
        _by_layer("activations"),
    ),
    Plot(
        "gradients",
        "Backward: variance of gradients",
        "hidden layer",
        "variance",
        True,
        "Before training; gradients run from right to left. Level: every layer learns at the same pace.",
        True,
        _by_layer("gradients"),
    ),
    Plot(
        "singular",
        "Jacobian: singular values",
        "rank (0: largest, 1: smallest)",
        "singular value",
        True,
        "By how much the network, before training, stretches each of 64 directions of its input. All near 1: no "
        "direction is lost (dynamical isometry).",
        False,
        _spectrum,
    ),
)


def interactive(figures: Figures, plot: Plot) -> Spec:
    """Return the plot of every case. The page selects one by signals: one per setting, and `shown` for the schemes."""
    settings = figures.settings[0]
    layered = _layered(figures, plot)
    return {
        "encoding": layered["encoding"],
        "layer": [*layered["layer"], _points(plot)],
        "description": f"{plot.title}: a line for each scheme. The table below has the figures.",
        "data": _data(figures, figures.cases, plot),
        "params": [
            *({"name": name, "value": value} for name, value in zip(("network", "activation", "depth"), settings)),
            {"name": "shown", "value": [figures.label(scheme) for scheme in figures.schemes]},
        ],
        "transform": [
            {
                "filter": "datum.network == network && datum.activation == activation && datum.depth == depth"
                " && indexof(shown, datum.scheme) >= 0"
            }
        ],
        "width": "container",
        "height": 260,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": {"background": "transparent", "legend": {"disable": True}},
    }


def document(figures: Figures, network: str, depth: int) -> Spec:
    """Return plots of one network at one depth: a row for each plot, a column for each activation."""
    cases = [case for case in figures.cases if (case["network"], case["depth"]) == (network, depth)]
    facet = {"column": {"field": "activation", "sort": figures.activations, "title": None}}
    return {
        "vconcat": [
            {
                "title": plot.title,
                "data": _data(figures, cases, plot),
                "facet": facet,
                "spec": {**_layered(figures, plot), "width": 200, "height": 150},
            }
            for plot in PLOTS
        ],
        "config": {
            "background": "white",
            "font": "sans-serif",
            "legend": {
                "orient": "top",
                "columns": 5,
                "title": None,
                "symbolType": "stroke",
                "symbolSize": 400,
                "symbolStrokeWidth": 3,
                "symbolOpacity": 1,
            },
        },
    }


def _layered(figures: Figures, plot: Plot) -> Spec:
    """Return layers for bands with lines."""
    labels = [figures.label(scheme) for scheme in figures.schemes]
    colors, dashes = zip(*(STYLES[scheme] for scheme in figures.schemes))
    field = {"field": "scheme", "type": "nominal", "sort": labels}
    middle = {
        "field": "median",
        "type": "quantitative",
        "title": plot.y,
        "scale": {"type": "log"} if plot.log else {"domain": [0, 1]},
        "axis": {"format": ".0e", "tickCount": 6} if plot.log else {"format": "%"},
    }
    return {
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": plot.x,
                "axis": {"tickCount": 5, **({"labelExpr": WHOLE} if plot.whole else {})},
                "scale": {"nice": False},
            },
            "color": {**field, "scale": {"domain": labels, "range": colors}},
        },
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.14, "aria": False},
                "encoding": {"y": {**middle, "field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "aria": False},
                "encoding": {"y": middle, "strokeDash": {**field, "scale": {"domain": labels, "range": dashes}}},
            },
        ],
    }


def _points(plot: Plot) -> Spec:
    """Return a layer of points with tooltips."""
    named = {"x": plot.x, **TOLD}
    told = [
        {"field": "scheme", "title": "scheme"},
        *({"field": name, "type": "quantitative", "title": title, "format": ".3~g"} for name, title in named.items()),
    ]
    return {
        "mark": {"type": "point", "filled": True, "size": 26, "aria": False},
        "encoding": {"y": {"field": "median", "type": "quantitative"}, "tooltip": told},
    }


def _data(figures: Figures, cases: Iterable[Case], plot: Plot) -> Spec:
    """Return a row for each point, as CSV, a third of the size of JSON. Values outside the axes are left out."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("network", "activation", "depth", "scheme", "x", *TOLD))
    for case in cases:
        label = figures.label(case["scheme"])
        for x, values in plot.points(case):
            told = [
                "" if value is None or (plot.log and not REACH[0] <= value <= REACH[1]) else value for value in values
            ]
            rows.writerow((case["network"], case["activation"], case["depth"], label, f"{x:.4g}", *told))
    numbers = ("depth", "x", *TOLD)
    return {"values": text.getvalue(), "format": {"type": "csv", "parse": dict.fromkeys(numbers, "number")}}
