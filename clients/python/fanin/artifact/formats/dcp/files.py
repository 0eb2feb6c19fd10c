"""A checkpoint of torch.distributed.checkpoint: files of archives, and `.metadata`, which completes the artifact.

torch is not imported: writers need no torch, and the bytes do not depend on its version.
"""

from __future__ import annotations

import re
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np

from fanin.artifact.formats.base import TIED, Arrangement, Content, Given
from fanin.artifact.formats.dcp.archive import Archive
from fanin.artifact.formats.dcp.archived import Archived, Kind, check_count
from fanin.artifact.formats.dcp.literals import literals_file, literals_of, read_safetensors
from fanin.artifact.formats.dcp.metadata import Place, metadata
from fanin.backends import Backend
from fanin.dtypes import STORAGE
from fanin.errors import MismatchError
from fanin.file import shards
from fanin.file.disk import CHUNK, first_difference, mismatch_of
from fanin.file.layout import FileLayout

METADATA = ".metadata"
"""Path of the file that completes the artifact."""
_NAME = re.compile(r"__(\d+)_0\.distcp")
_NOTE = 85
"""Bytes of the note of an archive: the digest of the recipe of its file, and the number of its first element."""


class Piece(NamedTuple):
    """One archive of a tensor."""

    tensor: str
    archived: Archived
    number: int

    def archive(self, digest: str) -> Archive:
        """Return the archive; `digest` is that of the recipe of its file."""
        note = f"{digest} {self.archived.boxes[self.number].first:020}".encode()
        assert len(note) == _NOTE
        return self.archived.archive(self.number, note)


class Files(Arrangement):
    """Archives of tensors, in the order of the tensors' names, fill files up to a size."""

    NAME = "dcp"
    OPTIONS = (TIED,)
    _OF_TENSORS = ("_recipe", "_names", "_tied", "_kinds", "_tensors", "_items")

    def __init__(self, given: Given) -> None:
        self._recipe, self._most = given.recipe, given.shard_bytes
        self._names = given.recipe.tensors.sorted_names
        self._tied = _tied(given)
        self._kinds: dict[tuple[str, tuple[int, ...]], Archived] = {}
        # All archives have consecutive numbers: of each tensor, and of each item, the first one.
        self._tensors = array("Q", self._counted())
        sizes = chain.from_iterable(self._archived(name).nbytes for name in self._names)
        self._items = shards.bounds(sizes, given.shard_bytes)
        self._nbytes = array("Q", map(self._nbytes_of, range(len(self._items) - 1)))
        if given.has_literals:
            self.literals_path = self.name(len(self))
        else:
            self.check_tied({})

    def __len__(self) -> int:
        return len(self._nbytes)

    def name(self, number: int) -> str:
        return f"__{number}_0.distcp"

    def number(self, name: str) -> int | None:
        found = _NAME.fullmatch(name)
        number = int(found[1]) if found else -1
        return number if 0 <= number < len(self) and self.name(number) == name else None

    def nbytes(self, number: int) -> int:
        return self._nbytes[number]

    def total(self) -> int:
        return sum(self._nbytes)

    def content(self, number: int) -> Archives:
        pieces = tuple(self._pieces(number))
        names = dict.fromkeys(piece.tensor for piece in pieces)
        return Archives(FileLayout(self._recipe.part(names)), pieces)

    def literals(self, content: bytes) -> bytes:
        tensors = read_safetensors(content)
        self.check_tied(tensors)
        return literals_file(tensors)

    def check_tied(self, literals: Mapping[str, object]) -> None:
        """Refuse other names of tensors that do not exist.

        Raises:
            ValueError: there is one.
        """
        for name, other in self._tied.items():
            if name in literals or name in self._recipe.tensors:
                raise ValueError(f"options/tied: {name!r} is another name of {other!r}, and a tensor itself")
            if other not in literals and other not in self._recipe.tensors:
                raise ValueError(f"options/tied: {name!r} is another name of {other!r}, which is not a tensor")

    @property
    def commit_path(self) -> str:
        return METADATA

    def commit(self, read: Callable[[str], bytes]) -> bytes:
        offsets = array("Q")
        for number in range(len(self)):
            sizes = (piece.archived.sizes[piece.number] for piece in self._pieces(number))
            offsets.extend(list(accumulate(sizes, initial=0))[:-1])
        places = {name: place for place, name in enumerate(self._names)}
        literals = {} if self.literals_path is None else literals_of(read(self.literals_path))

        def archived(name: str) -> Archived:
            name = self._tied.get(name, name)
            return literals[name][0] if name in literals else self._archived(name)

        def where(name: str) -> Iterator[Place]:
            name = self._tied.get(name, name)
            if name in literals:
                assert self.literals_path is not None
                found, start = literals[name]
                for offset in list(accumulate(found.sizes, initial=start))[:-1]:
                    yield Place(self.literals_path, offset)
                return
            first = self._tensors[places[name]]
            for number in range(first, first + len(self._archived(name))):
                yield Place(self.name(bisect_right(self._items, number) - 1), offsets[number])

        return metadata((*self._names, *literals, *self._tied), archived, where)

    def _counted(self) -> Iterator[int]:
        """Yield the number of the first archive of each tensor, then that of all archives.

        Raises:
            ValueError: there are too many archives, or a tensor has a type that torch does not have.
        """
        count = 0
        yield count
        for name in self._names:
            count += len(self._archived(name))
            check_count(count, self._most)
            yield count

    def _archived(self, name: str) -> Archived:
        tensor = self._recipe.tensors[name]
        found = self._kinds.get((tensor.dtype, tensor.shape))
        if found is None:
            dtype = STORAGE[tensor.dtype]
            if dtype.in_file.is_packed:
                raise ValueError(
                    f"{name!r} has dtype {dtype.name}, of which torch has pairs only: format dcp does not have it;"
                    " format safetensors does"
                )
            kind = Kind(dtype.numpy.name, dtype.itemsize, tuple(tensor.shape))
            found = self._kinds[tensor.dtype, tensor.shape] = Archived(kind, self._most, _NOTE)
        return found

    def _pieces(self, item: int) -> Iterator[Piece]:
        """Yield the archives of an item."""
        first, last = self._items[item], self._items[item + 1]
        place = bisect_right(self._tensors, first) - 1
        while first < last:
            name, begin, end = self._names[place], self._tensors[place], min(last, self._tensors[place + 1])
            archived = self._archived(name)
            for number in range(first - begin, end - begin):
                yield Piece(name, archived, number)
            first, place = end, place + 1

    def _nbytes_of(self, item: int) -> int:
        return sum(piece.archived.nbytes[piece.number] for piece in self._pieces(item))


