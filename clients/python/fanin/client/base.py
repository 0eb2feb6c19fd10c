"""The operations of `Client` and `AsyncClient`, which differ only in how they wait."""

from __future__ import annotations

import json
import logging
import os
import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

import numpy as np

from fanin import arrays
from fanin.arrays import Array
from fanin.backends import memory, pairs
from fanin.client.artifacts import Following, request_of
from fanin.client.coalesce import spans
from fanin.client.connection import Connection
from fanin.client.fetching import Fetching
from fanin.client.retries import Retries
from fanin.client.runtime import Runtime
from fanin.client.service import Place, Service
from fanin.client.transport import CONNECTIONS, StrPath, ssl_context
from fanin.client.verification import Verify
from fanin.errors import UnavailableError
from fanin.file import archive, disk
from fanin.file.atomic import real
from fanin.file.digests import Manifest
from fanin.file.layout import Entry, FileLayout, FileLayoutLike
from fanin.file.shards import LITERALS
from fanin.recipe import Recipe, RecipeLike, as_recipe, formatting
from fanin.region import Index, Region

Where = Literal["auto", "remote", "local"]
"""Place at which bytes are generated: `remote` by the service, `local` by this process, `auto` by the service, or by
this process if the service cannot be reached or is overloaded."""

LONGEST = 10**9
"""Longest timeout in seconds. Sockets do not accept one of 300 years or more."""

T = TypeVar("T")
SomeTransport = TypeVar("SomeTransport")
_log = logging.getLogger("fanin")


class Recorded(Protocol):
    """A model as `fanin.torch.record`, `fanin.jax.record` or `fanin.keras.record` returns it."""

    @property
    def recipe(self) -> Recipe: ...

    def literals_file(self) -> bytes | None:
        """A safetensors file of the tensors that the recipe does not describe; None if there are none."""


