"""Tensors of `schemes.json` at the edges of their rules, as data."""

from __future__ import annotations

from typing import Any

EDGES: tuple[dict[str, Any], ...] = (
    # Ties of the storage type once a value is a float32 number.
    *(
        {"scheme": scheme, "shape": [1, 1], "dtype": dtype, member: 1 + 2.0**-bits + 2.0**-40, **more}
        for dtype, bits in (("BF16", 8), ("F16", 11), ("F8_E4M3", 4), ("F8_E5M2", 3))
        for scheme, member, more in (("power_range", "low", {}), ("eye", "gain", {}))
    ),
    {"scheme": "power_range", "shape": [3], "low": 0, "high": -1e-60, "dtype": "BF16"},
    {"scheme": "constant", "value": -1e-60, "shape": [2], "dtype": "C64"},
    # rope_frequencies with yarn where b = a, at both ends, and where b < a.
    *(
        {"scheme": "rope_frequencies", "scaling": "yarn", "factor": 4, **given, "dtype": dtype}
        for given in (
            {"shape": [16], "context": 6},
            {"shape": [2], "context": 10200, "base": 10},
            {"shape": [2], "context": 10200, "base": 10, "truncate": False},
            {"shape": [3], "context": 10000000, "base": 10, "slow": 2},
            {"shape": [4], "context": 300, "base": 2, "truncate": False},
            {"shape": [4], "context": 300, "base": 2},
            {"shape": [8], "context": 1000, "slow": 3.5, "fast": 7, "truncate": False},
        )
        for dtype in ("F64", "F32")
    ),
    {"scheme": "rope_frequencies", "scaling": "llama3", "factor": 4, "shape": [9], "fast": 4, "dtype": "F64"},
    {"scheme": "rope_frequencies", "scaling": "llama3", "factor": 4, "shape": [9], "context": 77, "dtype": "F64"},
    {"scheme": "rope_frequencies", "shape": [5], "slow": 9, "fast": 3, "dtype": "F64"},
    # The number of zeros is a product that is rounded to float64.
    {"scheme": "sparse", "sparsity": 0.55, "std": 1, "shape": [100, 1], "dtype": "F8_E4M3"},
    {"scheme": "sparse", "sparsity": 0.28, "std": 1, "shape": [25, 1], "dtype": "F8_E4M3"},
    {"scheme": "sparse", "sparsity": 1e-300, "std": 1, "shape": [5, 2], "dtype": "F8_E4M3"},
    {"scheme": "sparse", "sparsity": 0.4, "std": 1, "shape": [3, 2, 4], "axis": 1, "dtype": "F32"},
    {"scheme": "sparse", "sparsity": 0.25, "std": 1, "shape": [2, 4, 3], "axis": 1, "dtype": "C64"},
    {"scheme": "sparse", "sparsity": 0.3, "std": 1, "shape": [9, 2], "dtype": "C64"},
    # Roots and powers of rational numbers.
    {"scheme": "power_range", "shape": [5], "low": 0, "high": 1, "power": 0.5, "dtype": "F64"},
    # 2^-500 beside a tie of float32: 120 digits do not show it.
    {"scheme": "power_range", "shape": [3], "low": 1.000000059604644775390625, "high": 2, "power": 500, "dtype": "F32"},
    {"scheme": "power_range", "shape": [5], "low": 0, "high": 1.0000000596046448, "power": 3, "dtype": "F32"},
    {"scheme": "power_range", "shape": [5], "low": 0, "high": 1 + 3 * 2.0**-24, "power": 3, "dtype": "F32"},
    {"scheme": "power_range", "shape": [4], "low": 1, "high": 3, "power": 64, "dtype": "F64"},
    {"scheme": "alibi_slopes", "shape": [6], "max_bias": 4, "dtype": "F64"},
    {"scheme": "log_of_uniform", "shape": [6], "low": 2, "high": 2.0044, "dtype": "BF16"},
    {"scheme": "log_of_uniform", "shape": [6], "low": 0.3, "high": 1, "dtype": "F64"},
    # Arguments of log whose m is the root of 1/2 and the number below.
    *(
        {"scheme": "log_of_uniform", "shape": [8], "low": low, "high": high, "dtype": "F64"}
        for low, high in ((2**0.5 - 2.0**-52, 2**0.5 + 2.0**-52), (0.5**0.5 - 2.0**-53, 0.5**0.5 + 2.0**-53))
    ),
    {"scheme": "dt_bias", "shape": [6], "dt_min": 0.09, "dt_max": 0.127, "dt_floor": 0, "dtype": "F8_E5M2"},
    {"scheme": "dt_bias", "shape": [6], "dt_min": 0.001, "dt_max": 0.1, "dt_floor": 0.09, "dtype": "F64"},
    {"scheme": "rg_lru", "shape": [6], "min_radius": 0.1, "max_radius": 0.11, "dtype": "F64"},
    {
        "scheme": "deepnorm",
        "shape": [4, 6],
        "encoder_layers": 3,
        "decoder_layers": 5,
        "side": "encoder",
        "dtype": "F64",
    },
    {"scheme": "deepnorm", "encoder_layers": 11, "decoder_layers": 2, "side": "encoder", "dtype": "F64"},
    {"scheme": "deepnorm", "shape": [2, 6], "decoder_layers": 5, "distribution": "uniform", "dtype": "F64"},
    {"scheme": "deepnorm", "shape": [2, 6], "decoder_layers": 5, "dtype": "C64"},
    {"scheme": "subln", "shape": [2, 6], "encoder_layers": 3, "distribution": "uniform", "dtype": "C64"},
    {"scheme": "fixup", "shape": [4, 6], "layers": 7, "branch_layers": 16, "dtype": "F64"},
    {"scheme": "fixup", "shape": [4, 6], "layers": 7, "branch_layers": 4, "mode": "fan_geo_avg", "dtype": "F64"},
    {"scheme": "scaled_normal", "std": 0.7, "width": 3, "depth": 2.5, "cut": 2, "dtype": "C64"},
    {"scheme": "wang_init", "width": 9, "layers": 5, "cut": 14, "dtype": "C64"},
    {"scheme": "truncated_normal", "std": 0.5, "low": -20, "high": 20, "dtype": "C64"},
    {"scheme": "truncated_normal", "std": 0.5, "low": -0.3, "high": 0.3, "bounds": "absolute", "dtype": "C64"},
    {"scheme": "siren", "first": True, "omega": 5, "dtype": "F64"},
    {"scheme": "glorot_normal", "gain": 0.5, "dtype": "F64"},
    {"scheme": "lecun_normal", "shape": [3, 3, 4, 2], "depthwise": True, "dtype": "F64"},
    {"scheme": "he_normal", "shape": [3, 4, 6], "layout": "torch", "groups": 3, "mode": "fan_avg", "dtype": "F64"},
    {"scheme": "orthogonal", "shape": [3, 2, 2], "layout": "torch", "gain": 0.7, "dtype": "F64"},
    {"scheme": "orthogonal", "shape": [4, 4], "layout": "torch", "dtype": "F32"},
    {"scheme": "delta_orthogonal", "shape": [4, 4, 2, 2], "layout": "torch", "dtype": "F32"},
    {"scheme": "delta_orthogonal", "shape": [2, 4, 2, 3], "dtype": "F64"},
    {"scheme": "dirac", "shape": [2, 4, 3, 3], "dtype": "F32"},
    {"scheme": "eye", "shape": [3, 3, 2], "dtype": "C64"},
    {"scheme": "bilinear", "shape": [5, 4, 1, 2], "dtype": "F64"},
    {"scheme": "bilinear", "shape": [2, 2, 2, 1], "channels": "same", "dtype": "C64"},
    {"scheme": "sinusoidal", "shape": [5, 3], "variant": "fairseq", "dtype": "F64"},
    {"scheme": "sinusoidal", "shape": [4, 3], "variant": "marian", "padding": 1, "dtype": "F64"},
    {"scheme": "sinusoidal", "shape": [4, 5], "padding": 2, "dtype": "F64"},
    {"scheme": "sinusoidal", "shape": [2, 4], "base": 1e-150, "dtype": "F64"},
    {"scheme": "sinusoidal", "shape": [3, 1], "base": 1.5, "dtype": "F64"},
    *(
        {"scheme": "stft", "shape": [7, 1, 4], "window": window, "scaling": scaling, **more, "dtype": "F64"}
        for window, scaling, more in (
            ("flattop", "spectrum", {}),
            ("flattop", "spectrum", {"side": "imag", "periodic": True}),
            ("blackman", None, {}),
            ("boxcar", "spectrum", {}),
            ("boxcar", None, {"side": "imag"}),
            ("cosine", "spectrum", {}),
            ("bartlett", "density", {"periodic": True}),
            (None, "spectrum", {}),
            (None, None, {"side": "imag"}),
        )
    ),
    {"scheme": "stft", "shape": [1, 1, 3], "window": "bartlett", "dtype": "F64"},
    {"scheme": "stft", "shape": [1, 1, 3], "window": "hann", "periodic": True, "dtype": "F64"},
    {"scheme": "stft", "shape": [2, 1, 3], "window": "cosine", "dtype": "C64"},
    {
        "scheme": "blocks",
        "axis": 1,
        "shape": [3, 4],
        "layout": "torch",
        "parts": [
            {"size": 2, "scheme": "he_uniform"},
            {"size": 1, "scheme": "lecun_normal", "layout": "keras"},
            {"size": 1, "scheme": "blocks", "axis": -2, "parts": [{"size": 3, "scheme": "glorot_normal", "gain": 2}]},
        ],
        "dtype": "F64",
    },
    {
        "scheme": "blocks",
        "axis": 1,
        "shape": [4, 3],
        "parts": [{"size": 2, "scheme": "log_range"}, {"size": 1, "scheme": "log_of_uniform"}],
        "dtype": "F16",
    },
    {
        "scheme": "blocks",
        "axis": 0,
        "shape": [5, 4],
        "parts": [
            {"size": 2, "scheme": "sinusoidal"},
            {"size": 1, "scheme": "uniform", "low": -1, "high": 1},
            {"size": 2, "scheme": "sinusoidal", "variant": "marian"},
        ],
        "dtype": "C64",
    },
    {
        "scheme": "blocks",
        "axis": 1,
        "shape": [6, 3],
        "parts": [{"size": 3, "scheme": "sparse", "sparsity": 0.5, "std": 1}, {"size": 0, "scheme": "zeros"}],
        "dtype": "C64",
    },
)
"""Tensors at the edges of their rules, each at one storage type; of shape 6 x 4 by default."""
