"""Engines: what hands out the items of an artifact to writers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Protocol

from fanin.artifact.destinations.base import Destination
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally
from fanin.artifact.writing import Report
from fanin.backends import Backend
from fanin.errors import MissingPackageError

__all__ = ["ENGINES", "Engine", "Task", "engine_of"]

Task = Callable[[Plan, int, Destination, Backend, Report], object]
"""An engine calls it with each item: `fanin.artifact.writing.write`, or another function that can be pickled."""

ENGINES = {
    "ray": "fanin.artifact.engines.ray",
    "threads": "fanin.artifact.engines.threads",
}
"""Module of each engine, which has a class `Engine`. It is imported when it is used."""


class Engine(Protocol):
    """Runs a task for items. It needs no order, and may run the task for an item twice."""

    def run(self, task: Task, plan: Plan, url: str, items: Iterable[int], *, backend: str | None, tally: Tally) -> None:
        """Run a task for each of the items, and return when all have ended.

        Args:
            task: What to do with an item.
            plan: The plan of the artifact, which was begun. A worker in another process reads it by `read_plan`.
            url: Where the artifact is.
            items: Numbers of the items. They are taken as they are needed, because there may be a million.
            backend: Name of the backend that generates the bytes; None for the default.
            tally: Counts bytes and items. An exception that it raises ends the work.

        Raises:
            FaninError: the task raised it.
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
