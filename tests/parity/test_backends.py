"""Every backend gives the bits of `reference`, for any distribution, storage type, position, length and alignment."""

from __future__ import annotations

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fanin import BackendError, RecipeError, backends
from fanin.backends import Backend, native
from fanin.backends.native import NativeBackend
from fanin.backends.philox import words
from fanin.draws import Draw
from fanin.dtypes import DTYPES, DType
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe
from fanin.streams import Stream
from tests.support.cases import FIRST_AND_LAST, LOW_BLOCK, LOW_COUNTERS, cases, low_stream

POISON = b"\xa5"
REFERENCE = backends.load("reference")
LEVELS = NativeBackend().levels
FAST = [NativeBackend(level) for level in LEVELS]
"""The native backend at every level of instructions that this machine has."""

small = st.floats(-3, 3, width=32).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
widths = st.floats(0.0078125, 4, width=32)


@st.composite
def distributions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["constant", "uniform", "normal", "truncated_normal", "open", "absolute"]))
    low, width, std, mean = draw(small), draw(widths), draw(st.floats(0.0078125, 2, width=32)), draw(small)
    match kind:
        case "constant":
            return {"scheme": "constant", "value": low}
        case "uniform":
            return {"scheme": "uniform", "low": low, "high": low + width}
        case "normal":
            return {"scheme": "normal", "mean": mean, "std": std}
        case "truncated_normal":
            far = draw(st.floats(-8, 8))
            return {"scheme": kind, "mean": mean, "std": std, "low": far, "high": far + width}
        case "open":
            return {"scheme": "truncated_normal", "std": std, "low": low, "high": None}
        case _:
            bounds = {"bounds": "absolute", "low": -width, "high": width}
            return {"scheme": "truncated_normal", "std": std, **bounds}


def fill(backend: Backend, draw: Draw, dtype: DType, first: int, count: int, offset: int) -> bytes:
    """`count` elements written at an odd offset; what lies around them must stay as it was."""
    size = count * dtype.itemsize
    buffer = bytearray(POISON * (offset + size + 16))
    backend.fill(draw, Stream("fanin/1", 9, "w"), dtype, first, memoryview(buffer)[offset : offset + size])
    assert buffer[:offset] == POISON * offset
    assert buffer[offset + size :] == POISON * 16
    return bytes(buffer[offset : offset + size])


@pytest.mark.parametrize("backend", FAST, ids=LEVELS)
@pytest.mark.parametrize("name", ["F64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2"])
def test_ranges_of_every_number_of_groups(backend: NativeBackend, name: str) -> None:
    """A level may compute several groups at once, unless few are left or half of the block number overflows."""
    distributions = ({"scheme": "uniform", "low": -1, "high": 1}, {"scheme": "normal", "std": 1})
    for distribution in (*distributions, {"scheme": "truncated_normal", "std": 1, "low": -1, "high": 3}):
        entry = FileLayout.of({"shape": [1], "dtype": name, **distribution}).entries[0]
        for first in (0, 3, 4 * (2**32 - 60) + 1):
            every = fill(REFERENCE, entry.draw, entry.dtype, first, 650, 0)
            for count in (*range(1, 650, 31), 64, 96, 97, 192, 193, 650):
                assert fill(backend, entry.draw, entry.dtype, first, count, 3) == every[: count * entry.dtype.itemsize]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels are those of x86-64")
def test_levels_are_what_the_processor_has() -> None:
    flags = Path("/proc/cpuinfo").read_text()
    assert ("avx2" in LEVELS) == (" avx2 " in flags)
    assert ("avx512" in LEVELS) == all(f" avx512{part}" in flags for part in ("f", "dq", "bw", "vl"))


def test_a_level_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NativeBackend().level == LEVELS[-1]
    monkeypatch.setenv("FANIN_SIMD", "baseline")
    assert NativeBackend().level == "baseline"
    monkeypatch.setenv("FANIN_SIMD", "sse9")
    with pytest.raises(BackendError, match="baseline"):
        NativeBackend()
    backends.load.cache_clear()
    backends._usable.cache_clear()
    with pytest.raises(BackendError, match="baseline"):
        backends.get()
    backends.load.cache_clear()


