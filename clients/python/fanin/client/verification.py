"""Checks: which parts of received bytes are looked at, and how it shows that they are right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fanin import files
from fanin.backends import Backend
from fanin.digests import Manifest, blocks
from fanin.errors import MismatchError
from fanin.file_layout import FileLayout
from fanin.plan import read_into

Check = bool | Literal["sample", "digest"]
CHECKS: tuple[Check, ...] = (False, True, "sample", "digest")
SAMPLE = 64 << 10
"""Bytes that `sample` re-derives of each end of a range."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [start, stop) of a file: right if they have this SHA-256, or without one, if they are what is made here."""

    start: int
    stop: int
    digest: str | None = None


def pieces(layout: FileLayout, start: int, stop: int, check: bool | Literal["sample"] | Manifest) -> Iterator[Piece]:
    """The pieces of bytes [start, stop) of the file to look at, each of bounded size.

    With a manifest they are its blocks; of a block that is only partly there, the part is re-derived.
    """
    if isinstance(check, Manifest):
        for block in blocks(layout, start, stop):
            if start <= block.start and block.stop <= stop:
                yield Piece(block.start, block.stop, check.of(block))
            else:
                yield Piece(max(start, block.start), min(stop, block.stop))
    elif check == "sample" and stop - start > 2 * SAMPLE:
        yield Piece(start, start + SAMPLE)
        yield Piece(stop - SAMPLE, stop)
    elif check:
        for first in range(start, stop, files.CHUNK):
            yield Piece(first, min(first + files.CHUNK, stop))


def look_at(layout: FileLayout, piece: Piece, found: bytes | memoryview, backend: Backend) -> None:
    """Compare the bytes that were received for `piece` with what they should be.

    Raises:
        MismatchError: they differ.
    """
    if piece.digest is None:
        wanted = memoryview(bytearray(len(found)))
        read_into(layout, piece.start, wanted, backend)
        if found != wanted:
            raise files.mismatch(layout, piece.start, found, wanted)
    elif hashlib.sha256(found).hexdigest() != piece.digest:
        is_header = piece.start < len(layout.header)
        tensor = None if is_header else layout.entries[layout.index_at(piece.start)].name
        raise MismatchError(f"bytes {piece.start} to {piece.stop} of the file have another digest", tensor=tensor)
