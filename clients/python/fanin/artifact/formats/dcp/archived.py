"""Tensors of one type and shape as archives of torch, each with a box of the tensor."""

from __future__ import annotations

from array import array
from typing import NamedTuple

from fanin.artifact.formats.dcp.archive import Archive, archive
from fanin.artifact.formats.dcp.boxes import Boxes

ARCHIVE_BYTES = 256 << 20
"""Maximum bytes of the elements of an archive. A reader of any part of it reads all of it."""


MAX_ARCHIVES = 1_000_000
"""Maximum number of archives of a checkpoint. Each takes memory here, and 200 bytes of `.metadata`."""


class Kind(NamedTuple):
    """Type and shape of a tensor."""

    dtype: str
    """The name of the type in torch, such as `bfloat16`."""
    itemsize: int
    shape: tuple[int, ...]


class Archived:
    """The archives of a tensor of one kind."""

    def __init__(self, kind: Kind, most: int, note: int) -> None:
        """Cut the tensor.

        Args:
            kind: Type and shape.
            most: Maximum bytes of the elements of an archive, if that is at least one element.
            note: Number of bytes of the note of each archive.

        Raises:
            ValueError: there would be too many archives.
        """
        self.kind = kind
        self.boxes = Boxes.of(kind.shape, max(1, min(most, ARCHIVE_BYTES) // kind.itemsize))
        check_count(len(self.boxes), most)
        boxes = [self.boxes[number] for number in range(len(self.boxes))]
        self.nbytes = array("Q", (box.count * kind.itemsize for box in boxes))
        """Bytes of the elements of each archive."""
        self.sizes = array("Q", (self.archive(number, bytes(note)).size for number in range(len(boxes))))
        """Bytes of each archive."""

    def __len__(self) -> int:
        """Return the number of archives."""
        return len(self.boxes)

    def archive(self, number: int, note: bytes) -> Archive:
        """Return an archive."""
        return archive(self.kind.dtype, self.boxes[number].lengths, self.nbytes[number], note)


def check_count(count: int, most: int) -> None:
    """Refuse too many archives of at most `most` bytes.

    Raises:
        ValueError: there are.
    """
    if count > MAX_ARCHIVES:
        raise ValueError(
            f"shard_bytes is {most}, which gives {count} archives; a checkpoint of torch has at most {MAX_ARCHIVES}"
        )
