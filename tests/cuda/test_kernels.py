"""The bits of the CUDA kernels: compiled for the CPU, which checks all but the arithmetic of a GPU, and on a GPU."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanin.backends import load, native
from fanin.backends.source import cuda_source
from fanin.dtypes import DTYPES
from tests.cases import STREAM, Case, cases, draw

ALL_DTYPES = pytest.mark.parametrize("dtype", list(DTYPES))
LAWS = ("uniform", "normal", "normal")
"""The kernel of each law of the native backend: truncated laws have the normal one."""
GUARD = b"\xa5" * 64
"""Behind the output: a kernel that writes too far changes it."""

HOST = """
#define __global__
#define __device__
#define __forceinline__ inline
static struct { unsigned x; } gridDim, blockDim, blockIdx, threadIdx;
void be_thread(unsigned blocks, unsigned threads, unsigned block, unsigned thread)
{
    gridDim.x = blocks, blockDim.x = threads, blockIdx.x = block, threadIdx.x = thread;
}
"""
BLOCKS, THREADS = 2, 3
"""Of the host's grid: so few that every thread strides over larger cases."""


class Keys(ctypes.Structure):
    _fields_ = [("word", ctypes.c_uint32 * 8)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("host")
    source, library = folder / "host.c", folder / "host.so"
    # As C: a test machine need not have a C++ compiler.
    source.write_text(HOST + cuda_source().replace('extern "C" ', ""), "ascii")
    subprocess.run(
        [
            "gcc",
            "-std=c99",
            "-O1",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            source,
            "-o",
            library,
        ],
        check=True,
    )
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="module")
def cupy() -> Any:
    module = pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    try:
        module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no usable GPU: {error}")
    return module


@ALL_DTYPES
def test_grid_and_arguments(host: ctypes.CDLL, dtype: str) -> None:
    for case in cases(DTYPES[dtype]):
        name, parameters, keys, block, skip = _arguments(case)
        kernel = getattr(host, name)
        kernel.restype = None
        kernel.argtypes = [
            type(parameters),
            Keys,
            ctypes.c_uint64,
            ctypes.c_uint32,
            ctypes.c_uint64,
            ctypes.c_void_p,
        ]
        wanted = _native(case) + GUARD
        out = np.frombuffer(bytes(len(wanted) - len(GUARD)) + GUARD, np.uint8).copy()
        for thread in range(BLOCKS * THREADS):
            host.be_thread(BLOCKS, THREADS, *divmod(thread, THREADS))
            kernel(parameters, keys, block, skip, case.count, out.ctypes.data)
        assert out.tobytes() == wanted, case.label


@pytest.mark.gpu
@ALL_DTYPES
@pytest.mark.parametrize("options", [(), ("-fmad=false",)], ids=["default fmad", "no fmad"])
def test_gpu_gives_the_bits_of_the_cpu(cupy: Any, dtype: str, options: tuple[str, ...]) -> None:
    module = cupy.RawModule(code=cuda_source(), options=options)
    stored = DTYPES[dtype]
    long = [
        Case(f"{law} {dtype} [{first}, +{count}]", draw(law, stored), stored, STREAM, first, count)
        for law in LAWS
        for first in (0, 2**34 - 4097)
        for count in (2**20 - 1, 2**20, 2**20 + 1)
    ]
    for case in (*cases(stored), *long):
        name, parameters, keys, block, skip = _arguments(case)
        wanted = _native(case) + GUARD
        out = cupy.asarray(np.frombuffer(bytes(len(wanted) - len(GUARD)) + GUARD, np.uint8))
        module.get_function(name)(
            (64,),
            (128,),
            (
                # CuPy passes an array of one structure by value.
                np.frombuffer(bytes(parameters), f"V{ctypes.sizeof(parameters)}"),
                np.frombuffer(bytes(keys), f"V{ctypes.sizeof(keys)}"),
                np.uint64(block),
                np.uint32(skip),
                np.uint64(case.count),
                out,
            ),
        )
        assert out.get().tobytes() == wanted, case.label


def _arguments(case: Case) -> tuple[str, ctypes.Structure, Keys, int, int]:
    """The kernel's name and its arguments, less count and output."""
    law, parameters = native._parameters(case.draw, case.dtype.compute.name)
    keys = Keys((ctypes.c_uint32 * 8)(*case.stream.key("main"), *case.stream.key("low")))
    return f"fanin_{LAWS[law]}_{case.dtype.name}", parameters, keys, *divmod(case.first, 4)


def _native(case: Case) -> bytes:
    out = bytearray(case.count * case.dtype.itemsize)
    load("native").fill(case.draw, case.stream, case.dtype, case.first, memoryview(out))
    return bytes(out)
