"""Recipes in the words of other libraries: section 2.6."""

from __future__ import annotations

from typing import Any

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


EDGES = (
    *(
        f'{{"dialect": "torch", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"constant_", "val": -0.0',
            '"eye_"',
            '"kaiming_normal_", "a": 2, "nonlinearity": "relu", "mode": "fan_out"',
            '"kaiming_uniform", "a": -3, "mode": "fan_out"',
            '"kaiming_uniform", "a": 3, "nonlinearity": "tanh", "mode": "fan_out"',
            *(f'"kaiming_normal", "nonlinearity": "{name}"' for name in ("sigmoid", "conv1d", "conv2d", "conv3d")),
            *(f'"kaiming_uniform", "nonlinearity": "conv_transpose{rank}d"' for rank in (1, 2, 3)),
            '"xavier_normal_", "gain": 0',
            '"xavier_uniform", "gain": 0.5',
            '"orthogonal_"',
            '"sparse", "sparsity": 1',
            '"sparse", "sparsity": 0, "std": 2',
            '"trunc_normal_", "a": -1, "b": 0.5, "mean": -3, "std": 2',
            '"uniform", "a": 2, "b": 3',
            '"normal_", "std": 0.5, "mean": -1',
        )
    ),
    '{"dialect": "torch", "shape": [6, 2, 3], "scheme": "dirac"}',
    '{"dialect": "torch", "shape": [3, 2, 1, 2, 2], "scheme": "kaiming_uniform_"}',
    '{"dialect": "torch", "shape": [3, 2, 1, 2, 2, 1], "scheme": "kaiming_uniform_", "nonlinearity": "selu"}',
    '{"dialect": "torch", "layout": "keras", "shape": [3, 2], "scheme": "kaiming_uniform_"}',
    '{"dialect": "torch", "shape": [3, 2, 2], "scheme": "orthogonal_", "gain": 0.5}',
    '{"dialect": "torch", "tensors": {"a": {"shape": [2], "scheme": "ones", "dialect": "jax"}, "b": {"shape": [2], "scheme": "ones_"}}}',  # noqa: E501
    *(
        f'{{"dialect": "keras", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"zeros"',
            '"ones"',
            '"Ones"',
            '"identity"',
            '"random_normal", "mean": 2, "stddev": 3',
            '"random_uniform"',
            '"TruncatedNormal", "mean": -1, "stddev": 0',
            '"uniform", "minval": 0.5, "maxval": 0.5',
            '"VarianceScaling", "distribution": "untruncated_normal"',
            '"VarianceScaling", "mode": "fan_out", "scale": 0.5',
            '"GlorotNormal"',
            '"glorot_uniform", "input_axes": [-1], "output_axes": [-2]',
            '"LecunNormal"',
            '"lecun_uniform"',
            '"HeNormal"',
            '"Orthogonal"',
            '"orthogonal", "gain": -3',
        )
    ),
    '{"dialect": "keras", "shape": [], "scheme": "HeNormal"}',
    '{"dialect": "keras", "shape": [], "scheme": "GlorotUniform"}',
    '{"dialect": "keras", "shape": [1, 2, 1, 4, 6], "scheme": "GlorotUniform"}',
    '{"dialect": "keras", "shape": [2, 3, 4, 5], "scheme": "HeNormal", "input_axes": [2], "output_axes": [-4]}',
    '{"dialect": "keras", "shape": [2, 3, 4], "scheme": "HeNormal", "input_axes": [], "output_axes": [1]}',
    '{"dialect": "keras", "layout": "torch", "shape": [3, 2], "scheme": "HeNormal"}',
    '{"dialect": "keras", "shape": [8, 1, 3], "scheme": "STFT"}',
    '{"dialect": "keras", "shape": [8, 1, 3], "scheme": "STFTInitializer", "scaling": null, "periodic": true}',
    '{"dialect": "keras", "shape": [8, 1, 3], "scheme": "stft", "scaling": "spectrum", "window": "hamming"}',
    *(
        f'{{"dialect": "jax", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"uniform", "scale": 2',
            '"normal", "stddev": 0',
            '"normal", "stddev": 2',
            '"truncated_normal", "stddev": 0',
            '"truncated_normal", "stddev": -2',
            '"truncated_normal", "stddev": 2, "lower": -1, "upper": null',
            '"truncated_normal", "stddev": -2, "lower": -1, "upper": 0.5',
            '"variance_scaling", "scale": 3, "mode": "fan_geo_avg", "distribution": "truncated_normal"',
            '"variance_scaling", "scale": 3, "mode": "fan_out", "distribution": "uniform", "in_axis": [0], "out_axis": 1',
            '"glorot_normal"',
            '"xavier_uniform"',
            '"xavier_normal", "in_axis": -2, "out_axis": [-1], "batch_axis": []',
            '"lecun_normal"',
            '"lecun_uniform", "in_axis": 0',
            '"he_normal"',
            '"kaiming_uniform"',
            *(f'"orthogonal", "column_axis": {axis}' for axis in (-2, -1, 1)),
            '"orthogonal", "scale": 0',
            '"orthogonal", "scale": 2.5',
        )
    ),
    *(
        f'{{"dialect": "jax", "shape": [2, 3, 4], "scheme": "orthogonal", "column_axis": {axis}}}'
        for axis in (-3, -1, 0, 2)
    ),
    *(
        f'{{"dialect": "jax", "shape": [3, 4, 6], "scheme": "delta_orthogonal", "column_axis": {axis}}}'
        for axis in (-2, -1, 0)
    ),
    '{"dialect": "jax", "shape": [3, 4, 6], "scheme": "delta_orthogonal", "scale": -2}',
    '{"dialect": "jax", "shape": [3, 4, 6], "scheme": "delta_orthogonal", "scale": 0}',
    '{"dialect": "jax", "shape": [1, 2, 1, 4, 6], "scheme": "lecun_normal"}',
    '{"dialect": "jax", "shape": [5, 4, 6], "scheme": "lecun_normal", "batch_axis": [0]}',
    '{"dialect": "jax", "shape": [6], "scheme": "lecun_normal", "in_axis": [], "out_axis": 0}',
    '{"dialect": "jax", "layout": "torch", "shape": [3, 2], "scheme": "he_normal"}',
)
NOT_EDGES = (
    *(
        f'{{"dialect": "torch", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"ones"',
            '"trunc_normal"',
            '"uniform__"',
            '"Uniform_"',
            '"_uniform"',
            '"xavier_uniform_", "gain": -1',
            '"kaiming_uniform_", "nonlinearity": "gelu"',
            '"kaiming_uniform_", "negative_slope": 1',
            '"trunc_normal_", "std": 0',
            '"trunc_normal_", "std": 0, "a": 1, "b": 1',
            '"trunc_normal_", "a": null',
            '"uniform_", "a": 1, "b": 0',
            '"sparse_", "sparsity": 1.5',
            '"sparse_", "sparsity": 0.5, "std": -1',
            '"sparse_"',
            '"constant_"',
            '"dirac_"',
            '"he_normal"',
        )
    ),
    '{"dialect": "torch", "shape": [6], "scheme": "orthogonal_", "gain": 0}',
    '{"dialect": "torch", "shape": [6], "scheme": "xavier_uniform_", "gain": 0}',
    '{"dialect": "torch", "shape": [6, 4, 2], "scheme": "sparse_", "sparsity": 0.5}',
    '{"dialect": "torch", "shape": [6, 4, 2], "scheme": "sparse_", "sparsity": 0.5, "std": 0}',
    '{"dialect": "torch", "shape": [6, 4], "scheme": "blocks", "parts": []}',
    '{"dialect": "torch", "tensors": {"a": {"shape": [6, 4], "scheme": "orthogonal_", "layout": "torch"}}}',
    *(
        f'{{"dialect": "keras", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"ZEROS"',
            '"zeros_initializer"',
            '"xavier_uniform"',
            '"RandomNormal", "stddev": -0.1',
            '"RandomNormal", "std": 0.1',
            '"VarianceScaling", "scale": 0',
            '"VarianceScaling", "mode": "fan_geo_avg"',
            '"HeNormal", "output_axes": [0]',
            '"HeNormal", "input_axes": [0], "output_axes": [-2]',
            '"HeNormal", "input_axes": [0], "output_axes": [2]',
            '"HeNormal", "input_axes": 0, "output_axes": 1',
            '"Constant", "value": null',
            '"STFT"',
        )
    ),
    '{"dialect": "keras", "shape": [6, 4, 2], "scheme": "Identity"}',
    '{"dialect": "keras", "shape": [6], "scheme": "Orthogonal"}',
    '{"dialect": "keras", "shape": [6], "scheme": "Orthogonal", "gain": 0}',
    '{"dialect": "keras", "tensors": {"a": {"shape": [6, 4], "scheme": "HeNormal", "layout": "keras"}}}',
    *(
        f'{{"dialect": "jax", "shape": [6, 4], "scheme": {tensor}}}'
        for tensor in (
            '"ones_"',
            '"variance_scaling", "mode": "fan_in", "distribution": "normal"',
            '"variance_scaling", "scale": 1, "distribution": "normal"',
            '"variance_scaling", "scale": 1, "mode": "fan_in"',
            '"variance_scaling", "scale": -1, "mode": "fan_in", "distribution": "normal"',
            '"variance_scaling", "scale": 1, "mode": "fan_in", "distribution": "untruncated_normal"',
            '"truncated_normal", "lower": 1, "upper": 1',
            '"orthogonal", "column_axis": 2',
            '"orthogonal", "column_axis": -3',
            '"orthogonal", "column_axis": [0]',
            '"orthogonal", "column_axis": null',
            '"he_normal", "in_axis": null',
            '"he_normal", "in_axis": "0"',
            '"he_normal", "batch_axis": 0',
        )
    ),
    *(
        f'{{"dialect": "jax", "shape": [2, 3, 4], "scheme": "orthogonal", "column_axis": {axis}}}'
        for axis in (-4, -2, 1, 3)
    ),
    *(
        f'{{"dialect": "jax", "shape": [3, 4, 6], "scheme": "delta_orthogonal", "column_axis": {axis}}}'
        for axis in (-3, 2)
    ),
    '{"dialect": "jax", "shape": [6], "scheme": "orthogonal"}',
    '{"dialect": "jax", "shape": [6], "scheme": "orthogonal", "scale": 0}',
    '{"dialect": "jax", "tensors": {"a": {"shape": [3, 4, 6], "scheme": "delta_orthogonal", "layout": "keras"}}}',
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
        *map(canonical, EDGES),
        *map(refused, NOT_EDGES),
    ]