class ClientBase(ABC, Generic[SomeTransport]):
    """The operations of a client, as coroutines over a runtime."""

    def __init__(
        self,
        url: str,
        *,
        where: Where = "auto",
        verify: Verify = "none",
        timeout: float = 30.0,
        retries: int = 5,
        backoff: float = 0.2,
        patience: float = 120.0,
        connections: int = 1,
        request_bytes: int = 8 << 20,
        backend: str | None = None,
        token: str | None = None,
        ca_certs: StrPath | None = None,
        client_cert: tuple[StrPath, StrPath] | None = None,
        transport: SomeTransport | None = None,
    ) -> None:
        """
        Args:
            url: Root of the service, http://127.0.0.1:8000 for example.
            where: Where bytes are generated. A call can override it.
            verify: How received bytes are checked. A call can override it.
            timeout: Seconds to wait for a connection, and for each next byte.
            retries: Further attempts after a lost connection or a response of 429, 502, 503 or 504 without progress.
            backoff: Seconds before the first of them, doubled for each next one. `Retry-After` replaces it.
            patience: Seconds without a byte of a file after which no attempt begins. A call to a service that sends
                nothing ends within `patience + 4 * timeout` seconds.
            connections: Number of connections that fetch parts of one file or array at the same time, 1 to 16. More
                than one helps where a single stream is slower than the network.
            request_bytes: Size of such a part, and of a request for a slice with gaps.
            backend: Name of the backend that generates tensors here. The default is the fastest that is available.
            token: API key or other bearer token. The default is the environment variable FANIN_TOKEN. It is sent to the
                origin of `url` and nowhere else.
            ca_certs: File of certificates in PEM to trust, in place of the system's.
            client_cert: Files in PEM of a certificate to show, and of its key.
            transport: Sends the requests (`fanin.client.messages`), in place of an HTTP library. It must implement
                `timeout` and certificates itself.

        Raises:
            ValueError: an argument is not allowed, or a file cannot be used.
        """
        self.where, self.verify, self.backend = (
            _one_of("where", where, Where),
            _one_of("verify", verify, Verify),
            backend,
        )
        for name, value, is_allowed, allowed in (
            (
                "timeout",
                timeout,
                _is_number(timeout) and 0 < timeout <= LONGEST,
                f"above 0, and at most {LONGEST:,} seconds",
            ),
            ("retries", retries, _is_integer(retries) and retries >= 0, "an integer, 0 or more"),
            ("backoff", backoff, _is_number(backoff) and backoff >= 0, "0 or more"),
            ("patience", patience, _is_number(patience) and patience >= 0, "0 or more"),
            (
                "connections",
                connections,
                _is_integer(connections) and 1 <= connections <= CONNECTIONS,
                f"an integer from 1 to {CONNECTIONS}",
            ),
            (
                "request_bytes",
                request_bytes,
                _is_integer(request_bytes) and request_bytes >= 1,
                "an integer, 1 or more",
            ),
        ):
            if not is_allowed:
                raise ValueError(f"{name} must be {allowed}, not {value!r}")
        context = ssl_context(ca_certs, client_cert)
        self._runtime = self._over(transport, timeout, context)
        token = os.environ.get("FANIN_TOKEN") if token is None else token
        self._service = Service(
            Connection(url, self._runtime, token=token), Retries(retries, backoff, patience), connections, request_bytes
        )

    @abstractmethod
    def _over(self, transport: SomeTransport | None, timeout: float, context: ssl.SSLContext | None) -> Runtime:
        """Return the runtime over this transport, by default one of an HTTP library."""

    async def _layout(self, recipe: FileLayoutLike) -> FileLayout:
        return await self._runtime.call(lambda: FileLayout.of(recipe))

    async def _register(self, recipe: FileLayoutLike) -> str:
        return await self._service.register(await self._layout(recipe))

    async def _digests(self, recipe: FileLayoutLike) -> Manifest:
        return await self._service.digests(await self._layout(recipe))

    async def _push(
        self, name: str, recipe: Mapping[str, Any] | str | bytes | Recorded, files: Mapping[str, bytes] | None
    ) -> dict[str, Any]:
        if any(part in ("", ".", "..") for part in name.split("/")):
            # In a URL these parts vanish (RFC 3986 section 5.2.4), and another model would be replaced.
            raise ValueError(f"name: {name!r} is not name or namespace/name")
        packed = await self._runtime.call(lambda: _packed(recipe, files))
        return await self._service.put_model(name, packed)

    async def _artifact(
        self,
        recipe: RecipeLike | None,
        destination: str,
        model: str | None,
        revision: str | None,
        format: str,
        shard_size: int | str | None,
    ) -> Following:
        request = await self._runtime.call(lambda: request_of(recipe, destination, model, revision, format, shard_size))
        return await Following.begin(self._service, request)

    async def _materialize(
        self, recipe: FileLayoutLike, where: Where | None, verify: Verify | None, progress: bool | None
    ) -> dict[str, Array]:
        layout = await self._layout(recipe)

        async def remote(service: Service) -> dict[str, Array]:
            start = len(layout.header)
            data = np.empty(layout.size - start, np.uint8)
            with disk.byte_bar(len(data), "fanin", progress) as bar:
                await self._fetching(service, layout, verify).into_array(start, data, bar.update)
            return {name: _view(layout.entry(name), data, start) for name in layout.recipe.tensors}

        async def local() -> dict[str, Array]:
            return await self._runtime.call(lambda: arrays.materialize(layout, backend=self.backend))

        return await self._generated(where, remote, local)

    async def _slice(
        self, recipe: FileLayoutLike, name: str, index: Index, where: Where | None, verify: Verify | None
    ) -> Array:
        layout = await self._layout(recipe)
        entry = layout.entry(name)
        region = Region.of(entry.shape, index)

        async def remote(service: Service) -> Array:
            dtype, fetching = entry.dtype, self._fetching(service, layout, verify)
            result = memory.empty(region.count, dtype)
            for first, stop, members in spans(region, dtype.itemsize, service.request_bytes):
                first -= first % dtype.in_file.elements  # the first element of a byte
                begin, end = dtype.file_bytes(first), dtype.file_bytes(stop)
                data = np.empty(end - begin, np.uint8)
                await fetching.into_array(entry.start + begin, data)
                elements = pairs.unpacked(data, dtype).view(dtype.numpy)
                for at, run in members:
                    low, high = run.span
                    picked = elements[low - first : high - first : abs(run.step)]
                    result[at : at + run.count] = picked if run.step > 0 else picked[::-1]
            return result.reshape(region.shape)

        async def local() -> Array:
            return await self._runtime.call(lambda: arrays.slice(layout, name, index, backend=self.backend))

        return await self._generated(where, remote, local)

    async def _save(
        self,
        recipe: FileLayoutLike,
        path: str | os.PathLike[str],
        where: Where | None,
        verify: Verify | None,
        progress: bool | None,
    ) -> None:
        layout, target = await self._layout(recipe), real(path)

        async def remote(service: Service) -> None:
            await self._fetching(service, layout, verify).into_file(target, progress)

        async def local() -> None:
            steps = disk.saving(layout, target, backend=self.backend, progress=progress)
            try:
                while await self._runtime.call(lambda: next(steps, False)):
                    pass
            finally:
                steps.close()
            await self._runtime.call(lambda: disk.discard_partial(target, layout))

        await self._generated(where, remote, local)

    async def _download(
        self, url: str, path: str | os.PathLike[str], verify: Verify | None, progress: bool | None
    ) -> None:
        if self._level(verify) == "digest":
            raise ValueError('verify="digest" needs a recipe: for a URL it is "none", "sample" or "full"')
        layout, at = await self._service.layout_at(url)
        await self._fetching(self._service, layout, verify, at).into_file(real(path), progress)

    async def _generated(
        self,
        where: Where | None,
        remote: Callable[[Service], Awaitable[T]],
        local: Callable[[], Awaitable[T]],
    ) -> T:
        where = self.where if where is None else _one_of("where", where, Where)
        if where == "local":
            return await local()
        if where == "remote":
            return await remote(self._service)
        try:
            return await remote(self._service.replaceable())
        except UnavailableError as error:
            _log.warning("the service is not available, so this process generates the weights: %s", error)
        return await local()

    def _fetching(
        self, service: Service, layout: FileLayout, verify: Verify | None, at: Place | None = None
    ) -> Fetching:
        return Fetching(service, layout, self._level(verify), self.backend, at)

    def _level(self, verify: Verify | None) -> Verify:
        return self.verify if verify is None else _one_of("verify", verify, Verify)


