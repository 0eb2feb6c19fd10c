"""Columns of an orthogonal matrix that are generated alone have the bits of the complete one, and cost their share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fanin import backends
from fanin.backends import Backend
from fanin.backends.matrices import Matrices, columns_of
from fanin.backends.native import NativeBackend
from fanin.backends.native_orthogonal import NativeColumns
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES, STORAGE, DType
from fanin.file.layout import FileLayout
from fanin.region import Region
from fanin.streams import Stream
from fanin.strided import dense, place

POISON = 0xA5
REFERENCE = backends.load("reference")
FAST = [NativeBackend(level, threads) for level in NativeBackend().levels for threads in (1, 3)]
STREAM = Stream("fanin/1", 11, "q")
F32 = DTYPES["F32"]
SIZES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 96, 127, 128, 129, 193, 260]))


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill all uninitialized memory of matrices, panels and columns, so that what nothing wrote is seen."""
    empty = np.empty

    def filled(*given: Any, **named: Any) -> NDArray[Any]:
        made: NDArray[Any] = empty(*given, **named)
        if made.dtype == np.uint8:
            made[...] = POISON
        return made

    monkeypatch.setattr(np, "empty", filled)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that receives the columns of each call of the kernel."""
    found: list[tuple[int, int]] = []
    make = NativeColumns.make

    def counted(self: NativeColumns, first: int, stop: int) -> None:
        found.append((first, stop))
        make(self, first, stop)

    monkeypatch.setattr(NativeColumns, "make", counted)
    return found


def whole(shape: tuple[int, int], dtype: DType = F32) -> NDArray[Any]:
    made = np.zeros(shape[0] * shape[1] * dtype.itemsize, np.uint8)
    REFERENCE.fill(Orthogonal(1.5, *shape), STREAM, dtype, 0, made.data)
    return made.view(f"u{dtype.itemsize}").reshape(shape)


def box(backend: Backend, shape: tuple[int, int], dtype: DType, rows: slice, columns: slice) -> NDArray[Any]:
    """Read a box as shards are read, into a buffer with a margin that must stay as it was."""
    entry = FileLayout.of({"shape": shape, "scheme": "orthogonal", "gain": 1.5, "dtype": dtype.name}).entries[0]
    entry = type(entry)(
        entry.name, entry.shape, entry.dtype, entry.draw, STREAM, entry.start, entry.nbytes, entry.header
    )
    region = Region.of(shape, (rows, columns))
    count = region.count * dtype.itemsize
    buffer = np.full(count + 16, POISON, np.uint8)
    place(entry, region, buffer.ctypes.data + 8, dense(region.lengths, dtype.itemsize), backend)
    assert (buffer[:8] == POISON).all()
    assert (buffer[8 + count :] == POISON).all()
    return buffer[8 : 8 + count].copy().view(f"u{dtype.itemsize}").reshape(region.shape)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_boxes_are_those_of_the_whole(data: st.DataObject) -> None:
    """In any order: later parts find some columns of the same matrix in the cache."""
    shape = data.draw(SIZES), data.draw(SIZES)
    dtype = STORAGE[data.draw(st.sampled_from(["F32", "F64", "BF16", "F8_E4M3", "F8_E4M3FNUZ"]))]
    backend, expected = data.draw(st.sampled_from(FAST)), whole(shape, dtype)
    backend.matrices.clear()
    for _ in range(data.draw(st.integers(1, 5))):
        rows, columns = (
            slice(*sorted((data.draw(st.integers(0, size)), data.draw(st.integers(0, size))))) for size in shape
        )
        assert (box(backend, shape, dtype, rows, columns) == expected[rows, columns]).all()
        first, stop = sorted(data.draw(st.integers(0, expected.size)) for _ in range(2))
        out = np.full((stop - first) * dtype.itemsize, POISON, np.uint8)
        backend.fill(Orthogonal(1.5, *shape), STREAM, dtype, first, out.data)
        assert (out.view(expected.dtype) == expected.reshape(-1)[first:stop]).all()


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
def test_every_type(dtype: DType) -> None:
    for shape in ((150, 140), (70, 150)):
        expected = whole(shape, dtype)
        for backend in FAST:
            backend.matrices.clear()
            for rows, columns in ((slice(None), slice(130, 140)), (slice(65, 68), slice(None))):
                assert (box(backend, shape, dtype, rows, columns) == expected[rows, columns]).all()


def test_the_columns_of_a_tall_matrix_alone_are_made(spans: list[tuple[int, int]]) -> None:
    backend = NativeBackend()
    box(backend, (600, 512), F32, slice(None), slice(192, 256))
    assert spans == [(192, 256)]
    box(backend, (600, 512), F32, slice(None), slice(200, 320))
    assert spans == [(192, 256), (256, 320)]
    box(backend, (600, 512), F32, slice(3, 5), slice(None))
    assert spans == [(192, 256), (256, 320), (0, 192), (320, 512)]


def test_the_rows_of_a_wide_matrix_alone_are_made(spans: list[tuple[int, int]]) -> None:
    box(NativeBackend(), (512, 600), F32, slice(60, 70), slice(None))
    assert spans == [(0, 128)]


def test_no_panel_is_made_twice_or_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, panels = NativeBackend(), []
    kernel = backend._orthogonal
    make = kernel.make

    def counted(matrix: Any, level: int, threads: int) -> None:
        panels.append((matrix._obj.first_panel, matrix._obj.stop_panel))
        make(matrix, level, threads)

    monkeypatch.setattr(kernel, "make", counted)
    for columns in (slice(100, 101), slice(0, 1), slice(300, 301)):
        box(backend, (600, 512), F32, slice(None), columns)
    assert panels == [(0, 4), (4, 4), (4, 10)]


def test_a_reader_from_start_to_end_needs_few_calls(spans: list[tuple[int, int]]) -> None:
    """So all threads have work in most of the calls."""
    shape, backend = (1024, 1100), NativeBackend()
    for row in range(0, 1024, 64):
        box(backend, shape, F32, slice(row, row + 64), slice(None))
    assert spans == [(0, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]


def test_threads_that_want_other_columns() -> None:
    shape = (300, 290)
    expected, backend = whole(shape), NativeBackend()

    def one(n: int) -> bool:
        at = n * 37 % 290
        return bool((box(backend, shape, F32, slice(None), slice(at, at + 9)) == expected[:, at : at + 9]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(60)))


def test_the_memory_of_panels_counts_until_all_columns_are_made() -> None:
    backend, shape = NativeBackend(), (600, 512)
    size = 600 * 512 * 4
    box(backend, shape, F32, slice(None), slice(0, 64))
    panels = backend.matrices.held - size
    # The Householder vectors, and two matrices of 32 x 32 for each of 16 panels.
    assert panels == (600 * 512 - 512 * 480 // 2) * 4 + 16 * 32 * 32 * (4 + 8)
    box(backend, shape, F32, slice(0, 1), slice(None))
    assert backend.matrices.held == size
    backend.matrices.limit = 2 * size
    for gain in (2.0, 3.0):
        backend.fill(Orthogonal(gain, *shape), STREAM, F32, 0, np.zeros(256, np.uint8).data)
    assert backend.matrices.held == size + panels


@pytest.mark.parametrize("shape", [(4096, 4096), (3000, 600), (600, 3000), (100, 64)])
def test_the_share_of_a_part(shape: tuple[int, int]) -> None:
    """Later groups of columns cost more. Each also costs the panels before its end."""
    matrices, draw, every = Matrices(group_bytes=256), Orthogonal(1.0, *shape), min(shape)
    step = 1 if shape[0] >= shape[1] else shape[1]

    def share(first: int, count: int) -> float:
        return matrices.share(draw, STREAM, F32, first * step, count * step)

    assert share(0, every) == 1
    groups = [share(first, min(64, every - first)) for first in range(0, every, 64)]
    assert all(0 < share <= 1 for share in groups)
    assert groups[:-1] == sorted(groups[:-1])
    assert sum(groups) >= 1
    assert share(every - 1, 1) == groups[-1]
    whole_rows = matrices.share(draw, STREAM, F32, 5, 2 * max(shape))
    assert whole_rows == 1 if shape[0] >= shape[1] else whole_rows < 1


def test_no_share_is_left_where_columns_are_made() -> None:
    backend, draw = NativeBackend(), Orthogonal(1.5, 600, 512)
    box(backend, (600, 512), F32, slice(None), slice(64, 128))
    assert backend.matrix_share(draw, STREAM, F32, 64, 64) == 0
    assert 0 < backend.matrix_share(draw, STREAM, F32, 64, 65) < 1
    assert REFERENCE.matrix_share(draw, STREAM, F32, 64, 1) == 1


@pytest.mark.parametrize(
    ("shape", "first", "count", "expected"),
    [
        ((9, 5), 7, 3, (2, 5)),
        ((9, 5), 7, 4, (0, 5)),
        ((5, 5), 0, 5, (0, 5)),
        ((5, 9), 8, 1, (0, 1)),
        ((5, 9), 8, 2, (0, 2)),
        ((5, 9), 18, 9, (2, 3)),
    ],
)
def test_the_columns_of_elements(shape: tuple[int, int], first: int, count: int, expected: tuple[int, int]) -> None:
    assert columns_of(Orthogonal(1.0, *shape), first, count) == expected


def test_after_an_error_all_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, backend = (150, 140), NativeBackend()
    make: Callable[[NativeColumns, int, int], None] = NativeColumns.make

    def failing(self: NativeColumns, first: int, stop: int) -> None:
        if first:
            raise MemoryError("none")
        make(self, first, stop)

    with monkeypatch.context() as patch:
        patch.setattr(NativeColumns, "make", failing)
        box(backend, shape, F32, slice(None), slice(0, 10))
        with pytest.raises(MemoryError):
            box(backend, shape, F32, slice(None), slice(64, 70))
    assert backend.matrices.held == 0
    assert (box(backend, shape, F32, slice(0, 99), slice(0, 140)) == whole(shape)[:99]).all()
