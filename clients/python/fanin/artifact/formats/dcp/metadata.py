"""The file `.metadata` of torch.distributed.checkpoint, which says where the boxes of each tensor are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fanin.artifact.formats.dcp.archived import Archived
from fanin.artifact.formats.dcp.pickles import Call, Global, Instance, Pairs, dumps

_VERSION = "1.0.0"
"""Version of the format, as torch 2.13 writes it."""
_PACKAGE = "torch.distributed.checkpoint"


class Place(NamedTuple):
    """Where an archive is."""

    path: str
    """Path of its file."""
    offset: int
    """Its first byte in the file."""


def metadata(
    names: Sequence[str], archived: Callable[[str], Archived], places: Callable[[str], Iterable[Place]]
) -> bytes:
    """Return the content of the file.

    Args:
        names: Names of the tensors. Several may name the same archives.
        archived: Returns the archives of a tensor by its name.
        places: Returns the place of each of them.
    """

    def described() -> Iterable[tuple[str, Instance]]:
        for name in names:
            kind, boxes = archived(name).kind, archived(name).boxes
            chunks = [
                Instance(
                    _metadata("ChunkStorageMetadata"), {"offsets": _size(box.offsets), "sizes": _size(box.lengths)}
                )
                for box in (boxes[number] for number in range(len(boxes)))
            ]
            state = {"properties": _properties(kind.dtype), "size": _size(kind.shape), "chunks": chunks}
            yield name, Instance(_metadata("TensorStorageMetadata"), state)

    def stored() -> Iterable[tuple[Instance, Instance]]:
        for name in names:
            of = archived(name)
            for number, place in enumerate(places(name)):
                index = {"fqn": name, "offset": _size(of.boxes[number].offsets), "index": number}
                info = {"relative_path": place.path, "offset": place.offset, "length": of.sizes[number]}
                yield Instance(_metadata("MetadataIndex"), index), Instance(_STORAGE_INFO, info)

    state = {
        "state_dict_metadata": Pairs(described()),
        "planner_data": Pairs((name, (name,)) for name in names),
        "storage_data": Pairs(stored()),
        "storage_meta": None,
        "version": _VERSION,
    }
    return dumps(Instance(_metadata("Metadata"), state))


_STORAGE_INFO = Global(f"{_PACKAGE}.filesystem", "_StorageInfo")


def _metadata(name: str) -> Global:
    return Global(f"{_PACKAGE}.metadata", name)


def _size(lengths: tuple[int, ...]) -> Call:
    return Call(Global("torch", "Size"), (lengths,))


def _properties(dtype: str) -> Instance:
    layout = Call(Global("torch.serialization", "_get_layout"), ("torch.strided",))
    contiguous = Call(_metadata("_MEM_FORMAT_ENCODING"), (0,))
    state: tuple[Any, ...] = Global("torch", dtype), layout, False, contiguous, False
    return Instance(_metadata("TensorProperties"), state)
