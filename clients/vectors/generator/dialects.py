"""Recipes in the words of other libraries: section 2.6."""

from __future__ import annotations

from typing import Any

from generator.dialect_edges import ACCEPTED, REFUSED
from generator.recipes import canonical, refused

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
"""The value of `scheme` and what follows it, in tensors of 6 x 4."""


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


def dialects() -> list[Any]:
    """Recipes in the words of other libraries: what they stand for, and what must be refused."""
    texts = [
        f'{{"dialect": "{dialect}", "shape": [6, 4], "scheme": {tensor}}}'
        for dialect, tensors in DIALECTS.items()
        for tensor in tensors
    ]
    return [
        *map(canonical, (*texts, *MORE_DIALECTS)),
        *map(refused, NOT_DIALECTS),
        *map(canonical, ACCEPTED),
        *map(refused, REFUSED),
    ]
