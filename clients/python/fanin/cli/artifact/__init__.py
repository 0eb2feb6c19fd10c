"""`fanin artifact`: checkpoints of any size in a directory or a bucket."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

HELP = (
    "A checkpoint of step 0 in a directory or a bucket, written by any number of processes. An interrupted one is"
    " resumed by the same command."
)
SUBCOMMANDS = {
    "make": "write an artifact, or what is missing of it; `fanin artifact RECIPE URL` does this too",
    "begin": "claim a destination, so that `write` needs its URL alone",
    "write": "write the items of an artifact that was begun, or a part of them",
    "finish": "complete an artifact whose items are written",
    "sign": "sign a complete artifact, and state the recipe that it is of",
    "status": "show how much of an artifact is written",
    "verify": "generate an artifact again and compare it, or verify its signature",
}
"""Summaries. Each has a module of this package, with HELP, `add_arguments` and `run`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in SUBCOMMANDS.items():
        module = import_module(f"{__name__}.{name}")
        of_command = subparsers.add_parser(name, help=summary, description=module.HELP)
        module.add_arguments(of_command)
        of_command.set_defaults(subcommand=module.run)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; return the exit code."""
    subcommand: Any = options.subcommand
    code: int = subcommand(options)
    return code
