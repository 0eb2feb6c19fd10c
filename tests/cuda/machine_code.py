"""The machine code of the CUDA kernels: NVRTC assembles it, and NVIDIA's disassembler prints it. This needs no GPU.

python -m tests.cuda.machine_code    # write docs/bench/machine-code.json, from which docs/gpu.md has its ceilings
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fanin.backends.cuda import OPTIONS
from fanin.backends.source import cuda_source
from fanin.dtypes import DTYPES

CUPY = "-ftz=true"
"""Option that CuPy appends to all others. It beats an earlier -ftz=false."""
COMPILERS = {"12": "nvidia-cuda-nvrtc-cu12", "13": "nvidia-cuda-nvrtc"}
"""Distribution with NVRTC of each major version of CUDA."""
_VECTOR, _WORDS = 16, 4
"""Minimum number of bytes that a thread generates in a turn, and of elements."""
ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")


def _file(distribution: str, name: str) -> Path:
    """Return the path of a file of an installed distribution.

    Raises:
        LookupError: the distribution is not installed, or has no such file.
    """
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if re.fullmatch(name, file.name):
            return Path(str(file.locate()))
    raise LookupError(f"no file {name} of {distribution}: pip install {distribution}")


def version(cuda: str) -> str:
    """Return the version of an installed NVRTC."""
    _file(COMPILERS[cuda], r"libnvrtc\.so\.\d+")
    return metadata.version(COMPILERS[cuda])


@lru_cache
def _library(cuda: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(_file(COMPILERS[cuda], r"libnvrtc\.so\.\d+")))


@lru_cache(maxsize=16)
def compiled(source: str, *options: str, cuda: str = "12", result: str = "PTX") -> bytes:
    """Return the PTX or CUBIN that NVRTC makes of `source`. A warning is an error."""
    nvrtc = _library(cuda)
    program = ctypes.c_void_p()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"fanin.cu", 0, None, None) == 0
    try:
        arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
        log = _output(program, nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).rstrip(b"\0").decode()
        assert status == 0, log
        assert not log, "warnings"
        return _output(program, getattr(nvrtc, f"nvrtcGet{result}Size"), getattr(nvrtc, f"nvrtcGet{result}"))
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def ptx(source: str, *options: str) -> str:
    """Return what the frontend of NVRTC 12 makes of `source`."""
    return compiled(source, *options).rstrip(b"\0").decode()


def _output(program: ctypes.c_void_p, get_size: Callable[..., int], get: Callable[..., int]) -> bytes:
    size = ctypes.c_size_t()
    assert get_size(program, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert get(program, buffer) == 0
    return buffer.raw


@dataclass(frozen=True)
class Instruction:
    """One instruction: its guard, such as `@!P0`, its name with all modifiers, and its operands."""

    guard: str
    name: str
    operands: str

    @property
    def target(self) -> str:
        """Return the label that it jumps to, or an empty string."""
        found = re.search(r"`\((\.L_\w+)\)", self.operands)
        return found[1] if found and self.name.startswith("BRA") else ""


@dataclass(frozen=True)
class Kernel:
    """The machine code of one kernel, without the functions that it calls, and what a thread of it needs."""

    instructions: tuple[Instruction, ...]
    labels: dict[str, int]
    called: dict[str, tuple[Instruction, ...]]
    """NVIDIA's own functions by name, such as `div_u64`."""
    registers: int
    stack: int
    local: int
    shared: int

    def shortest_turn(self) -> int:
        """Return the fewest instructions of a turn of the main loop that stores full vectors.

        A guarded instruction counts, because it takes its turn even where the guard is false.
        """
        jumps = [(self.labels[one.target], at) for at, one in enumerate(self.instructions) if one.target]
        head, back = max(((to, at) for to, at in jumps if to <= at), key=lambda jump: jump[1] - jump[0])
        fewest = {(head, False): 0}
        for at in range(head, back + 1):  # inner loops would need more turns, and are counted once
            for stored in (False, True):
                if (at, stored) in fewest:
                    count = fewest[at, stored] + 1
                    vector = stored or self.instructions[at].name.startswith("STG.E.128")
                    for to in self._next(at):
                        fewest[to, vector] = min(count, fewest.get((to, vector), count))
        # The jump back was followed above: it set the count of the head, which began at 0.
        return fewest[back, True] + 1

    def _next(self, at: int) -> Iterator[int]:
        one = self.instructions[at]
        if one.target:
            yield self.labels[one.target]
        # BRA.U has its condition among the operands.
        if one.guard or not one.name.startswith(("BRA", "EXIT")) or re.match(r"!?UP\d", one.operands):
            yield at + 1


