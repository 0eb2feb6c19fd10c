"""`fanin verify`: a file, compared with its own recipe."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from fanin.cli import options as shared

HELP = "Generate a file again from the recipe in its own header, and compare every byte."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a Fanin file, or - (standard input)")
    shared.add_backend(parser)
    shared.add_json(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Verify the file; return the exit code."""
    if shared.is_standard(options.file):
        return _verify_copy(options, sys.stdin.buffer)
    with options.file.open("rb") as file:
        # A pipe has its bytes once. To open it again would wait for another writer.
        if not file.seekable():
            return _verify_copy(options, file)
    return _verify(options, options.file)


def _verify_copy(options: argparse.Namespace, source: BinaryIO) -> int:
    from fanin.file.atomic import naming

    with tempfile.TemporaryDirectory(prefix="fanin-") as folder:
        path = Path(folder, "input")
        with naming(path), path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        return _verify(options, path)


def _verify(options: argparse.Namespace, path: Path) -> int:
    from fanin import backends
    from fanin.file import disk
    from fanin.recipe.header import has_weights
    from fanin.terminal import size_text

    with path.open("rb") as file:
        if not has_weights(file) and file.peek(64)[:64].lstrip().startswith(b"{"):
            raise ValueError(
                f"{options.file} is JSON, not a file of weights. If it is a recipe, fanin show {options.file} describes"
                f" it, and fanin make {options.file} -o FILE generates its file"
            )
    started = time.perf_counter()
    verified = disk.verify(path, backend=options.backend, progress=False if options.quiet else None)
    speed = size_text(round(verified.size / (time.perf_counter() - started)))
    backend = backends.get(options.backend).name
    if options.json:
        document = {"recipe": verified.digest, "tensors": verified.tensors, "size": verified.size, "backend": backend}
        print(json.dumps(document, indent=2))
    elif not options.quiet:
        print(
            f"{options.file}: {shared.counted(verified.tensors)}, {verified.size} bytes,"
            f" all as recipe {verified.digest} says ({speed}/s, {backend})"
        )
    return 0
