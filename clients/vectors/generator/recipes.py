"""Canonical texts, digests and files of recipes: sections 2, 3 and 8."""

from __future__ import annotations

import hashlib
from typing import Any

from fanin.errors import RecipeError
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe
from generator.encoding import data_of

RECIPES = (
    '{"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42}',
    '{"shape":[784,10],"scheme":"xavier_uniform","seed":"42","gain":1.0,"layout":"keras","dtype":"F32"}',
    '{"tensors": {}}',
    '{"seed": 18446744073709551615, "tensors": {"s": {"shape": [], "scheme": "normal", "std": 1e-7, "mean": -0.0}}}',
    '{"tensors": {"\\ufb33": {"shape": [0], "scheme": "ones"}, "\\ud83d\\ude00": {"shape": [1], "scheme": "zeros"}, "é\\"\\\\": {"shape": [2], "scheme": "batch_norm_gamma"}}}',  # noqa: E501
    '{"dtype":"BF16","layout":"torch","tensors":{"w":{"shape":[4,3],"scheme":"kaiming_normal"},"b":{"shape":[4],"scheme":"zeros","dtype":"F32"},"e":{"shape":[5,3],"scheme":"he_normal","in_axes":[],"out_axes":[1],"batch_axes":[0]}}}',
    '{"shape": [2], "scheme": "truncated_normal", "std": 1e21, "low": null, "high": 2.0, "corrected": true}',
    '{"shape": [2, 2], "scheme": "variance_scaling", "distribution": "untruncated_normal", "scale": 0.1}',
    '{"shape": [9007199254740991, 0], "scheme": "uniform", "low": -1e-5, "high": 123456789.25}',
)


ALIASED = (
    "batch_norm_beta",
    "batch_norm_moving_mean",
    "batch_norm_gamma",
    "batch_norm_moving_variance",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "identity",
    "mamba_a_log",
    "mamba2_a_log",
    "mamba_dt_bias",
    "rwkv_decay",
)


NUMBERS = (
    "1E5",
    "1e+2",
    "1e-0",
    "0.1e1",
    "100.0",
    "1e20",
    "1e21",
    "123456789012345678901234567890",
    "9007199254740993",
    "0.000001",
    "0.0000001",
    "1e-6",
    "1e-7",
    "1.0e-07",
    "5e-324",
    "2e-324",
    "-1e-400",
    "-0",
    "-0.0",
    "1.7976931348623157e308",
    "333333333.33333329",
    "4.35",
    "1e23",
    "0.1000000000000000055511151231257827021181583404541015625",
    "9.5367431640625e-7",
    "-2.2250738585072014E-308",
)


MORE_RECIPES = (
    '{"tensors": {' + ", ".join(f'"{alias}": {{"shape": [4, 4], "scheme": "{alias}"}}' for alias in ALIASED) + "}}",
    '{"dtype": "F64", "tensors": {'
    + ", ".join(
        f'"{place:02}": {{"shape": [], "scheme": "constant", "value": {number}}}'
        for place, number in enumerate(NUMBERS)
    )
    + "}}",
    '\n\t\r {"shape" : [ 2 ] ,"sch\\u0065me":"\\u007aeros", "seed":"0"}\n',
    '{"dtype": "C64", "layout": "torch", "tensors": {"a": {"shape": [3, 2], "scheme": "he_uniform"}, "b": {"shape": [3, 2], "scheme": "eye", "dtype": "F16"}, "c": {"shape": [2, 2], "scheme": "blocks", "axis": -1, "parts": [{"size": 1, "scheme": "xavier_normal"}, {"size": 1, "scheme": "zeros"}]}}}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "truncated_normal", "std": 0.02, "mean": 0, "low": -2, "high": 2.0, "bounds": "std", "corrected": false}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "he_normal", "in_axes": [-2], "out_axes": [1], "batch_axes": [], "groups": 1, "transposed": false, "mode": "fan_in"}',  # noqa: E501
    '{"shape": [2, 2], "scheme": "wang_init", "width": 8, "layers": 2, "cut": null}',
    '{"shape": [4, 1, 4], "scheme": "stft", "window": null, "scaling": null}',
)


