"""`fanin artifact make`: an artifact from its recipe."""

from __future__ import annotations

import argparse

from fanin.cli import options as shared
from fanin.cli.artifact import arguments, write

HELP = (
    "Write the checkpoint of a recipe to a directory or a bucket. The same command again writes what is missing."
    " Nothing is replaced or deleted, and any number of the same commands may run at once."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_request(parser)
    arguments.add_writing(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Write the artifact, or with `--part` a part of it; return the exit code."""
    from fanin import artifact

    write.check(options)
    arguments.begun(options)
    write.write(options)
    if options.part is None:
        arguments.report(options, artifact.finish(options.url))
    elif options.finish:
        write.finish(options)
    return 0
