"""An inspection as one self-contained HTML file, without scripts and without requests."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from html import escape
from importlib.resources import files

from fanin.inspection.report.text import LAYER_HEAD, TENSOR_HEAD, layer_row, names, summary, tensor_row
from fanin.inspection.results import Finding, Inspection, LayerReport

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """Return an element. Children that are not `Markup`, and all values of attributes, are escaped."""
    given = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{tag}{given}>{inner}</{tag}>")


def html(found: Inspection) -> str:
    """Return the page."""
    title = f"Inspection of {found.source}"
    parts = [element("h1", title), element("p", summary(found), class_="lead"), element("h2", "Findings")]
    parts += [_finding(each) for each in found.findings] or [element("p", "None.")]
    if found.layers:
        parts += [element("h2", "Signal by layer"), _chart(found.layers)]
        parts.append(_table("Signal by layer", LAYER_HEAD, [layer_row(each) for each in found.layers], range(2, 7)))
    parts += [element("h2", "Tensors")]
    parts.append(_table("Tensors", TENSOR_HEAD, [tensor_row(each) for each in found.tensors], (*range(3, 11), 12)))
    storage = [
        (each.name, name, *(f"{values[key]:.3g}" for key in ("distinct", "clamped", "zero", "error")))
        for each in found.tensors
        for name, values in each.storage.items()
    ]
    if storage:
        parts.append(element("h2", "Stored in a narrower type"))
        head = ("tensor", "type", "distinct", "share clamped", "share zero", "error / std")
        parts.append(_table("Stored in a narrower type", head, storage, range(2, 6)))
    if found.remarks:
        parts += [element("h2", "Method"), element("ul", *(element("li", each) for each in found.remarks))]
    page_head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Markup(files("fanin.inspection.report").joinpath("page.css").read_text("utf-8"))),
    )
    return f"<!doctype html>\n{element('html', page_head, element('body', element('main', *parts)), lang='en')}\n"


def _finding(each: Finding) -> Markup:
    rows = (("measured", each.measured), ("expected", each.expected), ("why", each.why), ("advice", each.advice))
    terms = [part for label, told in rows for part in (element("dt", label), element("dd", told))]
    head = element("h3", element("b", each.level), f" {each.kind}: {names(each)}")
    return element("article", head, element("dl", *terms), class_=each.level)


def _table(name: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int]) -> Markup:
    """Return a table whose columns `numbers` are aligned to the right."""

    def kind(place: int) -> str:
        return "number" if place in numbers else ""

    titles = element("tr", *(element("th", each, scope="col", class_=kind(place)) for place, each in enumerate(head)))
    lines = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=kind(place)) for place, cell in enumerate(row) if place),
        )
        for row in rows
    ]
    whole = element("table", element("thead", titles), element("tbody", *lines))
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=name)


def _chart(layers: Sequence[LayerReport]) -> Markup:
    """Return a plot of the output's and the gradient's logarithm by layer, in the order of the calls."""
    width, height, left, edge = 900.0, 280.0, 60.0, 20.0
    series = {
        name: [
            (place, math.log10(value))
            for place, layer in enumerate(layers)
            if (value := getattr(layer, name)) and math.isfinite(value)
        ]
        for name in ("output", "gradient")
    }
    points = [y for each in series.values() for _, y in each]
    if not points:
        return Markup("")
    low, high = math.floor(min(points)), max(math.ceil(max(points)), math.floor(min(points)) + 1)

    def at(place: float, y: float) -> tuple[float, float]:
        x = left + (width - left - edge) * place / max(len(layers) - 1, 1)
        return x, edge + (height - 2 * edge) * (high - y) / (high - low)

    shapes = []
    for decade in range(low, high + 1, max(1, (high - low) // 6)):
        y = f"{at(0, decade)[1]:.1f}"
        shapes.append(element("line", class_="grid", x1=f"{left}", x2=f"{width - edge}", y1=y, y2=y))
        shapes.append(element("text", f"1e{decade}", x="8", y=y))
    for name, values in series.items():
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*each) for each in values))
        shapes.append(element("polyline", class_=name, points=path))
    label = f"Root mean square of {len(layers)} layers, from {10.0 ** min(points):.2g} to {10.0 ** max(points):.2g}"
    drawn = element("svg", *shapes, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)
    caption = "Root mean square by layer, in the order of the calls: outputs (solid) and their gradients (dashed)."
    return element("figure", drawn, element("figcaption", caption))
