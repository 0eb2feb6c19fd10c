"""Slicers: functions that give slices of tensors, generated here or fetched from a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from fanin import arrays
from fanin.arrays import Array
from fanin.client.client import Client
from fanin.file.layout import FileLayout
from fanin.region import Index

Service = Client | str
"""A service that generates tensors: its URL, or a client of it."""
Slicer = Callable[[FileLayout, str, Index], Array]
"""Returns `materialize(layout)[name][index]`, and generates or fetches no other elements."""


@contextmanager
def slicer(service: Service | None = None, *, backend: str | None = None) -> Iterator[Slicer]:
    """Yield a function that returns slices from `service`, or generates them here if that is `None`.

    At the end, connections that were opened for a URL are closed. Those of a client stay open.

    Args:
        service: The URL of a service, or a client.
        backend: Name of the backend for tensors that are generated here. It cannot be given beside a client.

    Raises:
        ValueError: the URL is not one of a service, or a backend is given beside a client.
    """
    if service is None:
        yield partial(arrays.slice, backend=backend)
    elif isinstance(service, Client):
        if backend is not None:
            raise ValueError(f"backend: {backend!r} cannot be combined with a client: pass backend to fanin.Client")
        yield service.slice
    else:
        with Client(service, backend=backend) as client:
            yield client.slice
