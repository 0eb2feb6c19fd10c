"""`AsyncClient`: the methods of `Client` as coroutines."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any, Self

from fanin.arrays import Array
from fanin.client.artifacts import AsyncRemoteArtifact
from fanin.client.base import ClientBase, Recorded, Where
from fanin.client.messages import AsyncTransport
from fanin.client.runtime import Asynchronous, Runtime
from fanin.client.verification import Verify
from fanin.errors import MissingPackageError
from fanin.file.digests import Manifest
from fanin.file.layout import FileLayoutLike
from fanin.recipe import RecipeLike
from fanin.region import Index


class AsyncClient(ClientBase[AsyncTransport]):
    """As `Client`, for programs with an event loop of asyncio: the same arguments, methods, results and errors.

    It needs aiohttp, the extra `async`, unless `transport` is given. Generating, checking and writing files run in
    threads, so the event loop stays free. A client belongs to the event loop of its first request. A cancelled call
    ends after the step that runs in a thread.

        >>> async with fanin.AsyncClient("http://127.0.0.1:8000") as client:
        ...     rows = await client.slice(recipe, "emb.weight", slice(0, 100))
    """

    def _over(self, transport: AsyncTransport | None, timeout: float, context: ssl.SSLContext | None) -> Runtime:
        if transport is None:
            try:
                from fanin.client.async_transport import AiohttpTransport
            except ModuleNotFoundError as error:
                message = "fanin.AsyncClient needs aiohttp: in a checkout of Fanin, run pip install '.[async]'"
                raise MissingPackageError(message, name=error.name) from None
            transport = AiohttpTransport(timeout=timeout, ssl_context=context)
        return Asynchronous(transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._runtime.close()

    async def register(self, recipe: FileLayoutLike) -> str:
        """As `Client.register`."""
        return await self._register(recipe)

    async def push(
        self, name: str, recipe: Mapping[str, Any] | str | bytes | Recorded, files: Mapping[str, bytes] | None = None
    ) -> dict[str, Any]:
        """As `Client.push`."""
        return await self._push(name, recipe, files)

    async def artifact(
        self,
        recipe: RecipeLike | None = None,
        *,
        destination: str,
        model: str | None = None,
        revision: str | None = None,
        format: str = "hf",
        shard_size: int | str | None = None,
    ) -> AsyncRemoteArtifact:
        """As `Client.artifact`."""
        return AsyncRemoteArtifact(await self._artifact(recipe, destination, model, revision, format, shard_size))

    async def digests(self, recipe: FileLayoutLike) -> Manifest:
        """As `Client.digests`."""
        return await self._digests(recipe)

    async def download(
        self, url: str, path: str | os.PathLike[str], *, verify: Verify | None = None, progress: bool | None = None
    ) -> None:
        """As `Client.download`."""
        await self._download(url, path, verify, progress)

    async def materialize(
        self,
        recipe: FileLayoutLike,
        *,
        where: Where | None = None,
        verify: Verify | None = None,
        progress: bool | None = None,
    ) -> dict[str, Array]:
        """As `Client.materialize`."""
        return await self._materialize(recipe, where, verify, progress)

    async def tensor(
        self, recipe: FileLayoutLike, name: str, *, where: Where | None = None, verify: Verify | None = None
    ) -> Array:
        """As `Client.tensor`."""
        return await self._slice(recipe, name, ..., where, verify)

    async def slice(
        self,
        recipe: FileLayoutLike,
        name: str,
        index: Index,
        *,
        where: Where | None = None,
        verify: Verify | None = None,
    ) -> Array:
        """As `Client.slice`."""
        return await self._slice(recipe, name, index, where, verify)

    async def save(
        self,
        recipe: FileLayoutLike,
        path: str | os.PathLike[str],
        *,
        where: Where | None = None,
        verify: Verify | None = None,
        progress: bool | None = None,
    ) -> None:
        """As `Client.save`."""
        await self._save(recipe, path, where, verify, progress)
