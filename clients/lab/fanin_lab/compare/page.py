"""Render the JSON document as one self-contained HTML file."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import vl_convert
from jinja2 import Environment
from markupsafe import Markup

from fanin_lab.compare import report
from fanin_lab.compare.charts import PLOTS, REACH, STYLES, VEGA_LITE, interactive
from fanin_lab.compare.figures import Case, Document, Figures, accuracy, per_layer, setting_of, shown, stretch
from fanin_lab.compare.findings import findings
from fanin_lab.compare.networks import NETWORKS
from fanin_lab.compare.schemes import SCHEMES

COLUMNS = (
    ("scheme", "the initializer of all weights"),
    ("test accuracy", "median over seeds of the share of test images recognized at the end"),
    ("training loss", "median over seeds of the mean cross-entropy of training images at the end, in nats"),
    ("best rate", "the learning rate with the least training loss at the end"),
    ("activations, per layer", "factor of the variance of activations from one hidden layer to the next"),
    ("gradients, per layer", "factor of the variance of gradients from one hidden layer to the one before"),
    ("stretch", "largest singular value of the Jacobian over that at a quarter of the rank"),
    ("units that differ", "units of the first hidden layer that differ from all others after training"),
)
"""Columns of the table of schemes: names and meanings."""


def html(document: Document) -> str:
    """Return the page, which loads no other resource."""
    figures = Figures(document)
    folder = files("fanin_lab.compare")
    template = Environment(autoescape=True).from_string((folder / "page.html").read_text("utf-8"))
    return template.render(
        figures=figures,
        lead=report.lead(figures),
        findings=findings(figures),
        choices=report.choices(figures)[2],
        controls={
            "network": [(name, NETWORKS[name]) for name in figures.networks],
            "activation": [(name, name) for name in figures.activations],
            "depth": [(depth, depth) for depth in figures.depths],
        },
        schemes=[
            {
                "label": figures.label(scheme),
                "about": SCHEMES[scheme].about,
                "color": STYLES[scheme][0],
                "dash": " ".join(map(str, STYLES[scheme][1])),
            }
            for scheme in figures.schemes
        ],
        plots=PLOTS,
        columns=[
            {"name": name, "about": about, "kind": "number" if place else ""}
            for place, (name, about) in enumerate(COLUMNS)
        ],
        rows=[_row(figures, case) for setting in figures.settings for case in figures.of(setting)],
        settings=document["settings"],
        band=report.band(figures),
        reach=[f"{value:.0e}" for value in REACH],
        method=report.method(figures),
        versions=report.versions(figures),
        library=_script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)),
        specs=_script(json.dumps({plot.name: interactive(figures, plot) for plot in PLOTS})),
        script=_script((folder / "page.js").read_text("utf-8")),
    )


def _script(text: str) -> Markup:
    """Return text that a script element contains unchanged and that cannot end the element."""
    return Markup(text.replace("</script", r"<\/script").replace("<!--", r"<\!--"))  # nosec B704: escaped, and our text


def _row(figures: Figures, case: Case) -> dict[str, Any]:
    best = case in figures.as_good_as_the_best(setting_of(case))
    values = (
        (figures.label(case["scheme"]), figures.label(case["scheme"])),
        (accuracy(case), f"{accuracy(case):.1%}"),
        _cell(case["loss"]["median"][-1]),
        _cell(case["rate"]),
        _cell(per_layer(case, "activations")),
        _cell(per_layer(case, "gradients")),
        _cell(stretch(case)),
        _cell(case["units"]),
    )
    return {
        **{field: case[field] for field in ("network", "activation", "depth")},
        "cells": [
            {"value": value, "text": text, "best": best and place == 1} for place, (value, text) in enumerate(values)
        ],
    }


def _cell(value: float | None) -> tuple[float | str, str]:
    return ("", "none") if value is None else (value, shown(value))
