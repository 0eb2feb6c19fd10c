"""The client: weights from a Fanin service, or the very same bytes made here."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, Self, TypeVar, get_args
from urllib.parse import quote

import numpy as np

from fanin import archive, arrays, backends, files
from fanin.arrays import Array
from fanin.client import verification
from fanin.client.coalesce import spans
from fanin.client.service import Place, Remote
from fanin.client.transport import CONNECTIONS, Transport
from fanin.client.verification import CHECKS, SAMPLE, Check, Piece
from fanin.digests import Manifest
from fanin.errors import MismatchError, UnavailableError
from fanin.file_layout import Entry, FileLayout, FileLayoutLike
from fanin.recipe import Recipe, as_recipe, formatting
from fanin.region import Index, Region
from fanin.shards import LITERALS

Source = Literal["auto", "remote", "local"]

REFETCHES = 2
"""Times that bytes found wrong are fetched again before giving up."""

T = TypeVar("T")


class Recorded(Protocol):
    """A model as `fanin.torch.record` and its likes return it."""

    @property
    def recipe(self) -> Recipe: ...

    def literals_file(self) -> bytes | None:
        """A safetensors file of the tensors that the recipe does not say; none if there are none."""


_log = logging.getLogger("fanin")


class Client:
    """Weights from the Fanin service at `url`.

    `source` says where they are made: `remote` by the service, `local` on this machine, `auto` by the service and
    here when the service cannot be reached or is overloaded. The bytes are the same.

    `check` looks at what the service sent: True makes all of it here too, "digest" compares its SHA-256 with what the
    service says (faster where there are no compiled kernels), "sample" makes the beginning and the end of every range.
    What is wrong is fetched again (not with "sample"); `MismatchError` says that it stays so.

        >>> with fanin.Client("http://127.0.0.1:8000") as client:
        ...     client.save(recipe, "model.safetensors", check=True)
    """

    def __init__(
        self,
        url: str,
        *,
        source: Source = "auto",
        check: Check = False,
        timeout: float = 30.0,
        retries: int = 5,
        connections: int = 1,
        backend: str | None = None,
        token: str | None = None,
        ca_certs: str | os.PathLike[str] | None = None,
        client_cert: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> None:
        """
        Args:
            url: Root of the service, such as http://127.0.0.1:8000.
            source: Default of every call.
            check: Default of every call.
            timeout: Seconds to wait for a connection, and for each next byte.
            retries: Tries after a lost connection or an answer of 429, 502, 503 or 504 before giving up, and as many
                again when the recipe has been told once more.
            connections: How many fetch parts of one file or array at the same time, 1 to 16. More than one helps where
                a single stream is slower than the network.
            backend: What makes tensors here, for `local` and `check`; by default the fastest there is.
            token: API key or other bearer token; by default the environment variable FANIN_TOKEN. Sent to the origin
                of `url` and nowhere else.
            ca_certs: File of certificates in PEM to trust, in place of the system's.
            client_cert: Files in PEM of a certificate to show, and of its key.

        Raises:
            ValueError: an argument is not one of these, or a file cannot be used.
        """
        if check not in CHECKS:
            raise ValueError(f"check is one of {', '.join(map(repr, CHECKS))}, not {check!r}")
        if connections not in range(1, CONNECTIONS + 1):
            raise ValueError(f"connections is an integer from 1 to {CONNECTIONS}, not {connections!r}")
        self.source, self.check, self.backend = _known(source), check, backend
        self._transport = Transport(
            url,
            timeout=timeout,
            retries=retries,
            token=os.environ.get("FANIN_TOKEN") if token is None else token,
            ca_certs=ca_certs,
            client_cert=client_cert,
        )
        self._remote = Remote(self._transport, connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def register(self, recipe: FileLayoutLike) -> str:
        """Tell the service a recipe; returns its digest, under which the service then has a URL for its file.

        Raises:
            RecipeError: the recipe is wrong.
            ServiceError: the service refused it, or knows it by another digest.
        """
        return self._remote.register(FileLayout.of(recipe))

    def push(
        self, name: str, recipe: Mapping[str, Any] | str | bytes | Recorded, files: Mapping[str, bytes] | None = None
    ) -> dict[str, Any]:
        """Let the service keep a model under a name, in place of what it stood for; returns what it says of it.

        Args:
            name: `name` or `namespace/name`.
            recipe: JSON, or what it spells. Its seed and its `dtype` are those of the revision `main`; other revisions
                choose others, but for tensors that give a storage type of their own. Or a recording, whose literals are
                then part of the model.
            files: Small files to be served beside the weights, such as config.json and a tokenizer's, by name.
                `literals.safetensors` are tensors that the recipe does not say, as `fanin recipe --literals` writes
                them: they are served as one more file of weights.

        Raises:
            RecipeError: the recipe is wrong.
            ServiceError: the service refused, or could not be reached.
            ValueError: `name` has an empty part, or one that is . or ..
            TypeError: `recipe` is a `Recipe`, which does not say whether literals belong to it.
        """
        if any(part in ("", ".", "..") for part in name.split("/")):
            # In a URL these parts vanish (RFC 3986 section 5.2.4), and another model would be replaced.
            raise ValueError(f"name: {name!r} is not name or namespace/name")
        given = dict(files or {})
        if isinstance(recipe, Recipe):
            raise TypeError(
                "push takes a recording, with its literals, or JSON, such as recipe.formatting.text(recipe)"
            )
        if not isinstance(recipe, Mapping | str | bytes):
            if (literals := recipe.literals_file()) is not None:
                given[LITERALS] = literals
            recipe = formatting.text(recipe.recipe)
        as_recipe(recipe)
        text = json.dumps(recipe, ensure_ascii=False) if isinstance(recipe, Mapping) else recipe
        content = text.encode() if isinstance(text, str) else text
        packed = archive.pack({**given, "recipe.json": content})
        return self._transport.put(f"v1/models/{quote(name)}", packed, archive.MEDIA_TYPE)

    def digests(self, recipe: FileLayoutLike) -> Manifest:
        """SHA-256 of the recipe's file and of its blocks, as the service computes them; that may take it a while.

        Raises:
            FileError: the service sent something else.
            RecipeError: the recipe is wrong.
            ServiceError: the service refused, or got no further.
        """
        return self._remote.digests(FileLayout.of(recipe))

    def download(
        self, url: str, path: str | os.PathLike[str], *, check: Check | None = None, progress: bool | None = None
    ) -> None:
        """Write the Fanin file at `url`, of a service or of any server with ranges, to `path`, as `save` does.

        A file that is replaced during the download is refused, if the server sends `ETag` or `Last-Modified`.

        Raises:
            FileError: there is no Fanin file at this URL.
            ValueError: `check` is "digest": digests are had by recipe, not by URL. Or the URL is not one of HTTP, or it
                has a user or a password.
            ServiceError, MismatchError, BackendError, OSError: as `save`.
        """
        if (self.check if check is None else check) == "digest":
            raise ValueError("check='digest' needs a recipe: for a URL it is True, False or 'sample'")
        layout, at = self._remote.layout_at(url)
        self._complete(layout, Path(path).resolve(), at, check, progress)

    def materialize(
        self,
        recipe: FileLayoutLike,
        *,
        source: Source | None = None,
        check: Check | None = None,
        progress: bool | None = None,
    ) -> dict[str, Array]:
        """Every tensor of the recipe as a NumPy array.

        Raises:
            RecipeError, ServiceError, MismatchError, BackendError: as the class says.
        """
        layout = FileLayout.of(recipe)

        def remote() -> dict[str, Array]:
            start = len(layout.header)
            data = np.empty(layout.size - start, np.uint8)
            with files.byte_bar(len(data), "fanin", progress) as bar:
                self._read(layout, start, data, check, bar.update)
            return {name: _view(layout.entry(name), data, start) for name in layout.recipe.tensors}

        return self._made(source, remote, lambda: arrays.materialize(layout, backend=self.backend))

    def tensor(
        self, recipe: FileLayoutLike, name: str, *, source: Source | None = None, check: Check | None = None
    ) -> Array:
        """One tensor of the recipe; fetches its bytes only.

        Raises:
            KeyError: the recipe has no tensor of this name.
            RecipeError, ServiceError, MismatchError, BackendError: as the class says.
        """
        return self.slice(recipe, name, ..., source=source, check=check)

    def slice(
        self,
        recipe: FileLayoutLike,
        name: str,
        index: Index,
        *,
        source: Source | None = None,
        check: Check | None = None,
    ) -> Array:
        """`materialize(recipe)[name][index]`; fetches its bytes only, and gaps of up to 128 KiB between them.

        Takes integers, slices with any step and an ellipsis.

        Raises:
            KeyError: the recipe has no tensor of this name.
            IndexError: the index does not fit the tensor.
            RecipeError, ServiceError, MismatchError, BackendError: as the class says.
        """
        layout = FileLayout.of(recipe)
        entry = layout.entry(name)
        region = Region.of(entry.shape, index)

        def remote() -> Array:
            size = entry.dtype.itemsize
            result = arrays.empty(region.count, entry.dtype)
            for first, stop, members in spans(region, size):
                data = np.empty((stop - first) * size, np.uint8)
                self._read(layout, entry.start + first * size, data, check)
                elements = data.view(entry.dtype.numpy)
                for at, run in members:
                    low, high = run.span
                    picked = elements[low - first : high - first : abs(run.step)]
                    result[at : at + run.count] = picked if run.step > 0 else picked[::-1]
            return result.reshape(region.shape)

        return self._made(source, remote, lambda: arrays.slice(layout, name, index, backend=self.backend))

    def save(
        self,
        recipe: FileLayoutLike,
        path: str | os.PathLike[str],
        *,
        source: Source | None = None,
        check: Check | None = None,
        progress: bool | None = None,
    ) -> None:
        """Write the recipe's file to `path`, all or nothing.

        What a broken download had received stays beside `path` and the next call goes on from there.

        Raises:
            BlockingIOError: another process is downloading the same file to the same place.
            OSError: the file cannot be written.
            RecipeError, ServiceError, MismatchError, BackendError: as the class says.
        """
        layout, path = FileLayout.of(recipe), Path(path).resolve()

        def local() -> None:
            files.save(layout, path, backend=self.backend, progress=progress)
            files.discard_partial(path, layout)

        self._made(source, lambda: self._complete(layout, path, None, check, progress), local)

    def _complete(
        self, layout: FileLayout, path: Path, at: Place | None, check: Check | None, progress: bool | None
    ) -> None:
        """Fetch what is missing of the file, from a URL or the service, and put it in place."""
        with files.resuming(path, layout) as (file, have), files.byte_bar(layout.size, path.name, progress) as bar:
            have = self._trusted(layout, file, have)
            bar.update(have)

            def sink(chunk: bytes | memoryview) -> None:
                file.write(chunk)
                bar.update(len(chunk))

            def read(first: int, stop: int) -> bytes:
                file.seek(first)
                return file.read(stop - first)

            def write(first: int, content: bytes) -> None:
                file.seek(first)
                file.write(content)

            self._remote.fetch(layout, have, layout.size, sink, at)
            self._check(layout, 0, layout.size, check, read, write, at)

    def _trusted(self, layout: FileLayout, file: BinaryIO, have: int) -> int:
        """How many bytes of a broken download to keep: none if its last ones, which a crash may lose, are wrong."""
        if not have:
            return 0
        first = max(0, have - SAMPLE)
        file.seek(first)
        try:
            verification.look_at(layout, Piece(first, have), file.read(have - first), backends.get(self.backend))
        except MismatchError:
            have = 0
        file.truncate(have)
        file.seek(have)
        return have

    def _made(self, source: Source | None, remote: Callable[[], T], local: Callable[[], T]) -> T:
        source = self.source if source is None else _known(source)
        if source == "local":
            return local()
        try:
            return remote()
        except UnavailableError as error:
            if source == "remote":
                raise
            _log.warning("the service cannot serve, so the weights are made here: %s", error)
            return local()

    def _read(
        self,
        layout: FileLayout,
        start: int,
        out: np.ndarray[Any, np.dtype[np.uint8]],
        check: Check | None,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Fill `out` with the file's bytes from `start` on."""
        at = 0
        view = out.data

        def sink(chunk: bytes | memoryview) -> None:
            nonlocal at
            view[at : at + len(chunk)] = chunk
            at += len(chunk)
            progress(len(chunk))

        def read(first: int, stop: int) -> memoryview:
            return view[first - start : stop - start]

        def write(first: int, content: bytes) -> None:
            view[first - start : first - start + len(content)] = content

        self._remote.fetch(layout, start, start + len(out), sink)
        self._check(layout, start, start + len(out), check, read, write)

    def _check(
        self,
        layout: FileLayout,
        start: int,
        stop: int,
        check: Check | None,
        read: Callable[[int, int], bytes | memoryview],
        write: Callable[[int, bytes], None],
        at: Place | None = None,
    ) -> None:
        """Check bytes [start, stop) of the file, which `read` gives, and replace through `write` those that are wrong.

        Raises:
            MismatchError: they are wrong again and again.
        """
        check = self.check if check is None else check
        for piece in verification.pieces(layout, start, stop, self.digests(layout) if check == "digest" else check):
            backend = backends.get(self.backend)  # only where bytes are checked: it may warn that it is slow
            refetches = 0 if check == "sample" else REFETCHES
            while True:
                try:
                    verification.look_at(layout, piece, read(piece.start, piece.stop), backend)
                    break
                except MismatchError as error:
                    if not refetches:
                        raise
                    refetches -= 1
                    _log.warning("received wrong, and fetched again: %s", error)
                content = bytearray()
                self._remote.fetch_part(layout, piece.start, piece.stop, content.extend, at)
                write(piece.start, bytes(content))


def _view(entry: Entry, data: np.ndarray[Any, np.dtype[np.uint8]], start: int) -> Array:
    """The tensor in `data`, the file's bytes from `start` on."""
    return data[entry.start - start : entry.stop - start].view(entry.dtype.numpy).reshape(entry.shape)


def _known(source: Source) -> Source:
    if source not in get_args(Source):
        raise ValueError(f"source is one of {', '.join(get_args(Source))}, not {source!r}")
    return source
