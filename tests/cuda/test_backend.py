"""The CUDA backend on a fake GPU: all of it but the arithmetic and the speed of a real one."""

from __future__ import annotations

import math
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import fanin
from fanin import BackendError, FileLayout, as_recipe, backends
from fanin.backends import load
from fanin.backends.cuda import CudaBackend
from fanin.draws import Fill, Orthogonal
from fanin.dtypes import CONVERTED, DTYPES, INTEGERS, STORAGE, DType
from fanin.errors import NoDeviceError, NotBuiltError
from fanin.file.plan import read_into
from tests.cuda.fake_cupy import POISON, CUDARuntimeError, Make, OutOfMemoryError
from tests.support.cases import DISTRIBUTIONS, STREAM, Case, cases, draw

ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
PACES = pytest.mark.parametrize("pace", ["eager", "lazy", "random"])
RECIPE = {
    "seed": 3,
    "tensors": {
        "normal": {"shape": [37, 41], "scheme": "he_normal"},
        "bf16": {"shape": [13, 5, 7], "scheme": "truncated_normal", "std": 0.02, "dtype": "BF16"},
        "f8": {"shape": [301], "scheme": "normal", "std": 1.0, "dtype": "F8_E4M3"},
        "f64": {"shape": [3, 11], "scheme": "glorot_uniform", "dtype": "F64"},
        "bias": {"shape": [41], "scheme": "constant", "value": 0.1, "dtype": "F16"},
        "rows": {
            "shape": [90, 60],
            "scheme": "blocks",
            "parts": [{"size": 1, "scheme": "zeros"}, {"size": 89, "scheme": "normal", "std": 1.0}],
            "dtype": "F16",
        },
        "dirac": {"shape": [3, 5, 7], "scheme": "dirac"},
        "table": {"shape": [3, 5], "scheme": "log_range", "dtype": "F64"},
        "scalar": {"shape": [], "scheme": "normal", "std": 1.0},
        "empty": {"shape": [0, 3], "scheme": "ones"},
    },
}


def filled(backend: backends.Backend, case: Case, offset: int = 0) -> bytes:
    """The case's bytes, written `offset` bytes into a buffer that must stay as it was around them."""
    size = case.count * case.dtype.itemsize
    buffer = bytearray([POISON]) * (offset + size + 16)
    backend.fill(case.draw, case.stream, case.dtype, case.first, memoryview(buffer)[offset : offset + size])
    assert buffer[:offset] + buffer[offset + size :] == bytes([POISON]) * (offset + 16)
    return bytes(buffer[offset : offset + size])


@ALL_DTYPES
def test_every_case(make: Make, dtype: DType) -> None:
    fake, backend = make()
    for n, case in enumerate(cases(dtype)):
        assert filled(backend, case, n % 5) == filled(load("native"), case), case.label
    fake.check_fences()


@pytest.mark.parametrize("name", list(INTEGERS))
def test_integers(make: Make, name: str) -> None:
    """They are written in host memory, also for arrays on the GPU, which have NumPy's types."""
    fake, backend = make()
    dtype = INTEGERS[name]
    parts = [{"size": 2, "scheme": "arange"}, {"size": 1, "scheme": "constant", "value": int(dtype.largest)}]
    for members in ({"scheme": "ones"}, {"scheme": "blocks", "axis": 1, "parts": parts}):
        drawn = as_recipe({"shape": [3, 3], "dtype": name, **members}).tensors["weight"].draw
        case = Case("", drawn, dtype, STREAM, 2, 6)
        expected = filled(load("reference"), case)
        assert filled(backend, case, 3) == expected
        array = backend.empty(6, dtype)
        assert array.dtype == dtype.numpy
        backend.fill_array(drawn, STREAM, dtype, 2, array)
        assert array.get().tobytes() == expected
    fake.check_fences()


@pytest.mark.parametrize("name", [*CONVERTED, "F8_E8M0"])
def test_types_that_kernels_do_not_know(make: Make, name: str) -> None:
    fake, backend = make()
    dtype = STORAGE[name]
    schemes = [{"scheme": "constant", "value": 0.25}, {"scheme": "he_normal"}, {"scheme": "orthogonal"}]
    for members in schemes if dtype.is_random else schemes[:1]:
        drawn = as_recipe({"shape": [30, 20], "dtype": name, **members}).tensors["weight"].draw
        case = Case("", drawn, dtype, STREAM, 3, 501)
        expected = filled(load("reference"), case)
        assert filled(backend, case, 3) == expected
        array = backend.empty(501, dtype)
        assert array.dtype == np.uint8
        backend.fill_array(drawn, STREAM, dtype, 3, array)
        assert array.get().tobytes() == expected
    fake.check_fences()


