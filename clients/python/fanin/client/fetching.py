"""Bytes of a recipe's file, fetched into memory or a file, and checked there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fanin import backends
from fanin.client import verification
from fanin.client.runtime import InThread
from fanin.client.service import Place, Service
from fanin.client.verification import SAMPLE, Piece, Verify
from fanin.errors import MismatchError
from fanin.file import disk
from fanin.file.layout import FileLayout

REFETCHES = 2
"""Number of times that bytes which fail their check are fetched again."""

_log = logging.getLogger("fanin")


@dataclass(frozen=True, slots=True)
class Fetching:
    """The bytes that one call fetches, and their check."""

    service: Service
    layout: FileLayout
    verify: Verify
    backend: str | None
    """Name of the backend that generates the bytes to compare with."""
    at: Place | None = None
    """URL and version of the file, if it is not requested from the service by its recipe."""

    async def into_array(
        self,
        start: int,
        out: np.ndarray[Any, np.dtype[np.uint8]],
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Fill `out` with the file's bytes from `start` on; `progress` gets the number of bytes of each chunk.

        Raises:
            ServiceError: the request failed.
            MismatchError: the bytes stay wrong.
        """
        at = 0
        view = out.data

        async def sink(chunk: bytes | memoryview) -> None:
            nonlocal at
            view[at : at + len(chunk)] = chunk
            at += len(chunk)
            progress(len(chunk))

        def read(first: int, stop: int) -> memoryview:
            return view[first - start : stop - start]

        def write(first: int, content: bytes) -> None:
            view[first - start : first - start + len(content)] = content

        await self.service.fetch(self.layout, start, start + len(out), sink, self.at)
        await self._check(start, start + len(out), read, write)

    async def into_file(self, path: Path, progress: bool | None) -> None:
        """Fetch the missing bytes of the file, and move it to `path`.

        Raises:
            ServiceError, MismatchError: as `into_array`.
            BlockingIOError: another process is downloading the same file to the same place.
            OSError: the file cannot be written.
        """
        call, size = self.service.connection.runtime.call, self.layout.size
        async with InThread(self.service.connection.runtime, disk.resuming(path, self.layout)) as (file, received):
            with disk.byte_bar(size, path.name, progress) as bar:
                have = await call(lambda: self._trusted(file, received))
                bar.update(have)

                async def sink(chunk: bytes | memoryview) -> None:
                    await call(lambda: file.write(chunk))
                    bar.update(len(chunk))

                def read(first: int, stop: int) -> bytes:
                    file.seek(first)
                    return file.read(stop - first)

                def write(first: int, content: bytes) -> None:
                    file.seek(first)
                    file.write(content)

                await self.service.fetch(self.layout, have, size, sink, self.at)
                await self._check(0, size, read, write)

    def _trusted(self, file: BinaryIO, have: int) -> int:
        """Return how many bytes of an interrupted download to keep: 0 if its end, which a crash can lose, is wrong."""
        if not have:
            return 0
        first = max(0, have - SAMPLE)
        file.seek(first)
        try:
            verification.check(self.layout, Piece(first, have), file.read(have - first), backends.get(self.backend))
        except MismatchError:
            have = 0
        file.truncate(have)
        file.seek(have)
        return have

    async def _check(
        self,
        start: int,
        stop: int,
        read: Callable[[int, int], bytes | memoryview],
        write: Callable[[int, bytes], None],
    ) -> None:
        """Check bytes [start, stop) of the file, which `read` returns, and replace wrong ones through `write`.

        The header of a file is compared at any level.

        Raises:
            MismatchError: they stay wrong.
        """
        call = self.service.connection.runtime.call
        header = self.layout.header
        if start == 0 and self.verify == "none":
            # Costs nothing, and a page of a proxy or the file of another seed has another one.
            found = await call(lambda: bytes(read(0, len(header))))
            if found != header:
                raise disk.mismatch(self.layout, 0, found, header)
        manifest = await self.service.digests(self.layout) if self.verify == "digest" else None

        def check(piece: Piece) -> None:
            # The backend is loaded only where bytes are checked: it may warn that it is slow.
            verification.check(self.layout, piece, read(piece.start, piece.stop), backends.get(self.backend))

        for piece in verification.pieces(self.layout, start, stop, self.verify, manifest):
            refetches = 0 if self.verify == "sample" else REFETCHES
            while True:
                try:
                    await call(partial(check, piece))
                    break
                except MismatchError as error:
                    if not refetches:
                        raise
                    refetches -= 1
                    _log.warning("received wrong bytes, which are fetched again: %s", error)
                content = bytearray()

                async def keep(chunk: bytes | memoryview, content: bytearray = content) -> None:
                    content.extend(chunk)

                await self.service.fetch_part(self.layout, piece.start, piece.stop, keep, self.at)
                await call(partial(write, piece.start, bytes(content)))
