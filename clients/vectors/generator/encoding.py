"""The format of vector files: bits and words in hexadecimal, one vector a line."""

from __future__ import annotations

import json
from typing import Any

from fanin import backends
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into


def data_of(layout: FileLayout, start: int = 0, stop: int | None = None) -> bytearray:
    """Bytes [start, stop) of the tensors in this file, by the reference backend."""
    header = len(layout.header)
    data = bytearray((layout.size - header if stop is None else stop) - start)
    read_into(layout, header + start, memoryview(data), backends.get("reference"))
    return data


def hexadecimal(words: list[int] | tuple[int, ...]) -> list[str]:
    return [f"{word:08x}" for word in words]


def elements(data: bytes | bytearray, size: int) -> list[str]:
    """The bits of each little-endian element of `size` bytes as a hexadecimal number."""
    return [bytes(reversed(data[start : start + size])).hex() for start in range(0, len(data), size)]


def lines(vectors: list[Any] | dict[str, Any]) -> str:
    """JSON with one vector a line."""
    items = (
        [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in vectors.items()]
        if isinstance(vectors, dict)
        else [json.dumps(vector, ensure_ascii=False) for vector in vectors]
    )
    opening, closing = "{}" if isinstance(vectors, dict) else "[]"
    return f"{opening}\n" + ",\n".join(items) + f"\n{closing}\n"
