"""Named initializers of libraries that are run."""

from __future__ import annotations

from typing import Any

from tests.peers.rows import Row, Section

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

Case = tuple[str, dict[str, Any], list[int]]


def _torch() -> list[Case]:
    cases: list[Case] = [
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
        ("orthogonal_", {}, [5, 5]),
        ("orthogonal_", {"gain": 2.0}, [8, 2, 1, 3]),
        ("orthogonal_", {}, [4, 2, 5]),
        ("sparse_", {"sparsity": 0.3}, [25, 400]),
        ("sparse_", {"sparsity": 0.5, "std": 1.0}, [400, 25]),
    ]
    for shape in TORCH_KERNELS:
        cases += [
            (f"{name}_{distribution}_", {}, shape)
            for name in ("xavier", "kaiming")
            for distribution in ("uniform", "normal")
        ]
    parameters = [
        {"mode": "fan_out", "nonlinearity": "relu"},
        {"a": 5**0.5},
        {"nonlinearity": "tanh"},
        {"nonlinearity": "selu", "mode": "fan_out"},
        {"nonlinearity": "linear"},
    ]
    for given in parameters:
        cases += [(f"kaiming_{distribution}_", given, [40, 24, 3, 3]) for distribution in ("uniform", "normal")]
    cases += [(f"xavier_{distribution}_", {"gain": 5 / 3}, [160, 96]) for distribution in ("uniform", "normal")]
    return cases


def _keras() -> list[Case]:
    axes = {"input_axes": [0], "output_axes": [1, 2]}
    cases: list[Case] = [
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
        ("VarianceScaling", axes, [32, 4, 80]),
        ("GlorotUniform", axes, [32, 4, 80]),
        ("HeNormal", {"input_axes": [-2], "output_axes": [-1]}, CONV),  # the others count as nothing
        ("Orthogonal", {}, [5, 5]),
        ("Orthogonal", {"gain": 2.0}, [2, 2, 2, 3]),
        ("Orthogonal", {}, [2, 3, 7]),
        ("STFT", {}, [8, 1, 5]),
        ("STFT", {"side": "imag", "window": "hamming", "scaling": "spectrum", "periodic": True}, [9, 1, 5]),
        ("STFT", {"side": "imag", "window": "blackman", "scaling": None}, [6, 1, 9]),
        ("STFT", {"window": None}, [6, 1, 4]),
    ]
    cases += [(name, {}, shape) for name in ("GlorotUniform", "HeNormal") for shape in [*KERAS_KERNELS, [20000]]]
    cases += [(name, {}, CONV) for name in ("GlorotNormal", "LecunUniform", "LecunNormal", "HeUniform")]
    for distribution in ("truncated_normal", "normal", "untruncated_normal", "uniform"):
        for mode in ("fan_in", "fan_out", "fan_avg"):
            cases.append(("VarianceScaling", {"scale": 2.5, "mode": mode, "distribution": distribution}, CONV))
    return cases


def _jax() -> list[Case]:
    cases: list[Case] = [
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
        ("orthogonal", {}, [5, 5]),
        ("orthogonal", {"scale": 2.0}, [2, 3, 4]),
        ("orthogonal", {"column_axis": 0}, [5, 2, 3]),
        ("orthogonal", {"column_axis": -2}, [3, 6]),
        ("delta_orthogonal", {}, [3, 2, 5]),
        ("delta_orthogonal", {"scale": 2.0, "column_axis": 0}, [4, 3, 2, 5]),
        ("delta_orthogonal", {}, [1, 2, 3, 4, 4]),
    ]
    names = [
        f"{name}_{distribution}"
        for name in ("glorot", "xavier", "lecun", "he", "kaiming")
        for distribution in ("uniform", "normal")
    ]
    cases += [(name, {}, CONV) for name in names]
    cases += [(name, {}, shape) for name in ("glorot_uniform", "he_normal") for shape in JAX_KERNELS]
    for distribution in ("truncated_normal", "normal", "uniform"):
        for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"):
            cases.append(("variance_scaling", {"scale": 2.5, "mode": mode, "distribution": distribution}, CONV))
    return cases


def _rows(dialect: str, cases: list[Case]) -> tuple[Row, ...]:
    rows = []
    for name, parameters, shape in cases:
        given = [f"{each}={value!r}" for each, value in parameters.items()]
        if dialect == "torch":
            given.insert(0, "w")
        call = name if name in ("zeros", "ones") else f"{name}({', '.join(given)})"
        rows.append(Row(call, {"dialect": dialect, "scheme": name, "shape": shape, **parameters}))
    return tuple(rows)


