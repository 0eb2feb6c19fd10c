"""Writes docs/commands.md: what each command of `fanin` prints with --help."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from fanin.cli.main import main

PAGE = Path(__file__).parent / "commands.md"
COMMAND = re.compile(r"^ {2,4}([a-z]+)(?: {2,}\S.*)?$", re.MULTILINE)
PREAMBLE = """\
# Options of every command

Every command with its options, as `--help` prints them. `make docs` writes this page. [cli.md](cli.md) describes the
common options and the exit codes, and has examples.
"""
ELSEWHERE = {"fanin serve": "Its options are the [settings of the service](configuration.md).\n"}
"""Commands whose options have a page."""


def page() -> str:
    """Return the text of the page."""
    with mock.patch.dict(os.environ, COLUMNS="100"):
        found = {" ".join(command): f"```text\n{text}```\n" for command, text in helped(("fanin",))}
    sections = [f"## {command}\n\n{text}" for command, text in (found | ELSEWHERE).items()]
    return "\n".join([PREAMBLE, *sections])


def helped(command: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield a command and its help, and then the same of its subcommands."""
    text = help_of(command)
    yield command, text
    listed = re.search(r"^  (?:COMMAND|SOURCE)\n((?: {4}.*\n)+)", text, re.MULTILINE)
    for name in COMMAND.findall(listed[1]) if listed else ():
        yield from helped((*command, name))


def help_of(command: tuple[str, ...]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        main([*command[1:], "--help"])
    return printed.getvalue()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
