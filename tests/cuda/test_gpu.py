"""On a real GPU: the bits of the CPU. And whether CuPy, where it is installed, has what the backend uses."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

import fanin
from fanin.backends import get, load
from fanin.backends.cuda import SLAB, CudaBackend
from fanin.draws import Draw, Orthogonal
from fanin.dtypes import DTYPES, DType
from fanin_service.backend import known_answer
from tests.cuda.fake_cupy import FakeCuPy
from tests.soak.serving import service
from tests.support.cases import DISTRIBUTIONS, STREAM, cases, draw

ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
BEYOND = 2**32 + 4097
"""Elements of an array that 32 bits do not count."""


@pytest.fixture(scope="module")
def cupy() -> Any:
    return pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)


@pytest.fixture(scope="module")
def backend(cupy: Any) -> CudaBackend:
    try:
        return CudaBackend()
    except fanin.BackendError as error:
        pytest.skip(f"no usable GPU: {error}")


def on_the_cpu(draw: Draw, dtype: DType, first: int, count: int) -> bytes:
    out = bytearray(count * dtype.itemsize)
    load("native").fill(draw, STREAM, dtype, first, memoryview(out))
    return bytes(out)


def test_cupy_has_what_the_backend_uses(cupy: Any, tmp_path: Path) -> None:
    """Every name of the fake that the other tests use."""

    def check(fake: object, real: object, path: str) -> None:
        names = vars(fake) if isinstance(fake, SimpleNamespace) else ("__version__", "RawModule", "cuda", "empty")
        for name in names:
            assert hasattr(real, name), f"{path}.{name}"
            if isinstance(getattr(fake, name), SimpleNamespace):
                check(getattr(fake, name), getattr(real, name), f"{path}.{name}")

    check(FakeCuPy(tmp_path), cupy, "cupy")
    cuda = cupy.cuda
    members = {
        cuda.Stream: ("__enter__", "__exit__", "synchronize"),
        cuda.Event: ("record", "synchronize"),
        cuda.MemoryPointer: ("__add__", "ptr", "copy_to_host_async"),
        cuda.PinnedMemoryPointer: ("ptr",),
        cuda.Device: ("__enter__", "__exit__", "id", "attributes"),
        cupy.RawModule: ("get_function",),
        cupy.ndarray: ("flags", "nbytes", "data", "device", "reshape", "get", "__dlpack__"),
    }
    for cls, names in members.items():
        assert [name for name in names if not hasattr(cls, name)] == [], cls


@pytest.mark.gpu
@ALL_DTYPES
def test_every_case(backend: CudaBackend, dtype: DType) -> None:
    for case in cases(dtype):
        out = bytearray(b"\xa5" * (case.count * dtype.itemsize))
        backend.fill(case.draw, case.stream, dtype, case.first, memoryview(out))
        wanted = bytearray(len(out))
        load("native").fill(case.draw, case.stream, dtype, case.first, memoryview(wanted))
        assert out == wanted, case.label


@pytest.mark.gpu
@ALL_DTYPES
def test_orthogonal_matrices(backend: CudaBackend, dtype: DType) -> None:
    for rows, columns in ((1, 1), (33, 33), (40, 301), (1000, 999)):
        matrix = Orthogonal(1.5, rows, columns)
        array = backend.empty(rows * columns, dtype)
        backend.fill_array(matrix, STREAM, dtype, 0, array)
        assert array.get().tobytes() == on_the_cpu(matrix, dtype, 0, rows * columns), (rows, columns)


@pytest.mark.gpu
@ALL_DTYPES
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_sizes_around_powers_of_two(backend: CudaBackend, dtype: DType, distribution: str) -> None:
    """In arrays on the GPU, and in host memory around and beyond the slabs."""
    lowered = draw(distribution, dtype)
    sizes = {2**bits + step for bits in (10, 16, 20, 23) for step in (-1, 0, 1)}
    sizes |= {n * SLAB // dtype.itemsize + step for n in (1, 2, 3) for step in (-1, 0, 1)}
    wanted = {first: on_the_cpu(lowered, dtype, first, max(sizes)) for first in (0, 3, 2**34 - 4097)}
    for first, expected in wanted.items():
        for count in sizes:
            size = count * dtype.itemsize
            array = backend.empty(count, dtype)
            backend.fill_array(lowered, STREAM, dtype, first, array)
            assert array.get().tobytes() == expected[:size], (first, count)
            out = bytearray(size)
            backend.fill(lowered, STREAM, dtype, first, memoryview(out))
            assert out == expected[:size], (first, count)


@pytest.mark.gpu
@ALL_DTYPES
def test_beyond_32_bits(backend: CudaBackend, cupy: Any, dtype: DType) -> None:
    """One launch of more than 2^32 elements: both ends, both sides of element 2^32, and places between."""
    size = BEYOND * dtype.itemsize
    free, _ = cupy.cuda.runtime.memGetInfo()
    if free < size + (1 << 30):
        pytest.skip(f"{size / 2**30:.0f} GiB do not fit into the {free / 2**30:.0f} GiB that the GPU has free")
    lowered = draw("truncated", dtype)
    array = backend.empty(BEYOND, dtype)
    backend.fill_array(lowered, STREAM, dtype, 1, array)
    width = 1 << 16
    for start in (0, 2**30, 2**31 - width // 2, 2**32 - width // 2, BEYOND - width):
        found = array[start : start + width].get().tobytes()
        assert found == on_the_cpu(lowered, dtype, 1 + start, width), start
    del array
    cupy.get_default_memory_pool().free_all_blocks()


@pytest.mark.gpu
def test_pinned_memory(backend: CudaBackend) -> None:
    cupyx = pytest.importorskip("cupyx")
    dtype = DTYPES["F32"]
    lowered = draw("normal", dtype)
    pinned = cupyx.empty_pinned(3 * SLAB + 5, np.float32)
    assert backend._is_pinned(pinned.view(np.uint8))
    assert not backend._is_pinned(np.empty(4096, np.uint8))
    backend.fill(lowered, STREAM, dtype, 3, pinned.view(np.uint8).data)
    assert pinned.tobytes() == on_the_cpu(lowered, dtype, 3, len(pinned))


@pytest.mark.gpu
def test_known_answer(backend: CudaBackend) -> None:
    assert known_answer.passes(backend)


def both(name: str) -> tuple[Any, Any]:
    """Return a small tensor of this type, on the GPU and on the CPU."""
    recipe = {"shape": [65, 33], "scheme": "he_normal", "dtype": name}
    return fanin.materialize(recipe, backend="cuda")["weight"], fanin.materialize(recipe, backend="native")["weight"]


@pytest.mark.gpu
@ALL_DTYPES
def test_arrays(backend: CudaBackend, dtype: DType) -> None:
    array, expected = both(dtype.name)
    assert array.get().tobytes() == expected.tobytes()
    recipe = {"shape": [65, 33], "scheme": "he_normal", "dtype": dtype.name}
    part = fanin.slice(recipe, "weight", (slice(None, None, -2), slice(3, 9)), backend="cuda")
    assert part.get().tobytes() == expected[::-2, 3:9].tobytes()  # type: ignore[attr-defined]


@pytest.mark.gpu
def test_dlpack_to_torch(backend: CudaBackend) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    for dtype in DTYPES.values():
        array, expected = both(dtype.name)
        bits = torch.from_dlpack(array.view(f"<u{dtype.itemsize}"))
        assert bits.data_ptr() == array.data.ptr
        assert bits.cpu().numpy().tobytes() == expected.tobytes(), dtype.name


@pytest.mark.gpu
def test_dlpack_to_jax(backend: CudaBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX would take three quarters of the GPU's memory
    jax = pytest.importorskip("jax")
    if jax.default_backend() != "gpu":
        pytest.skip("this JAX has no CUDA")
    for dtype in DTYPES.values():
        if dtype.itemsize <= 4:  # JAX refuses 64-bit types unless its settings allow them
            array, expected = both(dtype.name)
            bits = jax.dlpack.from_dlpack(array.view(f"<u{dtype.itemsize}"))
            assert np.asarray(bits).tobytes() == expected.tobytes(), dtype.name


@pytest.mark.gpu
@pytest.mark.parametrize("name", known_answer.RECIPE["tensors"])
def test_composed_draws(backend: CudaBackend, name: str) -> None:
    """Every kind of draw as an array on the GPU, also those that are computed in parts and complex numbers."""
    recipe = {**known_answer.RECIPE, "tensors": {name: known_answer.RECIPE["tensors"][name]}}  # type: ignore[index]
    array = fanin.materialize(recipe, backend="cuda")[name]
    assert array.get().tobytes() == fanin.materialize(recipe, backend="native")[name].tobytes()  # type: ignore[attr-defined]


@pytest.mark.gpu
def test_the_service(backend: CudaBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a range that the service generates on the GPU. It is ready after its own known-answer test."""
    check_service("cuda", monkeypatch)


