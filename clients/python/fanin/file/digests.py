"""SHA-256 digests of a recipe's file and of its blocks. They verify received bytes without generating them again.

A block belongs to one tensor. A tensor is divided every `BLOCK` bytes, so most tensors are one block. The header is one
block too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fanin.backends import Backend
from fanin.errors import FileError
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into

BLOCK = 16 << 20
"""Bytes of a block, and so the bytes to fetch again if one is damaged."""
_HEX_DIGITS = 64


@dataclass(frozen=True, slots=True)
class Block:
    """Bytes [start, stop) of a file, with one digest: the header, or of a tensor the `number`-th block."""

    tensor: str | None
    """Name of the tensor; `None` for the header."""
    number: int
    start: int
    stop: int


def blocks(layout: FileLayout, start: int = 0, stop: int | None = None) -> Iterator[Block]:
    """The blocks that have bytes in [start, stop) of the file, in file order; by default all of them."""
    stop = layout.size if stop is None else stop
    if start >= stop:
        return
    if start < len(layout.header):
        yield Block(None, 0, 0, len(layout.header))
    for index in range(layout.index_at(start), len(layout.entries)):
        entry = layout.entries[index]
        if entry.start >= stop:
            return
        first = max(0, start - entry.start) // BLOCK
        last = -(-(min(stop, entry.stop) - entry.start) // BLOCK)
        for number in range(first, last):
            at = entry.start + number * BLOCK
            yield Block(entry.name, number, at, min(at + BLOCK, entry.stop))


@dataclass(frozen=True, slots=True)
class Manifest:
    """The digests of one recipe's file, each SHA-256 in lower-case hexadecimal."""

    file: str
    """Digest of the file."""
    header: str
    tensors: Mapping[str, tuple[str, ...]]
    """Digests of the blocks of each tensor, in order. An empty tensor has none."""

    def of(self, block: Block) -> str:
        """The digest of this block."""
        return self.header if block.tensor is None else self.tensors[block.tensor][block.number]

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "algorithm": "sha-256",
            "block_size": BLOCK,
            "file": self.file,
            "header": self.header,
            "tensors": {name: list(digests) for name, digests in self.tensors.items()},
        }

    @classmethod
    def read(cls, document: Any, layout: FileLayout) -> Manifest:
        """The manifest of `layout` that these JSON values spell.

        Raises:
            FileError: they are none, or of other blocks than this layout's.
        """
        try:
            if (document["algorithm"], document["block_size"]) != ("sha-256", BLOCK):
                raise ValueError("another algorithm or block size than this version reads")
            tensors = {entry.name: tuple(document["tensors"][entry.name]) for entry in layout.entries}
            manifest = cls(document["file"], document["header"], tensors)
            digests = [manifest.file, *(manifest.of(block) for block in blocks(layout))]
            if not all(isinstance(digest, str) and len(digest) == _HEX_DIGITS for digest in digests):
                raise ValueError("a digest is not 64 hexadecimal digits")
        except (LookupError, TypeError, ValueError) as error:
            raise FileError(f"not the digests of this recipe: {error!r}") from None
        return manifest


class Digester:
    """Generates a file and computes its manifest, about one block at a time, so that memory stays bounded."""

    def __init__(self, layout: FileLayout, backend: Backend) -> None:
        self.done = 0
        """Bytes of the file that are digested."""
        self._layout, self._backend = layout, backend
        self._blocks = blocks(layout)
        self._file = hashlib.sha256()
        self._header = ""
        self._tensors: dict[str, list[str]] = {}

    def step(self) -> bool:
        """Digest the next block, or the next many small ones; false when there was nothing left to do."""
        before = self.done
        # Only while it is used: a service has many files to digest, and does one step at a time.
        buffer = memoryview(bytearray(min(BLOCK, self._layout.size - before)))
        for block in self._blocks:
            content = self._read(block, buffer)
            self._file.update(content)
            digest = hashlib.sha256(content).hexdigest()
            if block.tensor is None:
                self._header = digest
            else:
                self._tensors.setdefault(block.tensor, []).append(digest)
            self.done = block.stop
            if self.done - before >= BLOCK or self._layout.is_long(before, self.done):
                break
        return self.done > before

    def manifest(self) -> Manifest:
        """The manifest, once nothing is left to do."""
        assert self.done == self._layout.size
        tensors = {name: tuple(self._tensors.get(name, ())) for name in self._layout.entries.names}
        return Manifest(self._file.hexdigest(), self._header, tensors)

    def _read(self, block: Block, buffer: memoryview) -> memoryview:
        length = block.stop - block.start
        # A header may be longer than a block.
        content = buffer[:length] if length <= len(buffer) else memoryview(bytearray(length))
        read_into(self._layout, block.start, content, self._backend)
        return content
