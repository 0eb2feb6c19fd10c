"""The content of tensors during the construction of a model.

The content of a storage is a list of pieces: consecutive elements with one distribution. A tensor is a view. It reads
and writes the stretches that its offset, sizes and strides select.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from fanin.recording.distributions import (
    Diagonal,
    Distribution,
    Matrix,
    Random,
    Signs,
    Statistic,
    Triangle,
    Unknown,
    Unset,
    Values,
    displaced,
    reordered,
    transposed,
)
from fanin.torch.recorder.pieces import (
    MOST_STRETCHES,
    MOST_VALUES,
    Piece,
    Stretches,
    cast,
    joined,
    partial,
    partly,
    reinterpreted,
    resolved,
    values,
)
from fanin.torch.recorder.tables import Tables
from fanin.torch.recorder.views import View

SWEEP = 1024
"""Number of new storages after which freed storages are removed."""
SWEEP_BYTES = 1 << 26
"""Bytes of new tables after which freed storages are removed. Intermediate tables can have gigabytes."""
GARBAGE = 0xA5
"""Value of unwritten bytes in lent memory. A constant makes reads of it reproducible."""


@dataclass
class _Storage:
    alive: StorageWeakRef
    """Reference to the storage, which also reserves its address."""
    dtype: torch.dtype
    pieces: list[Piece]
    """Pieces of the storage's elements, as numbers of `dtype`."""
    real: torch.Tensor | None = None
    """Real memory that code outside of torch can write: the tensor's own memory, or lent memory."""
    seen: torch.Tensor | None = None
    """Copy of the real memory at the last check for writes."""
    is_lent: bool = False


_current: ContextVar[Memory | None] = ContextVar("fanin_memory", default=None)


def current() -> Memory | None:
    """Return the memory of the model that this thread records; `None` if it records none."""
    return _current.get()


