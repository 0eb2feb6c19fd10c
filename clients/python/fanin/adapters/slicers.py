"""Sources: whence slices of tensors come, for what fills arrays of a framework part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from fanin import arrays
from fanin.arrays import Array
from fanin.client.client import Client
from fanin.file_layout import FileLayout
from fanin.region import Index

Source = Client | str
"""`"local"`: made here; the URL of a service, or a client: fetched from there."""
Slicer = Callable[[FileLayout, str, Index], Array]
"""Gives `materialize(layout)[name][index]` and makes, or fetches, no other elements."""


@contextmanager
def slicer(source: Source = "local", *, backend: str | None = None) -> Iterator[Slicer]:
    """What gives slices from `source`. Connections are closed at the end; those of a client are the caller's.

    `backend` makes what is made here; a client has its own.

    Raises:
        ValueError: the source is neither "local" nor a URL.
    """
    if source == "local":
        yield partial(arrays.slice, backend=backend)
    elif isinstance(source, Client):
        yield source.slice
    else:
        with Client(source, backend=backend) as client:
            yield client.slice
