"""Functions of other modules that are replaced while some thread needs it, for that thread alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

Function = Callable[..., Any]


class Replaced:
    """Functions of a module or a class. A replacement is made of the original, and calls it for all other threads."""

    def __init__(self, replacements: Mapping[str, Callable[[Function], Function]]) -> None:
        self._replacements = replacements
        self._lock = threading.Lock()
        self._users = 0
        self._patches = ExitStack()

    @contextmanager
    def within(self, module: ModuleType | type) -> Iterator[None]:
        """Replace them. Threads may begin and end in any order: the last one that ends restores the module's own."""
        with self._lock:
            if not self._users:
                for name, replacement in self._replacements.items():
                    self._patches.enter_context(patch.object(module, name, replacement(getattr(module, name))))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._patches.close()
