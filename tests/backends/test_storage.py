"""Rounding to storage types: C and NumPy against ml_dtypes."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fanin.backends import native
from fanin.backends.reference import store
from fanin.dtypes import DTYPES, DType

NARROW = pytest.mark.parametrize(
    "dtype", [dtype for dtype in DTYPES.values() if dtype is not dtype.compute], ids=lambda dtype: dtype.name
)
CHUNK = 1 << 18
STRIDE = 1021
"""Prime: the sample has 4.2 million patterns, of all exponents and of all low bits."""

SOURCE = """
#include <stddef.h>
#include "fanin_kernels.h"

void narrow(const uint32_t *patterns, size_t count, int precision, int min_exponent, int size, uint32_t *out)
{
    for (size_t n = 0; n < count; n++)
        out[n] = precision == 8 ? fanin_narrow_bf16(fanin_float(patterns[n]))
                                : fanin_narrow(fanin_float(patterns[n]), precision, min_exponent, size);
}
"""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """`fanin_narrow` over an array."""
    folder: Path = tmp_path_factory.mktemp("narrow")
    library = folder / "narrow.so"
    include = f"-I{Path(native.__file__).with_name('csrc')}"
    command: list[str | Path] = [
        "gcc",
        "-O3",
        "-ffp-contract=off",
        include,
        "-shared",
        "-fPIC",
        "-x",
        "c",
        "-",
        "-o",
        library,
    ]
    subprocess.run(command, input=SOURCE.encode(), check=True)
    return ctypes.CDLL(str(library))


@NARROW
def test_sample_of_all_patterns(narrow: ctypes.CDLL, dtype: DType) -> None:
    for start in range(0, 2**32, CHUNK * STRIDE):
        patterns = np.arange(start, min(start + CHUNK * STRIDE, 2**32), STRIDE, dtype=np.uint64)
        _compare(narrow, dtype, patterns.astype(np.uint32))


@NARROW
def test_ties_and_their_neighbours(narrow: ctypes.CDLL, dtype: DType) -> None:
    compared = sum(_compare(narrow, dtype, patterns) for patterns in _boundaries(dtype))
    assert compared > 2**dtype.precision


@pytest.mark.soak("storage")
@NARROW
def test_all_patterns(narrow: ctypes.CDLL, dtype: DType) -> None:
    patterns = np.arange(CHUNK, dtype=np.uint32)
    for _ in range(2**32 // CHUNK):
        _compare(narrow, dtype, patterns)
        patterns += np.uint32(CHUNK)


def _boundaries(dtype: DType) -> Iterator[NDArray[np.uint32]]:
    """Every number of the type, every midpoint between two, and the float32 numbers on both sides of each."""
    every = np.arange(1 << (8 * dtype.itemsize - 1)).astype(f"<u{dtype.itemsize}").view(dtype.numpy)
    with np.errstate(invalid="ignore"):  # the patterns of NaN
        every = every[np.isfinite(every)].astype(np.float64)
    exact = np.concatenate([every, (every[:-1] + every[1:]) / 2])
    bits = exact.astype(np.float32).view(np.uint32)
    for step in (-2, -1, 0, 1, 2):
        magnitudes = (bits.astype(np.int64) + step).clip(0).astype(np.uint32)
        yield magnitudes
        yield magnitudes | np.uint32(1 << 31)


def _compare(narrow: ctypes.CDLL, dtype: DType, patterns: NDArray[np.uint32]) -> int:
    """Compare all patterns whose rounded value is finite; how many those are."""
    values = patterns.view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        oracle = values.astype(dtype.numpy)
        finite = np.isfinite(oracle)
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    wanted = oracle.view(unsigned)[finite]
    _assert_same("NumPy", store(values, dtype).view(unsigned)[finite], wanted, patterns[finite])

    out = np.empty(len(patterns), np.uint32)
    narrow.narrow(
        ctypes.c_void_p(patterns.ctypes.data),
        ctypes.c_size_t(len(patterns)),
        dtype.precision,
        dtype.min_exponent,
        dtype.itemsize,
        ctypes.c_void_p(out.ctypes.data),
    )
    _assert_same("C", out[finite], wanted, patterns[finite])
    return len(wanted)


def _assert_same(
    name: str, found: NDArray[np.unsignedinteger], wanted: NDArray[np.unsignedinteger], patterns: NDArray[np.uint32]
) -> None:
    if not np.array_equal(found, wanted):  # twenty times faster than numpy.testing
        n = int(np.flatnonzero(found != wanted)[0])
        raise AssertionError(f"{name} rounds {patterns[n]:#010x} to {found[n]:#x}, not to {wanted[n]:#x}")
