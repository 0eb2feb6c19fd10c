"""`fanin bench`: measure, print and write the figures."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fanin.cli.overwriting import check_output
from fanin_lab.bench import machine, pairs, plot, report
from fanin_lab.bench.makers import DISTRIBUTIONS, chosen
from fanin_lab.bench.measure import Settings, measure
from fanin_lab.tables import dumps

HELP = "How fast this machine generates elements: Fanin's backends beside the frameworks that are installed."
SCHEMA = 2
"""Version of the JSON document. It increases when a field changes its meaning or is removed."""
CEILING_BYTES = 1 << 27


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""
    parser.add_argument(
        "--distributions",
        type=_words,
        default=list(DISTRIBUTIONS),
        metavar="NAME,...",
        help=f"of {', '.join(DISTRIBUTIONS)}",
    )
    parser.add_argument(
        "--dtype",
        dest="dtypes",
        type=_words,
        default=["F32", "BF16", "F16", "F8_E4M3", "F64"],
        metavar="TYPE,...",
        help="storage types (F32,BF16,F16,F8_E4M3,F64)",
    )
    parser.add_argument("--only", type=_words, metavar="MAKER,...", help="these alone: native, reference, torch, ...")
    parser.add_argument("--elements", type=int, default=1 << 21, help="elements of a tensor (%(default)s)")
    parser.add_argument("--repeats", type=int, default=11, help="measurements of each, in turns (%(default)s)")
    parser.add_argument("--seconds", type=float, default=90, help="maximum time, start included (%(default)s)")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write all measurements as JSON")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a chart, .svg or .png (needs fanin[bench])")


def run(options: argparse.Namespace) -> int:
    """Run the benchmark and return the exit code: 0, or 3 if a maker failed."""
    settings = Settings(options.distributions, options.dtypes, options.elements, options.repeats, options.seconds)
    makers = chosen(options.only)
    # Fail before the measurement, which takes a minute.
    for path in filter(None, (options.output, options.plot)):
        if not path.parent.is_dir():
            raise FileNotFoundError(f"the folder {str(path.parent)!r} for {path.name} does not exist")
        if path.is_dir():
            raise IsADirectoryError(f"{str(path)!r} is a folder: give the name of a file")
    if options.output and options.plot:
        check_output("--plot", options.plot, [("--output", options.output)])
    if options.plot:
        plot.check(options.plot)
    about = machine.describe()  # before this program itself adds to the load
    with tqdm(total=100, bar_format="{desc:32} {percentage:3.0f}% |{bar}| {elapsed}", leave=False) as bar:

        def tell(done: float, what: str) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(round(100 * done) - bar.n)
            bar.refresh()

        tell(0, "ceilings of this machine")
        ceilings = machine.ceilings(min(CEILING_BYTES, 64 * settings.elements))
        measured = measure(settings, makers, tell)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": about,
        "settings": {"elements": settings.elements, "repeats": settings.repeats, "confidence": pairs.CONFIDENCE},
        "makers": measured.makers,
        "rows": measured.rows,
        "ceilings": ceilings,
        "failures": measured.failures,
    }
    if options.output:
        options.output.write_text(dumps(document))
    if options.plot:
        plot.draw(document, options.plot)
    if options.json:
        print(dumps(document), end="")
    else:
        print(report.markdown(document) if options.markdown else report.text(document))
    return 3 if measured.failures else 0


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]