class Memory:
    """The content of every storage of a model."""

    def __init__(self) -> None:
        self._storages: dict[int, _Storage] = {}
        self._tables = Tables()
        self._new_bytes = 0
        self.failure: Exception | None = None
        """Last exception that an operation raised."""
        self.stray = ""
        """First operation of another thread of the builder: line and name. Empty if there was none."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Make this the `current` memory inside the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def read(self, tensor: torch.Tensor) -> list[Piece]:
        """Return the pieces of a tensor's elements, in row-major order."""
        if not tensor.numel():
            return []
        if kind := peculiar(tensor):
            return [(tensor.numel(), Unknown(kind))]
        storage = self._of(tensor)
        return resolved(_read(tensor, reinterpreted(storage.pieces, storage.dtype, tensor.dtype)), tensor)

    def write(self, tensor: torch.Tensor, written: list[Piece]) -> None:
        """Store pieces in a tensor's elements, in row-major order."""
        if not tensor.numel() or peculiar(tensor):
            return
        storage = self._of(tensor)
        if storage.dtype != tensor.dtype:
            storage.pieces = reinterpreted(storage.pieces, storage.dtype, tensor.dtype)
            storage.dtype = tensor.dtype
        view, old = View.of(tensor), Stretches(storage.pieces)
        new = resolved(joined(cast(written, tensor.dtype)), tensor)
        mixed = _mixed(view, old, new, tensor.dtype)
        storage.pieces = joined([*old.part(0, view.start), *mixed, *old.part(view.stop, _count(tensor))])
        if storage.is_lent:
            _show(storage)

    def shared(self, flat: torch.Tensor) -> torch.Tensor:
        """Return a tensor with these values, an earlier one if there is one. Nothing may write to it."""
        found = self._tables.shared(flat)
        self._new_bytes += flat.nbytes if found is flat else 0
        if self._new_bytes > SWEEP_BYTES:
            self._sweep()
        return found

    def _sweep(self) -> None:
        self._new_bytes = 0
        self._storages = {key: kept for key, kept in self._storages.items() if not kept.alive.expired()}

    def lend(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the tensor in real memory, for code outside of torch to read and write. Later calls detect writes.

        Returns `None` if the values depend on random numbers, or are too many.
        """
        if not tensor.numel():
            return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
        if peculiar(tensor):
            return None if tensor.is_meta else tensor
        storage = self._of(tensor)
        if any(
            values([(1, dist)], tensor.dtype) is None for _, dist in self.read(tensor) if not isinstance(dist, Unset)
        ):
            return None
        if storage.real is None:
            if _count(tensor) > MOST_VALUES:
                return None
            storage.real = torch.empty(_count(tensor), dtype=storage.dtype, device="cpu")
            storage.is_lent = True
            _show(storage)
        flat = storage.real.view(torch.uint8).view(tensor.dtype)
        return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())

    def _of(self, tensor: torch.Tensor) -> _Storage:
        reference = tensor.untyped_storage()
        storage = self._storages.get(reference._cdata)
        if storage is None:
            if len(self._storages) % SWEEP == SWEEP - 1:
                self._sweep()
            storage = _Storage(StorageWeakRef(reference), tensor.dtype, [(_count(tensor), Unset())])
            if not tensor.is_meta:
                flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
                storage.real = flat.set_(reference, 0, (_count(tensor),), (1,))
                storage.seen = storage.real.clone()
                storage.pieces = [(_count(tensor), Values(storage.seen))]
            self._storages[reference._cdata] = storage
        _look(storage)
        bytes_now = reference.nbytes()
        had = sum(length for length, _ in storage.pieces)
        if (now := bytes_now // storage.dtype.itemsize) != had:  # it was resized
            kept = Stretches(storage.pieces).part(0, now)
            storage.pieces = joined([*kept, *([(now - had, Unset())] if now > had else [])])
        return storage


def peculiar(tensor: torch.Tensor) -> str:
    """Return the kind of a tensor whose memory is not a plain array of its elements; an empty string for others."""
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a tensor of layout {tensor.layout}"
    return "a quantized tensor" if tensor.is_quantized else ""


def _look(storage: _Storage) -> None:
    """Read the elements of real memory that have changed since the last check."""
    if storage.real is None or storage.seen is None:
        return
    size = storage.real.itemsize
    now, before = (each.view(torch.uint8).view(-1, size) for each in (storage.real, storage.seen))
    if torch.equal(now, before):
        return
    changed = (now != before).any(1)
    storage.seen = storage.real.clone()
    pieces = reinterpreted(storage.pieces, storage.dtype, storage.real.dtype)
    storage.dtype = storage.real.dtype
    if bool(changed.all()):
        storage.pieces = [(len(changed), Values(storage.seen))]
        return
    bounds = [0, *((changed[1:] != changed[:-1]).nonzero().flatten() + 1).tolist(), len(changed)]
    if len(bounds) > MOST_STRETCHES and (under := partial(pieces, storage.dtype)):
        tensor = torch.where(changed, storage.seen, under.tensor)
        storage.pieces = [(len(changed), partly(tensor, under.known | changed))]
        return
    old, found = Stretches(pieces), list[Piece]()
    for start, stop in itertools.pairwise(bounds):
        if changed[start]:
            found.append((stop - start, Values(storage.seen[start:stop])))
        else:
            found += old.part(start, stop)
    storage.pieces = joined(found)


def _show(storage: _Storage) -> None:
    """Write the known values into lent memory."""
    assert storage.real is not None
    bits, at = storage.real.view(torch.uint8), 0
    for length, dist in storage.pieces:
        stop = at + length * storage.dtype.itemsize
        flat = values([(length, dist)], storage.dtype)
        if flat is None:
            bits[at:stop] = 0 if storage.dtype == torch.bool else GARBAGE
        else:
            bits[at:stop] = flat.contiguous().view(torch.uint8)
        at = stop
    storage.seen = storage.real.clone()


def _read(tensor: torch.Tensor, pieces: list[Piece]) -> list[Piece]:
    view = View.of(tensor)
    whole = Stretches(pieces)
    inside = joined(whole.part(view.start, view.stop))
    dist = inside[0][1]
    if view.dense and view.stretches == 1:
        return inside
    if len(inside) == 1 and (seen := _through(view, dist, view.sizes[::-1])):
        return [(view.count, seen)]
    known = values(inside, tensor.dtype)
    if known is not None:
        return [(view.count, Values(known.as_strided(view.sizes, view.strides).reshape(-1)))]
    if not view.repeats and view.stretches <= MOST_STRETCHES:
        return joined(itertools.chain.from_iterable(whole.part(*stretch) for stretch in view))
    if under := partial(inside, tensor.dtype):
        seen_of, known_of = (
            each.as_strided(view.sizes, view.strides).reshape(-1) for each in (under.tensor, under.known)
        )
        if bool(known_of.all()):
            return [(view.count, Values(seen_of))]
    return [(view.count, Unknown("expand" if view.repeats else "as_strided"))]


def _through(view: View, dist: Distribution, shape: tuple[int, ...]) -> Distribution | None:
    """Return the distribution after a read or a write of one distribution through a view that is not contiguous.

    `shape` is the shape of the tensor before the reordering. A matrix must have that shape to be transposed. Returns
    `None` if the result has no single distribution.
    """
    match dist:
        case Triangle(_, columns) if (view.sizes, view.strides) == ((columns,), (columns + 1,)):
            return Diagonal(dist.draw)
        case Matrix():
            whole = dist.shape == shape and view.strides == (1, view.sizes[0]) and not dist.place
            return transposed(dist) if whole else Unknown("a part of a matrix")
        case Random():
            return reordered(dist) if view.dense else None
        case Statistic() | Diagonal() | Signs():
            return displaced(dist)
    return None if hasattr(dist, "tensor") else dist


def _mixed(view: View, old: Stretches, written: list[Piece], dtype: torch.dtype) -> list[Piece]:
    """Return the pieces from a view's first element to its last, after a write of these pieces into the view."""
    length = view.stop - view.start
    if view.dense and view.stretches == 1:
        return written
    if view.dense and len(written) == 1 and (put := _through(view, written[0][1], view.sizes)):
        return [(length, put)]
    new = values(written, dtype)
    if new is not None:
        before = None if view.dense else values(list(old.part(view.start, view.stop)), dtype)
        known = torch.empty(length, dtype=dtype, device="cpu") if view.dense else before
        if known is not None:
            return [(length, Values(_put(known, view, new)))]
    if not view.repeats and view.stretches <= MOST_STRETCHES:
        result: list[Piece] = []
        source, run, at = Stretches(written), view.count // view.stretches, view.start
        for first, index in sorted((first, index) for index, (first, _) in enumerate(view)):
            result += [*old.part(at, first), *source.part(index * run, (index + 1) * run)]
            at = first + run
        return result
    if new is not None and (under := partial(list(old.part(view.start, view.stop)), dtype)):
        here = torch.ones((), dtype=torch.bool, device="cpu").expand(view.count)
        return [(length, partly(_put(under.tensor, view, new), _put(under.known, view, here)))]
    return [(length, Unknown("as_strided"))]


def _put(flat: torch.Tensor, view: View, new: torch.Tensor) -> torch.Tensor:
    """Return a copy with new values in a view."""
    flat = flat.clone()
    flat.as_strided(view.sizes, view.strides).copy_(new.reshape(view.sizes))
    return flat


def _count(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.itemsize
