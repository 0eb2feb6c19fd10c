"""Tensors in the words of other libraries at the edges of section 2.6: accepted ones, and refused ones."""

from __future__ import annotations

ACCEPTED = (
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
            '"variance_scaling", "scale": 3, "mode": "fan_out", "distribution": "uniform", "in_axis": [0]',
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
    '{"dialect": "jax", "shape": [3, 6, 4], "scheme": "delta_orthogonal", "scale": 0}',
    '{"dialect": "jax", "shape": [4, 2], "scheme": "variance_scaling", "scale": 0, "mode": "fan_in",'
    ' "distribution": "normal", "in_axis": 5}',
    '{"dialect": "jax", "shape": [1, 2, 1, 4, 6], "scheme": "lecun_normal"}',
    '{"dialect": "jax", "shape": [5, 4, 6], "scheme": "lecun_normal", "batch_axis": [0]}',
    '{"dialect": "jax", "shape": [6], "scheme": "lecun_normal", "in_axis": [], "out_axis": 0}',
    '{"dialect": "jax", "layout": "torch", "shape": [3, 2], "scheme": "he_normal"}',
)

REFUSED = (
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
            '"VarianceScaling", "scale": 0, "distribution": "untruncated_normal"',
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