FILES = (
    '{"shape": [2, 3], "scheme": "glorot_uniform", "seed": 42}',
    '{"tensors": {}}',
    '{"tensors": {"\\ufb33": {"shape": [1], "scheme": "ones"}, "\\ud83d\\ude00": {"shape": [1], "scheme": "zeros"}}}',
    '{"seed": 7, "tensors": {"b": {"shape": [3], "scheme": "normal", "std": 1, "dtype": "BF16"}, "a": {"shape": [2], "scheme": "uniform", "low": -1, "high": 1}, "z": {"shape": [5], "scheme": "truncated_normal", "std": 1, "dtype": "F8_E4M3"}, "é": {"shape": [], "scheme": "normal", "std": 1, "dtype": "F64"}, "y": {"shape": [2, 2], "scheme": "he_normal", "dtype": "F16"}, "x": {"shape": [3], "scheme": "constant", "value": 0.3, "dtype": "F8_E5M2"}, "w": {"shape": [0, 4], "scheme": "ones"}}}',  # noqa: E501
)


MORE_FILES = (
    '{"seed": 1, "tensors": {"a": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "F32"}, "b": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "C64"}, "c": {"shape": [2], "scheme": "normal", "std": 1, "dtype": "F64"}, "d": {"shape": [1], "scheme": "ones", "dtype": "F8_E5M2"}, "e": {"shape": [1], "scheme": "ones", "dtype": "F8_E4M3"}, "f": {"shape": [1], "scheme": "ones", "dtype": "F16"}, "g": {"shape": [1], "scheme": "ones", "dtype": "BF16"}, "A": {"shape": [], "scheme": "zeros", "dtype": "C64"}}}',  # noqa: E501
    '{"dtype": "C64", "tensors": {"back\\\\slash": {"shape": [1], "scheme": "ones"}, "quo\\"te": {"shape": [1], "scheme": "ones"}, "sol\\/idus": {"shape": [1], "scheme": "ones"}, "\\u2028\\u00e9\\ud83d\\ude00": {"shape": [1], "scheme": "ones"}, "\\uffee": {"shape": [0], "scheme": "ones"}}}',  # noqa: E501
)

