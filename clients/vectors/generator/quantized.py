"""The scheme `quantized`: sections 6.16 and 9.12."""

from __future__ import annotations

import json
from typing import Any

from fanin.file.layout import FileLayout
from generator.encoding import data_of
from generator.recipes import canonical, refused

_LAW = {"shape": [8, 64], "scheme": "normal", "std": 0.02}
_WIDE = {"shape": [130, 129], "scheme": "uniform", "low": -1, "high": 3}
_STACK = {"shape": [2, 32, 8], "scheme": "truncated_normal", "std": 1}
_ZEROS = {"shape": [8, 64], "scheme": "zeros"}
_GATES = {
    "shape": [8, 64],
    "scheme": "blocks",
    "parts": [{"size": 3, "scheme": "zeros"}, {"size": 5, "scheme": "he_normal"}],
}


def _part(form: str, part: str, dtype: str, shape: list[int], law: Any, **more: Any) -> dict[str, Any]:
    given = {"part": part} if part != "data" else {}
    return {"shape": shape, "dtype": dtype, "scheme": "quantized", "format": form, **given, "tensor": law, **more}


def _fp8(law: Any, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "a.weight": _part("fp8", "data", "F8_E4M3", law["shape"], law, **more),
        "a.weight_scale": _part("fp8", "scale", more.get("scale_dtype", "F32"), [1], law, twin="weight", **more),
    }


def _rows(form: str, dtype: str, law: Any, more: dict[str, Any]) -> dict[str, Any]:
    scale, rows = more.get("scale_dtype", "F32"), law["shape"][0]
    return {
        "a.weight": _part(form, "data", dtype, law["shape"], law, **more),
        "a.weight_scale": _part(form, "scale", scale, [rows, 1], law, twin="weight", **more),
    }


