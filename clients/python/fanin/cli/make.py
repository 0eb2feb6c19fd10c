"""`fanin make`: a recipe's file, generated here."""

from __future__ import annotations

import argparse

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
    from fanin.file import disk

    check_output("--output", options.output, inputs(options))
    layout = shared.layout_of(options)
    if shared.is_standard(options.output):
        out = shared.standard_output()
        for chunk in disk.chunks(layout, backend=options.backend):
            out.write(chunk)
        out.flush()
    else:
        disk.save(layout, options.output, backend=options.backend, progress=False if options.quiet else None)
    shared.report(options, layout)
    return 0
