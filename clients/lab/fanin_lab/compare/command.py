"""`fanin compare`: measure and train networks, and write a report."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from fanin.file.atomic import replacing
from fanin_lab.compare import report
from fanin_lab.compare.networks import ACTIVATIONS, NETWORKS
from fanin_lab.compare.schemes import SCHEMES
from fanin_lab.tables import dumps

if TYPE_CHECKING:
    from fanin_lab.compare.study import Case, Settings

T = TypeVar("T")

HELP = (
    "Which initializer, when: signals, Jacobians and training curves of dense, convolutional and batch-norm networks "
    "on scikit-learn's digits, from many seeds. Writes figures.json and report.html."
)
FULL = {
    "activations": "tanh,relu,gelu",
    "depths": "3,10,20",
    "seeds": "10",
    "epochs": "6",
    "rates": "0.01,0.03,0.1",
}
QUICK = {**FULL, "activations": "tanh,relu", "depths": "3,10", "seeds": "3", "epochs": "3", "rates": "0.03"}
"""Defaults of the options with `--quick`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to a parser."""

    def add(name: str, metavar: str, meaning: str, default: str | None = None) -> None:
        told = default or (f"{FULL[name]}; quick: {QUICK[name]}" if FULL[name] != QUICK[name] else FULL[name])
        parser.add_argument(f"--{name}", metavar=metavar, default=default, help=f"{meaning} ({told})")

    parser.add_argument("--quick", action="store_true", help="a smaller study: half a minute on two CPUs")
    add("networks", "KIND,...", "kinds of networks", ",".join(NETWORKS))
    add("activations", "NAME,...", f"of {', '.join(ACTIVATIONS)}")
    add("depths", "N,...", "hidden layers")
    add("schemes", "SCHEME,...", "initializers", ",".join(SCHEMES))
    add("seeds", "N", "initial weights of each scheme")
    add("epochs", "N", "passes over the training images")
    add("rates", "RATE,...", "learning rates, of which each scheme takes its best")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("fanin-compare"),
        metavar="FOLDER",
        help="where to write (%(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the study and write its figures and its page."""
    # These need packages of the extra, which `--help` must not require.
    from fanin_lab.compare import page
    from fanin_lab.compare.study import study

    settings = _settings(options)
    options.output.mkdir(parents=True, exist_ok=True)  # fail before the study, which takes minutes
    layers = sum(case.depth for case in settings.cases())
    shown = "{desc:32} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}"
    with tqdm(total=layers, bar_format=shown, leave=False) as bar:

        def done(case: Case) -> None:
            bar.set_description_str(f"{case.network}, {case.activation}, {case.depth} layers", refresh=False)
            bar.update(case.depth)

        document = study(settings, done)
    # Write the figures first: they are minutes of work, and the page can be rendered from them again.
    figures, html = options.output / "figures.json", options.output / "report.html"
    _write(figures, dumps(document))
    _write(html, page.html(document))
    print(report.text(document))
    print("Written:", figures, html)
    return 0


def _write(path: Path, text: str) -> None:
    """Write the complete file, or none."""
    with replacing(path) as file:
        file.write(text.encode())


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of these options.

    Raises:
        ValueError: an option is wrong. The message has its name, its value and the allowed values.
    """
    from fanin_lab.compare.study import Settings

    given = {**(QUICK if options.quick else FULL), **{k: v for k, v in vars(options).items() if v is not None}}
    return Settings(
        networks=_list("networks", given["networks"], _one_of(NETWORKS)),
        activations=_list("activations", given["activations"], _one_of(ACTIVATIONS)),
        depths=_list("depths", given["depths"], _whole(2, 100)),
        schemes=_list("schemes", given["schemes"], _one_of(SCHEMES)),
        seeds=_value("seeds", given["seeds"], _whole(1, 1000)),
        rates=_list("rates", given["rates"], _rate),
        epochs=_value("epochs", given["epochs"], _whole(1, 1000)),
    )


def _list(name: str, text: str, value: Callable[[str], T]) -> list[T]:
    """Return the values between commas. A value that is given twice is an error."""
    values = [_value(name, word, value) for word in text.split(",")]
    for place, each in enumerate(values):
        if each in values[:place]:
            raise ValueError(f"--{name}: {each} is given twice")
    return values


def _value(name: str, text: str, value: Callable[[str], T]) -> T:
    try:
        return value(text.strip())
    except ValueError as error:
        raise ValueError(f"--{name}: {text!r} is not allowed; allowed: {error}") from None


def _one_of(known: Iterable[str]) -> Callable[[str], str]:
    def value(text: str) -> str:
        if text not in known:
            raise ValueError(", ".join(known))
        return text

    return value


def _whole(low: int, high: int) -> Callable[[str], int]:
    def value(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
            raise ValueError(f"integers from {low} to {high}")
        return int(text)

    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 10:
        raise ValueError("numbers above 0, up to 10")
    return value
