"""The file of literals of a checkpoint of torch.distributed.checkpoint: a table of the tensors, then their archives."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping

from fanin.artifact.formats.dcp.archived import ARCHIVE_BYTES, Archived, Kind
from fanin.dtypes import PACKED, STORAGE
from fanin.errors import FileError

_BITS = (8, 16, 32, 64)
TYPES = {name: (dtype.numpy.name, dtype.itemsize) for name, dtype in STORAGE.items() if name not in PACKED} | {
    "BOOL": ("bool", 1),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 1),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 1),
    "F8_E8M0": ("float8_e8m0fnu", 1),
    **{f"I{bits}": (f"int{bits}", bits // 8) for bits in _BITS},
    **{f"U{bits}": (f"uint{bits}", bits // 8) for bits in _BITS},
}
"""Name in torch and bytes of an element of each type, by its name in a safetensors file."""


def literals_file(tensors: Mapping[str, tuple[Kind, bytes]]) -> bytes:
    """Return the file of these tensors; their bytes are little-endian and in row-major order."""
    ordered = dict(sorted(tensors.items()))
    table = json.dumps({name: kind for name, (kind, _) in ordered.items()}, ensure_ascii=False).encode()
    parts = [struct.pack("<Q", len(table)), table]
    for kind, content in ordered.values():
        archived, start = _archived(kind), 0
        for number, nbytes in enumerate(archived.nbytes):
            elements = content[start : start + nbytes]
            archive = archived.archive(number, b"")
            parts += archive.opening, elements, archive.closing(zlib.crc32(elements))
            start += nbytes
    return b"".join(parts)


def literals_of(content: bytes) -> dict[str, tuple[Archived, int]]:
    """Return the archives of each tensor in a file, by name, and the offset of the first of them."""
    (length,) = struct.unpack_from("<Q", content)
    found, offset = {}, 8 + length
    for name, (dtype, itemsize, shape) in json.loads(content[8:offset]).items():
        archived = _archived(Kind(dtype, itemsize, tuple(shape)))
        found[name] = archived, offset
        offset += sum(archived.sizes)
    return found


def read_safetensors(content: bytes) -> dict[str, tuple[Kind, bytes]]:
    """Return the tensors in a safetensors file that `sizes_in` accepts.

    Raises:
        FileError: torch has no type of a tensor, or a tensor has another size than its type and shape give.
    """
    (length,) = struct.unpack_from("<Q", content)
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        shape, elements = tuple(entry["shape"]), data[start:stop]
        if entry["dtype"] not in TYPES:
            raise FileError(f"literal {name!r} has type {entry['dtype']!r}; torch has {', '.join(TYPES)}")
        dtype, size = TYPES[entry["dtype"]]
        if len(elements) != math.prod(shape) * size:
            raise FileError(f"literal {name!r} has {len(elements)} bytes, not {math.prod(shape)} elements of {size}")
        found[name] = Kind(dtype, size, shape), elements
    return found


def _archived(kind: Kind) -> Archived:
    return Archived(kind, ARCHIVE_BYTES, 0)
