"""Replace functions of other modules for some threads, while these threads need it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

Function = Callable[..., Any]


class Replaced:
    """Replacements for functions of a module or a class. A replacement calls the original for all other threads."""

    def __init__(self, replacements: Mapping[str, Callable[[Function], Function]]) -> None:
        self._replacements = replacements
        self._lock = threading.Lock()
        self._users = 0
        self._patches = ExitStack()

    @contextmanager
    def within(self, module: ModuleType | type) -> Iterator[None]:
        """Replace the functions. Threads may enter and leave in any order; the last to leave restores the originals."""
        with self._lock:
            if not self._users:
                # All names or none: without the inner block, an error at one name would leave those before it replaced.
                with ExitStack() as patches:
                    for name, replacement in self._replacements.items():
                        patches.enter_context(patch.object(module, name, replacement(getattr(module, name))))
                    self._patches = patches.pop_all()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._patches.close()
