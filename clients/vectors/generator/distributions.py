"""Draws at edge words, far elements and long streams of plain distributions: sections 5, 6.1 to 6.5 and 7."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fanin import backends, draws
from fanin.backends.reference import store, values
from fanin.dtypes import DTYPES
from fanin.errors import RecipeError
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe
from fanin.streams import Stream
from generator.encoding import data_of, elements, hexadecimal

SOURCES = Path(__file__).parents[2] / "python" / "fanin" / "backends" / "csrc"


EDGE_WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 0x12345678, 0xDEADBEEF, 2**30 - 2**19 - 1, 2**30 - 2**19)


EDGE_LOWS = (0, 2**32 - 1, 0x9ABCDEF0)


DISTRIBUTIONS: tuple[dict[str, Any], ...] = (
    {"scheme": "constant", "value": 0.1},
    {"scheme": "constant", "value": -1e-10},
    {"scheme": "ones"},
    {"scheme": "uniform", "low": -0.05, "high": 0.05},
    {"scheme": "uniform", "low": 0.1, "high": 0.7},
    {"scheme": "normal", "std": 0.02},
    {"scheme": "normal", "mean": -1.5, "std": 0.25},
    {"scheme": "truncated_normal", "std": 0.02},
    {"scheme": "truncated_normal", "std": 0.02, "corrected": True},
    {"scheme": "truncated_normal", "std": 0.5, "low": 3, "high": 4},
    {"scheme": "truncated_normal", "std": 0.5, "low": -4, "high": -3, "corrected": True},
    {"scheme": "truncated_normal", "mean": 0.3, "std": 0.5, "low": -1, "high": None},
    {"scheme": "truncated_normal", "std": 1, "low": None, "high": 8.5},
    {"scheme": "truncated_normal", "std": 0.5, "low": 8.5, "high": None},
    {"scheme": "truncated_normal", "std": 0.02, "low": -0.01, "high": 2, "bounds": "absolute"},
    {"scheme": "truncated_normal", "mean": 0.1, "std": 0.3, "low": -0.7, "high": 0.9, "bounds": "absolute"},
    {"scheme": "truncated_normal", "std": 1e-9, "low": 0, "high": 1e-25, "corrected": True},
    {"scheme": "truncated_normal", "std": 9e-4},
    {"scheme": "truncated_normal", "mean": 0.1, "std": 1e-10, "low": None, "high": 14},
    {"scheme": "uniform", "low": -0.001, "high": 0.1},
    {"scheme": "variance_scaling", "scale": 16, "distribution": "uniform"},
    {"scheme": "variance_scaling", "scale": 48, "mode": "fan_geo_avg", "distribution": "normal"},
    {"scheme": "variance_scaling", "scale": 2, "mode": "fan_out", "distribution": "uniform"},
    {"scheme": "variance_scaling", "mode": "fan_avg"},
    {"scheme": "variance_scaling", "mode": "fan_geo_avg", "distribution": "untruncated_normal"},
    {"scheme": "glorot_uniform"},
    {"scheme": "xavier_normal", "gain": 1.6666666666666667},
    {"scheme": "he_uniform", "negative_slope": 2.23606797749979},
    {"scheme": "kaiming_normal", "mode": "fan_out", "layout": "torch"},
    {"scheme": "he_normal", "truncated": True},
    {"scheme": "lecun_uniform"},
    {"scheme": "lecun_normal", "truncated": True},
)


MORE_DISTRIBUTIONS: tuple[dict[str, Any], ...] = tuple(
    {"scheme": "truncated_normal", "mean": mean, "std": 0.5, "low": low, "high": high, "corrected": True}
    for mean, low, high in (
        (0, -1, None),
        (-0.25, None, 0.5),
        (0, -1, 2.5),
        (0.125, 0.25, 13.5),
        (0, -20, 1),
        (0, None, None),
    )
)
"""Corrected truncated normals that are not symmetric: draws.json has them after the others, streams.json has not."""


EDGE_DISTRIBUTIONS: tuple[dict[str, Any], ...] = (
    # Ties of BF16, F16 and F8 once a value is a float32 number.
    *(
        {"scheme": "constant", "value": sign * (1 + 2.0**-bits + 2.0**-40)}
        for bits in (8, 11, 4, 3)
        for sign in (1, -1)
    ),
    {"scheme": "constant", "value": 3 * 2.0**-11 + 2.0**-50},
    {"scheme": "constant", "value": 3 * 2.0**-18 + 2.0**-60},
    {"scheme": "constant", "value": 3 * 2.0**-135},
    {"scheme": "constant", "value": -1e-320},
    # Around 13 standard deviations.
    *(
        {"scheme": "truncated_normal", "std": 1, "low": low, "high": high}
        for low, high in (
            (-13, 13),
            (-13, 2),
            (-2, 13),
            (-13.000001, 13.000001),
            (-12.9, 12.9),
            (None, 13),
            (9, 13),
            (9, 13.5),
            (-13.5, -9),
            (5, 12.5),
        )
    ),
    *(
        {"scheme": "truncated_normal", "mean": 0.3, "std": 0.5, "low": low, "high": high, "corrected": True}
        for low, high in ((-13, 0), (-0.5, 13), (-13.5, 13.5), (0, 3), (-3, 0), (-5, -0.25), (-2.7, 5), (-0.5, 0.5))
    ),
    {"scheme": "truncated_normal", "std": 0.25, "low": 1, "high": 1 + 2.0**-30, "corrected": True},
    {"scheme": "truncated_normal", "std": 0.25, "low": -1e-18, "high": 2e-18, "corrected": True},
    {"scheme": "truncated_normal", "std": 1, "low": 4.049676389945332e-27, "high": 8.2e-27},
    # Roots that are rational numbers, which are the bounds.
    {"scheme": "he_uniform", "shape": [6, 4]},
    {"scheme": "glorot_uniform", "shape": [2, 4], "gain": 0.3},
    {"scheme": "glorot_uniform", "shape": [1, 2], "gain": 0.7071067811865476},
    {"scheme": "variance_scaling", "shape": [48, 5], "distribution": "uniform"},
    {"scheme": "variance_scaling", "shape": [3, 12], "distribution": "uniform", "mode": "fan_geo_avg", "scale": 0.5},
    {"scheme": "variance_scaling", "shape": [3, 16], "distribution": "uniform", "mode": "fan_out"},
    {"scheme": "he_uniform", "shape": [24, 1], "negative_slope": 0},
    {"scheme": "siren", "shape": [6, 6], "omega": 1},
    {"scheme": "siren", "shape": [3, 5], "first": True},
    {"scheme": "fan_uniform", "shape": [4], "fan": 4, "gain": 0.1},
    {"scheme": "fan_uniform", "shape": [4], "fan": 50, "gain": 0.7},
    {"scheme": "deepnorm", "shape": [4, 4], "encoder_layers": 18, "distribution": "uniform"},
    {"scheme": "deepnorm", "shape": [5, 7], "decoder_layers": 2, "distribution": "uniform"},
    {"scheme": "scaled_normal", "shape": [4], "std": 0.3, "width": 4, "depth": 9, "cut": 2},
    {"scheme": "wang_init", "shape": [4], "width": 9, "layers": 5, "cut": 1.5},
    {"scheme": "fixup", "shape": [2, 3], "layers": 2},
    {"scheme": "truncated_normal", "mean": 0.1, "std": 0.3, "low": -0.2, "high": 0.4, "bounds": "absolute"},
    {"scheme": "truncated_normal", "mean": 0.7, "std": 0.1, "low": -1, "high": 1},
    {"scheme": "uniform", "low": 0.1, "high": 0.1000001},
    {"scheme": "uniform", "low": -0.3, "high": 0.1},
    # A center whose nearest float64 number is a tie of float32.
    {"scheme": "uniform", "low": 2.0**-60, "high": 2 + 2.0**-23},
    # A bound beyond the largest number of a storage type.
    {"scheme": "truncated_normal", "std": 1, "low": -2, "high": 70000},
    {"scheme": "truncated_normal", "std": 1, "low": -2, "high": 65510},
    {"scheme": "truncated_normal", "mean": 3, "std": 1, "low": -1e39, "high": 2},
)
"""Distributions at the edges of their rules. draws.json has them behind the others, where the storage type allows."""


def draws_at_words() -> list[Any]:
    """Each distribution at each storage type: the numbers of its draw, and the bits that edge words give."""
    vectors = []
    for distribution in (*DISTRIBUTIONS, *MORE_DISTRIBUTIONS, *EDGE_DISTRIBUTIONS):
        for dtype in DTYPES.values():
            tensor = {"shape": [64, 48], "dtype": dtype.name, **distribution}
            if distribution in EDGE_DISTRIBUTIONS and not _allowed(tensor):
                continue
            draw = as_recipe(tensor).tensors["weight"].draw
            vector = {"tensor": tensor, "draw": plain(draw)}
            if not isinstance(draw, draws.Fill):
                at = [(word, low) for word in _edges(draw) for low in (EDGE_LOWS if dtype.name == "F64" else (0,))]
                high = np.array([word for word, _ in at], np.uint32)
                low = np.array([low for _, low in at], np.uint32) if dtype.name == "F64" else None
                bits = elements(store(values(draw, high, low), dtype).tobytes(), dtype.itemsize)
                vector["elements"] = [
                    [f"{word:08x}", *([f"{low:08x}"] if dtype.name == "F64" else []), stored]
                    for (word, low), stored in zip(at, bits, strict=True)
                ]
            vectors.append(vector)
    return vectors


def elements_far_out() -> list[Any]:
    """Elements around index 2^34, whose blocks pass 2^32, and near the end of what an index can be."""
    vectors = []
    for distribution in ({"scheme": "normal", "std": 0.02}, {"scheme": "uniform", "low": -1, "high": 1}):
        for dtype in (DTYPES[name] for name in ("F32", "F64", "BF16")):
            for first in (2**34 - 3, 2**62 - 8):
                tensor = {"dtype": dtype.name, **distribution}
                draw = as_recipe({"shape": [2**53 - 1], **tensor}).tensors["weight"].draw
                out = bytearray(8 * dtype.itemsize)
                backends.get("reference").fill(draw, Stream("fanin/1", 42, "weight"), dtype, first, memoryview(out))
                bits = elements(out, dtype.itemsize)
                vectors.append({"seed": "42", "tensor": tensor, "first": str(first), "bits": bits})
    return vectors


def storage() -> dict[str, list[list[str]]]:
    """float32 bits and what each storage type makes of them: ties, carries, subnormal numbers, signs of zero."""
    patterns = [0x00000000, 0x80000000, 0x3F800000, 0x3DCCCCCD, 0xBDCCCCCD]
    for significand_bits, smallest in ((8, -126), (11, -14), (4, -6), (3, -14)):
        drop = 24 - significand_bits
        for exponent in (0, 1, smallest, smallest - 1, smallest - 2):
            base = max(exponent + 127, 1) << 23
            patterns += [base + offset for offset in (0, 1 << (drop - 1), (1 << (drop - 1)) + 1, 3 << (drop - 1))]
            patterns += [base + 0x7FFFFF, base + (1 << drop) - 1]
    numbers = np.array(sorted(set(patterns)), np.uint32).view(np.float32)
    tables = {}
    for dtype in DTYPES.values():
        if dtype is dtype.compute:
            continue
        finite = numbers[np.abs(numbers) <= dtype.largest]
        given = hexadecimal(finite.view(np.uint32).tolist())
        stored = elements(store(finite, dtype).tobytes(), dtype.itemsize)
        tables[dtype.name] = [list(pair) for pair in zip(given, stored, strict=True)]
    return tables


def long_streams() -> list[Any]:
    """SHA-256 of the first 2^22 elements of each distribution and storage type, little-endian."""
    vectors = []
    for distribution in DISTRIBUTIONS:
        if distribution["scheme"] in ("constant", "ones"):
            continue
        for dtype in DTYPES:
            tensor = {"shape": [2048, 2048], "dtype": dtype, **distribution}
            digest = hashlib.sha256(data_of(FileLayout.of({**tensor, "seed": 42}))).hexdigest()
            vectors.append({"seed": "42", "tensor": tensor, "sha256": digest})
    return vectors


def table(name: str) -> str:
    """A table of polynomials without what only a compiler needs."""
    lines = (SOURCES / name).read_text("ascii").splitlines()
    rows = [line for line in lines if line and not line.startswith("//")]
    return "".join(" ".join(number.strip().rstrip("f") for number in row.rstrip(",").split(",")) + "\n" for row in rows)


def plain(draw: draws.Draw) -> dict[str, Any]:
    """The draw's numbers, floats in hexadecimal notation."""

    def written(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: written(member) for name, member in value.items()}
        return value.hex() if isinstance(value, float) else value

    return {"kind": type(draw).__name__, **{name: written(value) for name, value in asdict(draw).items()}}


def _allowed(tensor: dict[str, Any]) -> bool:
    """Return whether the numbers of this distribution are in the range of the storage type."""
    try:
        FileLayout.of(tensor)
    except RecipeError:
        return False
    return True


def _edges(draw: draws.Draw) -> list[int]:
    """The edge words, and where a truncated distribution changes side or region."""
    found = set(EDGE_WORDS)
    if isinstance(draw, draws.TruncatedNormal):
        split = draw.negative.count
        tails = draw.negative.tail_count, draws.WORDS - draw.positive.tail_count
        found.update(word for edge in (split, *tails) for word in (edge - 1, edge) if 0 <= word < draws.WORDS)
    return sorted(found)
