"""Newer schemes and parameters: section 9.11."""

from __future__ import annotations

import json
from typing import Any

from fanin.file.layout import FileLayout
from generator.encoding import data_of
from generator.recipes import canonical, refused

_EVERY_TYPE = ("F64", "F32", "BF16", "F16", "F8_E4M3")
_ROPE: dict[str, Any] = {"scheme": "rope_frequencies"}
_SCHEMES: tuple[dict[str, Any], ...] = (
    {"scheme": "spectral_mup", "shape": [6, 4]},
    {"scheme": "spectral_mup", "shape": [4, 6], "gain": 0.3},
    {"scheme": "spectral_mup", "shape": [4, 6], "layout": "torch", "distribution": "truncated_normal"},
    {"scheme": "t_fixup", "shape": [6, 4], "layers": 6, "side": "encoder"},
    {"scheme": "t_fixup", "shape": [4, 6], "layers": 6, "side": "decoder", "distribution": "normal"},
    {"scheme": "retention_decay", "shape": [2, 8]},
    {"scheme": "retention_decay", "shape": [5], "start": 5, "stop": 9},
    {"scheme": "retention_decay", "shape": [3], "start": 0.001, "stop": 1.5},
    {"scheme": "hippo_legs", "shape": [2, 5, 5]},
    {"scheme": "hippo_legs", "shape": [3, 7], "part": "b"},
    {"scheme": "s4d_inv", "shape": [2, 5]},
    {"scheme": "s4d_inv", "shape": [5], "states": 5},
    {"scheme": "lru_nu", "shape": [3, 5]},
    {"scheme": "logit_of_uniform", "shape": [3, 5], "low": 0.1, "high": 0.9},
    {"scheme": "alibi_slopes", "shape": [12], "gain": -0.7},
    {"scheme": "rg_lru", "shape": [3, 5], "variant": "griffin"},
    {"scheme": "sinusoidal", "shape": [2, 6, 8], "variant": "mae", "grid": [3, 2]},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "aimv2", "grid": [2, 3], "base": 100},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "timm", "grid": [1, 6]},
    {"scheme": "orthogonal", "shape": [6, 3], "spectral": "ratio"},
    {"scheme": "orthogonal", "shape": [3, 6], "spectral": "max", "gain": 0.5},
    {"scheme": "orthogonal", "shape": [3, 2, 3], "spectral": "fan_out", "layout": "torch"},
    {"scheme": "orthogonal", "shape": [2, 3, 3, 2], "batch_axes": [0, -3]},
    {"scheme": "orthogonal", "shape": [3, 2], "number": 7},
    {
        "scheme": "blocks",
        "shape": [8, 3],
        "parts": [
            {"size": 3, "scheme": "orthogonal", "number": 2},
            {"size": 2, "scheme": "normal", "std": 1},
            {"size": 3, "scheme": "orthogonal", "number": 1},
        ],
    },
    {
        "scheme": "blocks",
        "axis": 1,
        "shape": [2, 6, 2],
        "parts": [
            {"size": 3, "scheme": "orthogonal", "batch_axes": [0], "number": 1},
            {"size": 3, "scheme": "orthogonal", "batch_axes": [0], "number": 3},
        ],
    },
    {**_ROPE, "shape": [2, 4], "scaling": "longrope", "factors": [1, 1.25, 3.5, 64.1]},
    {**_ROPE, "shape": [10], "scaling": "proportional", "partial_rotary_factor": 0.3},
    {**_ROPE, "shape": [8], "scaling": "proportional", "partial_rotary_factor": 0.25, "base": 1e6, "factor": 8},
)
"""Each at every type of `_EVERY_TYPE`."""
_EDGES: tuple[dict[str, Any], ...] = (
    {"scheme": "retention_decay", "shape": [3], "start": 1e-300, "stop": 2, "dtype": "F64"},
    {"scheme": "retention_decay", "shape": [2], "start": 700, "stop": 1000, "dtype": "F64"},
    {"scheme": "retention_decay", "shape": [1], "start": 3, "stop": 9, "dtype": "F64"},
    {"scheme": "lru_nu", "shape": [6], "min_radius": 1e-9, "max_radius": 0.9999999, "dtype": "F64"},
    {
        "scheme": "rg_lru",
        "shape": [6],
        "min_radius": 1e-9,
        "max_radius": 0.9999999,
        "variant": "griffin",
        "dtype": "F64",
    },
    {"scheme": "logit_of_uniform", "shape": [6], "low": 1e-9, "high": 0.9999999, "dtype": "F64"},
    {"scheme": "logit_of_uniform", "shape": [6], "low": 0.4999, "high": 0.5001, "dtype": "F64"},
    {"scheme": "spectral_mup", "shape": [2, 8], "dtype": "C64"},
    {"scheme": "t_fixup", "shape": [0, 8], "layers": 2, "side": "encoder"},
    {"scheme": "hippo_legs", "shape": [64, 64], "dtype": "F8_E5M2"},
    {"scheme": "hippo_legs", "shape": [3, 3], "dtype": "C64"},
    {"scheme": "alibi_slopes", "shape": [4], "gain": 0},
    {**_ROPE, "shape": [4], "scaling": "proportional", "partial_rotary_factor": 0},
    {**_ROPE, "shape": [0], "scaling": "longrope", "factors": []},
    {
        "scheme": "blocks",
        "shape": [8],
        "parts": [
            {"size": 3, "scheme": "logit_of_uniform", "low": 0.125, "high": 0.875},
            {"size": 5, "scheme": "retention_decay"},
        ],
    },
)
REFUSED: tuple[dict[str, Any], ...] = (
    {**_ROPE, "shape": [2], "factors": [1, 2]},
    {**_ROPE, "shape": [2], "scaling": "longrope"},
    {**_ROPE, "shape": [2], "scaling": "longrope", "factors": [1]},
    {**_ROPE, "shape": [2], "scaling": "longrope", "factors": [1, 0]},
    {**_ROPE, "shape": [513], "scaling": "longrope", "factors": [1] * 513},
    {**_ROPE, "shape": [2], "partial_rotary_factor": 0.5},
    {**_ROPE, "shape": [2], "scaling": "proportional", "partial_rotary_factor": 1.5},
    {**_ROPE, "shape": [2], "scaling": "proportional", "truncate": False},
    {"scheme": "hippo_legs", "shape": [3, 4]},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "mae"},
    {"scheme": "sinusoidal", "shape": [6, 8], "grid": [2, 3]},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "mae", "grid": [2, 4]},
    {"scheme": "sinusoidal", "shape": [6, 6], "variant": "mae", "grid": [2, 3]},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "timm", "grid": [2, 3], "padding": 0},
    {"scheme": "sinusoidal", "shape": [6, 8], "variant": "timm", "grid": [2, 3, 1]},
    {"scheme": "orthogonal", "shape": [2, 3, 3], "batch_axes": [1]},
    {"scheme": "orthogonal", "shape": [2, 3], "batch_axes": [0]},
    {"scheme": "orthogonal", "shape": [2, 2, 2], "batch_axes": [0, 0]},
    {"scheme": "orthogonal", "shape": [2], "batch_axes": [0, 1]},
    {"scheme": "orthogonal", "shape": [4097, 1, 1], "batch_axes": [0]},
    {"scheme": "orthogonal", "shape": [2, 2], "number": 0},
    {
        "scheme": "blocks",
        "shape": [4, 2],
        "parts": [{"size": 2, "scheme": "orthogonal", "number": 1}] * 2,
    },
    {
        "scheme": "blocks",
        "shape": [4, 2],
        "parts": [{"size": 2, "scheme": "orthogonal", "number": 1}, {"size": 2, "scheme": "orthogonal"}],
    },
    {"scheme": "hippo_legs", "shape": [5]},
    {"scheme": "hippo_legs", "shape": [65, 65]},
    {"scheme": "s4d_inv", "shape": []},
    {"scheme": "s4d_inv", "shape": [4], "states": 0},
    {"scheme": "retention_decay", "shape": [4], "start": 0},
    {"scheme": "lru_nu", "shape": [4], "min_radius": 0.9, "max_radius": 0.9},
    {"scheme": "lru_nu", "shape": [4], "max_radius": 1},
    {"scheme": "lru_nu", "shape": [4], "dtype": "C64"},
    {"scheme": "logit_of_uniform", "shape": [4], "low": 0.5, "high": 0.5},
    {"scheme": "logit_of_uniform", "shape": [4], "low": 0, "high": 0.5},
    {"scheme": "logit_of_uniform", "shape": [4], "low": 0.5},
    {"scheme": "rg_lru", "shape": [4], "variant": "paper"},
    {"scheme": "t_fixup", "shape": [4, 4], "layers": 2},
    {"scheme": "t_fixup", "shape": [4, 4], "layers": 2, "side": "encoder", "distribution": "truncated_normal"},
    {"scheme": "spectral_mup", "shape": [4]},
)
"""Recipes that are refused."""


def newer() -> list[Any]:
    """Return recipes with their canonical texts and files, and texts that are refused."""
    given = [{"dtype": dtype, **each} for each in _SCHEMES for dtype in _EVERY_TYPE]
    vectors: list[Any] = []
    for tensor in (*given, *_EDGES):
        text = json.dumps({"seed": 42, **tensor})
        layout = FileLayout.of(text)
        vectors.append({**canonical(text), "file": (layout.header + data_of(layout)).hex()})
    return [*vectors, *(refused(json.dumps(each)) for each in REFUSED)]
