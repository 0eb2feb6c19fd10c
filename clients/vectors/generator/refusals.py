"""Texts that a client refuses, and next to them texts that it accepts: sections 2, 6.14, 9 and 10."""

from __future__ import annotations

from typing import Any

from generator.limits import limits
from generator.malformed import MALFORMED, WELL_FORMED
from generator.recipes import accepted, refused

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


def _parts(count: int, scheme: str = "ones", more: str = "") -> str:
    """A tensor with `count` parts of size 1."""
    parts = ", ".join([f'{{"size": 1, "scheme": "{scheme}"}}'] * count)
    return f'{{"shape": [{count}{more}], "scheme": "blocks", "parts": [{parts}]}}'


def _nested(*counts: int) -> str:
    """A tensor of parts that are `blocks` with these numbers of parts."""
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


def errors() -> list[Any]:
    """Texts that a client must refuse, with the fields to blame, and similar texts that it must accept."""
    return [
        *map(refused, REFUSED),
        *map(accepted, ACCEPTED),
        *map(refused, MORE_REFUSED),
        *map(accepted, MORE_ACCEPTED),
        *map(refused, MALFORMED),
        *map(accepted, WELL_FORMED),
        *limits(),
    ]
