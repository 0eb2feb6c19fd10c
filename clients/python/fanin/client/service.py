"""A service as the client needs it: recipes are told to it, also again, and their files and digests come back."""

from __future__ import annotations

import io
from dataclasses import dataclass

from fanin import files
from fanin.client.parallel import in_parts
from fanin.client.transport import Sink, Transport
from fanin.digests import Manifest, blocks
from fanin.errors import FileError, ServiceError
from fanin.file_layout import FileLayout
from fanin.recipe import MAX_HEADER_BYTES

PENDING = "urn:fanin:problem:digests-pending"
"""What a service answers while it computes digests."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is, and which one: what is at a URL may be replaced while parts of it are fetched."""

    url: str
    etag: str | None
    """The validator that every part must have: an entity tag or a modification date. None if the server sends none."""


class Remote:
    """The service at the other end of a transport."""

    def __init__(self, transport: Transport, connections: int) -> None:
        """`connections` is how many fetch parts of one file at the same time."""
        self._transport = transport
        self._connections = connections

    def register(self, layout: FileLayout) -> str:
        """Tell the service a recipe; returns its digest, under which the service then has a URL for its file.

        Raises:
            ServiceError: the service refused it, or knows it by another digest.
        """
        answer = self._transport.post_json("v1/recipes", layout.recipe.canonical)
        if answer.get("digest") != layout.recipe.digest:
            raise ServiceError(f"the service calls the recipe {answer.get('digest')}, not {layout.recipe.digest}")
        return layout.recipe.digest

    def digests(self, layout: FileLayout) -> Manifest:
        """SHA-256 of the recipe's file and of its blocks, as the service computes them; that may take it a while.

        Raises:
            FileError: the service sent something else.
            ServiceError: the service refused, or got no further.
        """
        limit = 4096 + 2 * len(layout.header) + 80 * sum(1 for _ in blocks(layout))
        progress, registrations = None, 0
        while True:
            try:
                return Manifest.read(
                    self._transport.get_json(f"v1/recipes/{layout.recipe.digest}/digests", limit), layout
                )
            except ServiceError as error:
                if error.status == 404 and registrations <= self._transport.retries:
                    registrations += 1
                    self.register(layout)
                elif error.problem.get("type") == PENDING and error.problem.get("detail") != progress:
                    progress = error.problem.get("detail")
                else:
                    raise

    def layout_at(self, url: str) -> tuple[FileLayout, Place]:
        """The layout of the Fanin file at `url`, from its header; and where this very file is.

        Raises:
            FileError: there is none.
            ServiceError: it cannot be had.
            ValueError: it is not a URL of HTTP, or has a user or a password.
        """
        self._transport.check_url(url)
        head = bytearray()
        etag = self._transport.read_range(url, 0, 8, head.extend)
        length = int.from_bytes(head, "little")
        if not 0 < length <= MAX_HEADER_BYTES:
            raise FileError(f"{url} is not a safetensors file")
        self._transport.read_range(url, 8, 8 + length, head.extend, etag=etag)
        return files.layout_of_file(io.BytesIO(head)), Place(url, etag)

    def fetch(self, layout: FileLayout, start: int, stop: int, sink: Sink, at: Place | None = None) -> None:
        """Hand bytes [start, stop) of the file, from a URL or the service, to `sink`, in order.

        Raises:
            ServiceError: they cannot be had.
        """

        def fetch(first: int, last: int, sink: Sink) -> None:
            self.fetch_part(layout, first, last, sink, at)

        in_parts(fetch, start, stop, sink, self._connections)

    def fetch_part(self, layout: FileLayout, start: int, stop: int, sink: Sink, at: Place | None) -> None:
        """As `fetch`, over one connection; a service that does not know the recipe is told."""
        if start == stop:
            return
        if at is not None:
            self._transport.read_range(at.url, start, stop, sink, etag=at.etag)
            return
        digest = layout.recipe.digest
        position = start

        def counted(chunk: bytes | memoryview) -> None:
            nonlocal position
            sink(chunk)
            position += len(chunk)

        failures, is_told = 0, False
        while True:
            before = position
            try:
                self._transport.read_range(
                    f"v1/recipes/{digest}/model.safetensors", position, stop, counted, etag=f'"{digest}"'
                )
                return
            except ServiceError as error:
                # Forgotten, or known to another replica only: each must be told once. A proxy that puts a file together
                # from slices cannot pass on the 404 of a later one: it hangs up.
                failures = failures + 1 if position == before else 0
                is_hung_up = error.status is None and not is_told
                if not (error.status == 404 or is_hung_up) or failures > self._transport.retries:
                    raise
                self.register(layout)
                is_told = True
