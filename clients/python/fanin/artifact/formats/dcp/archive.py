"""A file that `torch.load` reads, with one tensor: the bytes before and after its elements.

It is a ZIP archive of stored members, as `torch.save` writes it. torch is not imported, and the bytes do not depend on
its version.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import mul

from fanin.artifact.formats.dcp.pickles import Call, Global, Persistent, dumps

ALIGNMENT = 64
"""The first element is at a multiple of it in the archive, as in one of torch."""
MAX_BYTES = (1 << 32) - (1 << 20)
"""Maximum bytes of the elements. Larger archives would need ZIP64."""
_LOCAL = struct.Struct("<4s5H3I2H")
_DESCRIPTOR = struct.Struct("<4s3I")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION = 20  # version 2.0 of the format
_DATE = 1 << 5 | 1  # 1 January 1980
_CRC_FOLLOWS = 1 << 3
_PADDING = 0x4246  # the field of a member that torch pads with


@dataclass(frozen=True, slots=True)
class _Member:
    name: bytes
    offset: int
    size: int
    crc: int | None
    """None for the elements, whose CRC follows them."""

    def local(self, padding: bytes = b"") -> bytes:
        flags, size, crc = (_CRC_FOLLOWS, 0, 0) if self.crc is None else (0, self.size, self.crc)
        fields = _VERSION, flags, 0, 0, _DATE, crc, size, size, len(self.name), len(padding)
        return _LOCAL.pack(b"PK\3\4", *fields) + self.name + padding

    def central(self, crc: int) -> bytes:
        flags, crc = (_CRC_FOLLOWS, crc) if self.crc is None else (0, self.crc)
        fields = _VERSION, _VERSION, flags, 0, 0, _DATE, crc, self.size, self.size, len(self.name), 0, 0, 0, 0, 0
        return _CENTRAL.pack(b"PK\1\2", *fields, self.offset) + self.name


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of one tensor."""

    opening: bytes
    """Bytes before the elements."""
    nbytes: int
    """Bytes of the elements, which are little-endian and in row-major order."""
    _members: tuple[_Member, ...]

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return len(self.opening) + self.nbytes + len(self.closing(0))

    def closing(self, crc: int) -> bytes:
        """Return the bytes after the elements, whose CRC-32 is `crc`."""
        descriptor = _DESCRIPTOR.pack(b"PK\7\10", crc, self.nbytes, self.nbytes)
        directory = b"".join(member.central(crc) for member in self._members)
        start, count = len(self.opening) + self.nbytes + len(descriptor), len(self._members)
        return descriptor + directory + _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start, 0)


def archive(dtype: str, shape: tuple[int, ...], nbytes: int, note: bytes) -> Archive:
    """Return the archive of a tensor.

    Args:
        dtype: The name that its type has in torch, such as `bfloat16`.
        shape: Its shape.
        nbytes: Bytes of its elements, at most `MAX_BYTES`.
        note: Content of the member `fanin`, which torch does not read.
    """
    assert nbytes <= MAX_BYTES, nbytes
    opening, members = b"", []
    pickled = _pickle(dtype, shape, nbytes)
    for name, content in {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n", "fanin": note}.items():
        member = _Member(f"archive/{name}".encode(), len(opening), len(content), zlib.crc32(content))
        members.append(member)
        opening += member.local() + content
    member = _Member(b"archive/data/0", len(opening), nbytes, None)
    members.append(member)
    padding = -(len(opening) + len(member.local()) + 4) % ALIGNMENT
    opening += member.local(struct.pack("<2H", _PADDING, padding) + bytes(padding))
    return Archive(opening, nbytes, tuple(members))


@lru_cache(maxsize=4096)
def archive_size(dtype: str, shape: tuple[int, ...], nbytes: int, note: int) -> int:
    """Return the bytes of an archive; `note` is the number of bytes of its note."""
    return archive(dtype, shape, nbytes, bytes(note)).size


def _pickle(dtype: str, shape: tuple[int, ...], nbytes: int) -> bytes:
    storage = Persistent(("storage", Global("torch.storage", "UntypedStorage"), "0", "cpu", nbytes))
    hooks = Call(Global("collections", "OrderedDict"))
    arguments = storage, 0, shape, _strides(shape), False, hooks, Global("torch", dtype)
    return dumps(Call(Global("torch._utils", "_rebuild_tensor_v3"), arguments))


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    # As torch has it: an axis without positions counts as one position.
    return tuple(accumulate((max(length, 1) for length in shape[:0:-1]), mul, initial=1))[::-1] if shape else ()
