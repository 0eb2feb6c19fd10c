"""`fanin make`: a recipe's file, generated here."""

from __future__ import annotations

import argparse
import sys

from fanin.cli import options as shared
from fanin.cli.overwriting import check_output, inputs

HELP = "Generate a recipe's file on this machine."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_recipe(parser)
    shared.add_output(parser)
    shared.add_backend(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Write the file; return the exit code."""
    from fanin.cli.names import model_of
    from fanin.file import disk

    check_output("--output", options.output, inputs(options))
    layout, model = shared.layout_of(options), model_of(options.recipe)
    if shared.is_standard(options.output):
        out = shared.standard_output()
        for chunk in disk.chunks(layout, backend=options.backend):
            out.write(chunk)
        out.flush()
    else:
        disk.save(layout, options.output, backend=options.backend, progress=False if options.quiet else None)
    shared.report(options, layout)
    if model and model.literals():
        print(
            f"fanin: the file lacks the literals of {model.name}, such as counters of batches: `fanin artifact make"
            f" {model.name} URL` writes them too",
            file=sys.stderr,
        )
    return 0
