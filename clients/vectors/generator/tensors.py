"""Tensors of `schemes.json`, as data. Each is frozen with its vectors."""

from __future__ import annotations

from typing import Any

LATER: tuple[dict[str, Any], ...] = (
    {"scheme": "glorot_uniform", "gain": 0.3},
    {"scheme": "glorot_normal", "truncated": True},
    {"scheme": "he_uniform", "mode": "fan_avg"},
    {"scheme": "he_normal", "negative_slope": 0.2},
    {"scheme": "fan_uniform", "fan": 7},
    {"scheme": "fan_uniform", "fan": 9, "gain": 3},
    {"scheme": "siren", "omega": 1.5},
    {"scheme": "siren"},
    {"scheme": "siren", "first": True, "layout": "torch"},
    {"scheme": "scaled_normal", "std": 0.02, "depth": 24},
    {"scheme": "scaled_normal", "std": 1, "width": 48.5, "cut": 3},
    {"scheme": "small_init", "width": 1024},
    {"scheme": "wang_init", "width": 1024, "layers": 24},
    {"scheme": "deepnorm", "encoder_layers": 18},
    {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "encoder"},
    {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder", "distribution": "uniform"},
    {"scheme": "subln", "decoder_layers": 18},
    {"scheme": "subln", "encoder_layers": 6, "decoder_layers": 9, "side": "encoder"},
    {"scheme": "subln", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder", "distribution": "uniform"},
    {"scheme": "fixup", "layers": 54},
    {"scheme": "fixup", "layers": 16, "branch_layers": 3, "mode": "fan_out"},
    {"scheme": "eye"},
    {"scheme": "identity", "shape": [2, 3, 5], "gain": -1.7},
    {"scheme": "identity", "shape": [2, 5, 3]},
    {"scheme": "dirac", "shape": [6, 2, 3], "layout": "torch", "groups": 2},
    {"scheme": "dirac", "shape": [3, 4, 2, 5], "gain": 0.1},
    {"scheme": "dirac", "shape": [2, 2, 6], "groups": 3},
    {"scheme": "log_range"},
    {"scheme": "mamba_a_log", "start": 1000},
    {"scheme": "rope_frequencies", "shape": [2, 7], "base": 500000},
    {"scheme": "alibi_slopes", "shape": [1, 12, 1, 1]},
    {"scheme": "alibi_slopes", "shape": [8], "max_bias": 6.5},
    {"scheme": "alibi_slopes", "shape": [12], "variant": "mpt"},
    {"scheme": "rope_frequencies", "shape": [5], "scaling": "linear", "factor": 4},
    {"scheme": "rope_frequencies", "shape": [16], "scaling": "llama3", "factor": 8, "base": 500000},
    {
        "scheme": "rope_frequencies",
        "shape": [9],
        "scaling": "llama3",
        "factor": 3,
        "context": 100,
        "slow": 2,
        "fast": 9,
    },
    {"scheme": "rope_frequencies", "shape": [16], "scaling": "yarn", "factor": 4, "context": 4096},
    {"scheme": "bilinear", "shape": [4, 5, 2, 1]},
    {"scheme": "bilinear", "shape": [2, 1, 3, 4], "layout": "torch"},
    {
        "scheme": "blocks",
        "parts": [
            {"size": 1, "scheme": "normal", "std": 1},
            {"size": 0, "scheme": "ones"},
            {"size": 1, "scheme": "batch_norm_beta"},
            {"size": 4, "scheme": "he_uniform"},
        ],
    },
    {
        "scheme": "blocks",
        "axis": -1,
        "shape": [3, 2, 9],
        "parts": [
            {"size": 3, "scheme": "log_range"},
            {"size": 2, "scheme": "eye", "gain": 2},
            {
                "size": 4,
                "scheme": "blocks",
                "axis": 1,
                "parts": [
                    {"size": 1, "scheme": "glorot_normal", "batch_axes": [0], "layout": "torch"},
                    {"size": 1, "scheme": "truncated_normal", "std": 0.5},
                ],
            },
        ],
    },
    {"scheme": "log_of_uniform"},
    {"scheme": "mamba2_a_log", "low": 0.01, "high": 9},
    {"scheme": "dt_bias"},
    {"scheme": "mamba_dt_bias", "dt_min": 0.01, "dt_max": 40, "dt_floor": 0.02},
    {"scheme": "rg_lru"},
    {"scheme": "rg_lru", "min_radius": 0.2, "max_radius": 0.99999},
    {"scheme": "power_range", "low": 0.1, "high": -0.3, "power": 0.7},
    {"scheme": "rwkv_decay", "shape": [3, 7], "power": 2},
    {"scheme": "sinusoidal", "shape": [7, 6]},
    {"scheme": "sinusoidal", "shape": [2, 5, 5], "variant": "marian", "base": 500},
    {"scheme": "sinusoidal", "shape": [6, 7], "variant": "fairseq", "padding": 2},
    *({"scheme": "stft", "shape": [5, 1, 4], "window": window} for window in (None, "boxcar", "hann", "hamming")),
    {"scheme": "stft", "shape": [7, 1, 5], "window": "blackman", "side": "imag", "scaling": "spectrum"},
    {"scheme": "stft", "shape": [7, 1, 3], "window": "nuttall", "scaling": None},
    {"scheme": "stft", "shape": [6, 1, 3], "window": "blackmanharris", "periodic": True},
    {"scheme": "stft", "shape": [9, 1, 2], "window": "flattop", "periodic": True, "side": "imag"},
    {"scheme": "stft", "shape": [4, 1, 7], "window": "bartlett"},
    {"scheme": "stft", "shape": [4, 1, 7], "window": "cosine", "periodic": True},
    {"scheme": "delta_orthogonal", "shape": [2, 3, 2, 3]},
    {"scheme": "delta_orthogonal", "shape": [4, 3, 5], "gain": 1.7, "layout": "torch"},
    {"scheme": "sparse", "sparsity": 0.1, "std": 0.01, "shape": [10, 6]},
    {"scheme": "sparse", "sparsity": 0.34, "std": 1, "shape": [3, 5, 4], "axis": 1},
    {"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [2, 40], "axis": -1},
    {"scheme": "dt_bias", "dt_min": 1e-190, "dt_max": 64, "dt_floor": 0},
    {"scheme": "power_range", "shape": [4], "low": 0, "high": 3.0000005364418030},
    {"scheme": "power_range", "shape": [4], "low": -1, "high": 0, "power": 1e-30},
    {"scheme": "wang_init", "width": 1024, "layers": 24, "cut": 2},
    {
        "scheme": "rope_frequencies",
        "shape": [32],
        "base": 150000,
        "scaling": "yarn",
        "factor": 32,
        "context": 4096,
        "truncate": False,
    },
    {"scheme": "bilinear", "shape": [3, 2, 3, 2], "channels": "same"},
    {"scheme": "bilinear", "shape": [2, 3, 2, 3], "channels": "same", "layout": "torch"},
)
"""Tensors of sections 9.4 to 9.9, and more of section 9.1, at every storage type; of shape 6 x 4 by default."""


COMPLEX: tuple[dict[str, Any], ...] = (
    {"scheme": "zeros"},
    {"scheme": "constant", "value": -0.1},
    {"scheme": "eye", "gain": 0.5},
    {"scheme": "log_range"},
    {"scheme": "normal", "std": 2},
    {"scheme": "uniform", "low": -3, "high": 3},
    {"scheme": "truncated_normal", "std": 0.5},
    {"scheme": "truncated_normal", "std": 0.5, "low": -0.1, "high": 0.1, "corrected": True},
    {"scheme": "he_uniform"},
    {"scheme": "glorot_normal", "gain": 2},
    {"scheme": "lecun_normal", "truncated": True},
    {"scheme": "sparse", "sparsity": 0.5, "std": 1},
    {
        "scheme": "blocks",
        "parts": [{"size": 5, "scheme": "glorot_uniform"}, {"size": 1, "scheme": "normal", "std": 1}],
    },
    {"scheme": "siren"},
    {"scheme": "siren", "first": True},
    {"scheme": "fan_uniform", "fan": 9},
    {"scheme": "truncated_normal", "std": 1, "low": -0.00025, "high": 0.00025},
    {"scheme": "truncated_normal", "std": 1, "low": -2000, "high": 2000, "corrected": True},
    {"scheme": "sinusoidal"},
)
"""Tensors of complex numbers; of shape 6 x 4 by default."""


MORE: tuple[dict[str, Any], ...] = (
    *(
        {"scheme": "rope_frequencies", "scaling": "yarn", "factor": 4, "shape": [16], **given}
        for given in (
            {"context": 100},
            {"context": 100, "truncate": False},
            {"base": 10, "fast": 600},
            {"base": 10, "fast": 600, "truncate": False},
            {"slow": 2000, "fast": 3000},
            {"context": 1},
        )
    ),
    {"scheme": "rope_frequencies", "shape": [1], "scaling": "yarn", "factor": 4},
    {"scheme": "deepnorm", "decoder_layers": 18},
    {"scheme": "deepnorm", "encoder_layers": 9, "distribution": "uniform"},
    {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder", "layout": "torch"},
    {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "encoder", "distribution": "uniform"},
    {"scheme": "subln", "encoder_layers": 18},
    {"scheme": "subln", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder"},
    {"scheme": "sparse", "sparsity": 0, "std": 1, "shape": [7, 3]},
    {"scheme": "sparse", "sparsity": 1, "std": 1, "shape": [7, 3]},
    {"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [1, 5]},
    {"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [2, 9]},
    {"scheme": "sparse", "sparsity": 0.1, "std": 1, "shape": [3, 3], "axis": -2},
    {"scheme": "sparse", "sparsity": 0.07, "std": 1, "shape": [100, 1]},
    {"scheme": "sparse", "sparsity": 0.29, "std": 1, "shape": [2, 100], "axis": 1},
    {"scheme": "truncated_normal", "std": 0.5, "low": -1, "high": None, "corrected": True},
    {"scheme": "truncated_normal", "std": 0.5, "low": -1, "high": 2.5, "corrected": True},
    {"scheme": "alibi_slopes", "shape": [1, 1]},
    {"scheme": "alibi_slopes", "shape": [5]},
    {"scheme": "power_range", "shape": [3, 1]},
    {"scheme": "dirac", "shape": [2, 3, 2, 2], "groups": 1},
    {"scheme": "stft", "shape": [1, 1, 2]},
    {"scheme": "sinusoidal", "shape": [3, 2], "variant": "fairseq"},
    {"scheme": "sinusoidal", "shape": [3, 4], "padding": 0},
    {"scheme": "blocks", "parts": [{"size": 6, "scheme": "orthogonal"}, {"size": 0, "scheme": "zeros"}]},
    {
        "scheme": "blocks",
        "axis": 1,
        "parts": [{"size": 3, "scheme": "eye"}, {"size": 1, "scheme": "power_range", "low": 2}],
    },
)
"""Tensors at the ends of their parameters, at F64 and F32; of shape 6 x 4 by default."""


LONG_LINES: tuple[dict[str, Any], ...] = tuple(
    {"scheme": "sparse", "sparsity": 0.99, "std": 1, "shape": [size, 1], "dtype": "F8_E4M3"} for size in (4096, 4097)
)
"""Permutations of 12 rounds: the largest size with a base of 64, and the smallest with one of 65."""
