"""Write the public vectors of stream fanin/1 with the reference backend.

    python clients/vectors/generate.py [FOLDER]

They were generated once and are frozen; this script shows how, and a test compares its output with the files.
It is long for its inputs, which are written out here as data: each of them is frozen with its vectors.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fanin import backends, draws
from fanin.backends.philox import philox4x32
from fanin.backends.reference import store, values
from fanin.dtypes import DTYPES
from fanin.errors import RecipeError
from fanin.file_layout import FileLayout
from fanin.plan import read_into
from fanin.recipe import as_recipe
from fanin.schemes.base import Scaled
from fanin.streams import Stream

HERE = Path(__file__).parent
CSRC = HERE.parent / "python" / "fanin" / "backends" / "csrc"

NAMES = ("weight", "a", "layers.0.attention.wq.weight", "мир/重み 🌱", "x" * 1024)
SEEDS = (0, 1, 42, 2**32, 2**53 + 1, 2**64 - 1)
BLOCKS = (0, 1, 2**32 - 1, 2**32, 2**33 + 5, 2**63, 2**64 - 1)
EDGE_WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x12345678, 0xDEADBEEF, 2**30 - 2**19 - 1, 2**30 - 2**19)
EDGE_LOWS = (0, 2**32 - 1, 0x9ABCDEF0)

LAWS: tuple[dict[str, Any], ...] = (
    {"scheme": "constant", "value": 0.1},
    {"scheme": "constant", "value": -1e-10},
    {"scheme": "ones"},
    {"scheme": "uniform", "low": -0.05, "high": 0.05},
    {"scheme": "uniform", "low": 0.1, "high": 0.7},
    {"scheme": "normal", "std": 0.02},
    {"scheme": "normal", "mean": -1.5, "std": 0.25},
    {"scheme": "truncated_normal", "std": 0.02},
    {"scheme": "truncated_normal", "std": 0.02, "corrected": True},
    {"scheme": "truncated_normal", "std": 0.5, "low": 3, "high": 4},
    {"scheme": "truncated_normal", "std": 0.5, "low": -4, "high": -3, "corrected": True},
    {"scheme": "truncated_normal", "mean": 0.3, "std": 0.5, "low": -1, "high": None},
    {"scheme": "truncated_normal", "std": 1, "low": None, "high": 8.5},
    {"scheme": "truncated_normal", "std": 0.5, "low": 8.5, "high": None},
    {"scheme": "truncated_normal", "std": 0.02, "low": -0.01, "high": 2, "bounds": "absolute"},
    {"scheme": "truncated_normal", "mean": 0.1, "std": 0.3, "low": -0.7, "high": 0.9, "bounds": "absolute"},
    {"scheme": "truncated_normal", "std": 1e-9, "low": 0, "high": 1e-25, "corrected": True},
    {"scheme": "truncated_normal", "std": 9e-4},
    {"scheme": "truncated_normal", "mean": 0.1, "std": 1e-10, "low": None, "high": 14},
    {"scheme": "uniform", "low": -0.001, "high": 0.1},
    {"scheme": "variance_scaling", "scale": 16, "distribution": "uniform"},
    {"scheme": "variance_scaling", "scale": 48, "mode": "fan_geo_avg", "distribution": "normal"},
    {"scheme": "variance_scaling", "scale": 2, "mode": "fan_out", "distribution": "uniform"},
    {"scheme": "variance_scaling", "mode": "fan_avg"},
    {"scheme": "variance_scaling", "mode": "fan_geo_avg", "distribution": "untruncated_normal"},
    {"scheme": "glorot_uniform"},
    {"scheme": "xavier_normal", "gain": 1.6666666666666667},
    {"scheme": "he_uniform", "negative_slope": 2.23606797749979},
    {"scheme": "kaiming_normal", "mode": "fan_out", "layout": "torch"},
    {"scheme": "he_normal", "truncated": True},
    {"scheme": "lecun_uniform"},
    {"scheme": "lecun_normal", "truncated": True},
)

MORE_LAWS: tuple[dict[str, Any], ...] = tuple(
    {"scheme": "truncated_normal", "mean": mean, "std": 0.5, "low": low, "high": high, "corrected": True}
    for mean, low, high in (
        (0, -1, None),
        (-0.25, None, 0.5),
        (0, -1, 2.5),
        (0.125, 0.25, 13.5),
        (0, -20, 1),
        (0, None, None),
    )
)
"""Corrected truncated normals that are not symmetric: draws.json has them after the others, streams.json has not."""

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
"""Tensors of sections 9.4 to 9.9, and some more of section 9.1, each of shape 6 x 4 where it says nothing else."""
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
"""The same of complex numbers."""
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
"""Tensors at the ends of their parameters, at F64 and F32; of shape 6 x 4 where they say nothing else."""
LONG_LINES: tuple[dict[str, Any], ...] = tuple(
    {"scheme": "sparse", "sparsity": 0.99, "std": 1, "shape": [size, 1], "dtype": "F8_E4M3"} for size in (4096, 4097)
)
"""Where the permutation takes 12 rounds: of 64 digits the last size, of 65 the first."""
ORTHOGONAL: tuple[dict[str, Any], ...] = (
    *({"shape": shape} for shape in ([1, 1], [2, 2], [1, 5], [5, 1], [3, 7], [7, 3], [32, 32], [33, 33], [35, 34])),
    {"shape": [2, 3, 4, 5], "gain": 1.4142135623730951},
    {"shape": [2, 3, 4, 5], "gain": 1.4142135623730951, "layout": "torch"},
    *({"shape": [6, 5], "gain": 0.1, "dtype": dtype} for dtype in ("F64", "BF16", "F16", "F8_E4M3", "F8_E5M2")),
    {"shape": [33, 35], "dtype": "F64"},
)
LARGE_ORTHOGONAL: tuple[dict[str, Any], ...] = (
    *({"shape": shape} for shape in ([200, 200], [1000, 70], [70, 1000], [513, 513])),
    {"shape": [300, 301], "dtype": "F64"},
    {"shape": [129, 3, 3, 64], "dtype": "BF16", "layout": "torch", "gain": 2},
)
FAR: tuple[tuple[dict[str, Any], int], ...] = (
    ({"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [4, 2**40]}, 2**42 - 8),
    ({"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [2**32 - 1, 8]}, 2**34 - 3),
    ({"scheme": "sinusoidal", "shape": [2**32, 6]}, 6 * (2**32 - 1) - 2),
    ({"scheme": "log_of_uniform", "shape": [2**40]}, 2**34 - 3),
    ({"scheme": "eye", "gain": 3, "shape": [2**20, 2**20]}, (2**20 + 1) * (2**19 + 5) - 2),
    (
        {
            "scheme": "blocks",
            "axis": 1,
            "shape": [2**40, 3],
            "parts": [{"size": 1, "scheme": "normal", "std": 1}, {"size": 2, "scheme": "log_range", "start": 2}],
        },
        2**34 - 3,
    ),
    ({"scheme": "normal", "std": 1, "shape": [2**40], "dtype": "C64"}, 2**33 - 3),
    ({"scheme": "uniform", "low": -1, "high": 1, "shape": [2**40], "dtype": "C64"}, 2**33 - 3),
)
"""Tensors, and the first of eight elements whose words, positions, lines or rows need more than 32 bits."""

FANS: tuple[dict[str, Any], ...] = (
    {"shape": [20, 10], "layout": "torch"},
    {"shape": [10, 20]},
    {"shape": [32, 16, 3, 3], "layout": "torch"},
    {"shape": [3, 3, 16, 32]},
    {"shape": [32, 4, 3, 3], "layout": "torch", "groups": 4},
    {"shape": [3, 3, 4, 32], "groups": 4},
    {"shape": [32, 1, 3, 3], "layout": "torch", "groups": 16},
    {"shape": [3, 3, 1, 32], "groups": 16},
    {"shape": [3, 3, 16, 2], "depthwise": True},
    {"shape": [16, 32, 3, 3], "layout": "torch", "transposed": True},
    {"shape": [3, 3, 32, 16], "transposed": True},
    {"shape": [16, 8, 3, 3], "layout": "torch", "transposed": True, "groups": 4},
    {"shape": [100, 16], "in_axes": [], "out_axes": [1], "batch_axes": [0]},
    {"shape": [32, 4, 8], "in_axes": [0], "out_axes": [1, 2]},
    {"shape": [12, 20, 10], "layout": "torch", "batch_axes": [0]},
    {"shape": [5, 3, 3, 4, 2], "depthwise": True, "batch_axes": [0]},
    {"shape": [4, 6, 5], "in_axes": [0], "out_axes": [1], "groups": 3},
    {"shape": [4, 6, 5], "in_axes": [0], "out_axes": [1], "groups": 2, "transposed": True},
    {"shape": [2, 3, 4, 5], "in_axes": [-1, 0], "out_axes": [], "batch_axes": [1]},
    {"shape": [2, 3, 4, 5, 6, 7], "in_axes": [4], "out_axes": [5]},
)

RECIPES = (
    '{"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42}',
    '{"shape":[784,10],"scheme":"xavier_uniform","seed":"42","gain":1.0,"layout":"keras","dtype":"F32"}',
    '{"tensors": {}}',
    '{"seed": 18446744073709551615, "tensors": {"s": {"shape": [], "scheme": "normal", "std": 1e-7, "mean": -0.0}}}',
    '{"tensors": {"\\ufb33": {"shape": [0], "scheme": "ones"}, "\\ud83d\\ude00": {"shape": [1], "scheme": "zeros"}, "é\\"\\\\": {"shape": [2], "scheme": "batch_norm_gamma"}}}',  # noqa: E501
    '{"dtype":"BF16","layout":"torch","tensors":{"w":{"shape":[4,3],"scheme":"kaiming_normal"},"b":{"shape":[4],"scheme":"zeros","dtype":"F32"},"e":{"shape":[5,3],"scheme":"he_normal","in_axes":[],"out_axes":[1],"batch_axes":[0]}}}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1e21, "low": null, "high": 2.0, "corrected": true}',
    '{"shape": [2, 2], "scheme": "variance_scaling", "distribution": "untruncated_normal", "scale": 0.1}',
    '{"shape": [9007199254740991, 0], "scheme": "uniform", "low": -1e-5, "high": 123456789.25}',
)

ALIASED = (
    "batch_norm_beta",
    "batch_norm_moving_mean",
    "batch_norm_gamma",
    "batch_norm_moving_variance",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "identity",
    "mamba_a_log",
    "mamba2_a_log",
    "mamba_dt_bias",
    "rwkv_decay",
)
NUMBERS = (
    "1E5",
    "1e+2",
    "1e-0",
    "0.1e1",
    "100.0",
    "1e20",
    "1e21",
    "123456789012345678901234567890",
    "9007199254740993",
    "0.000001",
    "0.0000001",
    "1e-6",
    "1e-7",
    "1.0e-07",
    "5e-324",
    "2e-324",
    "-1e-400",
    "-0",
    "-0.0",
    "1.7976931348623157e308",
    "333333333.33333329",
    "4.35",
    "1e23",
    "0.1000000000000000055511151231257827021181583404541015625",
    "9.5367431640625e-7",
    "-2.2250738585072014E-308",
)
MORE_RECIPES = (
    '{"tensors": {' + ", ".join(f'"{alias}": {{"shape": [4, 4], "scheme": "{alias}"}}' for alias in ALIASED) + "}}",
    '{"dtype": "F64", "tensors": {'
    + ", ".join(
        f'"{place:02}": {{"shape": [], "scheme": "constant", "value": {number}}}'
        for place, number in enumerate(NUMBERS)
    )
    + "}}",
    '\n\t\r {"shape" : [ 2 ] ,"sch\\u0065me":"\\u007aeros", "seed":"0"}\n',
    '{"dtype": "C64", "layout": "torch", "tensors": {"a": {"shape": [3, 2], "scheme": "he_uniform"}, "b": {"shape": [3, 2], "scheme": "eye", "dtype": "F16"}, "c": {"shape": [2, 2], "scheme": "blocks", "axis": -1, "parts": [{"size": 1, "scheme": "xavier_normal"}, {"size": 1, "scheme": "zeros"}]}}}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "truncated_normal", "std": 0.02, "mean": 0, "low": -2, "high": 2.0, "bounds": "std", "corrected": false}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "he_normal", "in_axes": [-2], "out_axes": [1], "batch_axes": [], "groups": 1, "transposed": false, "mode": "fan_in"}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "wang_init", "width": 8, "layers": 2, "cut": null}',
    '{"shape": [4, 1, 4], "scheme": "stft", "window": null, "scaling": null}',
)

REFUSED = (
    "{}",
    "[]",
    '{"shape": [2], "scheme": "zeros", "seed": -1}',
    '{"shape": [2], "scheme": "zeros", "seed": 18446744073709551616}',
    '{"shape": [2], "scheme": "zeros", "seed": 1.0}',
    '{"shape": [2], "scheme": "zeros", "seed": "01"}',
    '{"shape": [2], "scheme": "zeros", "seed": 1, "seed": 1}',
    '{"shape": [2], "scheme": "zeros", "\\u0073hape": [2]}',
    '{"shape": [9007199254740991, 1024], "scheme": "zeros", "dtype": "F8_E5M2"}',
    '{"shape": [2], "scheme": "zeros", "dtype": null}',
    '{"shape": [2], "scheme": "zeros", "dtype": ["F32"]}',
    '{"shape": [2], "scheme": "zeros", "stream": "fanin/2"}',
    '{"shape": [2], "scheme": "zeros", "dtype": "FP32"}',
    '{"shape": [2], "scheme": "zeros", "std": 1}',
    '{"shape": [2.0], "scheme": "zeros"}',
    '{"shape": [-1], "scheme": "zeros"}',
    '{"shape": [9007199254740992], "scheme": "zeros"}',
    '{"shape": [2], "scheme": "Zeros"}',
    '{"shape": [2], "scheme": "normal", "std": 0}',
    '{"shape": [2], "scheme": "normal", "std": 1e999}',
    '{"shape": [2], "scheme": "normal", "std": 1e-40}',
    '{"shape": [2], "scheme": "normal", "std": 1e-60}',
    '{"shape": [2], "scheme": "normal", "std": 1, "mean": -1e28}',
    '{"shape": [2], "scheme": "normal", "std": 5039, "dtype": "F16"}',
    '{"shape": [2], "scheme": "constant", "value": 65520, "dtype": "F16"}',
    '{"shape": [2], "scheme": "constant", "value": 465, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "truncated_normal", "mean": 0.1, "std": 1e-10, "low": -14, "high": 14}',
    '{"shape": [0, 9007199254740991, 1025], "scheme": "zeros", "dtype": "F8_E5M2"}',
    '{"shape": [2, 0], "scheme": "he_normal", "groups": 9007199254740992}',
    '{"shape": [2, 4], "scheme": "he_normal", "batch_axes": null}',
    '{"shape": [2], "scheme": "uniform", "low": 1, "high": 1}',
    '{"shape": [2], "scheme": "uniform", "low": -450, "high": 1, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "uniform", "low": 0.1, "high": 0.1001, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "uniform", "low": 1e-42, "high": 1}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 9.5, "high": null}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 0, "high": 1e-37}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1e-27, "low": 0, "high": 1e-6}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 35, "low": null, "high": 12.9, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1, "bounds": "absolute", "corrected": true}',
    '{"shape": [0], "scheme": "he_normal"}',
    '{"shape": [1, 2, 3, 4, 5, 6], "scheme": "he_normal"}',
    '{"shape": [4, 6], "scheme": "he_normal", "groups": 4}',
    '{"shape": [4, 6], "scheme": "he_normal", "in_axes": [0]}',
    '{"shape": [4, 6], "scheme": "he_normal", "in_axes": [0], "out_axes": [-2]}',
    '{"shape": [4, 6], "scheme": "he_normal", "in_axes": [0], "out_axes": [2]}',
    '{"tensors": {"w": {"shape": [4, 6], "scheme": "he_normal", "in_axes": [0], "out_axes": [1], "layout": "keras"}}}',
    '{"tensors": {"w": {"shape": [4], "scheme": "zeros", "layout": "keras"}}}',
    '{"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": true, "layout": "torch"}',
    '{"layout": "torch", "tensors": {"w": {"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": true}}}',
    '{"tensors": {"": {"shape": [2], "scheme": "zeros"}}}',
    '{"tensors": {"a\\u0007": {"shape": [2], "scheme": "zeros"}}}',
    '{"tensors": {"\\ud800": {"shape": [2], "scheme": "zeros"}}}',
    '{"tensors": {"__metadata__": {"shape": [2], "scheme": "zeros"}}}',
    '{"shape": [8], "scheme": "blocks", "parts": [{"size": 7, "scheme": "zeros"}]}',
    '{"shape": [8], "scheme": "blocks", "axis": 1, "parts": [{"size": 8, "scheme": "zeros"}]}',
    '{"shape": [8], "scheme": "blocks", "parts": [{"size": 8, "scheme": "normal"}]}',
    '{"shape": [8], "scheme": "blocks", "parts": [{"size": 8, "scheme": "zeros", "dtype": "F32"}]}',
    '{"shape": [8], "scheme": "blocks", "parts": [{"scheme": "zeros"}]}',
    '{"shape": [8], "scheme": "eye"}',
    '{"shape": [8, 8], "scheme": "dirac"}',
    '{"shape": [3, 8, 8], "scheme": "dirac", "groups": 3}',
    '{"shape": [], "scheme": "log_range"}',
    '{"shape": [2, 4097], "scheme": "rope_frequencies"}',
    '{"shape": [2, 4], "scheme": "alibi_slopes"}',
    '{"shape": [3, 8, 8], "scheme": "bilinear"}',
    '{"shape": [8], "scheme": "deepnorm", "encoder_layers": 2, "decoder_layers": 2}',
    '{"shape": [8], "scheme": "rope_frequencies", "scaling": "llama3", "slow": 4}',
    '{"shape": [8], "scheme": "rope_frequencies", "scaling": "yarn", "base": 1}',
    '{"shape": [8], "scheme": "log_of_uniform", "low": 2, "high": 2}',
    '{"shape": [8], "scheme": "dt_bias", "dt_max": 65}',
    '{"shape": [8], "scheme": "dt_bias", "dt_floor": 0.1}',
    '{"shape": [8], "scheme": "rg_lru", "max_radius": 1}',
    '{"shape": [8], "scheme": "sinusoidal"}',
    '{"shape": [8, 4], "scheme": "sinusoidal", "padding": 8}',
    '{"shape": [8, 4], "scheme": "stft"}',
    '{"shape": [2, 1, 4], "scheme": "stft"}',
    '{"shape": [8, 1, 4], "scheme": "stft", "window": "parzen"}',
    '{"shape": [3, 4, 2], "scheme": "delta_orthogonal"}',
    '{"shape": [8, 4], "scheme": "sparse", "std": 1, "sparsity": 1.1}',
    '{"shape": [8, 4], "scheme": "sparse", "std": 1, "sparsity": 0.5, "axis": 2}',
    '{"shape": [4294967296, 4], "scheme": "sparse", "std": 1, "sparsity": 0.5}',
    '{"shape": [8, 4], "scheme": "blocks", "parts": [{"size": 4, "scheme": "orthogonal"}, {"size": 4, "scheme": "zeros"}]}',  # noqa: E501
    '{"shape": [8], "scheme": "uniform", "low": -1, "high": 2, "dtype": "C64"}',
    '{"shape": [8], "scheme": "normal", "mean": 1, "std": 1, "dtype": "C64"}',
    '{"shape": [8], "scheme": "truncated_normal", "std": 1, "low": null, "dtype": "C64"}',
    '{"shape": [8], "scheme": "rg_lru", "dtype": "C64"}',
    '{"shape": [8, 8], "scheme": "orthogonal", "dtype": "C64"}',
    '{"shape": [8], "scheme": "dt_bias", "dt_min": 1e-305}',
    '{"shape": [8], "scheme": "rope_frequencies", "truncate": false}',
    '{"shape": [8, 4], "scheme": "sinusoidal", "base": 1e-160}',
    '{"shape": [8], "scheme": "truncated_normal", "std": 1, "low": 0, "high": 1e-200, "corrected": true}',
    '{"shape": [8], "scheme": "truncated_normal", "std": 1, "low": -0.0002, "high": 0.0002, "dtype": "C64"}',
)

ACCEPTED = (
    '{"shape": [2], "scheme": "zeros", "seed": "18446744073709551615"}',
    '{"shape": [9007199254740991], "scheme": "zeros"}',
    '{"shape": [2], "scheme": "zeros", "layout": "torch"}',
    '{"shape": [2], "scheme": "normal", "std": 1e-27, "mean": 0}',
    '{"shape": [2], "scheme": "normal", "std": 5038, "dtype": "F16"}',
    '{"shape": [2], "scheme": "constant", "value": 65519, "dtype": "F16"}',
    '{"shape": [2], "scheme": "constant", "value": 1e-40}',
    '{"shape": [2], "scheme": "uniform", "low": -448, "high": 448, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "constant", "value": 464, "dtype": "F8_E4M3"}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1, "low": -65510, "high": 66000, "dtype": "F16"}',
    '{"shape": [0, 9007199254740991, 1024], "scheme": "zeros", "dtype": "F8_E5M2"}',
    '{"shape": [2, 0], "scheme": "he_normal", "groups": 9007199254740991}',
    '{"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": true, "groups": 1, "transposed": false}',
    '{"shape": [2], "scheme": "uniform", "low": -1e-46, "high": 1}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 9, "high": 1000}',
    '{"layout": "torch", "tensors": {"w": {"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": true, "layout": "keras"}}}',  # noqa: E501
    '{"shape": [-0], "scheme": "zeros", "seed": -0}',
    '{"shape": [4, 6], "scheme": "he_normal", "in_axes": null}',
    '{"shape": [4, 6], "scheme": "he_normal", "in_axes": [0], "out_axes": [1], "layout": "torch"}',
    '{"shape": [5, 3, 3, 4, 2], "scheme": "he_normal", "depthwise": true, "batch_axes": [0]}',
    '{"shape": [0, 5], "scheme": "lecun_normal"}',
)

FILES = (
    '{"shape": [2, 3], "scheme": "glorot_uniform", "seed": 42}',
    '{"tensors": {}}',
    '{"tensors": {"\\ufb33": {"shape": [1], "scheme": "ones"}, "\\ud83d\\ude00": {"shape": [1], "scheme": "zeros"}}}',
    '{"seed": 7, "tensors": {"b": {"shape": [3], "scheme": "normal", "std": 1, "dtype": "BF16"}, "a": {"shape": [2], "scheme": "uniform", "low": -1, "high": 1}, "z": {"shape": [5], "scheme": "truncated_normal", "std": 1, "dtype": "F8_E4M3"}, "é": {"shape": [], "scheme": "normal", "std": 1, "dtype": "F64"}, "y": {"shape": [2, 2], "scheme": "he_normal", "dtype": "F16"}, "x": {"shape": [3], "scheme": "constant", "value": 0.3, "dtype": "F8_E5M2"}, "w": {"shape": [0, 4], "scheme": "ones"}}}',  # noqa: E501
)

NOT_NUMBERS = (
    "01",
    "+1",
    ".5",
    "1.",
    "1e",
    "-",
    "NaN",
    "-Infinity",
    "0x10",
    "1_000",
    "1e309",
    "9" * 310,
    "true",
    '"1"',
    "null",
)
"""No values of a real parameter."""
NOT_SEEDS = ('""', '" 1"', '"\uff11"', '"+1"', '"-0"', '"18446744073709551616"', "true", "1e0", "null", "[1]")
NOT_REPEATED_NAMES = (
    "a",
    "{}",
    "a{0..2",
    "a}{0..2}",
    "a{0..2}{b}",
    "{{0..2}}",
    "a{2..1}",
    "a{0..2..0}",
    "a{0..4..3}",
    "a{0..4..02}",
    "a{01}",
    "a{1000000000}",
    "a{0, 2}",
    "a{0,}",
    "a{0...2}",
    "a{-1..2}",
    "a{2,1}",
    "a{0..2,2}",
    "a{1,1}",
    "a{\uff11}",
    "a\\u0007{0..2}",
)


def _parts(count: int, scheme: str = "ones", more: str = "") -> str:
    """A tensor of so many parts of size 1."""
    parts = ", ".join([f'{{"size": 1, "scheme": "{scheme}"}}'] * count)
    return f'{{"shape": [{count}{more}], "scheme": "blocks", "parts": [{parts}]}}'


def _nested(*counts: int) -> str:
    """A tensor of parts, each of so many."""
    parts = ", ".join(_parts(count).replace(f'"shape": [{count}]', f'"size": {count}') for count in counts)
    return f'{{"shape": [{sum(counts)}], "scheme": "blocks", "parts": [{parts}]}}'


MORE_REFUSED = (
    *('{"shape": [2], "scheme": "constant", "value": ' + number + "}" for number in NOT_NUMBERS),
    "",
    "null",
    '"zeros"',
    '{"shape": [2], "scheme": "zeros",}',
    '{"shape": [2,], "scheme": "zeros"}',
    '{"shape": [2] "scheme": "zeros"}',
    '{"shape": [2], "scheme": "zeros"',
    '{"shape": [2], "scheme": "zeros"} 1',
    '{"shape": [2], "scheme": "zeros"} // text',
    "{'shape': [2], 'scheme': 'zeros'}",
    '{shape: [2], "scheme": "zeros"}',
    '\ufeff{"shape": [2], "scheme": "zeros"}',
    '\u00a0{"shape": [2], "scheme": "zeros"}',
    '{"shape": [2], "scheme": "ze\\x72os"}',
    '{"tensors": {"a\tb": {"shape": [2], "scheme": "zeros"}}}',
    '{"tensors": {"a": {"shape": [2], "scheme": "zeros"}, "\\u0061": {"shape": [2], "scheme": "zeros"}}}',
    '{"shape": [8], "scheme": "blocks", "parts": [{"size": 8, "size": 8, "scheme": "zeros"}]}',
    *('{"shape": [2], "scheme": "zeros", "seed": ' + seed + "}" for seed in NOT_SEEDS),
    '{"shape": [true], "scheme": "zeros"}',
    '{"shape": [1e0], "scheme": "zeros"}',
    '{"shape": 2, "scheme": "zeros"}',
    '{"shape": [2, 2], "scheme": "he_normal", "truncated": 0}',
    '{"tensors": []}',
    '{"tensors": {"a": null}}',
    '{"tensors": {}, "shape": [2]}',
    '{"tensors": {"a": {"shape": [2], "scheme": "zeros", "seed": 1}}}',
    '{"shape": [2]}',
    '{"scheme": "zeros"}',
    '{"layout": null, "tensors": {}}',
    '{"shape": [2, 2], "scheme": "deepnorm"}',
    '{"shape": [2, 2], "scheme": "deepnorm", "encoder_layers": 2, "side": "encoder"}',
    '{"shape": [2, 2], "scheme": "subln", "encoder_layers": 2, "decoder_layers": 2}',
    '{"shape": [2, 2], "scheme": "wang_init", "width": 8, "layers": 2, "cut": 1e-30}',
    '{"shape": [2], "scheme": "rope_frequencies", "scaling": "linear", "truncate": false}',
    '{"shape": [2], "scheme": "rope_frequencies", "scaling": "yarn", "slow": 32}',
    '{"shape": [0, 5], "scheme": "alibi_slopes"}',
    '{"shape": [1, 4398046511105], "scheme": "sparse", "std": 1, "sparsity": 0.5}',
    '{"shape": [8, 4], "scheme": "sparse", "std": 1, "sparsity": -0.1}',
    '{"shape": [2], "scheme": "normal", "std": 8e-28}',
    '{"shape": [2], "scheme": "uniform", "low": 1.1e-38, "high": 1}',
    '{"shape": [2, 2], "scheme": "orthogonal", "gain": 225, "dtype": "F8_E4M3"}',
    '{"shape": [4], "scheme": "blocks", "axis": -2, "parts": [{"size": 4, "scheme": "zeros"}]}',
    '{"shape": [4], "scheme": "blocks", "parts": [{"size": 4.0, "scheme": "zeros"}]}',
    '{"shape": [4], "scheme": "blocks", "parts": [{"size": 4, "scheme": "zeros", "dialect": "fanin"}]}',
    '{"shape": [8, 4], "scheme": "blocks", "parts": [{"size": 4, "scheme": "sparse", "std": 1, "sparsity": 0.5}, {"size": 4, "scheme": "zeros"}]}',  # noqa: E501
    _parts(257),
    _nested(128, 129),
    '{"shape": [16, 17, 2, 2], "scheme": "blocks", "axis": 3, "parts": [{"size": 2, "scheme": "bilinear", "channels": "same"}]}',  # noqa: E501
)
MORE_ACCEPTED = (
    '{"shape": [2, 0], "scheme": "deepnorm", "encoder_layers": 2}',
    '{"shape": [], "scheme": "alibi_slopes"}',
    '{"shape": [5, 0], "scheme": "alibi_slopes"}',
    '{"shape": [1, 4398046511104], "scheme": "sparse", "std": 1, "sparsity": 0.5}',
    '{"shape": [4294967295, 2], "scheme": "sparse", "std": 1, "sparsity": 0.5}',
    '{"shape": [0, 4], "scheme": "sinusoidal", "base": 1e-160}',
    '{"shape": [2], "scheme": "normal", "std": 8.1e-28}',
    '{"shape": [2], "scheme": "uniform", "low": 1.2e-38, "high": 1}',
    '{"shape": [2, 2], "scheme": "orthogonal", "gain": 224, "dtype": "F8_E4M3"}',
    '{"shape": [0], "scheme": "blocks", "parts": []}',
    _parts(256),
    _nested(128, 128),
    _parts(256, "eye", ", 2"),
    '{"shape": [16, 16, 2, 2], "scheme": "blocks", "axis": 3, "parts": [{"size": 2, "scheme": "bilinear", "channels": "same"}]}',  # noqa: E501
    '{"shape": [8, 0], "scheme": "blocks", "parts": [{"size": 4, "scheme": "orthogonal"}, {"size": 4, "scheme": "zeros"}]}',  # noqa: E501
)
MORE_FILES = (
    '{"seed": 1, "tensors": {"a": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "F32"}, "b": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "C64"}, "c": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "F64"}, "d": {"shape": [1], "scheme": "ones", "dtype": "F8_E5M2"}, "e": {"shape": [1], "scheme": "ones", "dtype": "F8_E4M3"}, "f": {"shape": [1], "scheme": "ones", "dtype": "F16"}, "g": {"shape": [1], "scheme": "ones", "dtype": "BF16"}, "A": {"shape": [], "scheme": "zeros", "dtype": "C64"}}}',  # noqa: E501
    '{"dtype": "C64", "tensors": {"back\\\\slash": {"shape": [1], "scheme": "ones"}, "quo\\"te": {"shape": [1], "scheme": "ones"}, "sol\\/idus": {"shape": [1], "scheme": "ones"}, "\\u2028\\u00e9\\ud83d\\ude00": {"shape": [1], "scheme": "ones"}, "\\uffee": {"shape": [0], "scheme": "ones"}}}',  # noqa: E501
)
REPEATED = (
    '{"tensors": {}, "repeated": {}}',
    '{"tensors": {}, "repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{9..11}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{7}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{0..3,5..11}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{1..31..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"a{4..28..8,40,41..41}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": {"{0..1}.b{2,4}.{999999999}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {"a{0..2}": {"shape": [1], "scheme": "ones"}, "{}": {"shape": [1], "scheme": "ones"}}, "repeated": {}}',  # noqa: E501
    '{"seed": 3, "dtype": "BF16", "layout": "torch", "tensors": {"norm": {"shape": [3], "scheme": "ones"}}, "repeated": {"layers.{0..1}.w": {"shape": [3, 2], "scheme": "he_normal"}, "layers.{0..1}.b": {"shape": [3], "scheme": "zeros", "dtype": "F32"}}}',  # noqa: E501
    '{"dialect": "torch", "tensors": {}, "repeated": {"layers.{0..1}.w": {"shape": [3, 2], "scheme": "kaiming_normal_"}, "layers.{2}.w": {"shape": [3, 2], "scheme": "he_normal", "dialect": "fanin"}}}',  # noqa: E501
)
NOT_REPEATED = (
    *(
        '{"tensors": {}, "repeated": {"' + name + '": {"shape": [1], "scheme": "zeros"}}}'
        for name in NOT_REPEATED_NAMES
    ),
    '{"repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {}, "repeated": null}',
    '{"tensors": {}, "repeated": {"a{0..1048576}": {"shape": [1], "scheme": "zeros"}}}',
    '{"tensors": {"a1": {"shape": [1], "scheme": "zeros"}}, "repeated": {"a{0..2}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {}, "repeated": {"a{1..2}{3}": {"shape": [1], "scheme": "zeros"}, "a{13}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {}, "repeated": {"a{0..1}": {"shape": [1], "scheme": "zeros"}, "a{0,1}": {"shape": [1], "scheme": "zeros"}}}',  # noqa: E501
    '{"shape": [1], "scheme": "zeros", "repeated": {}}',
)
DIALECTS: dict[str, tuple[str, ...]] = {
    "torch": (
        '"uniform_"',
        '"uniform", "a": -1, "b": 0.5',
        '"uniform_", "a": 0.5, "b": 0.5',
        '"normal_"',
        '"normal", "mean": 1, "std": 0',
        '"trunc_normal_"',
        '"trunc_normal_", "mean": 0.5, "std": 0.1, "a": 0, "b": 1',
        '"trunc_normal_", "a": 1, "b": 1',
        '"constant", "val": 0.5',
        '"ones_"',
        '"zeros_"',
        '"eye"',
        '"xavier_uniform"',
        '"xavier_uniform_", "gain": 0',
        '"xavier_normal", "gain": 2',
        '"kaiming_uniform"',
        '"kaiming_uniform_", "a": 5, "nonlinearity": "relu"',
        '"kaiming_uniform_", "a": -0.5',
        '"kaiming_normal", "mode": "fan_out"',
        '"kaiming_normal_", "nonlinearity": "tanh"',
        '"kaiming_normal_", "nonlinearity": "selu"',
        '"kaiming_normal_", "nonlinearity": "linear"',
        '"orthogonal", "gain": -2',
        '"orthogonal", "gain": 0',
        '"sparse", "sparsity": 0.25',
        '"sparse_", "sparsity": 0.25, "std": 0',
    ),
    "keras": (
        '"Zeros"',
        '"zero"',
        '"one"',
        '"Constant"',
        '"constant", "value": 2',
        '"Identity", "gain": 2',
        '"IdentityInitializer"',
        '"RandomNormal"',
        '"normal", "mean": 1, "stddev": 0',
        '"uniform"',
        '"RandomUniform", "minval": 0, "maxval": 1',
        '"TruncatedNormal"',
        '"truncated_normal", "mean": 0.5, "stddev": 0.1',
        '"VarianceScaling"',
        '"VarianceScaling", "distribution": "normal"',
        '"variance_scaling", "scale": 2, "mode": "fan_avg", "distribution": "uniform"',
        '"VarianceScaling", "input_axes": [1], "output_axes": [0]',
        '"GlorotUniform"',
        '"glorot_normal"',
        '"LecunUniform"',
        '"lecun_normal"',
        '"HeUniform"',
        '"he_normal", "input_axes": [0], "output_axes": [1]',
        '"OrthogonalInitializer", "gain": -0.5',
        '"orthogonal", "gain": 0',
    ),
    "jax": (
        '"zeros"',
        '"ones"',
        '"constant", "value": 2',
        '"uniform"',
        '"uniform", "scale": -0.5',
        '"uniform", "scale": 0',
        '"normal"',
        '"normal", "stddev": -0.5',
        '"truncated_normal"',
        '"truncated_normal", "stddev": -0.5, "lower": null, "upper": 1',
        '"variance_scaling", "scale": 2, "mode": "fan_avg", "distribution": "normal"',
        '"variance_scaling", "scale": 0, "mode": "fan_in", "distribution": "uniform"',
        '"glorot_uniform"',
        '"xavier_normal", "in_axis": 1, "out_axis": 0',
        '"lecun_uniform"',
        '"lecun_normal", "in_axis": [], "out_axis": [1], "batch_axis": 0',
        '"he_uniform"',
        '"kaiming_normal"',
        '"orthogonal", "scale": -1',
        '"orthogonal", "column_axis": 0',
    ),
}
"""Of tensors of 6 x 4, the value of `scheme` and what follows it."""
MORE_DIALECTS = (
    '{"dialect": "torch", "tensors": {"a": {"shape": [6, 2, 3], "scheme": "dirac_", "groups": 2}, "b": {"shape": [4, 6], "scheme": "he_normal", "dialect": "fanin"}, "c": {"shape": [4, 6], "scheme": "HeNormal", "dialect": "keras"}}}',  # noqa: E501
    '{"dialect": "torch", "shape": [4, 6, 1, 1, 1, 1], "scheme": "xavier_normal_"}',
    '{"dialect": "keras", "shape": [3, 3, 4, 6], "scheme": "he_uniform"}',
    '{"dialect": "keras", "shape": [3, 1, 1, 1, 4, 6], "scheme": "he_uniform"}',
    '{"dialect": "keras", "shape": [3, 4, 6], "scheme": "he_uniform", "input_axes": [-1], "output_axes": [0]}',
    '{"dialect": "keras", "shape": [6], "scheme": "glorot_uniform"}',
    '{"dialect": "keras", "shape": [8, 1, 3], "scheme": "stft", "side": "imag", "window": null}',
    '{"dialect": "jax", "shape": [3, 3, 4, 6], "scheme": "he_uniform", "in_axis": -2}',
    '{"dialect": "jax", "shape": [3, 1, 1, 1, 4, 6], "scheme": "he_uniform"}',
    '{"dialect": "jax", "shape": [3, 4, 6], "scheme": "delta_orthogonal", "column_axis": 1}',
    '{"dialect": "torch", "dtype": "C64", "layout": "torch", "shape": [2], "scheme": "zeros_"}',
)
NOT_DIALECTS = (
    '{"dialect": null, "shape": [6, 4], "scheme": "zeros"}',
    '{"dialect": "tensorflow", "shape": [6, 4], "scheme": "zeros"}',
    '{"dialect": "torch", "shape": [6, 4], "scheme": "zeros"}',
    '{"dialect": "torch", "shape": [6], "scheme": "kaiming_uniform_"}',
    '{"dialect": "torch", "tensors": {"a": {"shape": [6, 4], "scheme": "kaiming_uniform_", "layout": "torch"}}}',
    '{"dialect": "torch", "shape": [6, 4], "scheme": "normal_", "stddev": 1}',
    '{"dialect": "torch", "shape": [6, 4], "scheme": "normal_", "std": -1}',
    '{"dialect": "torch", "shape": [6, 4, 2], "scheme": "eye_"}',
    '{"dialect": "torch", "shape": [6, 4], "scheme": "kaiming_uniform_", "mode": "fan_avg"}',
    '{"dialect": "keras", "shape": [6, 4], "scheme": "he_normal", "input_axes": [0]}',
    '{"dialect": "jax", "shape": [6], "scheme": "he_normal"}',
    '{"dialect": "jax", "shape": [6, 4], "scheme": "constant"}',
    '{"dialect": "jax", "shape": [6, 4], "scheme": "he_normal", "in_axis": 0, "out_axis": 0}',
)


def keys() -> list[Any]:
    return [
        {"version": "fanin/1", "seed": str(seed), "name": name, "purpose": purpose, "key": _hex(stream.key(purpose))}
        for name in NAMES
        for seed in SEEDS
        for stream in [Stream("fanin/1", seed, name)]
        for purpose in ("main", "low")
    ]


def words() -> list[Any]:
    key = Stream("fanin/1", 42, "weight").key("main")
    return [
        {"seed": "42", "name": "weight", "purpose": "main", "block": str(block), "words": _hex(row)}
        for block in BLOCKS
        for row in philox4x32(key, np.array([block], np.uint64)).tolist()
    ]


def draws_at_words() -> list[Any]:
    """Each law at each storage type: the numbers of its draw, and the bits that edge words give."""
    vectors = []
    for law in (*LAWS, *MORE_LAWS):
        for dtype in DTYPES.values():
            tensor = {"shape": [64, 48], "dtype": dtype.name, **law}
            draw = as_recipe(tensor).tensors["weight"].draw
            vector = {"tensor": tensor, "draw": _plain(draw)}
            if not isinstance(draw, draws.Fill):
                at = [(word, low) for word in _edges(draw) for low in (EDGE_LOWS if dtype.name == "F64" else (0,))]
                high = np.array([word for word, _ in at], np.uint32)
                low = np.array([low for _, low in at], np.uint32) if dtype.name == "F64" else None
                bits = store(values(draw, high, low), dtype).tobytes()
                size = dtype.itemsize
                vector["elements"] = [
                    [f"{word:08x}", *([f"{low:08x}"] if dtype.name == "F64" else []), _bits(bits[n * size :][:size])]
                    for n, (word, low) in enumerate(at)
                ]
            vectors.append(vector)
    return vectors


def fans() -> list[Any]:
    vectors = []
    for kernel in FANS:
        recipe = as_recipe({**kernel, "scheme": "lecun_normal"})
        tensor = recipe.tensors["weight"]
        assert isinstance(tensor, Scaled)
        found = tensor.fans
        vectors.append({"kernel": kernel, "fan_in": found.fan_in, "fan_out": found.fan_out})
    return vectors


def elements_far_out() -> list[Any]:
    """Elements around index 2^34, whose blocks pass 2^32, and near the end of what an index can be."""
    vectors = []
    for law in ({"scheme": "normal", "std": 0.02}, {"scheme": "uniform", "low": -1, "high": 1}):
        for dtype in ("F32", "F64", "BF16"):
            for first in (2**34 - 3, 2**62 - 8):
                recipe = as_recipe({"shape": [2**53 - 1], "dtype": dtype, "seed": 42, **law})
                tensor = recipe.tensors["weight"]
                size = DTYPES[dtype].itemsize
                out = bytearray(8 * size)
                backends.get("reference").fill(
                    tensor.draw, Stream("fanin/1", 42, "weight"), DTYPES[dtype], first, memoryview(out)
                )
                bits = [_bits(out[n * size :][:size]) for n in range(8)]
                vectors.append({"seed": "42", "tensor": {"dtype": dtype, **law}, "first": str(first), "bits": bits})
    return vectors


def storage() -> dict[str, list[list[str]]]:
    """float32 bits and what each storage type makes of them: ties, carries, subnormal numbers, signs of zero."""
    patterns = [0x00000000, 0x80000000, 0x3F800000, 0x3DCCCCCD, 0xBDCCCCCD]
    for significand_bits, smallest in ((8, -126), (11, -14), (4, -6), (3, -14)):
        drop = 24 - significand_bits
        for exponent in (0, 1, smallest, smallest - 1, smallest - 2):
            base = max(exponent + 127, 1) << 23
            patterns += [base + offset for offset in (0, 1 << (drop - 1), (1 << (drop - 1)) + 1, 3 << (drop - 1))]
            patterns += [base + 0x7FFFFF, base + (1 << drop) - 1]
    values32 = np.array(sorted(set(patterns)), np.uint32).view(np.float32)
    tables = {}
    for dtype in DTYPES.values():
        if dtype is dtype.compute:
            continue
        kept = values32[np.abs(values32) <= dtype.largest]
        raw = store(kept, dtype).tobytes()
        size = dtype.itemsize
        tables[dtype.name] = [
            [f"{bits:08x}", _bits(raw[n * size :][:size])] for n, bits in enumerate(kept.view(np.uint32).tolist())
        ]
    return tables


def errors() -> list[Any]:
    """Texts that must be refused, with the fields to blame; next to each, where there is one, a text that must not."""
    return [
        *map(_refused, REFUSED),
        *map(_accepted, ACCEPTED),
        *map(_refused, MORE_REFUSED),
        *map(_accepted, MORE_ACCEPTED),
    ]


def recipes() -> list[Any]:
    return [_canonical(text) for text in (*RECIPES, *MORE_RECIPES)]


def repeated() -> list[Any]:
    """Recipes with repeated names: what they stand for, and what must be refused."""
    return [*map(_canonical, REPEATED), *map(_refused, NOT_REPEATED)]


def dialects() -> list[Any]:
    """Recipes in the words of other libraries: what they stand for, and what must be refused."""
    texts = [
        f'{{"dialect": "{dialect}", "shape": [6, 4], "scheme": {tensor}}}'
        for dialect, tensors in DIALECTS.items()
        for tensor in tensors
    ]
    return [*map(_canonical, (*texts, *MORE_DIALECTS)), *map(_refused, NOT_DIALECTS)]


def _canonical(text: str) -> dict[str, Any]:
    recipe = as_recipe(text)
    return {"recipe": text, "canonical": recipe.canonical.decode(), "digest": recipe.digest}


def _accepted(text: str) -> dict[str, Any]:
    return {"recipe": text, "refused": False, "digest": as_recipe(text).digest}


def _refused(text: str) -> dict[str, Any]:
    try:
        FileLayout.of(text)
    except RecipeError as error:
        # A name that is not Unicode has no pointer.
        fields = [fault.pointer for fault in error.faults if "\N{REPLACEMENT CHARACTER}" not in fault.pointer]
        return {"recipe": text, "refused": True, "fields": fields}
    raise AssertionError(f"not refused: {text}")


def files() -> list[Any]:
    vectors = []
    for text in (*FILES, *MORE_FILES):
        layout = FileLayout.of(text)
        file = bytearray(layout.size)
        read_into(layout, 0, memoryview(file), backends.get("reference"))
        vectors.append({"recipe": text, "file": file.hex(), "sha256": hashlib.sha256(file).hexdigest()})
    return vectors


def long_streams() -> list[Any]:
    """SHA-256 of the first 2^22 elements of each law and storage type, little-endian."""
    vectors = []
    for law in LAWS:
        if law["scheme"] in ("constant", "ones"):
            continue
        for dtype in DTYPES.values():
            tensor = {"shape": [2048, 2048], "dtype": dtype.name, **law}
            layout = FileLayout.of({**tensor, "seed": 42})
            data = bytearray(layout.size - len(layout.header))
            read_into(layout, len(layout.header), memoryview(data), backends.get("reference"))
            vectors.append({"seed": "42", "tensor": tensor, "sha256": hashlib.sha256(data).hexdigest()})
    return vectors


def later_schemes() -> list[Any]:
    """Canonical text, digest and all bits of small tensors of the schemes of sections 9.4 to 9.9."""
    vectors = []
    tensors = [{"dtype": dtype, **given} for given in LATER for dtype in DTYPES]
    tensors += [{"dtype": "C64", **given} for given in COMPLEX]
    tensors += [{"dtype": dtype, **given} for given in MORE for dtype in ("F64", "F32")]
    for given in (*tensors, *LONG_LINES):
        layout = FileLayout.of({"seed": 42, "shape": [6, 4], **given})
        data = bytearray(layout.size - len(layout.header))
        read_into(layout, len(layout.header), memoryview(data), backends.get("reference"))
        recipe = layout.recipe
        vectors.append({"recipe": recipe.canonical.decode(), "digest": recipe.digest, "data": data.hex()})
    return vectors


def schemes_far_out() -> list[Any]:
    """Canonical text of a large tensor, and the bytes of eight of its elements."""
    vectors = []
    for given, first in FAR:
        layout = FileLayout.of({"seed": 42, **given})
        size = layout.entries[0].dtype.itemsize
        data = bytearray(8 * size)
        read_into(layout, len(layout.header) + first * size, memoryview(data), backends.get("reference"))
        vectors.append({"recipe": layout.recipe.canonical.decode(), "first": str(first), "data": data.hex()})
    return vectors


def orthogonal() -> list[Any]:
    """Orthogonal matrices: small ones whole, large ones by the SHA-256 of their bytes; one tensor each, seed 42."""
    vectors = []
    for tensor in (*ORTHOGONAL, *LARGE_ORTHOGONAL):
        recipe = {"seed": 42, "scheme": "orthogonal", **tensor}
        layout = FileLayout.of(recipe)
        data = bytearray(layout.size - len(layout.header))
        read_into(layout, len(layout.header), memoryview(data), backends.get("reference"))
        size = layout.entries[0].dtype.itemsize
        bits = [_bits(data[at : at + size]) for at in range(0, len(data), size)]
        digest = hashlib.sha256(data).hexdigest()
        vectors.append(
            {"recipe": recipe, "sha256": digest} if tensor in LARGE_ORTHOGONAL else {"recipe": recipe, "bits": bits}
        )
    return vectors


def table(name: str) -> str:
    """A table of polynomials without what only a compiler needs."""
    lines = (CSRC / name).read_text("ascii").splitlines()
    rows = [line for line in lines if line and not line.startswith("//")]
    return "".join(" ".join(number.strip().rstrip("f") for number in row.rstrip(",").split(",")) + "\n" for row in rows)


def generate(folder: Path) -> None:
    """Write every vector file but philox.txt, which is not ours to make."""
    for name, vectors in (
        ("keys", keys()),
        ("words", words()),
        ("recipes", recipes()),
        ("errors", errors()),
        ("repeated", repeated()),
        ("dialects", dialects()),
        ("fans", fans()),
        ("draws", draws_at_words()),
        ("far", elements_far_out()),
        ("storage", storage()),
        ("files", files()),
        ("streams", long_streams()),
        ("schemes", later_schemes()),
        ("far_schemes", schemes_far_out()),
        ("orthogonal", orthogonal()),
    ):
        (folder / f"{name}.json").write_text(_lines(vectors), "utf-8")
    for bits in (32, 64):
        (folder / f"normal_f{bits}_table.txt").write_text(table(f"normal_f{bits}.inc"), "ascii")


def _edges(draw: draws.Draw) -> list[int]:
    """The edge words, and where a truncated law changes side or region."""
    found = set(EDGE_WORDS)
    if isinstance(draw, draws.TruncatedNormal):
        split = draw.negative.count
        tails = draw.negative.tail_count, draws.WORDS - draw.positive.tail_count
        found.update(word for edge in (split, *tails) for word in (edge - 1, edge) if 0 <= word < draws.WORDS)
    return sorted(found)


def _plain(draw: draws.Draw) -> dict[str, Any]:
    """The draw's numbers, floats in hexadecimal notation."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(member) for name, member in value.items()}
        return value.hex() if isinstance(value, float) else value

    return {"kind": type(draw).__name__, **{name: plain(value) for name, value in asdict(draw).items()}}


def _hex(numbers: Any) -> list[str]:
    return [f"{number:08x}" for number in numbers]


def _bits(element: bytes | bytearray) -> str:
    """The bits of a little-endian element as a hexadecimal number."""
    return bytes(reversed(element)).hex()


def _lines(vectors: Any) -> str:
    """JSON with one vector a line."""
    items = (
        [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in vectors.items()]
        if isinstance(vectors, dict)
        else [json.dumps(vector, ensure_ascii=False) for vector in vectors]
    )
    opening, closing = "{}" if isinstance(vectors, dict) else "[]"
    return f"{opening}\n" + ",\n".join(items) + f"\n{closing}\n"


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
