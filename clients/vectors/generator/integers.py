"""Integer types and the scheme `arange`: sections 2.1, 2.2, 6.1, 6.15, 7 and 8."""

from __future__ import annotations

import json
from typing import Any

from fanin.dtypes import INTEGERS
from fanin.file.layout import FileLayout
from generator.encoding import data_of
from generator.recipes import canonical, refused

_EVERY = [*INTEGERS, "F64", "C64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2"]
_CONSTANT = '{{"shape": [2], "scheme": "constant", "value": {}, "dtype": "{}"}}'
_ARANGE = '{{"shape": [2, 3], "scheme": "arange", {}, "dtype": "{}"}}'

FILES = (
    json.dumps({"tensors": {name.lower(): {"shape": [2], "scheme": "ones", "dtype": name} for name in _EVERY}}),
    json.dumps({"tensors": {name: {"shape": [1], "scheme": "zeros", "dtype": name.lower()} for name in INTEGERS}}),
    json.dumps(
        {
            "tensors": {
                name: {"shape": [2, 4 - 2 * (name == "BOOL")], "scheme": "arange", "dtype": name} for name in _EVERY
            }
        }
    ),
    json.dumps({"tensors": {name: {"shape": [2, 3], "scheme": "eye", "dtype": name} for name in INTEGERS}}),
    *(
        _CONSTANT.format(text, name)
        for name, dtype in INTEGERS.items()
        for text in (f"{dtype.least}", f'"{dtype.largest}"', f"{dtype.largest}")
    ),
    *(
        _CONSTANT.format(text, name)
        for text, name in (
            ("9007199254740993", "I64"),
            ("-9007199254740991", "I64"),
            ("9007199254740991.0", "U64"),
            ('"9007199254740992"', "U64"),
            ("-0.0", "I8"),
            ("1.2e1", "U8"),
            ("true", "BOOL"),
            ("false", "BOOL"),
        )
    ),
    *(
        _ARANGE.format(text, name)
        for text, name in (
            ('"start": 18446744073709551611, "step": 2', "U64"),
            ('"start": "-9223372036854775808", "step": 9223372036854775807', "I64"),
            ('"start": 18446744073709551615, "step": -9223372036854775807', "U64"),
            ('"start": -128, "step": 127', "I8"),
            ('"start": 1, "step": 0', "BOOL"),
            ('"start": 16777217, "step": 2', "F32"),
            ('"start": 9007199254740987, "step": 2', "F64"),
            ('"start": 5, "step": -3', "F8_E5M2"),
            ('"start": 440, "step": 12', "F8_E4M3"),
            ('"start": 257, "step": 2', "BF16"),
            ('"start": -7, "step": 5', "C64"),
        )
    ),
    '{"shape": [3, 5], "scheme": "arange", "step": 2.0, "start": 1e1, "dtype": "i32"}',
    '{"shape": [2, 0], "scheme": "arange", "start": 300, "dtype": "U8"}',
    '{"shape": [2, 1], "scheme": "arange", "step": 300, "dtype": "U8"}',
    '{"shape": [2, 5], "scheme": "power_range", "low": 3, "high": 11, "dtype": "I16"}',
    '{"shape": [2, 7], "scheme": "blocks", "axis": 1, "dtype": "U16", "parts": [{"size": 2, "scheme": "constant", "value": 65535}, {"size": 4, "scheme": "arange", "start": 7}, {"size": 1, "scheme": "zeros"}]}',  # noqa: E501
    '{"shape": [4, 2, 3], "scheme": "dirac", "layout": "torch", "dtype": "I32", "gain": -3}',
    '{"dtype": "I64", "dialect": "torch", "tensors": {"a": {"shape": [1], "scheme": "constant_", "val": -5}, "b": {"shape": [2], "scheme": "normal_", "mean": 3, "std": 0}}}',  # noqa: E501
)
"""Recipes of small files."""
FAR = (
    ('{"shape": [9007199254740991], "scheme": "arange", "dtype": "U64"}', 9007199254740983),
    ('{"shape": [9007199254740991], "scheme": "arange", "dtype": "F32"}', 2**33 - 3),
    ('{"shape": [1048579, 4294967291], "scheme": "arange", "start": -5, "dtype": "I64"}', 2**51 - 3),
    ('{"shape": [1099511627776, 3], "scheme": "arange", "step": 2, "dtype": "U8"}', 2**40 - 1),
)
"""Recipes of large tensors, and the first of eight elements."""
REFUSED = (
    *(f'{{"shape": [2], "scheme": "zeros", "dtype": "{name}"}}' for name in ("I4", "I128", "int64", "uint8")),
    *(f'{{"shape": [2], "scheme": "zeros", "dtype": "{name}"}}' for name in ("Bool", "boolean", "torch.I8")),
    *(
        _CONSTANT.format(text, name)
        for text, name in (
            ("0.5", "I8"),
            ("128", "I8"),
            ("-1", "U64"),
            ("18446744073709551616", "U64"),
            ('"18446744073709551616"', "U64"),
            ("9223372036854775808", "I64"),
            ("9007199254740992.0", "U64"),
            ("1e16", "I64"),
            ("2", "BOOL"),
            ('"01"', "I8"),
            ('"+1"', "I8"),
            ('"1.0"', "I8"),
            ('"-0"', "I8"),
            ("true", "U8"),
            ("null", "I8"),
            ('"1"', "F32"),
            ("true", "F32"),
        )
    ),
    *(
        _ARANGE.format(text, name)
        for text, name in (
            ('"start": 0.5', "I8"),
            ('"start": 126', "I8"),
            ('"start": 1, "step": -1', "U8"),
            ('"step": 1', "BOOL"),
            ('"step": true', "BOOL"),
            ('"start": 9007199254740990', "F64"),
            ('"start": -9007199254740992, "step": 0', "F32"),
            ('"start": 448, "step": 16', "F8_E4M3"),
            ('"start": 18446744073709551616, "step": 0', "F32"),
            ('"axis": 0', "I8"),
        )
    ),
    '{"shape": [], "scheme": "arange", "dtype": "I8"}',
    *(
        f'{{"shape": [3, 4], "dtype": "I64", {members}}}'
        for members in (
            '"scheme": "uniform", "low": 0, "high": 1',
            '"scheme": "normal", "std": 1',
            '"scheme": "truncated_normal", "std": 1',
            '"scheme": "he_uniform"',
            '"scheme": "orthogonal"',
            '"scheme": "sparse", "sparsity": 0.5, "std": 1',
            '"scheme": "sinusoidal"',
            '"scheme": "dt_bias"',
            '"scheme": "log_range"',
            '"scheme": "eye", "gain": 0.5',
            '"scheme": "eye", "gain": 9007199254740992',
            '"scheme": "power_range", "low": 0, "high": 2',
            '"scheme": "blocks", "parts": [{"size": 1, "scheme": "zeros"}, {"size": 2, "scheme": "normal", "std": 1}]',
        )
    ),
)
"""Texts that are refused."""


def integers() -> list[Any]:
    """Return recipes with their canonical texts and files, or with some elements, and texts that are refused."""
    vectors: list[Any] = []
    for text in FILES:
        layout = FileLayout.of(text)
        vectors.append({**canonical(text), "file": (layout.header + data_of(layout)).hex()})
    for text, first in FAR:
        layout = FileLayout.of(text)
        size = layout.entries[0].dtype.itemsize
        data = data_of(layout, first * size, (first + 8) * size).hex()
        vectors.append({**canonical(text), "first": str(first), "data": data})
    return [*vectors, *map(refused, REFUSED)]
