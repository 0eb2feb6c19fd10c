"""The known-answer test: does the backend in use generate the bits of the contract on this machine?"""

from __future__ import annotations

import hashlib

from fanin import FileLayout
from fanin.backends import Backend
from fanin.file.plan import read_into

RECIPE = {
    "stream": "fanin/1",
    "seed": "18446744073709551615",
    "tensors": {
        "uniform": {"shape": [67], "scheme": "glorot_uniform", "in_axes": [0], "out_axes": [], "dtype": "F32"},
        "normal": {"shape": [5, 257], "scheme": "he_normal", "dtype": "F32"},
        "normal.f64": {"shape": [131], "scheme": "normal", "mean": 0.5, "std": 0.02, "dtype": "F64"},
        "tail": {"shape": [129], "scheme": "truncated_normal", "std": 1.0, "low": 3.0, "high": None, "dtype": "F32"},
        "truncated": {"shape": [3, 43], "scheme": "lecun_normal", "truncated": True, "dtype": "BF16"},
        "uniform.f16": {"shape": [65], "scheme": "uniform", "low": -1.0, "high": 2.0, "dtype": "F16"},
        "e4m3": {"shape": [63], "scheme": "normal", "std": 1.0, "dtype": "F8_E4M3"},
        "e5m2": {"shape": [61], "scheme": "truncated_normal", "std": 1.0, "dtype": "F8_E5M2"},
        "orthogonal": {"shape": [70, 67], "scheme": "orthogonal", "gain": 2.0, "dtype": "F32"},
        "orthogonal.f64": {"shape": [33, 40], "scheme": "orthogonal", "dtype": "F64"},
        "stack": {"shape": [3, 5, 7], "scheme": "orthogonal", "batch_axes": [0]},
        "quantized": {
            "shape": [9, 32],
            "dtype": "F8_E4M3",
            "scheme": "quantized",
            "format": "fp8_channel",
            "tensor": {"shape": [9, 32], "scheme": "normal", "std": 0.02},
        },
        "constant": {"shape": [7], "scheme": "constant", "value": 0.1, "dtype": "F16"},
        "normal.c64": {"shape": [5, 7], "scheme": "he_normal", "dtype": "C64"},
        "uniform.c64": {"shape": [31], "scheme": "uniform", "low": -1.0, "high": 1.0, "dtype": "C64"},
        "truncated.c64": {"shape": [7, 5], "scheme": "lecun_normal", "truncated": True, "dtype": "C64"},
        "blocks": {
            "shape": [5, 13],
            "scheme": "blocks",
            "axis": 1,
            "parts": [
                {"size": 3, "scheme": "zeros"},
                {"size": 7, "scheme": "normal", "std": 1.0},
                {"size": 3, "scheme": "log_of_uniform"},
            ],
        },
        "steps": {"shape": [29], "scheme": "dt_bias"},
        "radius": {"shape": [27], "scheme": "rg_lru", "dtype": "F64"},
        "griffin": {"shape": [27], "scheme": "rg_lru", "variant": "griffin"},
        "ring": {"shape": [27], "scheme": "lru_nu", "dtype": "F64"},
        "gate": {"shape": [27], "scheme": "logit_of_uniform", "low": 0.01, "high": 0.99, "dtype": "BF16"},
        "sparse": {"shape": [17, 9], "scheme": "sparse", "sparsity": 0.3, "std": 1.0, "dtype": "BF16"},
        "table": {"shape": [3, 9], "scheme": "log_range"},
        "diagonal": {"shape": [7, 5], "scheme": "eye"},
        "waves": {"shape": [11, 6], "scheme": "sinusoidal"},
        "delta": {"shape": [3, 3, 4, 6], "scheme": "delta_orthogonal"},
        "counter": {"shape": [], "scheme": "zeros", "dtype": "I64"},
        "positions": {"shape": [3, 9], "scheme": "arange", "start": "18446744073709551600", "dtype": "U64"},
        "ids": {"shape": [3, 9], "scheme": "arange", "start": -5, "step": 3, "dtype": "I32"},
        "u32": {"shape": [7], "scheme": "constant", "value": 4294967295, "dtype": "U32"},
        "i16": {"shape": [7], "scheme": "constant", "value": -32768, "dtype": "I16"},
        "u16": {"shape": [7], "scheme": "arange", "dtype": "U16"},
        "i8": {"shape": [5, 5], "scheme": "eye", "gain": -128.0, "dtype": "I8"},
        "u8": {"shape": [7], "scheme": "ones", "dtype": "U8"},
        "mask": {"shape": [3, 5], "scheme": "eye", "dtype": "BOOL"},
        "e4m3fnuz": {"shape": [63], "scheme": "normal", "std": 1.0, "dtype": "F8_E4M3FNUZ"},
        "e5m2fnuz": {"shape": [61], "scheme": "truncated_normal", "std": 1.0, "dtype": "F8_E5M2FNUZ"},
        "scales": {"shape": [7], "scheme": "constant", "value": 0.125, "dtype": "F8_E8M0"},
        "e2m1": {"shape": [7, 6], "scheme": "uniform", "low": -6.0, "high": 6.0, "dtype": "F4"},
        "halves": {"shape": [3, 2], "scheme": "constant", "value": -0.5, "dtype": "F4"},
    },
}
"""A recipe with every kind of draw and every storage type. The sizes are odd, so that every kernel has a partial
vector."""
SHA256 = "879ab42e619be6b45ffbd8868ab5186555eeb6b70635f08b1b75b4dd7ddb98cb"
"""SHA-256 of the file of `RECIPE`, in hexadecimal."""


def passes(backend: Backend) -> bool:
    """Return whether this backend generates the file of `RECIPE` bit for bit."""
    layout = FileLayout.of(RECIPE)
    # The buffer begins with other bytes: a backend that writes nothing must not pass.
    content = bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(content), backend)
    return hashlib.sha256(content).hexdigest() == SHA256
