"""`Kept`: a cache in bounded memory that clients share. The client that uses most of it loses its values first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Item(Generic[V]):
    value: V
    size: int
    client: str


class Kept(Generic[K, V]):
    """A cache of values by key, bounded in number and in bytes. For one thread at a time.

    A value belongs to the client that added it. While a bound is exceeded, the client with the largest share of the
    exceeded amount loses its least recently used value. The newest value always stays.
    """

    def __init__(self, *, max_bytes: int, max_count: int | None = None) -> None:
        self._max_bytes, self._max_count = max_bytes, max_count
        self._items: dict[K, _Item[V]] = {}
        self._keys: dict[str, OrderedDict[K, None]] = {}
        """Keys of each client, the least recently used first."""
        self._sizes: dict[str, int] = {}
        """Bytes of each client's values."""
        self.size = 0
        """Bytes of all values."""

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: K) -> V | None:
        """Return the value of this key; None if it is not cached."""
        item = self._items.get(key)
        if item is None:
            return None
        self._keys[item.client].move_to_end(key)
        return item.value

    def add(self, key: K, value: V, size: int, client: str) -> bool:
        """Cache a value of `size` bytes for a client. Return false, and change nothing, if its key is cached."""
        if self.get(key) is not None:
            return False
        self._items[key] = _Item(value, size, client)
        self._keys.setdefault(client, OrderedDict())[key] = None
        self._sizes[client] = self._sizes.get(client, 0) + size
        self.size += size
        self._make_room(key)
        return True

    def resize(self, key: K, size: int) -> None:
        """Set the size in bytes of a value, if it is cached."""
        item = self._items.get(key)
        if item is not None:
            self._items[key] = _Item(item.value, size, item.client)
            self._sizes[item.client] += size - item.size
            self.size += size - item.size
            self._make_room(key)

    def pop(self, key: K) -> V | None:
        """Remove a key. Return its value; None if it was not cached."""
        item = self._items.pop(key, None)
        if item is None:
            return None
        client = item.client
        del self._keys[client][key]
        self._sizes[client] -= item.size
        self.size -= item.size
        if not self._keys[client]:
            del self._keys[client], self._sizes[client]
        return item.value

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def _make_room(self, newest: K) -> None:
        while (most := self._largest()) is not None:
            oldest = next(iter(self._keys[most]))
            if oldest == newest:
                break
            self.pop(oldest)

    def _largest(self) -> str | None:
        """Return the client with the largest share of the exceeded bound; None if no bound is exceeded."""
        if self.size > self._max_bytes:
            return max(self._sizes, key=self._sizes.__getitem__)
        if self._max_count is not None and len(self._items) > self._max_count:
            return max(self._keys, key=lambda client: len(self._keys[client]))
        return None
