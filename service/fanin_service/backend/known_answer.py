"""The known-answer test: does the backend in use generate the bits of the contract, on this very machine?"""

from __future__ import annotations

import hashlib

from fanin import FileLayout
from fanin.backends import Backend
from fanin.plan import read_into

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
        "constant": {"shape": [7], "scheme": "constant", "value": 0.1, "dtype": "F16"},
    },
}
"""Every law and every storage type; odd sizes, so that every kernel meets its ragged ends."""
SHA256 = "d047353d337d588718369fc115b2542cd222af17f7b45a221adb7a83503658f8"
"""Of the whole file."""


def passes(backend: Backend) -> bool:
    """Whether this backend makes the file of `RECIPE` as it has to be."""
    layout = FileLayout.of(RECIPE)
    # Poisoned: a backend that writes nothing must not pass.
    content = bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(content), backend)
    return hashlib.sha256(content).hexdigest() == SHA256
