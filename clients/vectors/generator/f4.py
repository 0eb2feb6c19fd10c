"""The type F4: sections 2.2, 6.1, 7 and 8."""

from __future__ import annotations

import json
from typing import Any

from fanin.file.layout import FileLayout
from generator.encoding import data_of
from generator.recipes import canonical, refused

_SCHEMES: tuple[dict[str, Any], ...] = (
    {"scheme": "uniform", "low": -6, "high": 6},
    {"scheme": "uniform", "low": -0.7, "high": 5.1},
    {"scheme": "normal", "std": 0.45},
    {"scheme": "normal", "std": 0.02},
    {"scheme": "normal", "std": 0.1, "mean": -4},
    {"scheme": "truncated_normal", "std": 2, "low": -3, "high": 3},
    {"scheme": "he_uniform"},
    {"scheme": "log_of_uniform"},
    {"scheme": "sinusoidal"},
    {"scheme": "orthogonal", "gain": 2.5},
    {"scheme": "sparse", "sparsity": 0.4, "std": 0.4},
    {"scheme": "eye", "gain": -1.4},
    {"scheme": "log_range", "start": 3},
    {"scheme": "arange", "start": -4, "step": 1},
    {"scheme": "blocks", "parts": [{"size": 2, "scheme": "normal", "std": 0.4}, {"size": 5, "scheme": "ones"}]},
    {
        "scheme": "blocks",
        "axis": 1,
        "parts": [{"size": 3, "scheme": "uniform", "low": 1, "high": 6}, {"size": 3, "scheme": "zeros"}],
    },
)
_EVERY = "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 F4 BOOL"
_VALUES = (6, 6.9, -6, -0.2, -0.25, 0.25, 0.26, 0.75, 1.25, 1.26, 1.75, 2.5, 2.6, 3.5, -3.5, 5, 5.01, -1e-9, 1e-40)
_CONSTANT = '{{"shape": [2], "scheme": "constant", "value": {}, "dtype": "F4"}}'

FILES = (
    json.dumps({"tensors": {name.lower(): {"shape": [2], "scheme": "ones", "dtype": name} for name in _EVERY.split()}}),
    *(json.dumps({"seed": 42, "shape": [7, 6], "dtype": "F4", **each}) for each in _SCHEMES),
    json.dumps(
        {
            "dtype": "float4_e2m1fn",
            "tensors": {
                f"{n:02}": {"shape": [2], "scheme": "constant", "value": value} for n, value in enumerate(_VALUES)
            },
        }
    ),
    json.dumps(
        {
            "seed": 7,
            "dtype": "ml_dtypes.float4_e2m1fn",
            "repeated": {"layers.{0..2}.w": {"shape": [3, 2], "scheme": "uniform", "low": -3, "high": 3}},
            "tensors": {"mask": {"shape": [3], "scheme": "ones", "dtype": "BOOL"}},
        }
    ),
    '{"shape": [0], "scheme": "zeros", "dtype": "f4"}',
    '{"shape": [3, 0, 2], "scheme": "zeros", "dtype": "F4"}',
)
"""Recipes of small files."""
REFUSED = (
    *(
        f'{{"shape": [2], "scheme": "zeros", "dtype": "{name}"}}'
        for name in ("F6_E2M3", "F6_E3M2", "f6_e2m3", "float4_e2m1", "torch.float4_e2m1fn_x2", "F4_E2M1")
    ),
    *(
        f'{{"shape": {shape}, "scheme": "zeros", "dtype": "F4"}}'
        for shape in ("[]", "[1]", "[2, 3]", "[4, 5]", "[0, 1]")
    ),
    *(_CONSTANT.format(text) for text in ("7", "-7", "1e30")),
    '{"shape": [2], "scheme": "normal", "std": 0.47, "dtype": "F4"}',
    '{"shape": [2], "scheme": "uniform", "low": 0, "high": 6.01, "dtype": "F4"}',
    '{"shape": [2], "scheme": "uniform", "low": 4.1, "high": 5.9, "dtype": "F4"}',
    '{"shape": [2, 2], "scheme": "orthogonal", "gain": 3.1, "dtype": "F4"}',
    '{"shape": [4], "scheme": "arange", "start": 4, "dtype": "F4"}',
)
"""Texts that are refused."""


def f4() -> list[Any]:
    """Return recipes with their canonical texts and files, and texts that are refused."""
    vectors: list[Any] = []
    for text in FILES:
        layout = FileLayout.of(text)
        vectors.append({**canonical(text), "file": (layout.header + data_of(layout)).hex()})
    return [*vectors, *map(refused, REFUSED)]
