"""Parameters, shapes and parts on both sides of each limit: sections 2, 8 and 9."""

from __future__ import annotations

from typing import Any

PARAMETERS: tuple[tuple[dict[str, Any], str, str, str], ...] = (
    ({"shape": [4, 4], "scheme": "fixup", "layers": 2}, "branch_layers", "16", "17"),
    ({"shape": [4, 4], "scheme": "fixup", "layers": 2}, "branch_layers", "2", "1"),
    ({"shape": [4, 4], "scheme": "fixup"}, "layers", "9007199254740991", "9007199254740992"),
    ({"shape": [4, 4], "scheme": "fixup"}, "layers", "1", "0"),
    ({"shape": [4, 6], "scheme": "he_normal"}, "groups", "3", "4"),
    ({"shape": [6, 4], "scheme": "he_normal", "transposed": True, "layout": "torch"}, "groups", "3", "4"),
    (
        {"shape": [4, 6, 5], "scheme": "he_normal", "in_axes": [0], "out_axes": [1], "transposed": True},
        "groups",
        "4",
        "3",
    ),
    ({"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": True}, "groups", "1", "2"),
    ({"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": True}, "transposed", "false", "true"),
    ({"shape": [3, 3, 4, 2], "scheme": "he_normal", "depthwise": True}, "batch_axes", "[0]", "[0, 1, 2]"),
    ({"shape": [3, 4, 2], "scheme": "he_normal", "in_axes": [1], "out_axes": [2]}, "depthwise", "false", "true"),
    ({"shape": [3, 4, 2], "scheme": "he_normal", "in_axes": [1], "out_axes": [2]}, "batch_axes", "[-3]", "[-2]"),
    ({"shape": [2, 3, 4, 5, 6, 7], "scheme": "he_normal"}, "batch_axes", "[2]", "[]"),
    ({"shape": [2, 3], "scheme": "he_normal"}, "batch_axes", "[]", "[0]"),
    ({"shape": [2, 3, 4], "scheme": "he_normal"}, "batch_axes", "[-3]", "[-4]"),
    (
        {"shape": [8, 4], "scheme": "blocks", "parts": [{"size": 4, "scheme": "zeros"}, {"size": 4, "scheme": "ones"}]},
        "axis",
        "-2",
        "1",
    ),
    ({"shape": [4], "scheme": "blocks", "parts": [{"size": 4, "scheme": "zeros"}]}, "axis", "-1", "-2"),
    ({"shape": [4, 6], "scheme": "subln", "decoder_layers": 2}, "side", '"only"', '"decoder"'),
    ({"shape": [4, 6], "scheme": "deepnorm", "encoder_layers": 2, "decoder_layers": 2}, "side", '"decoder"', '"only"'),
    ({"shape": [4, 6], "scheme": "he_normal"}, "truncated", "true", '"true"'),
    ({"shape": [4, 6], "scheme": "he_normal"}, "truncated", "false", "True"),
    ({"scheme": "zeros"}, "shape", "[1, 2]", "[1 2]"),
    ({"scheme": "zeros"}, "shape", "[2]", '["2"]'),
    ({"scheme": "zeros"}, "shape", "[]", "[,]"),
    ({"scheme": "zeros"}, "shape", "[" + ", ".join(["1"] * 64) + "]", "[" + ", ".join(["1"] * 65) + "]"),
    ({"scheme": "zeros", "dtype": "F64"}, "shape", "[9007199254740991, 127]", "[9007199254740991, 129]"),
    ({"scheme": "zeros", "dtype": "F64"}, "shape", "[1073741824, 1073741823]", "[1073741824, 1073741824]"),
    ({"scheme": "zeros", "dtype": "F8_E4M3"}, "shape", "[2147483648, 4294967295]", "[2147483648, 4294967296]"),
    ({"scheme": "zeros", "dtype": "F64"}, "shape", "[0, 1073741824, 1073741823]", "[0, 1073741824, 1073741824]"),
    ({"scheme": "zeros", "dtype": "F64"}, "shape", "[4, 0, 268435456, 1073741823]", "[4, 0, 268435456, 1073741824]"),
    ({"scheme": "orthogonal", "dtype": "F8_E4M3"}, "shape", "[2, 3]", "[2]"),
    ({"scheme": "delta_orthogonal"}, "shape", "[1, 1, 1, 2, 2]", "[1, 1, 1, 1, 2, 2]"),
    ({"scheme": "delta_orthogonal"}, "shape", "[1, 2, 2]", "[2, 2]"),
    ({"scheme": "delta_orthogonal"}, "shape", "[3, 2, 3]", "[3, 3, 2]"),
    ({"scheme": "delta_orthogonal", "layout": "torch"}, "shape", "[3, 2, 3]", "[2, 3, 3]"),
    ({"scheme": "dirac"}, "shape", "[1, 1, 1, 2, 2]", "[1, 1, 1, 1, 2, 2]"),
    ({"scheme": "bilinear"}, "shape", "[64, 64, 1, 1]", "[17, 241, 1, 1]"),
    ({"scheme": "bilinear"}, "shape", "[2, 2, 1, 1]", "[1, 2, 2, 1, 1]"),
    ({"scheme": "log_range"}, "shape", "[4096]", "[4097]"),
    ({"scheme": "power_range"}, "shape", "[2, 4096]", "[2, 4097]"),
    ({"scheme": "alibi_slopes"}, "shape", "[1, 3, 1]", "[3, 2]"),
    ({"scheme": "alibi_slopes"}, "shape", "[4096, 1]", "[4097, 1]"),
    ({"scheme": "eye"}, "shape", "[2, 3, 4]", "[3]"),
    ({"scheme": "sinusoidal"}, "shape", "[1, 4096]", "[1, 4097]"),
    ({"scheme": "sinusoidal"}, "shape", "[4294967296, 1]", "[4294967297, 1]"),
    ({"scheme": "stft"}, "shape", "[4096, 1, 2]", "[4097, 1, 2]"),
    ({"scheme": "stft"}, "shape", "[3, 1, 4096]", "[3, 1, 4097]"),
    ({"scheme": "stft"}, "shape", "[3, 1, 2]", "[3, 1, 1]"),
    ({"scheme": "stft"}, "shape", "[1, 1, 2]", "[0, 1, 2]"),
    ({"scheme": "stft"}, "shape", "[3, 1, 2]", "[3, 2, 2]"),
    ({"shape": [2, 1, 4], "scheme": "stft"}, "window", "null", '"hann"'),
    ({"shape": [2, 1, 4], "scheme": "stft", "window": "hann"}, "periodic", "true", "false"),
    ({"shape": [2, 1, 4], "scheme": "stft", "window": "bartlett", "scaling": None}, "periodic", "false", "null"),
    # Section 9.10: a tensor without elements
    ({"scheme": "power_range", "high": 1e39}, "shape", "[2, 0]", "[0, 2]"),
    ({"scheme": "log_range"}, "shape", "[0, 4096]", "[0, 4097]"),
    ({"scheme": "bilinear"}, "shape", "[0, 5000, 1, 1]", "[64, 65, 0, 1]"),
    ({"scheme": "sinusoidal"}, "shape", "[0, 4294967297, 2]", "[0, 4294967297, 4097]"),
    ({"scheme": "sinusoidal", "padding": 0}, "shape", "[1, 0]", "[0, 1]"),
    ({"scheme": "sparse", "std": 1, "sparsity": 0.5, "axis": 1}, "shape", "[0, 4294967296]", "[1, 4294967296]"),
    ({"scheme": "sparse", "std": 1, "sparsity": 0.5}, "shape", "[0, 4398046511105]", "[1, 4398046511105]"),
    ({"shape": [0, 2], "scheme": "sparse", "sparsity": 0.5}, "std", "1", "1e-40"),
    ({"shape": [0], "scheme": "normal"}, "std", "1", "1e-40"),
    ({"shape": [0], "scheme": "constant"}, "value", "1", "1e39"),
    ({"shape": [0], "scheme": "log_of_uniform", "low": 2, "dtype": "BF16"}, "high", "2.0044", "2.0043"),
    ({"shape": [0, 3], "scheme": "orthogonal", "dtype": "F8_E4M3"}, "gain", "224", "225"),
    ({"shape": [0, 3], "scheme": "eye"}, "gain", "1", "1e39"),
    ({"shape": [3, 0, 2], "scheme": "dirac"}, "gain", "1", "1e39"),
)
"""Further rows of `limits.LIMITS`."""

