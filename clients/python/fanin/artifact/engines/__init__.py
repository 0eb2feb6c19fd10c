"""Engines: what hands out the items of an artifact to writers."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Protocol

from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally
from fanin.errors import MissingPackageError

__all__ = ["ENGINES", "Engine", "engine_of"]

ENGINES = {
    "ray": "fanin.artifact.engines.ray",
    "threads": "fanin.artifact.engines.threads",
}
"""Module of each engine, which has a class `Engine`. It is imported when it is used."""


class Engine(Protocol):
    """Writes items. It needs no order, and may write an item twice."""

    def write(self, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """Write items by `fanin.artifact.writing.write`, and return when all are written.

        Args:
            plan: The plan of the artifact, which was begun. A worker in another process reads it by `read_plan`.
            url: Where the artifact is.
            items: Numbers of the items. They are taken as they are needed, because there may be a million.
            backend: Name of the backend that generates the bytes; None for the default.
            tally: Counts bytes and items. An exception that it raises ends the work.

        Raises:
            ConflictError: the destination has other content.
            OSError: the destination cannot be read or written. Items that are written stay for the next call.
        """


def engine_of(name: str, **options: Any) -> Engine:
    """Return an engine by its name.

    Raises:
        ValueError: no engine has this name.
        TypeError: the engine has no such option.
        MissingPackageError: a package that it needs is not installed.
    """
    if name not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {name!r}")
    try:
        module = import_module(ENGINES[name])
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        how = f"in a checkout of Fanin, run: pip install '.[{name}]'"
        message = f"engine {name} needs the package {name}, which is not installed; {how}"
        raise MissingPackageError(message, name=name) from None
    found: Engine = module.Engine(**options)
    return found