def test_an_interrupt_waits_for_the_threads() -> None:
    """They write into memory that the caller may give back: interrupted, it must not crash."""
    code = """
import signal, threading, _thread, time, fanin
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
threading.Timer(0.3, _thread.interrupt_main).start()
try:
    for _ in range(40):
        fanin.materialize({"shape": [1 << 25], "scheme": "normal", "std": 1})
except KeyboardInterrupt:
    time.sleep(0.2)
    print("interrupted")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "interrupted")


def test_threads_outlive_the_main_one() -> None:
    code = """
import threading, time, fanin
fanin.backends.get()  # Python imports no thread pool once the main thread has ended
def late():
    time.sleep(0.3)
    print(len(fanin.materialize({"shape": [3_000_000], "scheme": "normal", "std": 1})["weight"]))
threading.Thread(target=late).start()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stderr, found.stdout.strip()) == ("", "3000000")


def test_pinning_may_be_forbidden() -> None:
    """As in some sandboxes: the system call sched_setaffinity returns EPERM."""
    code = """
import ctypes, struct, fanin
number, offset = 203, 0  # of x86-64; where struct seccomp_data holds it
program = [(0x20, 0, 0, offset), (0x15, 0, 1, number), (6, 0, 0, 0x50001), (6, 0, 0, 0x7FFF0000)]
steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
rules = struct.pack("@HP", len(program), ctypes.addressof(steps))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, rules, 0, 0) == 0, ctypes.get_errno()
print(len(fanin.materialize({"shape": [3_000_000], "scheme": "normal", "std": 1})["weight"]))
"""
    if platform.machine() != "x86_64" or not sys.platform.startswith("linux"):
        pytest.skip("the filter is one for Linux on x86-64")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.stderr, found.stdout.strip()) == ("", "3000000")


@pytest.mark.parametrize(
    ("groups", "files", "allowed"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, [2]),
        ("0::/\n", {"cpu.max": "50000 100000"}, [1]),
        ("0::/gone\n", {}, []),
        ("4:cpu,cpuacct:/c\n0::/\n", {"cpu/c/cpu.cfs_quota_us": "400000", "cpu/c/cpu.cfs_period_us": "100000"}, [4]),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("3:memory:/\n", {}, []),
    ],
)
def test_quotas_of_control_groups(tmp_path: Path, groups: str, files: dict[str, str], allowed: list[int]) -> None:
    (tmp_path / "own").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert list(native._quotas(tmp_path / "root", tmp_path / "own")) == allowed


@settings(max_examples=150, deadline=None)
@given(
    tensors=st.lists(
        st.tuples(distributions(), st.sampled_from(list(DTYPES)), st.integers(0, 700)), min_size=1, max_size=30
    ),
    long=st.integers(0, 200_000),
    threads=st.integers(1, 5),
)
def test_tensors_at_once_are_those_one_by_one(
    tensors: list[tuple[dict[str, Any], str, int]], long: int, threads: int
) -> None:
    """In threads, too, and with nothing written between them."""
    tensors[0] = (*tensors[0][:2], tensors[0][2] + long)
    try:
        named = {
            str(n): {"shape": [count], "dtype": dtype, **distribution}
            for n, (distribution, dtype, count) in enumerate(tensors)
        }
        layout = FileLayout.of({"tensors": named})
    except RecipeError:
        reject()
    gap = 13
    sizes = [entry.count * entry.dtype.itemsize for entry in layout.entries]
    starts = [sum(sizes[:n]) + gap * (n + 1) for n in range(len(sizes))]
    buffer = bytearray(POISON * (sum(sizes) + gap * (len(sizes) + 1)))
    expected = bytearray(buffer)
    backend = NativeBackend(threads=threads)
    for entry, start, size in zip(layout.entries, starts, sizes, strict=True):
        backend.fill(entry.draw, entry.stream, entry.dtype, 0, memoryview(expected)[start : start + size])
    address = np.frombuffer(buffer, np.uint8).ctypes.data
    backend.fill_tensors(layout.entries, np.array(starts, np.uint64) + np.uint64(address))
    assert buffer == expected


def test_callers_at_once() -> None:
    """Threads that fill at the same time share the cached ones."""
    entry = FileLayout.of({"shape": [1 << 19], "scheme": "normal", "std": 1}).entries[0]
    backend = NativeBackend(threads=3)

    def made(n: int) -> bytes:
        return fill(backend, entry.draw, entry.dtype, n % 4, 1 << 19, n % 3)

    expected = [made(n) for n in range(4)]
    with ThreadPoolExecutor(6) as executor:
        assert all(found == expected[n % 4] for n, found in enumerate(executor.map(made, [n % 4 for n in range(40)])))