class Archives(Content):
    """A file of archives."""

    def __init__(self, layout: FileLayout, pieces: Sequence[Piece]) -> None:
        """`layout` has the tensors of the pieces."""
        self._layout, self._pieces = layout, pieces
        self.size = sum(piece.archived.sizes[piece.number] for piece in pieces)
        self.digest = layout.recipe.digest
        self.head = pieces[0].archive(self.digest).opening

    def chunks(self, backend: Backend) -> Iterator[memoryview]:
        chunk = _Chunk(self.size)
        for piece in self._pieces:
            archive = piece.archive(self.digest)
            entry = self._layout.entry(piece.tensor)
            itemsize = entry.dtype.itemsize
            yield from chunk.put(archive.opening)
            first, crc = piece.archived.boxes[piece.number].first, 0
            stop = first + archive.nbytes // itemsize
            while first < stop:
                count = min(stop - first, chunk.room // itemsize)
                if not count:
                    yield chunk.take()
                    continue
                elements = chunk.reserve(count * itemsize)
                backend.fill(entry.draw, entry.stream, entry.dtype, first, elements)
                crc = zlib.crc32(elements, crc)
                first += count
            yield from chunk.put(archive.closing(crc))
        yield chunk.take()

    def mismatch(self, start: int, found: bytes, wanted: memoryview) -> MismatchError:
        offset = start + first_difference(found, wanted)
        sizes = (piece.archived.sizes[piece.number] for piece in self._pieces)
        begins = list(accumulate(sizes, initial=0))
        place = bisect_right(begins, offset) - 1
        piece = self._pieces[place]
        archive = piece.archive(self.digest)
        at = offset - begins[place] - len(archive.opening)
        if not 0 <= at < archive.nbytes:
            return MismatchError(f"the archive of tensor {piece.tensor!r} differs at byte {offset} of the file")
        entry = self._layout.entry(piece.tensor)
        begin = piece.archived.boxes[piece.number].first * entry.dtype.itemsize + at
        return mismatch_of(entry, begin, found[offset - start :], wanted[offset - start :], offset)


class _Chunk:
    """Memory that is filled from its start."""

    def __init__(self, size: int) -> None:
        """`size` is the bytes that all chunks will have."""
        self._left = size
        self._renew()

    def _renew(self) -> None:
        self._memory, self._used = np.empty(min(CHUNK, self._left), np.uint8).data, 0

    @property
    def room(self) -> int:
        """Bytes that can still be reserved."""
        return len(self._memory) - self._used

    def reserve(self, count: int) -> memoryview:
        """Return the next bytes, for the caller to fill."""
        self._used += count
        return self._memory[self._used - count : self._used]

    def put(self, content: bytes) -> Iterator[memoryview]:
        """Add bytes; yield what is full before."""
        if len(content) > self.room:
            yield self.take()
        self.reserve(len(content))[:] = content

    def take(self) -> memoryview:
        """Return what is filled, and begin with other memory."""
        taken = self._memory[: self._used]
        self._left -= self._used
        self._renew()
        return taken


def _tied(given: Given) -> Mapping[str, str]:
    tied = given.options.get(TIED, {})
    if not isinstance(tied, dict) or not all(isinstance(other, str) for other in tied.values()):
        raise ValueError(f"options/tied is an object of names by other names, not {tied!r}")
    return dict(sorted(tied.items()))
