"""`fanin artifact begin`: the claim on a destination."""

from __future__ import annotations

import argparse

from fanin.cli import options as shared
from fanin.cli.artifact import arguments
from fanin.terminal import size_text

HELP = "Claim a destination for an artifact, and write its recipe and further files. Then `write` needs its URL alone."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_request(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Claim the destination; return the exit code."""
    plan = arguments.begun(options)
    if not options.quiet:
        items = "1 item" if len(plan) == 1 else f"{len(plan)} items"
        print(f"{options.url}: begun, {items}, {size_text(plan.nbytes)}, recipe {plan.recipe.digest}")
    return 0