FORKS = """
import hashlib, multiprocessing, fanin

def digest(recipe):
    return hashlib.sha256(fanin.materialize(recipe)["weight"]).hexdigest()

recipe = {"shape": [3_000_000], "scheme": "normal", "std": 1}
expected = digest(recipe)
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert pool.apply_async(digest, (recipe,)).get(60) == expected
"""


def test_a_forked_child_makes_the_same() -> None:
    """Its parent's threads are not there: without new threads it would wait permanently.

    The parent is a separate process: libraries that other tests import here, as JAX, warn of forks.
    """
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS], check=True, timeout=120)


@pytest.mark.parametrize("backend", FAST, ids=LEVELS)
@settings(max_examples=400, deadline=None)
@given(
    distribution=distributions(),
    dtype=st.sampled_from(list(DTYPES.values())),
    first=st.one_of(st.integers(0, 3000), st.integers(2**34 - 2000, 2**34 + 2000), st.integers(0, 2**66 - 5000)),
    count=st.integers(0, 2100),
    offset=st.integers(0, 9),
)
def test_fills_as_the_reference_does(
    backend: Backend, distribution: dict[str, Any], dtype: DType, first: int, count: int, offset: int
) -> None:
    try:
        draw = as_recipe({"shape": [1], "dtype": dtype.name, **distribution}).tensors["weight"].draw
    except RecipeError:
        reject()  # no number of this type lies between the bounds
    expected = fill(REFERENCE, draw, dtype, first, count, 0)
    assert fill(backend, draw, dtype, first, count, offset) == expected


@pytest.mark.parametrize("backend", FAST, ids=LEVELS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
def test_words_at_the_edges(backend: Backend, dtype: DType) -> None:
    """Words where a distribution changes side, region or row, and where a vector's lookup lacks the row."""
    for case in cases(dtype):
        out = [bytearray(POISON * (case.count * dtype.itemsize)) for _ in range(2)]
        for maker, buffer in zip((backend, REFERENCE), out, strict=True):
            maker.fill(case.draw, case.stream, dtype, case.first, memoryview(buffer))
        assert out[0] == out[1], case


def test_low_words_reach_every_row() -> None:
    """Beside the first word of a side, the low word alone decides on the row. No distribution has row 127."""
    lengths = set()
    for stream in map(low_stream, LOW_COUNTERS):
        assert tuple(words(stream.key("main"), 4 * LOW_BLOCK, 4)) == FIRST_AND_LAST
        low = [int(word) for word in words(stream.key("low"), 4 * LOW_BLOCK, 2)]
        lengths |= {(0, low[0].bit_length()), (1, (low[1] ^ 0xFFFFFFFF).bit_length())}
    every = {(side, length) for side in (0, 1) for length in range(33)}
    assert every - lengths == {(1, 1)}


@pytest.mark.parametrize("backend", FAST, ids=LEVELS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))
@pytest.mark.parametrize(
    "distribution",
    [
        {"scheme": "uniform", "low": -0.3, "high": 0.7},
        {"scheme": "normal", "std": 0.02},
        {"scheme": "truncated_normal", "std": 0.02},
        {"scheme": "truncated_normal", "std": 0.5, "low": 8.9, "high": None},
        {"scheme": "truncated_normal", "std": 0.5, "low": -1, "high": None},
        {"scheme": "truncated_normal", "std": 0.5, "low": 3, "high": 4},
        {"scheme": "truncated_normal", "std": 0.5, "low": None, "high": -2},
        {"scheme": "truncated_normal", "std": 0.5, "low": -0.1, "high": 6},
        {"scheme": "truncated_normal", "std": 0.5, "low": 0.1, "high": 0.3},
    ],
)
def test_a_million_elements(backend: Backend, dtype: DType, distribution: dict[str, Any]) -> None:
    draw = as_recipe({"shape": [1], "dtype": dtype.name, **distribution}).tensors["weight"].draw
    assert fill(backend, draw, dtype, 3, 1 << 20, 1) == fill(REFERENCE, draw, dtype, 3, 1 << 20, 0)
