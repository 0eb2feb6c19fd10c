"""The CUDA kernels as NVRTC compiles them, which needs no GPU, and their bits on one, which does."""

from __future__ import annotations

import re

import pytest

from fanin.backends.source import cuda_source
from fanin.dtypes import DTYPES
from tests.cuda.machine_code import CUPY, ptx

ARCHITECTURES = ("compute_80", "compute_90", "compute_100", "compute_120")
"""NVRTC 12.9 has two frontends: from compute_100 on, a newer one rewrites more."""
BUILDS = [
    *((architecture, ("-fmad=false", CUPY)) for architecture in ARCHITECTURES),
    *((architecture, options) for architecture in ARCHITECTURES[::2] for options in ((CUPY,), ("-fmad=false",))),
]

FUSED = re.compile(r"\b(?:fma|mad)\.\w*\.?(?:ftz\.)?f(?:32|64)\b")
FLUSHED = re.compile(r"\b\S*\.ftz\b\S*")
INEXACT = re.compile(
    r"\b(?:\w+\.approx\.\S+|(?:div|sqrt)\.(?!rn\.f64\b)(?:\w+\.)*f(?:32|64)|(?:rsqrt|rcp|ex2|lg2|sin|cos|tanh)\.\S+)"
)
"""In float64 divisions and square roots are rounded exactly; orthogonal matrices have some."""


@pytest.mark.parametrize(("architecture", "options"), BUILDS)
def test_only_exactly_rounded_arithmetic(architecture: str, options: tuple[str, ...]) -> None:
    code = ptx(cuda_source(), *options, f"-arch={architecture}")
    steps = ("vectors", "gram", "squares", "project", "turn", "reflect")
    assert set(re.findall(r"\.entry (\w+)", code)) == {
        *(
            f"fanin_{distribution}_{dtype}"
            for distribution in ("constant", "uniform", "normal", "orthogonal_finish")
            for dtype in DTYPES
        ),
        *(f"fanin_orthogonal_{step}_{dtype}" for step in steps for dtype in ("F32", "F64")),
        "fanin_orthogonal_triangle",
    }
    for instruction in (
        "add.rn.f32",
        "mul.rn.f32",
        "add.rn.f64",
        "mul.rn.f64",
        "cvt.rn.f32.f64",
        "div.rn.f64",
        "sqrt.rn.f64",
    ):
        assert instruction in code
    assert FUSED.findall(code) == []
    assert FLUSHED.findall(code) == []
    assert INEXACT.findall(code) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_whole_vectors_are_stored_from_registers(architecture: str) -> None:
    code = ptx(cuda_source(), "-fmad=false", CUPY, f"-arch={architecture}")
    kernels = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", code, re.DOTALL))
    kernels = {name: body for name, body in kernels.items() if "orthogonal" not in name}
    assert len(kernels) == 3 * len(DTYPES)
    for name, body in kernels.items():
        stores = len(re.findall(r"\bst\.global\.v4\.\w32\b", body)) / (2 if name.endswith("_F64") else 1)
        loads = len(re.findall(r"\bld\.global\b", body))
        # The frontend from compute_100 on makes copies of some loops.
        most = 1 if architecture in ("compute_80", "compute_90") else 8
        assert 1 <= stores <= most, name
        assert stores.is_integer(), name
        assert ".local" not in body, name
        # Tables are read from shared memory, and from global memory only to bring them there.
        assert ("ld.shared" in body) == ("normal" in name), name
        assert 1 <= loads <= most if "normal" in name else loads == 0, name


@pytest.mark.parametrize(
    ("expression", "options", "forbidden"),
    [
        ("a * b + c", (), FUSED),
        ("(float)((double)a * b + c)", (), FUSED),
        ("a * b + c", (CUPY,), FUSED),
        ("a * b", (CUPY,), FLUSHED),
        ("__fadd_rn(a, b)", (CUPY,), FLUSHED),
        ("(float)((double)a * b)", (CUPY,), FLUSHED),
        ("a < b ? c : a", (CUPY,), FLUSHED),
        ("-a", (CUPY,), FLUSHED),
        ("a / b", (), INEXACT),
        ("__fdividef(a, b)", (CUPY,), INEXACT),
        ("sqrtf(a)", (CUPY,), INEXACT),
        ("__logf(a)", (CUPY,), INEXACT),
    ],
)
@pytest.mark.parametrize("architecture", ARCHITECTURES[::2])
def test_plain_arithmetic_would_be_noticed(
    architecture: str, expression: str, options: tuple[str, ...], forbidden: re.Pattern[str]
) -> None:
    source = f'extern "C" __global__ void f(float a, float b, float c, float *out) {{ *out = {expression}; }}'
    assert forbidden.search(ptx(source, *options, f"-arch={architecture}"))
