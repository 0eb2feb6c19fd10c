"""Run commands of `fanin` as where no optional dependency is installed.

Reads a JSON list of their words, and prints one of their exit codes and texts.
"""

import json
import sys
import tomllib
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import packages_distributions
from io import StringIO
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
BEHIND = {"starlette", "transformers", "jwt", "opentelemetry", "redis", "limits", "markupsafe"}
"""Packages that those packages install."""


def block() -> None:
    """Let no package be imported that only an extra asks for."""
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    words = [each.split(";")[0] for group in extras.values() for each in group]
    asked = {word.split("[")[0].split(">")[0].split("<")[0].split("=")[0].lower().replace("_", "-") for word in words}
    for package, owners in packages_distributions().items():
        if package in BEHIND or asked & {owner.lower().replace("_", "-") for owner in owners}:
            sys.modules[package] = None  # type: ignore[assignment]


def run(words: list[str]) -> tuple[int, str, str]:
    from fanin.cli.main import main

    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            code = main(words)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return code, out.getvalue(), err.getvalue()


if __name__ == "__main__":
    block()
    print(json.dumps([run(words) for words in json.load(sys.stdin)]))