_LINE = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(@!?U?P\d+\s+)?([A-Z][\w.]*)\s*([^;]*);")
_RESOURCES = re.compile(r"Function (\w+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")


def kernels(source: str, cuda: str, architecture: str, *options: str) -> dict[str, Kernel]:
    """Return the machine code of every kernel, as NVRTC of this CUDA assembles it for the architecture."""
    code = compiled(source, *options, f"-arch={architecture}", cuda=cuda, result="CUBIN")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fanin.cubin")
        path.write_bytes(code)
        text = _run(_file("nvidia-cuda-nvdisasm", "nvdisasm"), "-c", str(path))
        resources = _run(_file("nvidia-cuda-cuobjdump", "cuobjdump"), "--dump-resource-usage", str(path))
    numbers = {name: tuple(map(int, rest)) for name, *rest in _RESOURCES.findall(resources)}
    found = {}
    for section in re.split(r"^\s*\.section\s+", text, flags=re.MULTILINE):
        if name := re.match(r"\.text\.(\w+),", section):
            own, *parts = re.split(r"^\s*\.type\s+\$\w+\$(\w+),.*$", section, flags=re.MULTILINE)
            instructions, labels = _parsed(own)
            registers, stack, shared, local = numbers[name[1]]
            called = {to.removeprefix("__cuda_sm20_"): _parsed(part)[0] for to, part in zip(parts[::2], parts[1::2])}
            found[name[1]] = Kernel(instructions, labels, called, registers, stack, local, shared)
    return found


def _parsed(text: str) -> tuple[tuple[Instruction, ...], dict[str, int]]:
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(instructions)
        elif one := _LINE.match(line):
            instructions.append(Instruction((one[1] or "").strip(), one[2], one[3].strip()))
    return tuple(instructions), labels


def _run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout


STORED = Path(__file__).parents[2] / "docs" / "bench" / "machine-code.json"


def counts(cuda: str, architecture: str) -> dict[str, list[float]]:
    """Return instructions for one element, and registers, of each kernel that computes elements from words."""
    found = kernels(cuda_source(), cuda, architecture, *OPTIONS, CUPY)
    return {
        f"{distribution}_{name}": [
            kernel.shortest_turn() * dtype.itemsize / max(_VECTOR, _WORDS * dtype.itemsize),
            kernel.registers,
        ]
        for distribution in ("uniform", "normal")
        for name, dtype in DTYPES.items()
        if (kernel := found.get(f"fanin_{distribution}_{name}"))
    }


def stored() -> dict[str, Any]:
    """Return the counts that docs/gpu.md shows."""
    document: dict[str, Any] = json.loads(STORED.read_text())
    return document


def main() -> None:
    """Write the counts of every compiler and architecture."""
    document = {
        "compilers": {cuda: version(cuda) for cuda in COMPILERS},
        "counts": {
            f"{cuda} {architecture}": counts(cuda, architecture) for cuda in COMPILERS for architecture in ARCHITECTURES
        },
    }
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in document["counts"].items())
    STORED.write_text(f'{{\n "compilers": {json.dumps(document["compilers"])},\n "counts": {{\n{lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
