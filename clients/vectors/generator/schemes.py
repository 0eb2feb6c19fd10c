"""All elements of small tensors, and some of large ones: sections 6 and 9."""

from __future__ import annotations

import hashlib
from typing import Any

from fanin.dtypes import DTYPES
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe
from fanin.schemes.base import Scaled
from generator.edge_tensors import EDGES
from generator.encoding import data_of, elements
from generator.tensors import COMPLEX, LATER, LONG_LINES, MORE

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
    # 14 rounds of the permutation: 58^6 lies between 2^35 and 2^36.
    ({"scheme": "sparse", "sparsity": 0.5, "std": 1, "shape": [3300, 4]}, 2400),
    # Elements that would have other bits if float64 numbers were rounded to the storage type at once.
    ({"scheme": "log_of_uniform", "shape": [2**40], "dtype": "F16"}, 4176),
    ({"scheme": "dt_bias", "shape": [2**40], "dtype": "F16"}, 17845),
    ({"scheme": "rg_lru", "shape": [2**40], "dtype": "BF16"}, 107624),
    ({"scheme": "sinusoidal", "shape": [2**20, 4], "dtype": "F16"}, 1196),
    ({"scheme": "sinusoidal", "shape": [2**32, 8], "dtype": "BF16"}, 55884),
    # Elements in which the last terms of sine, cosine and log count, and halves in the phase of a wave.
    ({"scheme": "sinusoidal", "shape": [4096, 64], "dtype": "F64"}, 1497),
    ({"scheme": "sinusoidal", "shape": [4096, 64], "dtype": "F64"}, 44032),
    ({"scheme": "sinusoidal", "shape": [2**32, 4096], "dtype": "F64"}, 4096 * 2**31 + 2),
    ({"scheme": "sinusoidal", "shape": [2**32, 4096], "dtype": "F64"}, 4096 * (2**32 - 1) + 40),
    ({"scheme": "log_of_uniform", "shape": [2**40], "dtype": "F64", "low": 0.7072, "high": 0.72}, 16),
    # Arguments of softplus' on both sides of 1, and 1 itself.
    *(
        ({"scheme": "dt_bias", "dt_min": low, "dt_max": high, "dt_floor": 0, "shape": [2**40], "dtype": "F64"}, first)
        for low, high, first in (
            (0.98, 1.02, 72),
            (0.9999998, 1.0000002, 0),
            (1 - 2.0**-53, 1 + 2.0**-51, 0),
        )
    ),
)
"""Large tensors, and the first of eight elements: of words, positions or rows beyond 32 bits, or with rare values."""


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


def fans() -> list[Any]:
    vectors = []
    for kernel in FANS:
        tensor = as_recipe({**kernel, "scheme": "lecun_normal"}).tensors["weight"]
        assert isinstance(tensor, Scaled)
        vectors.append({"kernel": kernel, "fan_in": tensor.fans.fan_in, "fan_out": tensor.fans.fan_out})
    return vectors


def schemes() -> list[Any]:
    """Canonical text, digest and all elements of small tensors."""
    vectors = []
    tensors = [{"dtype": dtype, **given} for given in LATER for dtype in DTYPES]
    tensors += [{"dtype": "C64", **given} for given in COMPLEX]
    tensors += [{"dtype": dtype, **given} for given in MORE for dtype in ("F64", "F32")]
    for given in (*tensors, *LONG_LINES, *EDGES):
        layout = FileLayout.of({"seed": 42, "shape": [6, 4], **given})
        recipe = layout.recipe
        data = data_of(layout).hex()
        vectors.append({"recipe": recipe.canonical.decode(), "digest": recipe.digest, "data": data})
    return vectors


def schemes_far_out() -> list[Any]:
    """Canonical text of a large tensor, and the bytes of eight of its elements."""
    vectors = []
    for given, first in FAR:
        layout = FileLayout.of({"seed": 42, **given})
        size = layout.entries[0].dtype.itemsize
        data = data_of(layout, first * size, (first + 8) * size).hex()
        vectors.append({"recipe": layout.recipe.canonical.decode(), "first": str(first), "data": data})
    return vectors


def orthogonal() -> list[Any]:
    """Orthogonal matrices: all elements of small ones, the SHA-256 of the bytes of large ones; one tensor, seed 42."""
    vectors: list[Any] = []
    for tensor in (*ORTHOGONAL, *LARGE_ORTHOGONAL):
        recipe = {"seed": 42, "scheme": "orthogonal", **tensor}
        layout = FileLayout.of(recipe)
        data = data_of(layout)
        if tensor in LARGE_ORTHOGONAL:
            vectors.append({"recipe": recipe, "sha256": hashlib.sha256(data).hexdigest()})
        else:
            vectors.append({"recipe": recipe, "bits": elements(data, layout.entries[0].dtype.itemsize)})
    return vectors
