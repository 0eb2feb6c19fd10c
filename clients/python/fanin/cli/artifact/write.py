"""`fanin artifact write`: the items of an artifact that was begun."""

from __future__ import annotations

import argparse

from fanin.cli import options as shared
from fanin.cli.artifact import arguments
from fanin.terminal import size_text

HELP = "Write the missing items of an artifact that was begun, or those of a part of it. `finish` then completes it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    arguments.add_writing(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Write the items; return the exit code."""
    check(options)
    options.part = options.part or "0/1"
    write(options)
    if options.finish:
        finish(options)
    return 0


def check(options: argparse.Namespace) -> None:
    """Check the options before anything is written.

    Raises:
        ValueError: they are wrong, or the environment does not have the part.
        MissingPackageError: the package of the engine is not installed.
    """
    from fanin.artifact import Part

    arguments.engine(options)
    if options.part is not None:
        Part.parse(options.part)


def write(options: argparse.Namespace) -> None:
    """Write the missing items, with `--part` those of the part, which is then reported."""
    from fanin import artifact

    part = artifact.Part.parse(options.part or "0/1")
    last: artifact.Progress | None = None
    with arguments.bar(options) as show:

        def note(progress: artifact.Progress) -> None:
            nonlocal last
            last = progress
            show(progress)

        artifact.write_part(options.url, part, engine=arguments.engine(options), backend=options.backend, progress=note)
    if last is not None and options.part is not None and not options.quiet:
        items = "1 item" if last.items == 1 else f"{last.items} items"
        print(f"{options.url}: part {part.index}/{part.count} is written, {items}, {size_text(last.bytes)}")


def finish(options: argparse.Namespace) -> None:
    """Complete the artifact, unless items of other parts are missing: then the last of those parts does."""
    from fanin import artifact
    from fanin.errors import IncompleteError

    try:
        arguments.report(options, artifact.finish(options.url))
    except IncompleteError as error:
        if not options.quiet:
            print(error)
