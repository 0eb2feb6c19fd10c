"""The C backend on other processors, at other optimisation levels: the bytes of the reference backend everywhere."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanin.backends import native, packing
from fanin.backends.reference import ReferenceBackend
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES
from tests.support.cases import STREAM, Case, every_case

pytestmark = pytest.mark.soak("processors")

HERE = Path(__file__).parent
CSRC = Path(native.__file__).with_name("csrc")
FLAGS = ("-std=gnu99", "-Wall", "-Wextra", "-Werror")
EXACT = "-ffp-contract=off"
X86, ARM, BIG_ENDIAN = "gcc", "aarch64-linux-gnu-gcc", "s390x-linux-gnu-gcc"
EMULATORS = {X86: (), ARM: ("qemu-aarch64",), BIG_ENDIAN: ("qemu-s390x",)}


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(every_case())


@pytest.fixture(scope="module")
def text(cases: list[Case]) -> bytes:
    return "\n".join(_line(case) for case in cases).encode()


@pytest.fixture(scope="module")
def expected(cases: list[Case]) -> list[bytes]:
    return [_reference(case) for case in cases]


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        (ARM, "-O0"),
        (ARM, "-O3"),
        (BIG_ENDIAN, "-O0"),
        (BIG_ENDIAN, "-O3"),
        (X86, "-O0"),
        (X86, "-O3"),
        (X86, "-O3 -march=x86-64-v3"),
        (X86, "-O3 -march=x86-64-v4"),
    ],
)
def test_bytes_are_those_of_the_reference(
    compiler: str, options: str, cases: list[Case], text: bytes, expected: list[bytes], tmp_path: Path
) -> None:
    runner = _built(compiler, [EXACT, *options.split()], tmp_path)
    assert list(_run(runner, compiler, cases, text)) == expected


@pytest.mark.parametrize(("compiler", "options"), [(ARM, "-O3"), (BIG_ENDIAN, "-O3"), (X86, "-O3 -march=x86-64-v3")])
def test_fused_arithmetic_would_be_noticed(
    compiler: str, options: str, cases: list[Case], text: bytes, expected: list[bytes], tmp_path: Path
) -> None:
    runner = _built(compiler, ["-ffp-contract=fast", *options.split()], tmp_path)
    found = list(_run(runner, compiler, cases, text))
    changed = {case.dtype.name for case, ours, theirs in zip(cases, expected, found, strict=True) if ours != theirs}
    assert {"F64", "F32"} <= changed


# Not Haswell: QEMU 7.2 gets the AVX2 kernels wrong, where hardware and valgrind run the same binary rightly.
@pytest.mark.parametrize("processor", ["", "qemu-x86_64 -cpu Nehalem"])
def test_each_processor_gets_instructions_that_it_has(
    processor: str, cases: list[Case], text: bytes, expected: list[bytes], tmp_path: Path
) -> None:
    """One program with all levels in it: neither loading nor asking it may run what an older processor has not."""
    vectors = []
    for name, options in {"avx2": "-mavx2 -mf16c", "avx512": "-mavx512f -mavx512dq -mavx512bw -mavx512vl"}.items():
        vectors.append(tmp_path / f"{name}.o")
        flags = [*FLAGS, EXACT, "-O3", *options.split()]
        subprocess.run([X86, *flags, "-c", CSRC / f"{name}.c", "-o", vectors[-1]], check=True)
    runner = _built(X86, [EXACT, "-O3", "-DFANIN_X86", *map(str, vectors)], tmp_path)
    assert list(_run(runner, X86, cases, text, *processor.split())) == expected


@pytest.mark.parametrize("options", ["-O0", "-O3"])
@pytest.mark.parametrize("compiler", [ARM, BIG_ENDIAN, X86])
def test_matrices_are_those_of_the_reference(compiler: str, options: str, tmp_path: Path) -> None:
    runner = _built(compiler, [EXACT, options], tmp_path, "matrix_runner.c")
    for rows, columns in ((1, 1), (33, 35), (70, 67), (40, 131)):
        for number, dtype in enumerate(DTYPES.values()):
            wanted = bytearray(rows * columns * dtype.itemsize)
            ReferenceBackend().fill(Orthogonal(1.5, rows, columns), STREAM, dtype, 0, memoryview(wanted))
            numbers = (rows, columns, number, *STREAM.key("main"), *STREAM.key("low"))
            command = [*EMULATORS[compiler], runner, *map(str, numbers)]
            assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == wanted, (rows, columns)


def _built(compiler: str, options: list[str], folder: Path, source: str = "vectors_runner.c") -> Path:
    runner = folder / "runner"
    subprocess.run(
        [
            *(compiler, *FLAGS, *options, "-static", "-pthread", f"-I{CSRC}"),
            *(
                HERE / source,
                *(CSRC / f"{name}.c" for name in ("orthogonal", "quantize", "sparse", "baseline")),
                "-o",
                runner,
                "-lm",
            ),
        ],
        check=True,
    )
    return runner


def _run(runner: Path, compiler: str, cases: list[Case], text: bytes, *emulator: str) -> Iterator[bytes]:
    """The bytes of each case, as this machine makes them."""
    written = subprocess.run(
        [*EMULATORS[compiler], *emulator, runner], input=text, stdout=subprocess.PIPE, check=True
    ).stdout
    sizes = [case.count * case.dtype.itemsize for case in cases]
    assert len(written) == sum(sizes)
    at = 0
    for size in sizes:
        yield written[at : at + size]
        at += size


def _line(case: Case) -> str:
    """One case as the runner reads it: the arguments of fanin_fill in their order, floats in hexadecimal."""
    distribution, parameters = packing.parameters(case.draw, case.dtype.compute.name)
    block, skip = divmod(case.first, 4)
    numbers = [
        int(distribution),
        packing.DTYPE_NUMBERS[case.dtype.name],
        *_members(parameters),
        *case.stream.key("main"),
        *case.stream.key("low"),
        block,
        skip,
        case.count,
    ]
    return " ".join(number.hex() if isinstance(number, float) else str(number) for number in numbers)


def _members(structure: ctypes.Structure) -> Iterator[int | float]:
    for name, *_ in structure._fields_:
        member = getattr(structure, name)
        if isinstance(member, ctypes.Structure):
            yield from _members(member)
        else:
            yield member


def _reference(case: Case) -> bytes:
    out = bytearray(case.count * case.dtype.itemsize)
    ReferenceBackend().fill(case.draw, case.stream, case.dtype, case.first, memoryview(out))
    return bytes(out)
