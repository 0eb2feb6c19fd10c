"""The base class of backends: how a draw is divided into what a backend generates itself."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from fanin.backends import codes, memory, pairs, permutations
from fanin.backends.codes import Floats
from fanin.backends.composed import CHUNK, compose, repeat
from fanin.backends.matrices import CACHE_BYTES, Matrices
from fanin.draws import Draw, Fill, Orthogonal, Plain, Sparse, is_plain
from fanin.draws.types import Element
from fanin.dtypes import CONVERTED, DTYPES, DType
from fanin.streams import Stream

Filler = Callable[[Stream, int, int], None]
"""Writes elements [0, count) of a tensor, given its stream, the count and the address."""


def numpy_without_errors() -> np.errstate:
    """Return a context, or a decorator, for computations of elements by NumPy.

    Underflow belongs to the results: it is not an error where the program has called `np.seterr(all="raise")`. The
    context takes a microsecond or two, so calls of kernels do without.
    """
    return np.errstate(all="ignore")


class Tensor(Protocol):
    """One tensor that a backend can generate."""

    @property
    def draw(self) -> Draw: ...
    @property
    def stream(self) -> Stream: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def count(self) -> int: ...


class Backend(ABC):
    """A generator of elements. Thread-safe."""

    name: str
    prompt_bytes: int = 0
    """Bytes that `fill` writes in less time than it takes to hand work to a thread. 0 if it may block for longer."""
    supports_device_arrays: bool = False
    """True if `empty` returns arrays in the memory of a device, not of the host."""
    matrices: Matrices
    """Orthogonal matrices that this backend has generated for parts of them."""

    def __init__(self, matrix_bytes: int = CACHE_BYTES, group_bytes: int | None = None) -> None:
        """Start with an empty cache of matrices, of at most `matrix_bytes` bytes.

        The backend generates their columns in groups of `group_bytes` a row. If it is None, it generates them at once.
        """
        self.matrices = Matrices(matrix_bytes, group_bytes)

    @final
    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write elements [first, first + n) of a tensor to `out`.

        `out` is contiguous memory of n * dtype.itemsize writable bytes, at any alignment. Elements are little-endian.
        `first` is in [0, 2^66). A packed type counts its items, which are pairs of elements.

        Raises:
            TypeError: `out` is not contiguous.
        """
        if out.itemsize != 1 or out.ndim != 1:  # its length is not the number of its bytes
            out = out.cast("B")
        if not out:
            return
        if dtype.is_packed:
            self._fill_packed(draw, stream, dtype, first, out)
        elif isinstance(draw, Fill):
            self._fill_constant(draw, stream, dtype, first, out)
        elif is_plain(draw, dtype) and dtype.name not in CONVERTED:
            self._fill_plain(draw, stream, dtype, first, out)
        else:
            with numpy_without_errors():
                if isinstance(draw, Plain | Orthogonal) and dtype.name in CONVERTED:
                    self._fill_converted(draw, stream, dtype, first, out)
                elif isinstance(draw, Orthogonal):
                    self._fill_matrix(draw, stream, dtype, first, out)
                else:
                    self._fill_composed(draw, stream, dtype, first, out)

    @abstractmethod
    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write at least one element of a draw, not a constant, whose elements depend on their random words only.

        A backend that computes in NumPy does so in `numpy_without_errors`.
        """

    @abstractmethod
    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write at least one element of a matrix, by way of `matrices` if it is not all of them."""

    @final
    def matrix_share(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, count: int) -> float:
        """Return the work that elements [first, first + count) of a matrix need now, in proportion to all of it."""
        made = DTYPES["F32"] if dtype.name in CONVERTED else dtype
        return self.matrices.share(draw, stream, made, first * dtype.elements, count * dtype.elements)

    def _fill_constant(self, draw: Fill, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:  # noqa: ARG002
        """Write the constant to all of `out`."""
        repeat(draw.value, dtype, out)

    def _fill_converted(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write at least one element at a type that kernels do not know, from elements that `fill` generates in F32."""
        target = np.frombuffer(out, dtype.numpy)
        values = np.empty(min(CHUNK, len(target)), DTYPES["F32"].numpy)
        for at in range(0, len(target), CHUNK):
            part = values[: len(target) - at]
            self.fill(draw, stream, DTYPES["F32"], first + at, part.view(np.uint8).data)
            target[at : at + len(part)] = self._converted(part, dtype)

    def _converted(self, values: Floats, dtype: DType) -> NDArray[Any]:
        """Return float32 numbers at a type that kernels of draws do not know."""
        made: NDArray[Any]
        if dtype.name == "F4":
            row = values[np.newaxis]
            made = self.codes("E2M1", row, row.shape, np.ones((1, 1), np.float32), None)[0].view(dtype.numpy)
        else:
            made = values.astype(dtype.numpy)
        return made

    def _fill_packed(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write at least one pair of elements, from elements that `fill` generates in a byte each."""
        target = np.frombuffer(out, np.uint8)
        codes = np.empty(2 * min(CHUNK, len(target)), np.uint8)
        for at in range(0, len(target), CHUNK):
            part = codes[: 2 * (len(target) - at)]
            self.fill(draw, stream, dtype.in_memory, 2 * (first + at), part.data)
            target[at : at + CHUNK] = pairs.packed(part)

    def _fill_composed(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write at least one element of a composed draw, from plain draws and matrices that `fill` generates."""
        compose(self, draw, stream, dtype, first, out)

    def clear_zeros(self, draw: Sparse, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write the zeros among elements [first, first + n) of a sparse draw over `out`, at least one element."""
        elements = np.frombuffer(out, f"<u{dtype.itemsize}")
        for at in range(0, len(elements), CHUNK):
            part = elements[at : at + CHUNK]
            positions = np.uint64(first + at) + np.arange(len(part), dtype=np.uint64)
            part[permutations.zeros(draw, stream.key("sparse"), positions)] = 0

    def magnitudes(self, values: Floats, group: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return what `codes.magnitudes` returns."""
        return codes.magnitudes(values, group)

    def codes(
        self, element: Element, values: Floats, group: tuple[int, int], divisors: Floats, zeros: Floats | None
    ) -> NDArray[np.uint8]:
        """Return what `codes.codes` returns."""
        return codes.codes(element, values, group, divisors, zeros)

    def fill_tensors(self, tensors: Sequence[Tensor], addresses: NDArray[np.uint64], first: int = 0) -> None:
        """Write the complete tensors [first, first + n) of `tensors`, one to each of n addresses.

        A backend may cache what it computes from `tensors` for as long as that object exists.
        """
        for place, address in enumerate(addresses.tolist(), first):
            self._fill_tensor(tensors[place], address)

    def _fill_tensor(self, tensor: Tensor, address: int) -> None:
        self.filler(tensor.draw, tensor.dtype)(tensor.stream, tensor.count, address)

    def filler(self, draw: Draw, dtype: DType) -> Filler:
        """Return a function that writes elements [0, count) of a tensor to an address."""

        def fill(stream: Stream, count: int, address: int) -> None:
            if count:
                self.fill(draw, stream, dtype, 0, _memory_at(address, count * dtype.itemsize))

        return fill

    def fill_runs(
        self,
        draw: Draw,
        stream: Stream,
        dtype: DType,
        firsts: NDArray[np.uint64],
        count: int,
        addresses: NDArray[np.uint64],
    ) -> None:
        """Write runs of `count` elements each. Run n has the elements from firsts[n] on, and goes to addresses[n]."""
        for first, address in zip(firsts.tolist(), addresses.tolist(), strict=True):
            self.fill(draw, stream, dtype, first, _memory_at(address, count * dtype.itemsize))

    def empty(self, count: int, dtype: DType) -> Any:
        """Return a one-dimensional array of `count` elements, for `fill_array`. Its values are undefined."""
        return memory.empty(count, dtype)

    def fill_array(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: Any) -> None:
        """Write elements [first, first + n) to `out`, a C-contiguous array of n * dtype.itemsize bytes.

        Raises:
            TypeError: `out` is not contiguous.
        """
        self.fill(draw, stream, dtype, first, memoryview(out.view(f"u{out.dtype.itemsize}")))


class ForwardingBackend(Backend):
    """A backend that has another one generate everything. Subclasses change `_generate`."""

    def __init__(self, backend: Backend) -> None:
        """Forward to `backend`, and share its cache of matrices."""
        self._backend = backend
        self.matrices = backend.matrices

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Have the other backend write at least one element. All hooks of `fill` come here."""
        self._backend.fill(draw, stream, dtype, first, out)

    def _fill_constant(self, draw: Fill, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)

    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)

    def _fill_converted(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)

    def _fill_packed(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)

    def _fill_composed(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)

    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._generate(draw, stream, dtype, first, out)


def _memory_at(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
