"""`fanin completion`: a script that completes commands and options in a shell."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = """Print a completion script. To use it in new shells:
  bash: fanin completion bash > ~/.local/share/bash-completion/completions/fanin
  zsh:  fanin completion zsh > FOLDER/_fanin, where FOLDER is in $fpath
  fish: fanin completion fish > ~/.config/fish/completions/fanin.fish"""
FILES = frozenset({"FILE", "RECIPE", "RECIPE|URL", "CONFIG.JSON", "DIRECTORY", "FOLDER"})
"""Names of arguments for which a shell offers files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace) -> int:
    """Print the script; return the exit code."""
    import shtab

    from fanin.cli.main import parser_of

    parser = parser_of(None)
    _offer_files(parser, shtab.FILE)
    sys.stdout.write(shtab.complete(parser, options.shell) + "\n")
    return 0


def _offer_files(parser: argparse.ArgumentParser, files: object) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                _offer_files(each, files)
        elif action.type is Path or action.metavar in FILES:
            action.complete = files  # type: ignore[attr-defined]
