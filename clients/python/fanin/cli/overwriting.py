"""A check that a command does not overwrite its own input."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from fanin.cli.names import path_of
from fanin.cli.options import is_standard


def inputs(options: argparse.Namespace) -> Iterator[tuple[str, str | Path]]:
    """Yield the files that a command reads, each after the name of its argument."""
    if not options.recipe.lstrip().startswith(("{", "http://", "https://")):
        yield "RECIPE", path_of(options.recipe)
    for name in ("token_file", "ca_certs"):
        if path := getattr(options, name, None):
            yield f"--{name.replace('_', '-')}", path
    for path in getattr(options, "client_cert", None) or ():
        yield "--client-cert", path


def check_output(name: str, output: Path, others: Iterable[tuple[str, str | Path]]) -> None:
    """Check that a command does not write over a file that it reads, or over its other output.

    Args:
        name: Name of the argument of `output`.
        output: File to write; `-` is not checked.
        others: Inputs and other outputs, each after the name of its argument. `-` is standard input.

    Raises:
        ValueError: `output` is one of the others, also by another path or through a link.
    """
    for of, other in others:
        if not is_standard(output) and _is_same_file(output, other):
            raise ValueError(f"{name} {output} would overwrite {of} {other}, the same file: give another file")


def _is_same_file(output: Path, other: str | Path) -> bool:
    try:
        if str(other) == "-":
            return os.path.samestat(output.stat(), os.fstat(sys.stdin.fileno()))
        return os.path.realpath(output) == os.path.realpath(other) or output.samefile(other)
    except (OSError, ValueError):
        return False  # One of them does not exist, or standard input is not a file.
