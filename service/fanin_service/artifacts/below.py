"""The destination of one artifact, inside that of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from fanin.artifact.destinations.base import Destination


class Below(Destination):
    """The objects of a destination whose keys begin with a prefix.

    It uses the connections and the memory of that destination, so that a hundred artifacts take no more of them.
    """

    def __init__(self, root: Destination, folder: str) -> None:
        self.url = f"{root.url.rstrip('/')}/{folder}"
        self._root, self._prefix = root, f"{folder}/"

    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        return self._root.create(self._prefix + key, chunks, size, metadata)

    def read(self, key: str, most: int | None = None) -> bytes | None:
        return self._root.read(self._prefix + key, most)

    def range(self, key: str, start: int, stop: int) -> bytes:
        return self._root.range(self._prefix + key, start, stop)

    def size(self, key: str) -> int | None:
        return self._root.size(self._prefix + key)

    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        for key, size in self._root.objects(self._prefix + prefix):
            yield key.removeprefix(self._prefix), size

    def sweep(self, keys: Iterable[str]) -> None:
        self._root.sweep(self._prefix + key for key in keys)
