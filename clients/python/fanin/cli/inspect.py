"""`fanin inspect`: statistics of weights, the signal in a model, and findings."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanin.cli import options as shared
from fanin.cli.overwriting import check_output

if TYPE_CHECKING:
    from fanin.inspection.results import Inspection

HELP = (
    "Statistics of every tensor, the signal at every layer of a model, and findings in words with their evidence. "
    "Exits with 0 if there is neither an error nor a warning, and with 1 otherwise."
)
FINDINGS = 1
"""Exit code if there is an error or a warning."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a file with a recipe, a safetensors file, a directory with config.json and safetensors files, a name of"
        " `fanin catalogue`, a recipe in JSON, or PACKAGE.MODULE:BUILD, a function that returns a model of torch or"
        " Keras, or a pytree of JAX",
    )
    parser.add_argument(
        "--input", metavar="PACKAGE.MODULE:INPUT", help="a function that returns the input of the model (random input)"
    )
    parser.add_argument("--no-signal", action="store_true", help="do not run the model")
    shared.add_json(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a page of HTML, without scripts")
    shared.add_backend(parser)


def run(options: argparse.Namespace) -> int:
    """Print the inspection, write the page, and return the exit code."""
    from fanin.file.atomic import replacing
    from fanin.inspection.report.page import html
    from fanin.inspection.report.text import text

    if options.output is not None:
        check_output("--output", options.output, [("the source", options.source)])
    found = _inspected(options)
    if options.output is not None:
        with replacing(options.output) as file:
            file.write(html(found).encode("utf-8", "backslashreplace"))
    if options.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print(text(found))
    return 0 if found.is_quiet else FINDINGS


def _inspected(options: argparse.Namespace) -> Inspection:
    from fanin.cli.builders import builder_of, is_builder
    from fanin.cli.names import model_of
    from fanin.inspection.inspecting import inspect

    source = options.source
    given: dict[str, Any] = {"signal": not options.no_signal, "backend": options.backend, "name": source}
    if options.input:
        given["inputs"] = builder_of(options.input)
    is_json = source.lstrip().startswith("{")  # may be longer than any path, which the system then refuses
    if not is_json and not model_of(source, takes_directory=True) and Path(source).is_dir():
        return inspect(Path(source), **given)
    if not is_json and is_builder(source):
        return inspect(builder_of(source), **given)
    if options.input:
        raise ValueError(f"--input is for a model, and {source} is not PACKAGE.MODULE:BUILD")
    if is_json:
        return inspect(source, **{**given, "name": None})
    if source == "-":
        return inspect(sys.stdin.buffer.read(), **{**given, "name": "standard input"})
    with shared.opened(source) as file:
        path = Path(file.name)
    return inspect(path, **given)
