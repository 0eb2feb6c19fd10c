"""`fanin artifact finish`: the end of an artifact."""

from __future__ import annotations

import argparse

from fanin.cli import options as shared
from fanin.cli.artifact import arguments

HELP = "Complete an artifact whose items are written: its manifest, then the index that readers look for."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Complete the artifact; return the exit code."""
    from fanin import artifact

    arguments.report(options, artifact.finish(options.url))
    return 0