@pytest.mark.parametrize(
    ("form", "part", "dtype", "shape"),
    [
        ("fp8_block", "data", "F8_E4M3", [40, 32]),
        ("mxfp4", "data", "U8", [40, 16]),
        ("awq", "data", "I32", [32, 5]),
        ("fp8_channel", "scale", "F32", [40, 1]),
    ],
)
def test_quantized_parts(make: Make, form: str, part: str, dtype: str, shape: list[int]) -> None:
    """They are computed in host memory, also for arrays on the GPU, from numbers that kernels generate."""
    fake, backend = make()
    source = {"shape": [40, 32], "scheme": "normal", "std": 1}
    more = {"group_size": 32} if form == "awq" else {}
    tensor = {"shape": shape, "dtype": dtype, "scheme": "quantized", "format": form, "part": part, "tensor": source}
    drawn = as_recipe({**tensor, **more}).tensors["weight"].draw
    count = math.prod(shape) - 3
    case = Case("", drawn, STORAGE[dtype], STREAM, 3, count)
    expected = filled(load("reference"), case)
    assert filled(backend, case, 3) == expected
    array = backend.empty(count, STORAGE[dtype])
    backend.fill_array(drawn, STREAM, STORAGE[dtype], 3, array)
    assert array.get().tobytes() == expected
    fake.check_fences()


@PACES
@ALL_DTYPES
@pytest.mark.parametrize("slab", [1, 48, 1000])
def test_slabs(make: Make, dtype: DType, slab: int, pace: Any) -> None:
    """Borders of slabs, at sizes around their multiples, from firsts of every place in a Philox block."""
    fake, backend = make(pace, slab=slab, lanes=1)
    per = backend._slab // dtype.itemsize
    for first in (0, 1, 2, 3, 2**32 - 5, 2**34 - 3, 2**34 + 6):
        for count in {1, per - 1, per, per + 1, 2 * per, 3 * per + 1, 7 * per - 1} - {0}:
            case = Case("", draw("truncated", dtype), dtype, STREAM, first, count)
            assert filled(backend, case, first % 3) == filled(load("native"), case), (first, count)
    fake.check_fences()
    # Two slabs on the device, with room for the skipped words, and two in pinned memory.
    assert fake.allocated == 2 * (backend._slab + 32) + 2 * backend._slab


@PACES
def test_pinned_memory_is_written_in_place(make: Make, pace: Any) -> None:
    fake, backend = make(pace, slab=64)
    case = Case("", draw("normal", DTYPES["F32"]), DTYPES["F32"], STREAM, 5, 333)
    whole = fake.pinned_empty(4 * case.count + 4)
    whole[:] = POISON
    backend.fill(case.draw, case.stream, case.dtype, case.first, whole.data[4:])
    assert whole[4:].tobytes() == filled(load("native"), case)
    assert (whole[:4] == POISON).all()
    assert not fake.busy
    # The slabs' own pinned memory was not needed.
    lane = backend._lanes.get()
    assert lane
    assert all((slab.host == POISON).all() for slab in lane)
    fake.check_fences()


