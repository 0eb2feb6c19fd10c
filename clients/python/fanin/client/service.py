"""A service: it takes recipes and models, and returns files, ranges and digests."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from fanin.client.connection import Connection, Sink
from fanin.client.parallel import in_parts
from fanin.client.retries import Progress, Retries
from fanin.errors import FileError, ServiceError
from fanin.file import archive, disk
from fanin.file.digests import Manifest, blocks
from fanin.file.layout import FileLayout
from fanin.recipe import MAX_HEADER_BYTES

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A file at a URL, and its version: it may be replaced while parts of it are fetched."""

    url: str
    etag: str | None
    """The validator that every part must have: an entity tag or a modification date. None if the server sends none."""


@dataclass(frozen=True, slots=True)
class Service:
    """The service at the other end of a connection."""

    connection: Connection
    retries: Retries
    connections: int = 1
    """Number of connections that fetch parts of one file at the same time."""
    request_bytes: int = 8 << 20
    """Size of such a part."""

    def replaceable(self) -> Service:
        """Return the same service for a caller that can do without it."""
        return replace(self, retries=replace(self.retries, is_replaceable=True))

    async def register(self, layout: FileLayout) -> str:
        """Register a recipe; return its digest.

        Raises:
            ServiceError: the request failed, or the service computes another digest.
        """
        return await self._run(lambda _: self._register(layout))

    async def _register(self, layout: FileLayout) -> str:
        answer = await self.connection.json("POST", "v1/recipes", layout.recipe.canonical)
        if answer.get("digest") != layout.recipe.digest:
            raise ServiceError(f"the service calls the recipe {answer.get('digest')}, not {layout.recipe.digest}")
        return layout.recipe.digest

    async def put_model(self, name: str, packed: bytes) -> dict[str, Any]:
        """Store an archive as the model `name`; return the service's description of it.

        Raises:
            ServiceError: the request failed.
        """
        path = f"v1/models/{quote(name)}"
        return await self._run(lambda _: self.connection.json("PUT", path, packed, media_type=archive.MEDIA_TYPE))

    async def post_artifact(self, request: bytes) -> dict[str, Any]:
        """Request an artifact; return the service's description of it.

        Raises:
            ServiceError: the request failed.
        """
        return await self._run(lambda _: self.connection.json("POST", "v1/artifacts", request))

    async def get_artifact(self, path: str) -> dict[str, Any]:
        """Return the service's description of the artifact at this path.

        Raises:
            ServiceError: the request failed.
        """
        return await self._run(lambda _: self.connection.json("GET", path))

    async def delete_artifact(self, path: str) -> dict[str, Any]:
        """Cancel the artifact at this path; return the service's description of it.

        Raises:
            ServiceError: the request failed.
        """
        return await self._run(lambda _: self.connection.json("DELETE", path))

    async def digests(self, layout: FileLayout) -> Manifest:
        """Return the SHA-256 of the recipe's file and of its blocks, as the service computes them.

        Raises:
            FileError: the service sent something else.
            ServiceError: the request failed, or the computation does not advance.
        """
        limit = 4096 + 2 * len(layout.header) + 80 * sum(1 for _ in blocks(layout))
        path = f"v1/recipes/{layout.recipe.digest}/digests"
        document = await self._run(lambda _: self.connection.json("GET", path, limit=limit), layout)
        return Manifest.read(document, layout)

    async def layout_at(self, url: str) -> tuple[FileLayout, Place]:
        """Return the layout of the Fanin file at `url`, from its header, and the place with the file's version.

        Raises:
            FileError: it is not a Fanin file.
            ServiceError: the request failed.
            ValueError: it is not an HTTP URL, or has a user or a password.
        """
        self.connection.check_url(url)
        head = bytearray()

        async def keep(chunk: bytes | memoryview) -> None:
            head.extend(chunk)

        place = await self._read(Place(url, None), 0, 8, keep)
        length = int.from_bytes(head, "little")
        if not 0 < length <= MAX_HEADER_BYTES:
            raise FileError(f"{url} is not a safetensors file")
        await self._read(place, 8, 8 + length, keep)
        layout = disk.layout_of_file(io.BytesIO(head))
        if head != layout.header:
            # Its tensors would be at other places, and the end of the file would be missing.
            raise FileError(f"the header of {url} differs from that of its recipe: other software wrote the file")
        return layout, place

    async def fetch(self, layout: FileLayout, start: int, stop: int, sink: Sink, at: Place | None = None) -> None:
        """Pass bytes [start, stop) of the file, from a URL or the service, to `sink`, in order.

        Raises:
            ServiceError: the request failed.
        """

        async def fetch(first: int, last: int, sink: Sink) -> None:
            await self.fetch_part(layout, first, last, sink, at)

        await in_parts(
            self.connection.runtime,
            fetch,
            start,
            stop,
            sink,
            connections=self.connections,
            part_bytes=self.request_bytes,
        )

    async def fetch_part(self, layout: FileLayout, start: int, stop: int, sink: Sink, at: Place | None) -> None:
        """As `fetch`, over one connection; registers the recipe if the service does not have it."""
        if start == stop:
            return
        digest = layout.recipe.digest
        place = at or Place(f"v1/recipes/{digest}/model.safetensors", f'"{digest}"')
        await self._read(place, start, stop, sink, layout.size, None if at else layout)

    async def _read(
        self,
        place: Place,
        start: int,
        stop: int,
        sink: Sink,
        size: int | None = None,
        layout: FileLayout | None = None,
    ) -> Place:
        """Pass bytes [start, stop) of a file to `sink`; return the place with the version of the file.

        The file must have `size` bytes, if that is known.
        """
        position, etag = start, place.etag

        async def counted(chunk: bytes | memoryview) -> None:
            nonlocal position
            await sink(chunk)
            position += len(chunk)

        def same_version(found: str | None, where: str) -> None:
            nonlocal etag
            if etag is not None and found != etag:
                raise ServiceError(f"{where}: the service sent {found}, not {etag}")
            etag = found  # bytes that are fetched after a lost connection must be of this version

        async def attempt(progress: Progress) -> None:
            await self.connection.read_range(place.url, position, stop, counted, progress, same_version, size)

        await self._run(attempt, layout)
        return Place(place.url, etag)

    async def _run(self, attempt: Callable[[Progress], Awaitable[T]], layout: FileLayout | None = None) -> T:
        """Return what `attempt` returns, after retries; register `layout` if the service does not have it."""
        register = None if layout is None else partial(self._register, layout)
        return await self.retries.run(attempt, self.connection.runtime.sleep, register)
