"""Initializers of the dialects, with parameters and shapes, that are compared with the library itself."""

from __future__ import annotations

from typing import Any

DENSE, CONV = [96, 160], [3, 3, 24, 40]
TORCH_KERNELS = [[160, 96], [40, 24, 3, 3], [96, 8, 3, 3], [256, 1, 5, 5], [24, 40, 3, 3], [120, 16, 3], [1000, 16]]
"""Dense, convolution, grouped, depthwise, transposed, one-dimensional, embedding."""
KERAS_KERNELS = [
    DENSE,
    CONV,
    [3, 3, 8, 96],
    [5, 5, 256, 2],
    [3, 3, 40, 24],
    [1000, 16],
    [32, 4, 80],
    [2, 3, 2, 3, 8, 40],
]
"""Dense, convolution, grouped, depthwise, transposed, embedding, attention, of rank 6."""
JAX_KERNELS = [*KERAS_KERNELS[:3], [5, 5, 1, 256], *KERAS_KERNELS[4:6]]

Case = tuple[str, str, dict[str, Any], list[int]]


def _torch() -> list[Case]:
    cases: list[tuple[str, dict[str, Any], list[int]]] = [
        ("uniform_", {}, DENSE),
        ("uniform_", {"a": -0.3, "b": 0.1}, DENSE),
        ("normal_", {}, DENSE),
        ("normal_", {"mean": 0.5, "std": 0.02}, DENSE),
        ("trunc_normal_", {}, DENSE),
        ("trunc_normal_", {"std": 0.02}, DENSE),
        ("trunc_normal_", {"mean": 0.1, "std": 0.5, "a": -0.4, "b": 0.9}, DENSE),
        ("constant_", {"val": 0.3}, [7]),
        ("ones_", {}, [3, 4]),
        ("zeros_", {}, [3]),
        ("eye_", {}, [5, 7]),
        ("dirac_", {}, [6, 4, 3, 3]),
        ("dirac_", {"groups": 2}, [6, 4, 5]),
    ]
    for shape in TORCH_KERNELS:
        cases += [(f"{name}_{law}_", {}, shape) for name in ("xavier", "kaiming") for law in ("uniform", "normal")]
    parameters = [
        {"mode": "fan_out", "nonlinearity": "relu"},
        {"a": 5**0.5},
        {"nonlinearity": "tanh"},
        {"nonlinearity": "selu", "mode": "fan_out"},
        {"nonlinearity": "linear"},
    ]
    for given in parameters:
        cases += [(f"kaiming_{law}_", given, [40, 24, 3, 3]) for law in ("uniform", "normal")]
    cases += [(f"xavier_{law}_", {"gain": 5 / 3}, [160, 96]) for law in ("uniform", "normal")]
    return [("torch", *case) for case in cases]


def _keras() -> list[Case]:
    cases: list[tuple[str, dict[str, Any], list[int]]] = [
        ("Zeros", {}, [3]),
        ("Ones", {}, [3]),
        ("Constant", {"value": 0.3}, [3, 2]),
        ("Identity", {"gain": 0.5}, [5, 7]),
        ("RandomNormal", {}, DENSE),
        ("RandomNormal", {"mean": 1.0, "stddev": 0.2}, DENSE),
        ("RandomUniform", {}, DENSE),
        ("RandomUniform", {"minval": -1.0, "maxval": 0.5}, DENSE),
        ("TruncatedNormal", {}, DENSE),
        ("TruncatedNormal", {"mean": 1.0, "stddev": 0.2}, DENSE),
        ("VarianceScaling", {"input_axes": [0], "output_axes": [1, 2]}, [32, 4, 80]),
    ]
    cases += [(name, {}, shape) for name in ("GlorotUniform", "HeNormal") for shape in [*KERAS_KERNELS, [20000]]]
    cases += [(name, {}, CONV) for name in ("GlorotNormal", "LecunUniform", "LecunNormal", "HeUniform")]
    for distribution in ("truncated_normal", "normal", "untruncated_normal", "uniform"):
        for mode in ("fan_in", "fan_out", "fan_avg"):
            cases.append(("VarianceScaling", {"scale": 2.5, "mode": mode, "distribution": distribution}, CONV))
    return [("keras", *case) for case in cases]


def _jax() -> list[Case]:
    cases: list[tuple[str, dict[str, Any], list[int]]] = [
        ("zeros", {}, [3]),
        ("ones", {}, [3]),
        ("constant", {"value": 0.3}, [3, 2]),
        ("uniform", {}, DENSE),
        ("uniform", {"scale": 0.5}, DENSE),
        ("normal", {}, DENSE),
        ("normal", {"stddev": 0.2}, DENSE),
        ("truncated_normal", {}, DENSE),
        ("truncated_normal", {"stddev": 0.2, "lower": -1.0, "upper": 2.5}, DENSE),
        ("he_normal", {"in_axis": 1, "out_axis": 0}, DENSE),
        ("glorot_uniform", {"in_axis": [0], "out_axis": [1, 2]}, [32, 4, 80]),
        ("lecun_normal", {"batch_axis": [0]}, [12, 40, 60]),
    ]
    names = [
        f"{name}_{law}" for name in ("glorot", "xavier", "lecun", "he", "kaiming") for law in ("uniform", "normal")
    ]
    cases += [(name, {}, CONV) for name in names]
    cases += [(name, {}, shape) for name in ("glorot_uniform", "he_normal") for shape in JAX_KERNELS]
    for distribution in ("truncated_normal", "normal", "uniform"):
        for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"):
            cases.append(("variance_scaling", {"scale": 2.5, "mode": mode, "distribution": distribution}, CONV))
    return [("jax", *case) for case in cases]


CASES: dict[str, list[Case]] = {"torch": _torch(), "keras": _keras(), "jax": _jax()}
