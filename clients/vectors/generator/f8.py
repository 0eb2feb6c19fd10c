"""The types F8_E4M3FNUZ, F8_E5M2FNUZ and F8_E8M0: sections 2.2, 6.1, 7 and 8."""

from __future__ import annotations

import json
from typing import Any

from fanin.file.layout import FileLayout
from generator.encoding import data_of
from generator.recipes import canonical, refused

_FNUZ = ("F8_E4M3FNUZ", "F8_E5M2FNUZ")
_SCHEMES: tuple[dict[str, Any], ...] = (
    {"scheme": "uniform", "low": -1, "high": 1},
    {"scheme": "normal", "std": 1e-3},
    {"scheme": "normal", "std": 15, "mean": 2},
    {"scheme": "truncated_normal", "std": 0.02, "low": None, "high": 0.5},
    {"scheme": "log_of_uniform"},
    {"scheme": "sinusoidal"},
    {"scheme": "orthogonal", "gain": 0.5},
    {"scheme": "sparse", "sparsity": 0.4, "std": 2},
    {"scheme": "eye", "gain": -0.3},
    {"scheme": "log_range", "start": 3},
    {"scheme": "arange", "start": -17, "step": 7},
    {"scheme": "blocks", "parts": [{"size": 2, "scheme": "normal", "std": 0.01}, {"size": 5, "scheme": "ones"}]},
)
_EVERY = [
    "U64",
    "I64",
    "F64",
    "C64",
    "F32",
    "U32",
    "I32",
    "BF16",
    "F16",
    "U16",
    "I16",
    "F8_E5M2FNUZ",
    "F8_E4M3FNUZ",
    "F8_E8M0",
    "F8_E4M3",
    "F8_E5M2",
    "I8",
    "U8",
    "BOOL",
]
_SCALE = '{{"shape": [3], "scheme": "constant", "value": {}, "dtype": "F8_E8M0"}}'

FILES = (
    json.dumps({"tensors": {name.lower(): {"shape": [2], "scheme": "ones", "dtype": name} for name in _EVERY}}),
    *(json.dumps({"seed": 42, "shape": [7, 6], "dtype": name, **each}) for each in _SCHEMES for name in _FNUZ),
    json.dumps(
        {
            "dtype": "F8_E4M3FNUZ",
            "tensors": {
                f"{n}": {"shape": [], "scheme": "constant", "value": value}
                for n, value in enumerate(
                    (240, 247.9, -240, 2**-10, 2**-11, -(2**-11), 2**-11 + 2**-30, -1e-9, 0.0078125, 1.0625, 1.1875)
                )
            },
        }
    ),
    json.dumps(
        {
            "dtype": "float8_e5m2fnuz",
            "tensors": {
                f"{n}": {"shape": [], "scheme": "constant", "value": value}
                for n, value in enumerate((57344, 61439, -57344, 2**-17, 2**-18, -(2**-18), 1.125, 1.375, -1e-30))
            },
        }
    ),
    json.dumps(
        {
            "dtype": "float8_e8m0fnu",
            "tensors": {
                f"{n}": {"shape": [], "scheme": "constant", "value": 2.0**n} for n in (-127, -126, -1, 0, 1, 126, 127)
            },
        }
    ),
    '{"shape": [2, 3], "scheme": "ones", "dtype": "f8_e8m0"}',
    '{"shape": [4, 3], "scheme": "blocks", "dtype": "F8_E8M0", "parts": [{"size": 1, "scheme": "ones"}, {"size": 3, "scheme": "constant", "value": 0.25}]}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "power_range", "low": 2, "high": 8, "dtype": "F8_E8M0"}',
    '{"shape": [0], "scheme": "zeros", "dtype": "F8_E4M3FNUZ"}',
)
"""Recipes of small files."""
REFUSED = (
    *(f'{{"shape": [2], "scheme": "zeros", "dtype": "{name}"}}' for name in ("F8_E4M3B11FNUZ", "f8_e4m3fn")),
    '{"shape": [2], "scheme": "constant", "value": 248, "dtype": "F8_E4M3FNUZ"}',
    '{"shape": [2], "scheme": "constant", "value": 61440, "dtype": "F8_E5M2FNUZ"}',
    '{"shape": [2], "scheme": "normal", "std": 18.5, "dtype": "F8_E4M3FNUZ"}',
    '{"shape": [2, 2], "scheme": "orthogonal", "gain": 121, "dtype": "F8_E4M3FNUZ"}',
    *(_SCALE.format(text) for text in ("0", "-1", "3", "1.0000001", "3.4028236692093846e38")),
    *(_SCALE.format(text) for text in ("2.9387358770557188e-39", "true", '"1"')),
    *(
        f'{{"shape": [3, 4], "dtype": "F8_E8M0", {members}}}'
        for members in (
            '"scheme": "zeros"',
            '"scheme": "eye"',
            '"scheme": "arange", "start": 1',
            '"scheme": "normal", "std": 1',
            '"scheme": "he_uniform"',
            '"scheme": "orthogonal"',
            '"scheme": "sinusoidal"',
            '"scheme": "log_of_uniform"',
            '"scheme": "log_range"',
            '"scheme": "blocks", "parts": [{"size": 1, "scheme": "ones"}, {"size": 2, "scheme": "zeros"}]',
        )
    ),
)
"""Texts that are refused."""


def f8() -> list[Any]:
    """Return recipes with their canonical texts and files, and texts that are refused."""
    vectors: list[Any] = []
    for text in FILES:
        layout = FileLayout.of(text)
        vectors.append({**canonical(text), "file": (layout.header + data_of(layout)).hex()})
    return [*vectors, *map(refused, REFUSED)]
