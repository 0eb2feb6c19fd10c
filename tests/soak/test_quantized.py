"""Quantized tensors of 2^24 elements: dequantized, they are the draw of their twin; reads of any range equal the file.

The comparison with compressed-tensors and torchao is skipped without them: pip install --group quantized. That with
AutoAWQ needs pip install --no-deps autoawq==0.2.9.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import backends
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from tests.schemes import test_quantized as small

pytestmark = pytest.mark.soak("quantized")
ROWS, COLUMNS = 4096, 4096
LAWS = (
    {"scheme": "normal", "std": 0.02},
    {"scheme": "uniform", "low": -0.1, "high": 0.7},
    {"scheme": "truncated_normal", "std": 1.0},
)


def enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the tests of a small matrix a large one: each size of a part grows with its axis."""
    ratio = {small.ROWS: ROWS, small.COLUMNS: COLUMNS}
    for per in (2, 8, 16, 32, 128):
        ratio |= {small.ROWS // per: ROWS // per, small.COLUMNS // per: COLUMNS // per}

    def large(form: str, part: str, shape: list[int]) -> list[int]:
        if part in ("global_scale", "shape") or (form, part) == ("fp8", "scale"):
            return shape
        return [1 if (form, size) in (("fp8_channel", 1), ("int8", 1)) else ratio[size] for size in shape]

    parts: dict[str, dict[str, tuple[list[int], str]]] = {
        form: {part: (large(form, part, shape), dtype) for part, (shape, dtype) in found.items()}
        for form, found in small.PARTS.items()
    }
    monkeypatch.setattr(small, "PARTS", parts)
    monkeypatch.setattr(small, "ROWS", ROWS)
    monkeypatch.setattr(small, "COLUMNS", COLUMNS)


@pytest.mark.parametrize("law", LAWS, ids=["normal", "uniform", "truncated"])
@pytest.mark.parametrize("form", small.PARTS)
def test_large_parts_are_the_draw_of_the_twin(form: str, law: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    enlarged(monkeypatch)
    small.test_dequantized_parts_are_the_draw_of_the_twin(form, law)


@pytest.mark.parametrize("form", small.PARTS)
def test_any_range_of_a_large_file(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    enlarged(monkeypatch)
    layout, backend = FileLayout.of(small.recipe_of(form, LAWS[0])), backends.get()
    full = bytearray(layout.size)
    read_into(layout, 0, memoryview(full), backend)
    numbers = random.Random(form)
    for _ in range(40):
        start = numbers.randrange(layout.size)
        stop = min(layout.size, start + numbers.choice((1, 100, 10_000, 1 << 20)))
        part = bytearray(b"\xaa" * (stop - start))
        read_into(layout, start, memoryview(part), backend)
        assert part == full[start:stop]


def test_compressed_tensors_and_torchao_make_the_same_bytes() -> None:
    quantization = pytest.importorskip("compressed_tensors.quantization")
    helpers = pytest.importorskip("compressed_tensors.quantization.utils.helpers")
    forward = pytest.importorskip("compressed_tensors.quantization.lifecycle.forward")
    mx = pytest.importorskip("torchao.prototype.mx_formats.mx_tensor")
    torch = pytest.importorskip("torch")
    law = {"shape": [1024, 1024], "scheme": "normal", "std": 0.02}
    weight = torch.from_numpy(np.array(fanin.materialize({"tensors": {"weight": law}})["weight"]))

    def part(form: str, name: str, shape: list[int], dtype: str) -> Any:
        spec = {"shape": shape, "dtype": dtype, "scheme": "quantized", "format": form, "part": name, "tensor": law}
        return np.ascontiguousarray(fanin.materialize({"tensors": {"weight": spec}})["weight"]).view(np.uint8)

    def equal(ours: Any, theirs: Any) -> bool:
        return bool(np.array_equal(ours.ravel(), theirs.contiguous().view(torch.uint8).numpy().ravel()))

    rows = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    blocks = weight.reshape(8, 128, 8, 128)
    for form, kind, strategy, dtype, name, ends, shape in (
        ("fp8_channel", "float", {"strategy": "channel"}, torch.float8_e4m3fn, "F8_E4M3", rows, [1024, 1]),
        ("int8", "int", {"strategy": "channel"}, torch.int8, "I8", rows, [1024, 1]),
        (
            "fp8_block",
            "float",
            {"strategy": "block", "block_structure": [128, 128]},
            torch.float8_e4m3fn,
            "F8_E4M3",
            (blocks.amin((1, 3)), blocks.amax((1, 3))),
            [8, 8],
        ),
    ):
        args = quantization.QuantizationArgs(num_bits=8, type=kind, symmetric=True, **strategy)
        scale, _ = helpers.calculate_qparams(*ends, args)
        assert equal(part(form, "scale", shape, "F32"), scale)
        codes = forward.quantize(weight, scale, None, args, dtype=dtype)
        assert equal(part(form, "data", [1024, 1024], name), codes)
    for form, dtype, shape, name in (
        ("mxfp4", torch.float4_e2m1fn_x2, [1024, 512], "U8"),
        ("mxfp8", torch.float8_e4m3fn, [1024, 1024], "F8_E4M3"),
    ):
        scale, codes = mx.to_mx(weight, dtype, 32)
        assert equal(part(form, "scale", [1024, 32], "U8"), scale)
        assert equal(part(form, "data", shape, name), codes)


@pytest.mark.parametrize("law", LAWS, ids=["normal", "uniform", "truncated"])
def test_autoawq_unpacks_the_draw_of_the_twin(law: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAWQ dequantizes the parts to the numbers of the twin within half a unit, for 2^24 elements."""
    package = importlib.util.find_spec("awq")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs pip install --no-deps autoawq==0.2.9")
    torch = pytest.importorskip("torch")
    # By its file, because the package imports modules that transformers 5 lacks.
    path = Path(package.submodule_search_locations[0], "utils", "packing_utils.py")
    spec = importlib.util.spec_from_file_location("packing_utils", path)
    assert spec
    assert spec.loader
    packing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(packing)
    enlarged(monkeypatch)
    made = fanin.materialize(small.recipe_of("awq", law))
    data, scale, zeros = (torch.from_numpy(np.array(made[f"fc.{part}"])) for part in ("data", "scale", "zero_point"))
    numbers = packing.dequantize_gemm(data, zeros, scale.float(), 4, 128).numpy().T
    unit = np.repeat(scale.float().numpy(), 128, 0).T
    assert np.all(np.abs(numbers - small.twin_of(law)) <= 0.5001 * unit)
