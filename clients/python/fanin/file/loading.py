"""Loading: the arrays of a Fanin file, and the recipe in its header."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np

from fanin import backends
from fanin.arrays import Array
from fanin.backends.memory import aligned
from fanin.errors import FileError
from fanin.file.atomic import naming
from fanin.file.disk import CHUNK, layout_of_file, mismatch, size_of
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.recipe import Recipe

Check = Literal["none", "sample", "full"]
"""Level of the check of a file against its recipe: its header and length, samples of its bytes too, or all bytes."""
SAMPLES, SAMPLE = 64, 4096
"""Number of places in a file that `sample` generates again, and the bytes of each."""


class Loaded(NamedTuple):
    """The contents of a Fanin file."""

    arrays: dict[str, Array]
    """The tensors by name, in the order of the recipe in the header, which is that of the names."""
    recipe: Recipe
    """The recipe in the header."""


def load(path: str | os.PathLike[str], *, verify: Check = "none", backend: str | None = None) -> Loaded:
    """Return the arrays of a Fanin file in memory, and the recipe in its header.

        >>> arrays, recipe = load("step-0.safetensors", verify="sample")

    BF16, F8 and F4 tensors have the NumPy types of `ml_dtypes`. The arrays share one allocation, except for F4.

    Args:
        path: A file that `save`, a client or a service has written.
        verify: `none` compares the header and the length of the file with the recipe. `sample` also generates 64 places
            of 4 KiB again and compares them. A place in an orthogonal matrix takes the time of the matrix. `full`
            generates and compares all bytes.
        backend: Name of the backend that generates them.

    Raises:
        ValueError: `verify` is not one of these.
        FileError: the file is not a Fanin file, or has another length than its recipe gives.
        MismatchError: a byte differs from the recipe's; the error names the first tensor and element.
        BackendError: the backend cannot be used here.
        OSError: the file cannot be read.
    """
    if verify not in get_args(Check):
        raise ValueError(f"verify: {verify!r} is not one of {', '.join(get_args(Check))}")
    with naming(path), open(path, "rb") as file:
        size, layout = size_of(file), layout_of_file(file)
        start = len(layout.header)
        if size != layout.size:
            raise FileError(f"the file has {size} bytes, its recipe makes {layout.size}")
        file.seek(0)
        if (header := file.read(start)) != layout.header:
            raise mismatch(layout, 0, header, layout.header)
        memory = aligned(size - start)
        if (received := file.readinto(memory.data)) != len(memory):
            raise FileError(f"the file ends after {start + received} of {size} bytes")
    if verify != "none":
        maker = backends.get(backend)
        for first, stop in _places(layout, verify):
            wanted = np.empty(stop - first, np.uint8).data
            read_into(layout, first, wanted, maker)
            found = memory.data[first - start : stop - start]
            if found != wanted:
                raise mismatch(layout, first, found, wanted)
    arrays = {}
    for name in layout.recipe.tensors:
        entry = layout.entry(name)
        data = memory[entry.start - start : entry.stop - start]
        arrays[name] = entry.array(data)
    return Loaded(arrays, layout.recipe)


def _places(layout: FileLayout, verify: Check) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes that are compared, behind the header."""
    start, stop = len(layout.header), layout.size
    length = SAMPLE if verify == "sample" and stop - start > SAMPLES * SAMPLE else CHUNK
    count = SAMPLES if length == SAMPLE else -(-(stop - start) // CHUNK)
    for number in range(count):
        first = start + (number * (stop - start - length) // (SAMPLES - 1) if length == SAMPLE else number * CHUNK)
        yield first, min(first + length, stop)
