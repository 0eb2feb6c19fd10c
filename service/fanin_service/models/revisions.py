"""Revisions: the seed, storage type and size of files of a model, by name and by commit id.

A commit id is not an entry in a table. It encodes everything that decides the bytes of a revision, and can be decoded
without a look-up.

    bytes  0 .. 9   the model's content, and how its files are created from it
    bytes 10 .. 17  the seed
    bytes 18 .. 19  3 bits of storage type, 3 of unit and 10 of number of the size
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self, cast

from fanin.dtypes import DTypeName
from fanin.recipe import MAX_SEED

DTYPE_CODES: dict[str, int] = {"F64": 1, "F32": 2, "F16": 3, "BF16": 4, "F8_E4M3": 5, "F8_E5M2": 6, "C64": 7}
"""Storage types that a revision can choose, with their numbers in commit ids, which have three bits for it."""
MAIN = "main"
"""The default revision: the recipe as it was uploaded, in files of the usual size."""
RULE = (
    "a revision is main, or seed-N, with a storage type and a size of files if need be, as in seed-42-bf16-5gb:"
    f" N from 0 to 2^64 - 1; {', '.join(name.lower() for name in DTYPE_CODES)}; 1kb to 999mb or 1gb to 49gb"
)
CONTENT_BYTES = 10

_UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9}
_MAX_NUMBER = {"kb": 999, "mb": 999, "gb": 49}
"""Maximum number of each unit. Clients of the Hugging Face Hub refuse files above 50 GB over HTTP, and a file also has
a header."""
_REVISION = re.compile(
    rf"seed-(0|[1-9][0-9]{{0,19}})(?:-({'|'.join(name.lower() for name in DTYPE_CODES)}))?"
    rf"(?:-([1-9][0-9]{{0,2}})({'|'.join(_UNITS)}))?",
    re.ASCII,
)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShardSize:
    """Maximum bytes of tensors in one file: a number of a unit."""

    number: int
    unit: str

    def __str__(self) -> str:
        return f"{self.number}{self.unit}"

    @property
    def bytes(self) -> int:
        return self.number * _UNITS[self.unit]

    @property
    def is_valid(self) -> bool:
        return 1 <= self.number <= _MAX_NUMBER.get(self.unit, 0)


USUAL = ShardSize(5, "gb")


@dataclass(frozen=True, slots=True)
class Revision:
    """A choice of the parameters that a model leaves open."""

    seed: int
    dtype: DTypeName
    """Storage type of the tensors that do not specify one."""
    size: ShardSize = USUAL

    def __str__(self) -> str:
        return f"seed-{self.seed}-{self.dtype.lower()}-{self.size}"

    def named(self, text: str) -> Self | None:
        """Return the revision that `text` names, of a model whose `main` is this one; None if it names none."""
        if text == MAIN:
            return self
        match = _REVISION.fullmatch(text)
        if match is None or int(match[1]) > MAX_SEED:
            return None
        found = replace(self, seed=int(match[1]), size=USUAL)
        if match[2]:
            found = replace(found, dtype=cast(DTypeName, match[2].upper()))
        if match[3]:
            found = replace(found, size=ShardSize(int(match[3]), match[4]))
        return found if found.size.is_valid else None

    def commit(self, content: bytes) -> str:
        """Return the commit id of this revision. `content` has the `CONTENT_BYTES` bytes that represent the content."""
        options = DTYPE_CODES[self.dtype] << 13 | _UNIT_CODES[self.size.unit] << 10 | self.size.number
        return (content + self.seed.to_bytes(8, "big") + options.to_bytes(2, "big")).hex()


_UNIT_CODES = {"kb": 1, "mb": 2, "gb": 3}
_DTYPES = {code: name for name, code in DTYPE_CODES.items()}
_UNIT_NAMES = {code: name for name, code in _UNIT_CODES.items()}


def is_revision(text: str) -> bool:
    """Return whether this has the form of a revision's name or commit id."""
    return text == MAIN or _REVISION.fullmatch(text) is not None or is_commit(text)


def is_commit(text: str) -> bool:
    """Return whether this has the form of a commit id."""
    return _COMMIT.fullmatch(text) is not None


def read_commit(text: str) -> tuple[bytes, Revision] | None:
    """Return the content's bytes and the revision in a commit id; None if this service did not create the id."""
    if not is_commit(text):
        return None
    raw = bytes.fromhex(text)
    options = int.from_bytes(raw[18:], "big")
    dtype = _DTYPES.get(options >> 13)
    size = ShardSize(options & 0x3FF, _UNIT_NAMES.get(options >> 10 & 7, ""))
    if dtype is None or not size.is_valid:
        return None
    return raw[:CONTENT_BYTES], Revision(int.from_bytes(raw[10:18], "big"), cast(DTypeName, dtype), size)
