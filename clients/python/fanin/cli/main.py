"""The command line `fanin`: its parser, its exit codes and its handling of errors."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fanin import signals
from fanin.cli import commands
from fanin.errors import (
    ArtifactError,
    BackendError,
    FileError,
    IncompleteError,
    MismatchError,
    MissingPackageError,
    RecipeError,
    ServiceError,
    SignatureError,
    UnavailableError,
)
from fanin.terminal import printable

EXIT_CODES: dict[int, tuple[tuple[type[BaseException], ...], str]] = {
    1: (
        (MismatchError, SignatureError),
        "bytes differ from what the recipe or the signature says, or inspect has findings",
    ),
    3: ((RecipeError,), "the recipe is wrong, or no recipe describes the model"),
    2: ((ValueError, TypeError, IndexError), "wrong usage"),
    5: ((FileError,), "the file is damaged, or is not a Fanin file"),
    6: ((UnavailableError,), "the service cannot be reached, or is overloaded"),
    7: ((ServiceError,), "the service refused the request, or its response is invalid"),
    8: ((MissingPackageError,), "a package is not installed"),
    9: ((BackendError,), "the backend cannot be used"),
    11: ((IncompleteError,), "the artifact is not complete"),
    10: ((ArtifactError,), "the destination has other content than the artifact"),
    12: ((MemoryError,), "there is not enough memory"),
    4: ((OSError,), "a file or a bucket cannot be read or written, or another process is writing it"),
}
"""Exit codes of errors. The first entry that has the type of an error decides."""
DONE, FAULT, INTERRUPTED = 0, 70, 130
CODES = "exit codes: " + "; ".join(
    f"{code} {meaning}"
    for code, meaning in sorted(
        {
            DONE: "done",
            **{code: meaning for code, (_, meaning) in EXIT_CODES.items()},
            FAULT: "a fault in Fanin",
            INTERRUPTED: "interrupted",
        }.items()
    )
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    Raises:
        KeyboardInterrupt: the user interrupted it.
    """
    _open_streams()
    words = commands.written_out(sys.argv[1:] if arguments is None else list(arguments))
    # Exit as after an error, so that no partial file stays. A closed terminal sends SIGHUP. (The service installs
    # separate handlers.)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signals.handle(number, lambda number, _: sys.exit(128 + number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of tensors may have characters that the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = parser_of(words).parse_args(words)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = options.run(options)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed it, as in `fanin show | head`.
        sys.stdout = None
        return DONE
    except Exception as error:
        if signals.is_interrupt(error):
            raise KeyboardInterrupt from None
        for code, (kinds, _) in EXIT_CODES.items():
            if isinstance(error, kinds):
                _complain(str(error) or EXIT_CODES[code][1])
                return code
        traceback.print_exc()
        return FAULT
    return code


def _open_streams() -> None:
    """Open the null device for standard streams that the parent closed, as `>&-` does. Python sets these to None.

    Otherwise the next file that the command opens gets the number of the stream, and with it everything that a C
    library writes to standard output or error. In this order each stream gets its own number, the lowest free one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (open until the process ends)


def parser_of(words: Sequence[str] | None) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the command in `words`, or of all that are installed for None.

    Raises:
        MissingPackageError: the command needs a package that is not installed, and `words` do not ask for its help.
    """
    parser = _Parser(prog="fanin", description="Initial weights from a recipe and a seed.", epilog=CODES)
    parser.add_argument("--version", action="version", version=f"fanin {version('fanin')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in commands.available().items():
        of_command = subparsers.add_parser(name, help=command.summary)
        if words is not None and name not in words[:1]:
            continue
        try:
            commands.fill_in(name, command, of_command)
        except MissingPackageError as error:
            if words is not None and not {"-h", "--help"} & set(words):
                raise
            of_command.description = str(error)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that reports unknown arguments with the usage of the command that has them, and takes no abbreviations.

    An abbreviation in a script would break when a command gets another option.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}; {self.prog} --help lists the options")
        return options, unknown


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _complain(str(message))


def _complain(message: str) -> None:
    print("fanin:", printable(message, keep="\n"), file=sys.stderr)