COMPLEX = (
    Row(
        "normal(2.0, 'complex64')",
        {"dialect": "jax", "scheme": "normal", "stddev": 2.0, "shape": DENSE, "dtype": "C64"},
    ),
    # With the constant that JAX divides by; the exact one is 0.9620, and the dialect has it.
    Row(
        "he_normal(dtype='complex64')",
        {"scheme": "truncated_normal", "std": (2 / 216) ** 0.5 / 0.95311164380491208, "shape": CONV, "dtype": "C64"},
    ),
    Row("he_uniform(dtype='complex64')", {"dialect": "jax", "scheme": "he_uniform", "shape": CONV, "dtype": "C64"}),
    Row(
        "variance_scaling(1.0, 'fan_avg', 'normal', dtype='complex64')",
        {
            "dialect": "jax",
            "scheme": "variance_scaling",
            "scale": 1.0,
            "mode": "fan_avg",
            "distribution": "normal",
            "shape": DENSE,
            "dtype": "C64",
        },
    ),
)

DIALECTS: dict[str, Section] = {
    "torch": Section(
        title="torch.nn.init",
        process="torch",
        library="torch",
        imports="from torch.nn.init import *",
        rows=_rows("torch", _torch()),
        modules=("torch.nn.init",),
        others=frozenset({"calculate_gain"}),
    ),
    "keras": Section(
        title="keras.initializers",
        process="keras",
        library="keras",
        imports="from keras.initializers import *",
        rows=_rows("keras", _keras()),
        around="{}(shape)",
        modules=("keras.initializers",),
        others=frozenset({"Initializer", "deserialize", "get", "serialize"}),
    ),
    "jax": Section(
        title="jax.nn.initializers",
        process="jax",
        library="jax",
        imports="from jax.nn.initializers import *",
        rows=(*_rows("jax", _jax()), *COMPLEX),
        around="{}(key, shape)",
        modules=("jax.nn.initializers",),
        others=frozenset({"Initializer"}),
    ),
}
"""Libraries that a recipe may name as its dialect: every initializer, with parameters and kernels of many kinds."""

