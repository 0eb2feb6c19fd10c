"""Recipes that tests share."""

from __future__ import annotations

from typing import Any

MIXED: dict[str, Any] = {
    "seed": 7,
    "layout": "torch",
    "tensors": {
        "conv.weight": {"shape": [8, 4, 3, 3], "scheme": "he_normal"},
        "conv.bias": {"shape": [8], "scheme": "zeros"},
        "norm.weight": {"shape": [33], "scheme": "ones", "dtype": "F64"},
        "emb": {"shape": [101, 7], "scheme": "normal", "std": 0.02, "dtype": "BF16"},
        "head": {"shape": [7, 101], "scheme": "glorot_uniform", "dtype": "F16"},
        "é.quant": {"shape": [13, 11], "scheme": "truncated_normal", "std": 1, "dtype": "F8_E4M3"},
        "tiny": {"shape": [17], "scheme": "uniform", "low": -1, "high": 1, "dtype": "F8_E5M2"},
        "double": {"shape": [5, 9], "scheme": "truncated_normal", "std": 1, "low": 3, "high": 4, "dtype": "F64"},
        "scalar": {"shape": [], "scheme": "normal", "std": 1},
        "empty": {"shape": [0, 4], "scheme": "he_normal"},
    },
}
"""Every storage type, a scalar, a tensor without elements, odd lengths, a name beyond ASCII."""
