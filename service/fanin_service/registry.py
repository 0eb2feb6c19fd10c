"""The registry: recently used recipes by digest. All of it may be lost: clients then send the recipe again."""

from __future__ import annotations

from collections import OrderedDict

from fanin import Layout

_BYTES_PER_TENSOR = 1280
"""What a tensor's models take beside the texts: 1.2 KB measured with tracemalloc."""


class Registry:
    """Layouts by digest, bounded in number and in memory; the least recently used go first.

    Used by the event loop's thread alone.
    """

    def __init__(self, *, max_recipes: int, max_bytes: int) -> None:
        self._max_recipes = max_recipes
        self._max_bytes = max_bytes
        self._layouts: OrderedDict[str, Layout] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._layouts)

    def get(self, digest: str) -> Layout | None:
        """The layout of this recipe, if it is remembered."""
        layout = self._layouts.get(digest)
        if layout is not None:
            self._layouts.move_to_end(digest)
        return layout

    def add(self, layout: Layout) -> bool:
        """Remember a layout, whatever its size; true if it was not there before."""
        digest = layout.recipe.digest
        if self.get(digest) is not None:
            return False
        self._layouts[digest] = layout
        self._bytes += _cost(layout)
        while len(self._layouts) > self._max_recipes or (self._bytes > self._max_bytes and len(self._layouts) > 1):
            _, oldest = self._layouts.popitem(last=False)
            self._bytes -= _cost(oldest)
        return True


def _cost(layout: Layout) -> int:
    """Bytes that a layout takes, roughly: its texts, and the models of its tensors."""
    return len(layout.header) + len(layout.recipe.canonical) + _BYTES_PER_TENSOR * (1 + len(layout.entries))