EDGES = (
    '{"tensors": {"é\\u00E9\\u00Bf\\/ a\u00a0\u007e": {"shape": [0], "scheme": "zeros"}, "e\u0301": {"shape": [0], "scheme": "zeros"}, "\u00e9": {"shape": [0], "scheme": "zeros"}, "__metadata": {"shape": [0], "scheme": "zeros"}}}',  # noqa: E501
    '{"tensors": {"\u00e9": {"shape": [0], "scheme": "zeros"}, "e\u0301": {"shape": [0], "scheme": "zeros"}}}',
    '{"tensors": {"'
    + "x" * 1024
    + '": {"shape": [0], "scheme": "zeros"}, "'
    + "é" * 512
    + '": {"shape": [0], "scheme": "zeros"}}}',
    '{"tensors": {"\\ud83d\\udE00": {"shape": [0], "scheme": "zeros"}, "\ufdd0\uffff": {"shape": [0], "scheme": "zeros"}}}',  # noqa: E501
    '{"layout": "torch", "tensors": {"a": {"shape": [4, 6], "scheme": "he_uniform", "in_axes": null, "out_axes": null}, "b": {"shape": [4, 6], "scheme": "he_uniform", "in_axes": null}, "c": {"shape": [4, 6], "scheme": "he_uniform", "out_axes": null}, "d": {"shape": [4, 6], "scheme": "he_uniform", "in_axes": [0], "out_axes": [1]}, "e": {"shape": [4, 6], "scheme": "he_uniform", "layout": "keras", "in_axes": null}}}',  # noqa: E501
    '{"layout": "torch", "tensors": {"a": {"shape": [2, 4, 6], "scheme": "dirac"}, "b": {"shape": [6, 4, 2], "scheme": "delta_orthogonal"}, "c": {"shape": [4, 6], "scheme": "orthogonal"}, "d": {"shape": [1, 2, 3, 4], "scheme": "bilinear"}, "e": {"shape": [4, 6], "scheme": "deepnorm", "encoder_layers": 2}, "f": {"shape": [4, 6], "scheme": "siren"}, "g": {"shape": [4], "scheme": "ones"}, "h": {"shape": [4, 6], "scheme": "blocks", "parts": [{"size": 4, "scheme": "blocks", "axis": 1, "parts": [{"size": 6, "scheme": "orthogonal"}]}]}}}',  # noqa: E501
    '{"scheme": "zeros", "dtype": "F16", "stream": "fanin/1", "layout": "torch", "dialect": "fanin", "shape": []}',
    '{"shape": [4], "scheme": "blocks", "axis": 0, "parts": [{"size": 1, "scheme": "truncated_normal", "std": 1, "low": null, "mean": 0.0}, {"size": 1, "scheme": "batch_norm_gamma"}, {"size": 0, "scheme": "blocks", "parts": []}, {"size": 2, "scheme": "normal", "std": 1.50, "mean": -0}]}',  # noqa: E501
    '{"shape": [4, 1, 4], "scheme": "stft", "window": "hann", "scaling": "density", "periodic": false, "side": "real"}',
    '{"shape": [4], "scheme": "rope_frequencies", "scaling": null, "fast": null, "slow": 1.0, "base": 1e4, "context": 8192}',  # noqa: E501
    '{"shape": [4, 4], "scheme": "sinusoidal", "padding": null, "variant": "vaswani"}',
    '{"shape": [4, 4], "scheme": "variance_scaling", "distribution": "normal", "scale": 1e0, "out_axes": [1], "in_axes": [-2], "batch_axes": []}',  # noqa: E501
    '{"shape": [4, 4], "scheme": "deepnorm", "encoder_layers": 3, "decoder_layers": null, "side": "only", "distribution": "normal"}',  # noqa: E501
    '{"seed": "0", "dtype": "F64", "tensors": {'
    + ", ".join(
        f'"{place}": {{"shape": [], "scheme": "constant", "value": {number}}}'
        for place, number in enumerate(
            (
                "1.5e300",
                "-12345678901234567e3",
                "999999999999999900000",
                "100000000000000000000.5",
                "1.2345e-5",
                "1.2345e-6",
                "1.2345e-7",
                "0.30000000000000004",
                "2.5e-324",
                "4.9406564584124654e-324",
                "9007199254740992.5",
                "9007199254740993.0",
                "1e00",
                "1E+05",
                "1e-05",
            )
        )
    )
    + "}}",
)
"""Recipes at the edges of section 2: names, handed layouts, members at their defaults, and numbers."""


def recipes() -> list[Any]:
    return [canonical(text) for text in (*RECIPES, *MORE_RECIPES, *EDGES)]


def files() -> list[Any]:
    vectors = []
    for text in (*FILES, *MORE_FILES):
        layout = FileLayout.of(text)
        file = layout.header + data_of(layout)
        vectors.append({"recipe": text, "file": file.hex(), "sha256": hashlib.sha256(file).hexdigest()})
    return vectors


def canonical(text: str) -> dict[str, Any]:
    recipe = as_recipe(text)
    return {"recipe": text, "canonical": recipe.canonical.decode(), "digest": recipe.digest}


def accepted(text: str) -> dict[str, Any]:
    layout = FileLayout.of(text)
    assert layout.header
    return {"recipe": text, "refused": False, "digest": layout.recipe.digest}


def refused(text: str) -> dict[str, Any]:
    try:
        assert FileLayout.of(text).header
    except RecipeError as error:
        # A name that is not Unicode has no pointer.
        fields = [fault.pointer for fault in error.faults if "\N{REPLACEMENT CHARACTER}" not in fault.pointer]
        return {"recipe": text, "refused": True, "fields": fields}
    raise AssertionError(f"not refused: {text}")