@PACES
@ALL_DTYPES
def test_orthogonal_matrices(make: Make, dtype: DType, pace: Any) -> None:
    """Full tensors and parts, in host and in GPU memory. GPU memory receives only the bytes that it needs."""
    fake, backend = make(pace)
    for rows, columns in ((1, 1), (5, 3), (3, 5), (33, 33), (40, 67), (70, 66)):
        matrix = Orthogonal(1.5, rows, columns)
        case = Case("", matrix, dtype, STREAM, 0, rows * columns)
        assert filled(backend, case, 1) == filled(load("native"), case), (rows, columns)
        assert not fake.busy
        part = Case("", matrix, dtype, STREAM, rows * columns // 3, rows * columns // 2)
        array = backend.empty(part.count, dtype)
        backend.fill_array(matrix, STREAM, dtype, part.first, array)
        assert array.get().tobytes() == filled(backend, part) == filled(load("native"), part)
    recipe = {"shape": [9, 4, 8], "scheme": "orthogonal", "dtype": dtype.name, "layout": "torch"}
    made, expected = (fanin.materialize(recipe, backend=name)["weight"] for name in ("cuda", "native"))
    assert made.get().tobytes() == expected.tobytes()
    fake.check_fences()


@PACES
@ALL_DTYPES
def test_arrays(make: Make, dtype: DType, pace: Any) -> None:
    """In place, on the current stream, at any first: aligned vectors, and single elements where they are not."""
    fake, backend = make(pace)
    for distribution in DISTRIBUTIONS:
        for first in (0, 1, 2, 3, 4, 8, 2**34 - 1):
            case = Case("", draw(distribution, dtype), dtype, STREAM, first, 401)
            array = backend.empty(case.count, dtype)
            backend.fill_array(case.draw, case.stream, dtype, first, array)
            assert array.get().tobytes() == filled(load("native"), case)
            part = backend.empty(case.count + 7, dtype)
            backend.fill_array(case.draw, case.stream, dtype, first, part[3 : 3 + case.count])
            assert part.get()[3:-4].tobytes() == filled(load("native"), case)
    fake.check_fences()


def test_arrays_are_filled_on_the_current_stream(make: Make) -> None:
    fake, backend = make("lazy")
    dtype = DTYPES["F32"]
    array, stream = backend.empty(100, dtype), fake.cuda.Stream(non_blocking=True)
    with stream:
        backend.fill_array(draw("normal", dtype), STREAM, dtype, 0, array)
    untouched = bytes([POISON]) * 400
    assert array.get().tobytes() == untouched  # as the null stream sees it
    stream.synchronize()
    assert array.get().tobytes() != untouched


@ALL_DTYPES
@pytest.mark.parametrize("value", [0.0, 0.1, -1.5, 1e-40, 2.0**-24])
def test_constants(make: Make, dtype: DType, value: float) -> None:
    _, backend = make()
    stored = float(np.array(value).astype(dtype.numpy))
    case = Case("", Fill(stored), dtype, STREAM, 3, 133)
    array = backend.empty(case.count, dtype)
    backend.fill_array(case.draw, case.stream, dtype, case.first, array)
    assert array.get().tobytes() == filled(backend, case) == filled(load("reference"), case)


@ALL_DTYPES
def test_the_way_to_torch(dtype: DType) -> None:
    """The code in docs/gpu.md for host arrays: through DLPack as unsigned integers, then as a view of the real type."""
    types = {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
    }
    array = fanin.materialize({"shape": [999], "scheme": "normal", "std": 1, "dtype": dtype.name})["weight"]
    tensor = torch.from_dlpack(array.view(f"<u{dtype.itemsize}")).view(types[dtype.name])
    assert (tensor.double().numpy() == array.astype(np.float64)).all()


@pytest.mark.parametrize("host", [64 << 20, 48])
def test_arrays_of_several_axes(make: Make, host: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are written in host memory, in parts of any length."""
    monkeypatch.setattr("fanin.backends.cuda.HOST", host)
    fake, backend = make()
    parts = [{"size": 1, "scheme": "normal", "std": 1.0}, {"size": 5, "scheme": "arange"}]
    for dtype, members in (
        ("F32", {"scheme": "normal", "std": 1.0}),
        ("F32", {"scheme": "orthogonal"}),
        ("F32", {"scheme": "blocks", "axis": 1, "parts": [{"size": 2, "scheme": "ones"}, {**parts[0], "size": 4}]}),
        ("I64", {"scheme": "blocks", "axis": 1, "parts": [{"size": 1, "scheme": "ones"}, parts[1]]}),
        ("C64", {"scheme": "normal", "std": 1.0}),
        ("F8_E5M2FNUZ", {"scheme": "normal", "std": 1.0}),
    ):
        entry = FileLayout.of({"shape": [4, 6], "dtype": dtype, **members}).entries[0]
        expected = fanin.materialize({"shape": [4, 6], "dtype": dtype, **members}, backend="reference")["weight"]
        array = backend.empty(24, entry.dtype).reshape((4, 6))
        backend.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)
        assert array.get().tobytes() == expected.tobytes(), (dtype, members)
    fake.check_fences()


def test_an_array_must_be_contiguous(make: Make) -> None:
    _, backend = make()
    array = backend.empty(8, DTYPES["F32"])
    with pytest.raises(ValueError, match="contiguous"):
        backend.fill_array(draw("normal", DTYPES["F32"]), STREAM, DTYPES["F32"], 0, array[::2])


@PACES
@pytest.mark.parametrize("version", ["13.6.0", "14.0.0"])
def test_materialize_and_slice(make: Make, pace: Any, version: str) -> None:
    fake, _ = make(pace, version)
    layout = FileLayout.of(RECIPE)
    expected = fanin.materialize(layout, backend="native")
    made = fanin.materialize(layout, backend="cuda")
    assert list(made) == list(expected)
    kinds = {"bf16": np.dtype(ml_dtypes.bfloat16 if version[:2] == "14" else np.uint16), "f8": np.dtype(np.uint8)}
    for name, array in expected.items():
        assert made[name].dtype == kinds.get(name, array.dtype)
        assert made[name].shape == array.shape
        assert made[name].get().tobytes() == array.tobytes()
    for index in ((slice(3, 30), slice(None)), (..., 5), (slice(30, 3, -4), slice(1, 40, 3)), (2, 3), (slice(0, 0),)):
        part = fanin.slice(layout, "normal", index, backend="cuda")  # type: ignore[arg-type]
        assert part.shape == expected["normal"][index].shape
        assert part.get().tobytes() == expected["normal"][index].tobytes()
    fake.check_fences()


def test_a_file_by_threads(make: Make) -> None:
    """More threads than lanes, each with its own range."""
    fake, backend = make(slab=96, lanes=2)
    layout = FileLayout.of(RECIPE)
    expected, found = bytearray(layout.size), bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(expected), load("native"))

    def read(start: int) -> None:
        read_into(layout, start, memoryview(found)[start : start + 701], backend)

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(read, range(0, layout.size, 701)))
    assert found == expected
    assert fake.allocated <= 2 * (4 * backend._slab + 2 * 32)


@pytest.mark.parametrize("operation", ["launch", "copy"])
@PACES
def test_a_failure_leaves_nothing_at_work(make: Make, operation: str, pace: Any) -> None:
    fake, backend = make(pace, slab=64, lanes=1)
    case = Case("", draw("normal", DTYPES["F32"]), DTYPES["F32"], STREAM, 0, 500)
    calls: list[str] = []

    def third(kind: str) -> bool:
        calls.append(kind)
        return kind == operation and calls.count(kind) == 3

    fake.failing = third
    with pytest.raises(BackendError, match="the GPU failed: cudaError"):
        filled(backend, case)
    assert not fake.busy
    # A GPU that works again is used again.
    assert filled(backend, case) == filled(load("native"), case)


def test_a_full_gpu_is_told(make: Make) -> None:
    fake, backend = make(lanes=1)
    case = Case("", draw("normal", DTYPES["F32"]), DTYPES["F32"], STREAM, 0, 5)

    def full(size: int) -> Any:
        raise OutOfMemoryError("Out of memory allocating 2,097,184 bytes")

    room, fake.cuda.Memory = fake.cuda.Memory, full
    with pytest.raises(BackendError, match="Out of memory"):
        filled(backend, case)
    fake.cuda.Memory = room
    assert filled(backend, case) == filled(load("native"), case)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12: a process with threads forks
def test_a_forked_child_is_told(make: Make) -> None:
    _, backend = make()
    case = Case("", draw("normal", DTYPES["F32"]), DTYPES["F32"], STREAM, 0, 5)
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def child() -> None:
        for call in (lambda: filled(backend, case), lambda: backend.empty(1, DTYPES["F32"])):
            try:
                call()
            except BackendError as error:
                told.put(str(error))

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert all("spawn" in told.get() for _ in range(2))


def test_it_is_used_only_when_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    assert backends.available()[0] == "cuda"
    assert backends.get().name == "native"
    assert backends.get("cuda").name == "cuda"
    monkeypatch.setenv("FANIN_BACKEND", "cuda")
    assert backends.get().name == "cuda"


def test_without_a_gpu(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoDeviceError, match="no NVIDIA GPU"):
        make(gpus=0)
    assert "cuda" not in backends.available()
    with pytest.raises(NoDeviceError):
        backends.get("cuda")

    fake = sys.modules["cupy"]

    def old_driver() -> int:
        raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    fake.cuda.runtime.getDeviceCount = old_driver
    with pytest.raises(NoDeviceError, match="cudaErrorInsufficientDriver"):
        CudaBackend()
    fake.cuda.runtime.is_hip = True
    with pytest.raises(NoDeviceError, match="AMD"):
        CudaBackend()


def test_without_cupy_or_compiler(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fake, _ = make()

    def no_compiler(**_: object) -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.12")

    monkeypatch.setattr(fake, "RawModule", no_compiler)
    with pytest.raises(NotBuiltError, match="libnvrtc"):
        CudaBackend()
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(NotBuiltError, match=r"\.\[cuda12\]"):
        CudaBackend()
    assert "cuda" not in backends.available()