_GROUPS = {"group_size": 32}
_FILES: tuple[dict[str, Any], ...] = (
    *(_fp8(law, more) for law, more in ((_LAW, {}), (_GATES, {"scale_dtype": "BF16"}), (_ZEROS, {}))),
    _rows("fp8_channel", "F8_E4M3", _LAW, {}),
    _rows("fp8_channel", "F8_E4M3", _GATES, {"scale_dtype": "F16"}),
    _rows("int8", "I8", _LAW, {}),
    _rows("int8", "I8", _GATES, {"scale_dtype": "BF16"}),
    {
        "a.weight": _part("fp8_block", "data", "F8_E4M3", [130, 129], _WIDE),
        "a.weight_scale_inv": _part("fp8_block", "scale", "F32", [2, 2], _WIDE, twin="weight"),
    },
    *(
        {
            "a.weight": _part("mxfp8", "data", "F8_E4M3", [8, 64], law),
            "a.weight_scale": _part("mxfp8", "scale", dtype, [8, 2], law, twin="weight"),
        }
        for law, dtype in ((_LAW, "U8"), (_GATES, "F8_E8M0"))
    ),
    {
        "a.weight_packed": _part("mxfp4", "data", "U8", [8, 32], _GATES, twin="weight"),
        "a.weight_scale": _part("mxfp4", "scale", "U8", [8, 2], _GATES, twin="weight"),
    },
    {
        "experts_blocks": _part("mxfp4", "data", "U8", [2, 8, 1, 16], _STACK, twin="experts", transposed=True),
        "experts_scales": _part("mxfp4", "scale", "U8", [2, 8, 1], _STACK, twin="experts", transposed=True),
    },
    *(
        {
            "a.weight_packed": _part("nvfp4", "data", "U8", [8, 32], law, twin="weight"),
            "a.weight_scale": _part("nvfp4", "scale", "F8_E4M3", [8, 4], law, twin="weight"),
            "a.weight_global_scale": _part("nvfp4", "global_scale", "F32", [1], law, twin="weight"),
        }
        for law in (_LAW, _GATES, _ZEROS)
    ),
    {
        "a.weight_packed": _part("int4", "data", "I32", [8, 8], _LAW, twin="weight", **_GROUPS),
        "a.weight_scale": _part("int4", "scale", "BF16", [8, 2], _LAW, twin="weight", scale_dtype="BF16", **_GROUPS),
        "a.weight_shape": _part("int4", "shape", "I64", [2], _LAW, twin="weight", **_GROUPS),
    },
    {
        "a.weight_packed": _part("int4_asymmetric", "data", "I32", [8, 8], _GATES, twin="weight", **_GROUPS),
        "a.weight_scale": _part("int4_asymmetric", "scale", "F32", [8, 2], _GATES, twin="weight", **_GROUPS),
        "a.weight_zero_point": _part("int4_asymmetric", "zero_point", "I32", [1, 2], _GATES, twin="weight", **_GROUPS),
    },
    {
        "a.qweight": _part("awq", "data", "I32", [64, 1], _GATES, twin="weight", **_GROUPS),
        "a.scales": _part("awq", "scale", "F16", [2, 8], _GATES, twin="weight", **_GROUPS),
        "a.qzeros": _part("awq", "zero_point", "I32", [2, 1], _GATES, twin="weight", **_GROUPS),
    },
    {
        "a.qweight": _part("gptq", "data", "I32", [8, 8], _LAW, twin="weight", **_GROUPS),
        "a.scales": _part("gptq", "scale", "F16", [2, 8], _LAW, twin="weight", **_GROUPS),
        "a.qzeros": _part("gptq", "zero_point", "I32", [2, 1], _LAW, twin="weight", **_GROUPS),
        "a.g_idx": _part("gptq", "group_index", "I32", [64], _LAW, twin="weight", **_GROUPS),
    },
    {"empty": _part("fp8_block", "data", "F8_E4M3", [0, 4], {"shape": [0, 4], "scheme": "he_normal"})},
)
FILES = tuple(json.dumps({"seed": 42, "tensors": tensors}) for tensors in _FILES)
"""Recipes of small files."""
REFUSED = tuple(
    json.dumps(tensor)
    for tensor in (
        _part("fp9", "data", "F8_E4M3", [8, 64], _LAW),
        _part("fp8", "zero_point", "I32", [1, 64], _LAW),
        _part("fp8", "data", "F8_E4M3", [64, 8], _LAW),
        _part("fp8", "data", "F8_E5M2", [8, 64], _LAW),
        _part("fp8", "scale", "BF16", [1], _LAW),
        _part("fp8", "data", "F8_E4M3", [8, 64], _LAW, group_size=64),
        _part("mxfp4", "scale", "F32", [8, 2], _LAW),
        _part("mxfp4", "data", "U8", [8, 32], _LAW, scale_dtype="F32"),
        _part("mxfp4", "data", "U8", [8, 24], {**_LAW, "shape": [8, 48]}),
        _part("awq", "data", "I32", [128, 1], {**_LAW, "shape": [9, 128]}),
        _part("int4", "data", "I32", [8, 8], _LAW),
        _part("int4", "data", "I32", [8, 8], _LAW, group_size=0),
        _part("fp8_channel", "data", "F8_E4M3", [1, 2**20 + 1], {**_LAW, "shape": [1, 2**20 + 1]}),
        _part("gptq", "group_index", "I32", [2**20], {**_LAW, "shape": [8, 2**20]}),
        _part("gptq", "data", "I32", [8, 8], {**_LAW, "std": 1e6}, group_size=64),
        _part("fp8", "data", "F8_E4M3", [64], {**_LAW, "shape": [64]}),
        _part("fp8", "data", "F8_E4M3", [8, 64], {**_LAW, "dtype": "F32"}),
        _part("fp8", "data", "F8_E4M3", [8, 64], {**_LAW, "dialect": "fanin"}),
        _part("fp8", "data", "F8_E4M3", [8, 64], {**_LAW, "scheme": "orthogonal"}),
        _part("fp8", "data", "F8_E4M3", [8, 64], {"shape": [8, 64], "scheme": "orthogonal"}),
        _part("fp8", "data", "F8_E4M3", [8, 64], {"shape": [8, 64], "scheme": "sparse", "std": 1, "sparsity": 0.5}),
        _part("fp8", "data", "F8_E4M3", [8, 64], _part("fp8", "data", "F8_E4M3", [8, 64], _LAW)),
        _part("fp8", "data", "F8_E4M3", [8, 64], _LAW, twin=""),
        _part("fp8", "data", "F8_E4M3", [8, 64], None),
        {"shape": [8, 64], "dtype": "F8_E4M3", "scheme": "quantized", "format": "fp8"},
    )
)
"""Texts that are refused."""


def quantized() -> list[Any]:
    """Return recipes with their canonical texts and files, and texts that are refused."""
    vectors: list[Any] = []
    for text in FILES:
        layout = FileLayout.of(text)
        vectors.append({**canonical(text), "file": (layout.header + data_of(layout)).hex()})
    return [*vectors, *map(refused, REFUSED)]
