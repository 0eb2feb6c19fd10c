"""`fanin artifact status`: how much of an artifact is written."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from fanin.cli import options as shared
from fanin.cli.artifact import arguments
from fanin.terminal import size_text

INCOMPLETE = 11
"""Exit code for an artifact that is not complete."""
HELP = f"Show how much of an artifact is written. The exit code is {INCOMPLETE} if it is not complete."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    shared.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the status; return the exit code."""
    from fanin import artifact

    found = artifact.status(options.url)
    if options.json:
        print(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        state = "complete" if found.is_complete else "not complete"
        items = f"{found.items_done} of {found.items} items"
        sizes = f"{size_text(found.bytes_done)} of {size_text(found.bytes)}"
        print(f"{options.url}: {state}, {items}, {sizes}, format {found.format}, recipe {found.recipe}")
    return 0 if found.is_complete else INCOMPLETE