PARTS: tuple[tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]], ...] = (
    (
        {"shape": [3, 4]},
        [{"size": 1, "scheme": "log_of_uniform"}, {"size": 2, "scheme": "zeros"}],
        [{"size": 1, "scheme": "log_of_uniform", "low": 2, "high": 2.0000000001}, {"size": 2, "scheme": "zeros"}],
    ),
    (
        {"shape": [3], "dtype": "BF16"},
        [{"size": 3, "scheme": "ones"}, {"size": 0, "scheme": "uniform", "low": 1.001, "high": 1.0079}],
        [{"size": 3, "scheme": "ones"}, {"size": 0, "scheme": "uniform", "low": 1.001, "high": 1.0078}],
    ),
    (
        {"shape": [3], "dtype": "F8_E4M3"},
        [{"size": 3, "scheme": "blocks", "parts": [{"size": 3, "scheme": "rg_lru"}]}],
        [{"size": 3, "scheme": "blocks", "parts": [{"size": 3, "scheme": "rg_lru", "min_radius": 0.9986}]}],
    ),
    (
        {"shape": [3, 1, 2, 3], "axis": 3},
        [{"size": 3, "scheme": "delta_orthogonal"}, {"size": 0, "scheme": "zeros"}],
        [{"size": 2, "scheme": "delta_orthogonal"}, {"size": 1, "scheme": "zeros"}],
    ),
    (
        {"shape": [4, 2]},
        [{"size": 4, "scheme": "blocks", "parts": [{"size": 4, "scheme": "sparse", "std": 1, "sparsity": 0.5}]}],
        [
            {"size": 2, "scheme": "blocks", "parts": [{"size": 2, "scheme": "sparse", "std": 1, "sparsity": 0.5}]},
            {"size": 2, "scheme": "ones"},
        ],
    ),
    (
        {"shape": [4, 2]},
        [{"size": 4, "scheme": "ones"}, {"size": 0, "scheme": "orthogonal"}],
        [
            {"size": 2, "scheme": "blocks", "parts": [{"size": 2, "scheme": "orthogonal"}]},
            {"size": 2, "scheme": "ones"},
        ],
    ),
    ({"shape": [4]}, [{"size": 4, "scheme": "ones"}], [{"size": 3, "scheme": "ones"}]),
    ({"shape": [4]}, [{"size": 4, "scheme": "ones"}], [{"size": 5, "scheme": "ones"}]),
    (
        {"shape": [2, 2, 1, 2], "axis": 3},
        [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 63 + [{"size": 2, "scheme": "zeros"}],
        [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 64 + [{"size": 2, "scheme": "zeros"}],
    ),
    (
        {"shape": [2, 0, 1, 2], "axis": 3},
        [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 255 + [{"size": 2, "scheme": "zeros"}],
        [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 256 + [{"size": 2, "scheme": "zeros"}],
    ),
    (
        {"shape": [1, 2, 16, 16], "axis": 1},
        [{"size": 2, "scheme": "bilinear", "channels": "same", "layout": "torch"}],
        [{"size": 2, "scheme": "bilinear", "channels": "same", "layout": "torch"}, {"size": 0, "scheme": "zeros"}],
    ),
    (
        {"shape": [16, 16, 1, 2], "axis": 3},
        [{"size": 2, "scheme": "bilinear"}, {"size": 0, "scheme": "bilinear"}],
        [{"size": 2, "scheme": "bilinear", "channels": "same"}, {"size": 0, "scheme": "zeros"}],
    ),
    (
        {"shape": [2, 0, 1, 0], "axis": 3},
        [
            {
                "size": 0,
                "scheme": "blocks",
                "axis": 3,
                "parts": [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 128,
            }
        ]
        * 2,
        [
            {
                "size": 0,
                "scheme": "blocks",
                "axis": 3,
                "parts": [{"size": 0, "scheme": "bilinear", "channels": "same"}] * 129,
            }
        ]
        * 2,
    ),
)
"""A tensor of `blocks` without its parts, parts that are accepted, and parts that are refused."""
