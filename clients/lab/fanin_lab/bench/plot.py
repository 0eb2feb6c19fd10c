"""Draw a chart of a benchmark: a panel for each distribution, a bar for each maker. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fanin.errors import MissingPackageError
from fanin_lab.bench import report

SUFFIXES = (".png", ".svg")
COLORS = {"fanin": ("#0b6e4f", "#74c69d"), "peer": ("#6c757d", "#ced4da")}
"""Colours of a kind of maker: for one thread, and for the gain of all threads."""


def check(path: Path) -> None:
    """Check before the measurement that the chart can be written.

    Raises:
        ValueError: the suffix is not one of `SUFFIXES`.
        MissingPackageError: matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--plot: {str(path)!r} must end in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise MissingPackageError("--plot needs matplotlib: in a checkout of Fanin, pip install '.[bench]'") from None


def draw(document: report.Document, path: Path) -> None:
    """Write the chart for the work `fill`, in the first measured type."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["svg.hashsalt"] = "fanin"  # equal figures must give equal files
    rcParams["svg.fonttype"] = "none"
    cases = [case for case in report.cases(document) if case[0] == "fill"]
    panels = {case: _bars(document, case) for case in cases if case[2] == cases[0][2]}
    heights = [len(bars) + 1.5 for bars in panels.values()]
    figure = Figure(figsize=(9, 0.25 * sum(heights) + 1), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    counts = report.threads(document)
    for axes, (case, bars) in zip(grid[:, 0], panels.items()):
        memory = report.best(document, case, counts[0], "ceiling")
        limit = f"; writing memory alone: {report.number(memory['ns'])} ns" if memory else ""
        _panel(axes, f"{report.DISTRIBUTION_NAMES.get(case[1], case[1])}{limit}", bars)
    shades = f"dark: one thread, light: {counts[-1]} threads; " if len(counts) > 1 else ""
    machine, day = document["machine"], document["date"][:10]
    figure.suptitle(f"Billion {cases[0][2]} elements a second (longer is faster)", fontweight="bold")
    figure.supxlabel(
        f"{shades}labels: nanoseconds an element, one thread\n{machine['cpu']} {machine['family']}, {day}",
        fontsize=8,
    )
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


Bar = tuple[str, str, list[float], str]
"""Return name, kind, elements per nanosecond with one thread and with all threads, and label."""


def _bars(document: report.Document, case: tuple[str, str, str]) -> list[Bar]:
    """Return the bars, the fastest first."""
    counts = report.threads(document)
    ours = report.best(document, case, counts[0], "fanin")
    bars = []
    for maker, kind in report.kinds(document).items():
        rows = [row for count in counts if (row := report.find(document, case, count, maker))]
        if kind == "ceiling" or not rows:
            continue
        nanoseconds = rows[0]["ns"]
        label = f"{report.number(nanoseconds)} ns"
        if ours and kind == "peer":
            label += f", {nanoseconds / ours['ns']:.1f}x Fanin's time"
        name = f"Fanin {maker}" if kind == "fanin" else maker
        bars.append((name, kind, [1 / row["ns"] for row in rows], label))
    return sorted(bars, key=lambda bar: -bar[2][0])


def _panel(axes: Any, title: str, bars: list[Bar]) -> None:
    for place, (_, kind, rates, label) in enumerate(bars):
        dark, light = COLORS[kind]
        axes.barh(place, max(rates), color=light)
        axes.barh(place, rates[0], color=dark)
        axes.text(max(rates), place, f" {label}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize=9)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.3, y=0.02)
