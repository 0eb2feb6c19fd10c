"""The registry: recently used layouts by digest or query. All of it may be lost: clients then send the recipe again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from fanin import Layout

_BYTES_PER_TENSOR = 1280
"""What a tensor's models take beside the texts: 1.2 KB measured with tracemalloc."""


K = TypeVar("K", str, bytes)


class Registry(Generic[K]):
    """Layouts by a text that names them, bounded in number and in memory; the least recently used go first.

    Used by the event loop's thread alone.
    """

    def __init__(self, *, max_recipes: int, max_bytes: int) -> None:
        self._max_recipes = max_recipes
        self._max_bytes = max_bytes
        self._layouts: OrderedDict[K, Layout] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._layouts)

    def get(self, key: K) -> Layout | None:
        """The layout of this name, if it is remembered."""
        layout = self._layouts.get(key)
        if layout is not None:
            self._layouts.move_to_end(key)
        return layout

    def add(self, key: K, layout: Layout) -> bool:
        """Remember a layout, whatever its size; true if it was not there before."""
        if self.get(key) is not None:
            return False
        self._layouts[key] = layout
        self._bytes += _cost(key, layout)
        while len(self._layouts) > self._max_recipes or (self._bytes > self._max_bytes and len(self._layouts) > 1):
            self._bytes -= _cost(*self._layouts.popitem(last=False))
        return True


def _cost(key: str | bytes, layout: Layout) -> int:
    """Bytes that a layout takes, roughly: its texts, and the models of its tensors."""
    return len(key) + len(layout.header) + len(layout.recipe.canonical) + _BYTES_PER_TENSOR * (1 + len(layout.entries))
