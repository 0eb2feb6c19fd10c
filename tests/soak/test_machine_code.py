"""The machine code of the CUDA kernels for each architecture: what NVIDIA's assembler makes of PTX is tested too.

It needs `pip install --group machine-code`, and no GPU. Nothing here runs on one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from fanin.backends.cuda import OPTIONS, THREADS
from fanin.backends.source import cuda_source
from fanin.dtypes import DTYPES
from tests.cuda.machine_code import ARCHITECTURES, COMPILERS, CUPY, Instruction, Kernel, counts, kernels, stored

pytestmark = pytest.mark.soak("machine-code")
EACH = [
    pytest.param(cuda, architecture, id=f"CUDA {cuda}, {architecture}")
    for cuda in COMPILERS
    for architecture in ARCHITECTURES
]
DIVIDING = re.compile(r"fanin_orthogonal_(?:triangle|vectors_F32|vectors_F64)")
"""Kernels with divisions and roots of doubles, of which NVIDIA's code is fused and rounds as IEEE asks. That no other
operation of theirs is fused is seen in the PTX (test_nvrtc.py)."""
EXACT = re.compile(
    r"U?(?:FADD|FMUL|DADD|DMUL"  # rounded once, to nearest; modifiers would flush (FTZ), saturate or round otherwise
    r"|[FD]SEL|[FD]SETP\.\w+(?:\.AND|\.OR)?(?:\.EX)?"  # a copy, and a comparison that does not flush
    r"|F2F\.F32\.F64|F2F\.F64\.F32"
    r"|I2FP?(?:\.F(?:32|64))?(?:\.[SU](?:8|16|32|64))?)"
)
CONSTANT = re.compile(r"R\d+, -?RZ, RZ, -?[\d.e+-]+, -?[\d.e+-]+")
"""Operands with which HFMA2 only loads a constant: its two halves, added to 0 * 0."""
FLOATING = re.compile(r"U?(?:F(?!LO|ENCE)|D(?=ADD|MUL|FMA|SETP|MNMX)|H(?=ADD|MUL|FMA|SET|MNMX)|MUFU|I2F|F2)")
"""Names of instructions that compute with, or convert, numbers with fractions."""


def inexact(name: str, kernel: Kernel) -> list[str]:
    """Return the instructions of a kernel that are not one exactly rounded operation."""
    found = list(_inexact(kernel.instructions))
    for function, instructions in kernel.called.items():
        if not re.fullmatch(r"(?:div|rem)_[us](?:16|64)", function):  # the division of integers
            found += _inexact(instructions)
    if DIVIDING.fullmatch(name):
        found = [one for one in found if not re.match(r"(?:DFMA|DMUL\.RP|MUFU\.(?:RCP|RSQ)64H|FFMA) |DFMA\.R", one)]
    return found


def _inexact(instructions: Iterable[Instruction]) -> Iterable[str]:
    """Return instructions that are not exact, without divisions of integers.

    The compiler divides integers by the reciprocal of a float. That float is an integer below 2^64, so its reciprocal
    is at least 2^-64 or infinite: never subnormal, and the flush of F2I.FTZ changes nothing. Integer operations then
    correct the quotient.
    """
    holds: dict[str, str] = {}  # register: "integer" as a float, its "reciprocal", or a "quotient"
    for one in instructions:
        registers = re.findall(r"U?R\d+", one.operands)
        sources = {holds.get(register, "") for register in registers[1:]}
        result = ""
        if re.fullmatch(r"U?I2F\.U(?:32|64)\.RP", one.name):
            result = "integer"
        elif one.name == "MUFU.RCP" and "integer" in sources:
            result = "reciprocal"
        elif re.fullmatch(r"U?IADD3?|VIADD", one.name) and "reciprocal" in sources:
            result = "quotient"
        elif re.fullmatch(r"F2I\.(?:FTZ\.)?U(?:32|64)\.TRUNC(?:\.NTZ)?", one.name) and "quotient" in sources:
            result = "whole"
        if registers:
            holds[registers[0]] = result
        exact = EXACT.fullmatch(one.name) or (one.name.startswith("HFMA2") and CONSTANT.fullmatch(one.operands))
        if FLOATING.match(one.name) and not exact and not result:
            yield f"{one.name} {one.operands}"


@pytest.mark.parametrize(("cuda", "architecture"), EACH)
def test_every_kernel(cuda: str, architecture: str) -> None:
    """No fused, flushed or approximate operation outside division and root. No spill; registers for three blocks."""
    found = kernels(cuda_source(), cuda, architecture, *OPTIONS, CUPY)
    assert len(found) == 4 * len(DTYPES) + 13
    for name, kernel in found.items():
        assert inexact(name, kernel) == [], name
        assert (kernel.stack, kernel.local) == (0, 0), name
        assert not [one for one in kernel.instructions if one.name.startswith(("STL", "LDL"))], name
        assert kernel.registers * THREADS * 3 <= 65536, f"{name}: {kernel.registers} registers"
        assert kernel.shared <= 32 << 10, name


@pytest.mark.parametrize(("cuda", "architecture"), EACH)
def test_the_counts_behind_the_ceilings(cuda: str, architecture: str) -> None:
    """docs/gpu.md computes with them: python -m tests.cuda.machine_code writes them."""
    assert counts(cuda, architecture) == stored()["counts"][f"{cuda} {architecture}"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("expression", "instruction"),
    [
        ("a * b + c", r"FFMA"),
        ("(float)((double)a * b + c)", r"DFMA|F2F\.FTZ"),
        ("__fadd_rn(a, b)", r"FADD\.FTZ"),
        ("a * b", r"FMUL\.FTZ"),
        ("a < b ? c : a", r"FSETP\.\w+\.FTZ|FSET\S*\.FTZ"),
        ("-a", r"FADD\.FTZ"),
        ("a / b", r"FFMA"),
        ("__fdividef(a, b)", r"MUFU\.RCP"),
        ("sqrtf(a)", r"MUFU\.RSQ|MUFU\.SQRT"),
        ("(float)(int)(b + a)", r"U?F2I"),
        ("fmaxf(a, b)", r"FMNMX"),
    ],
)
def test_plain_arithmetic_would_be_noticed(architecture: str, expression: str, instruction: str) -> None:
    source = f'extern "C" __global__ void f(float a, float b, float c, float *out) {{ *out = {expression}; }}'
    found = kernels(source, "12", architecture, CUPY)["f"]
    assert [one for one in inexact("f", found) if re.match(instruction, one)], found.instructions


def test_signs_by_the_bits_would_be_noticed() -> None:
    """NVRTC 12.9 rewrote operations on bits that flip a sign or take an absolute value."""
    for expression in ("a_bits ^ 0x80000000u", "a_bits & 0x7fffffffu"):
        source = f"""extern "C" __global__ void f(float a, float b, float *out) {{
            unsigned int a_bits = __float_as_uint(a);
            float sum, c = __uint_as_float({expression});
            asm("add.rn.f32 %0, %1, %2;" : "=f"(sum) : "f"(c), "f"(b));
            *out = b > 0 ? c : sum;
        }}"""
        noticed = {
            architecture
            for architecture in ARCHITECTURES
            if any("FADD.FTZ" in one for one in inexact("f", kernels(source, "12", architecture, CUPY)["f"]))
        }
        assert noticed == {"sm_100", "sm_120"}, expression