def test_the_check_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above with a backend that needs no GPU."""
    check_service(get().name, monkeypatch)


def check_service(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANIN_BACKEND", name)
    with service() as served:
        deadline = time.monotonic() + 45
        while True:  # until it is ready
            with suppress(OSError), urlopen(f"{served.url}/readyz", timeout=30):
                break
            assert time.monotonic() < deadline, "the service is not ready"
            time.sleep(0.1)
        recipe = {"seed": 42, "shape": [3001, 1003], "scheme": "he_normal", "dtype": "BF16"}
        expected = fanin.materialize(recipe, backend="native")["weight"].tobytes()
        file = f"{served.url}/v1/weights?shape=3001,1003&scheme=he_normal&seed=42&dtype=BF16"
        with urlopen(file, timeout=30) as response:
            assert response.read()[-len(expected) :] == expected
        with urlopen(Request(file, headers={"Range": "bytes=-4099"}), timeout=30) as response:
            assert response.read() == expected[-4099:]


@pytest.mark.gpu
def test_a_constant(backend: CudaBackend) -> None:
    for name in DTYPES:
        recipe = {"shape": [1031], "scheme": "constant", "value": 0.1, "dtype": name}
        found = fanin.materialize(recipe, backend="cuda")["weight"].get()  # type: ignore[attr-defined]
        assert found.tobytes() == fanin.materialize(recipe, backend="native")["weight"].tobytes()
