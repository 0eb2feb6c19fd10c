"""Fixtures that the cases of JAX and Keras share; neither is imported here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fanin import arrays as host


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Elements of each call of the backend."""
    calls: list[int] = []
    original = host.backends.get()

    class Counting(host.backends.ForwardingBackend):
        def _generate(self, draw: Any, stream: Any, dtype: Any, first: int, out: memoryview) -> None:
            calls.append(len(out) // dtype.itemsize)
            super()._generate(draw, stream, dtype, first, out)

    monkeypatch.setattr(host.backends, "get", lambda _name=None: Counting(original))
    return calls