def _packed(recipe: Mapping[str, Any] | str | bytes | Recorded, files: Mapping[str, bytes] | None) -> bytes:
    """Return the archive of a model."""
    given = dict(files or {})
    if isinstance(recipe, Recipe):
        raise TypeError("push needs a recording, or JSON such as fanin.recipe.formatting.text(recipe)")
    if not isinstance(recipe, Mapping | str | bytes):
        if (literals := recipe.literals_file()) is not None:
            given[LITERALS] = literals
        recipe = formatting.text(recipe.recipe)
    as_recipe(recipe)
    text = json.dumps(recipe, ensure_ascii=False) if isinstance(recipe, Mapping) else recipe
    content = text.encode() if isinstance(text, str) else text
    return archive.pack({**given, "recipe.json": content})


def _view(entry: Entry, data: np.ndarray[Any, np.dtype[np.uint8]], start: int) -> Array:
    """Return the tensor in `data`, the file's bytes from `start` on."""
    return entry.array(data[entry.start - start : entry.stop - start])


def _is_number(value: object) -> bool:
    """Return whether a value is a real number of Python or NumPy, and not a boolean."""
    return hasattr(value, "__float__") and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    """Return whether a value is an integer of Python or NumPy, and not a boolean."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _one_of(argument: str, value: T, literal: Any) -> T:
    if value not in get_args(literal):
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, get_args(literal)))}, not {value!r}")
    return value