OTHERS: tuple[Section, ...] = (
    Section(
        title="Flax",
        process="jax",
        library="flax",
        imports="from flax.linen.initializers import *",
        around="{}(key, shape)",
        rows=(
            Row("zeros_init()", {"shape": [3], "scheme": "zeros"}),
            Row("ones_init()", {"shape": [3], "scheme": "ones"}),
        ),
        modules=("flax.linen.initializers", "flax.nnx.nn.initializers"),
    ),
    Section(
        title="Haiku",
        process="jax",
        library="haiku",
        imports="""\
import haiku
from haiku.initializers import *

def drawn(initializer, shape):
    return haiku.transform(lambda: initializer(shape, 'float32')).apply({}, jax.random.fold_in(root, count))
""",
        around="drawn({}, shape)",
        rows=(
            Row("Constant(0.5)", {"shape": [3], "scheme": "constant", "value": 0.5}),
            Row("Identity(gain=2)", {"shape": [2, 5, 4], "scheme": "eye", "gain": 2}),
            Row("RandomNormal()", {"shape": DENSE, "scheme": "normal", "std": 1}),
            Row(
                "RandomNormal(stddev=0.1, mean=1)",
                {"shape": DENSE, "scheme": "normal", "std": 0.1, "mean": 1},
            ),
            Row("RandomUniform()", {"shape": DENSE, "scheme": "uniform", "low": 0, "high": 1}),
            Row(
                "RandomUniform(minval=-1, maxval=2)",
                {"shape": DENSE, "scheme": "uniform", "low": -1, "high": 2},
            ),
            Row("TruncatedNormal()", {"shape": DENSE, "scheme": "truncated_normal", "std": 1}),
            Row(
                "TruncatedNormal(stddev=0.1, mean=1, lower=-1, upper=3)",
                {"shape": DENSE, "scheme": "truncated_normal", "std": 0.1, "mean": 1, "low": -1, "high": 3},
            ),
            Row("VarianceScaling()", {"shape": CONV, "dialect": "jax", "scheme": "lecun_normal"}),
            Row(
                "VarianceScaling(2, 'fan_avg', 'uniform')",
                {
                    "shape": CONV,
                    "scheme": "variance_scaling",
                    "scale": 2,
                    "mode": "fan_avg",
                    "distribution": "uniform",
                },
            ),
            Row(
                "VarianceScaling(1, 'fan_out', 'normal')",
                {"shape": CONV, "scheme": "variance_scaling", "mode": "fan_out", "distribution": "normal"},
            ),
            Row(
                "VarianceScaling(fan_in_axes=[0])",
                {"shape": [32, 4, 80], "scheme": "variance_scaling", "in_axes": [0], "out_axes": [1, 2]},
            ),
            Row(
                "UniformScaling(2)",
                {
                    "shape": CONV,
                    "scheme": "variance_scaling",
                    "scale": 4,
                    "distribution": "uniform",
                },
            ),
            Row("Orthogonal(scale=2)", {"shape": [2, 3, 4], "scheme": "orthogonal", "gain": 2}),
            Row(
                "Orthogonal(axis=0)",
                {"shape": [5, 2, 3], "scheme": "orthogonal", "layout": "torch"},
            ),
        ),
        modules=("haiku.initializers",),
        others=frozenset({"Initializer"}),
    ),
    Section(
        title="timm",
        process="torch",
        library="timm",
        # The one file, which needs nothing but torch: the package needs torchvision.
        imports="""\
import importlib.util, sys
from pathlib import Path
from torch.nn import Conv2d, Linear

file = Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "layers" / "weight_init.py"
spec = importlib.util.spec_from_file_location("timm.layers.weight_init", file)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])
globals().update(vars(sys.modules[spec.name]))

def filled(initializer, tensor, *given, **named):
    initializer(tensor, *given, **named)
    return tensor
""",
        rows=(
            Row("trunc_normal_(w)", {"shape": [160, 96], "dialect": "torch", "scheme": "trunc_normal_"}),
            Row(
                "trunc_normal_(w, 0.1, 0.5, -1, 0.5)",
                {
                    "shape": [160, 96],
                    "dialect": "torch",
                    "scheme": "trunc_normal_",
                    "mean": 0.1,
                    "std": 0.5,
                    "a": -1,
                    "b": 0.5,
                },
            ),
            Row("trunc_normal_tf_(w, std=0.02)", {"shape": [160, 96], "scheme": "truncated_normal", "std": 0.02}),
            Row(
                "filled(variance_scaling_, w)",
                {"shape": [40, 24, 3, 3], "layout": "torch", "scheme": "lecun_normal"},
            ),
            Row(
                "filled(variance_scaling_, w, 2, 'fan_out', 'truncated_normal')",
                {
                    "shape": [40, 24, 3, 3],
                    "layout": "torch",
                    "scheme": "he_normal",
                    "mode": "fan_out",
                    "truncated": True,
                },
            ),
            Row(
                "filled(variance_scaling_, w, 1, 'fan_avg', 'uniform')",
                {"shape": [96, 8, 3, 3], "dialect": "torch", "scheme": "xavier_uniform_"},
            ),
            Row(
                "filled(lecun_normal_, w)",
                {"shape": [40, 24, 3, 3], "layout": "torch", "scheme": "lecun_normal", "truncated": True},
            ),
            Row(
                "filled(init_weight_vit, Linear(96, 160), 'block').weight",
                {"shape": [160, 96], "dialect": "torch", "scheme": "trunc_normal_", "std": 0.02},
            ),
            Row(
                "filled(init_weight_vit, Linear(96, 160), 'block').bias",
                {"shape": [160], "scheme": "constant", "value": 0.02},
            ),
            Row("filled(init_weight_vit, Linear(96, 160), 'head').weight", {"shape": [160, 96], "scheme": "zeros"}),
            Row(
                "filled(init_weight_jax, Linear(96, 160), 'mlp').weight",
                {"shape": [160, 96], "dialect": "torch", "scheme": "xavier_uniform_"},
            ),
            Row(
                "filled(init_weight_jax, Linear(96, 1600), 'mlp').bias",
                {"shape": [1600], "scheme": "normal", "std": 1e-6},
            ),
            Row(
                "filled(init_weight_jax, Conv2d(24, 40, 3), 'stem').weight",
                {"shape": [40, 24, 3, 3], "layout": "torch", "scheme": "lecun_normal", "truncated": True},
            ),
        ),
        modules=("timm.layers.weight_init",),
        others=frozenset({"is_meta_device"}),
    ),
)
