"""Parts of an object: their size, and their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fanin.file.disk import CHUNK


def part_bytes(size: int, most: int) -> int:
    """Return the bytes of each part but the last: a multiple of 8 MiB, so that `most` parts have `size` bytes."""
    return max(1, -(-size // (most * CHUNK))) * CHUNK


def pieces(chunks: Iterable[memoryview], size: int) -> Iterator[bytearray]:
    """Yield the bytes of `chunks` in pieces of `size`, and the rest; a chunk of this size is not copied."""
    rest = bytearray()
    for chunk in chunks:
        if not rest and len(chunk) == size and isinstance(chunk.obj, bytearray) and len(chunk.obj) == size:
            piece = chunk.obj
            del chunk  # else it stays in memory while the next one is generated
            yield piece
            del piece
            continue
        taken = 0
        while taken < len(chunk):
            more = chunk[taken : taken + size - len(rest)]
            rest += more
            taken += len(more)
            if len(rest) == size:
                yield rest
                rest = bytearray()
    if rest:
        yield rest
