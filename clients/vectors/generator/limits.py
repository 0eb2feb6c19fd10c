"""Numbers on both sides of each limit: sections 6.14 and 9."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from generator.parameter_limits import PARAMETERS, PARTS
from generator.recipes import accepted, refused

LIMITS: tuple[tuple[dict[str, Any], str, str, str], ...] = (
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "low": None}, "high", "-9", "-9.00001"),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "high": None}, "low", "9", "9.00001"),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 0},
        "high",
        "4.049676389945332e-27",
        "4.0496763899453314e-27",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 1, "high": 0},
        "low",
        "-4.049676389945332e-27",
        "-4.0496763899453314e-27",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 0, "dtype": "F64"},
        "high",
        "4.049676389945332e-27",
        "4.0496763899453314e-27",
    ),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1e-6, "low": 0}, "high", "1.2655238735e-22", "1.26552387e-22"),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 1e-6, "low": 0, "dtype": "F64"},
        "high",
        "1.2655238735e-22",
        "1.26552387e-22",
    ),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 1}, "high", "3", "1"),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 1}, "high", "3", "0.5"),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 1.01, "dtype": "F8_E5M2"}, "high", "1.25", "1.2499"),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 1.00001, "dtype": "BF16"},
        "high",
        "1.0079",
        "1.0078",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": -1, "high": None, "dtype": "F16"},
        "mean",
        "504",
        "505",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": None, "high": 1, "dtype": "F16"},
        "mean",
        "-504",
        "-505",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": -1, "high": 20, "dtype": "F16"},
        "mean",
        "504",
        "505",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": -1, "high": 13, "dtype": "F16"},
        "mean",
        "504",
        "505",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": -12, "high": 12, "dtype": "F16"},
        "mean",
        "5504",
        "5505",
    ),
    (
        {"shape": [2], "scheme": "truncated_normal", "std": 5000, "low": -12, "high": 12, "dtype": "F16"},
        "mean",
        "-5504",
        "-5505",
    ),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "bounds": "absolute", "low": 0}, "high", "2", "-1"),
    (
        {"shape": [2], "scheme": "truncated_normal", "mean": 3, "std": 0.5, "bounds": "absolute", "high": None},
        "low",
        "7.5",
        "7.50001",
    ),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "high": 1}, "low", "-1e308", "-1e309"),
    ({"shape": [2], "scheme": "truncated_normal", "std": 1, "low": 1, "corrected": True}, "high", "1.001", "1"),
    ({"shape": [2], "scheme": "normal"}, "std", "1.2379401e27", "1.2379402e27"),
    ({"shape": [2], "scheme": "normal"}, "std", "8.0779356694631609e-28", "8.0779354e-28"),
    ({"shape": [2], "scheme": "normal", "dtype": "F64"}, "std", "1.2379400392853803e27", "1.2379400392853805e27"),
    ({"shape": [2], "scheme": "normal", "dtype": "F64"}, "std", "8.0779356694631609e-28", "8.0779356694631594e-28"),
    ({"shape": [2], "scheme": "normal", "std": 1}, "mean", "1.2379401e27", "-1.2379402e27"),
    ({"shape": [2], "scheme": "normal", "std": 1}, "mean", "-8.0779356694631609e-28", "8.0779354e-28"),
    ({"shape": [2], "scheme": "normal", "std": 5000, "dtype": "F16"}, "mean", "-504", "-504.0001"),
    ({"shape": [2], "scheme": "normal", "dtype": "C64"}, "std", "1.7507e27", "1.7508e27"),
    ({"shape": [2], "scheme": "normal", "dtype": "C64"}, "std", "1.1425e-27", "1.1423e-27"),
    ({"shape": [2, 2], "scheme": "sparse", "sparsity": 0.5, "dtype": "C64"}, "std", "1.7507e27", "1.7508e27"),
    (
        {"shape": [2, 2], "scheme": "variance_scaling", "dtype": "C64", "distribution": "normal"},
        "scale",
        "6.12e54",
        "6.14e54",
    ),
    (
        {"shape": [1], "scheme": "fan_uniform", "fan": 1, "dtype": "C64"},
        "gain",
        "1.2379400392853803e27",
        "1.2379400392853805e27",
    ),
    (
        {"shape": [1], "scheme": "fan_uniform", "fan": 1, "dtype": "C64"},
        "gain",
        "8.0779356694631609e-28",
        "8.0779356694631594e-28",
    ),
    ({"shape": [2], "scheme": "scaled_normal", "std": 1, "dtype": "C64"}, "cut", "0.00024414063", "0.00024414061"),
    # fan_avg is 1/2 where fan_in is 0.
    (
        {"shape": [0, 1], "scheme": "variance_scaling", "mode": "fan_avg", "distribution": "normal"},
        "scale",
        "7.6e53",
        "7.7e53",
    ),
    ({"shape": [0, 4], "scheme": "siren", "first": True}, "groups", "2", "3"),
    ({"shape": [2], "scheme": "uniform", "low": 0}, "high", "2.4758e27", "2.4759e27"),
    ({"shape": [2], "scheme": "uniform", "low": 0}, "high", "1.6156e-27", "1.6155e-27"),
    ({"shape": [2], "scheme": "uniform", "low": 0, "dtype": "F16"}, "high", "65504", "65504.01"),
    ({"shape": [2], "scheme": "uniform", "high": 0, "dtype": "F8_E5M2"}, "low", "-57344", "-57344.01"),
    ({"shape": [2], "scheme": "uniform", "high": 1}, "low", "-1.1754943508222875e-38", "-1.175494e-38"),
    ({"shape": [2], "scheme": "uniform", "high": 1, "dtype": "F64"}, "low", "1.1754943508222875e-38", "1.175494e-38"),
    ({"shape": [2], "scheme": "uniform", "high": 1, "dtype": "F16"}, "low", "6e-8", "1"),
    ({"shape": [2], "scheme": "uniform", "high": 1, "dtype": "F8_E4M3"}, "low", "0.001953125", "1"),
    ({"shape": [2], "scheme": "uniform", "low": 1.001, "dtype": "BF16"}, "high", "1.0079", "1.0078"),
    ({"shape": [2], "scheme": "log_of_uniform", "low": 2, "dtype": "BF16"}, "high", "2.0044", "2.0043"),
    ({"shape": [2], "scheme": "log_of_uniform", "low": 2, "dtype": "F8_E4M3"}, "high", "2.2", "2.1"),
    ({"shape": [2], "scheme": "log_of_uniform", "low": 0.5}, "high", "0.50001", "0.5"),
    ({"shape": [2], "scheme": "log_of_uniform", "low": 1}, "high", "2.4758e27", "2.4759e27"),
    (
        {"shape": [2], "scheme": "dt_bias", "dt_min": 0.09, "dt_floor": 0, "dtype": "F8_E5M2"},
        "dt_max",
        "0.127",
        "0.1269",
    ),
    ({"shape": [2], "scheme": "dt_bias"}, "dt_max", "64", "64.1"),
    ({"shape": [2], "scheme": "dt_bias", "dt_floor": 0, "dtype": "F8_E4M3"}, "dt_min", "1e-190", "1e-195"),
    ({"shape": [2], "scheme": "log_of_uniform", "dtype": "F8_E4M3"}, "low", "1e-190", "1e-195"),
    ({"shape": [2], "scheme": "rg_lru", "dtype": "F8_E4M3"}, "min_radius", "1e-150", "1e-195"),
    ({"shape": [2], "scheme": "dt_bias", "dt_floor": 0}, "dt_min", "1e-304", "9.99e-305"),
    ({"shape": [2], "scheme": "dt_bias", "dt_floor": 0.05}, "dt_min", "0.0999", "0.1"),
    ({"shape": [2], "scheme": "dt_bias", "dt_min": 0.0001}, "dt_floor", "0.0999", "0.1"),
    ({"shape": [2], "scheme": "dt_bias", "dt_min": 0.0001}, "dt_floor", "0", "-1e-9"),
    ({"shape": [2], "scheme": "rg_lru", "dtype": "BF16"}, "min_radius", "0.99899", "0.9989999"),
    ({"shape": [2], "scheme": "rg_lru", "max_radius": 0.5}, "min_radius", "0.4999", "0.5"),
    ({"shape": [2], "scheme": "constant", "dtype": "F16"}, "value", "65519.99", "65520"),
    ({"shape": [2], "scheme": "constant", "dtype": "F64"}, "value", "1.7976931348623157e308", "1.7976931348623159e308"),
    ({"shape": [2], "scheme": "constant"}, "value", "3.4028235677973362e38", "3.4028235677973366e38"),
    ({"shape": [2], "scheme": "constant", "dtype": "C64"}, "value", "-3.4028235677973362e38", "-3.4028235677973366e38"),
    ({"shape": [2], "scheme": "constant", "dtype": "BF16"}, "value", "3.3961e38", "3.3962e38"),
    ({"shape": [2, 2], "scheme": "eye", "dtype": "F8_E4M3"}, "gain", "464", "464.0001"),
    ({"shape": [3, 2, 2], "scheme": "dirac", "dtype": "F8_E4M3"}, "gain", "464", "-464.0001"),
    ({"shape": [2], "scheme": "power_range", "dtype": "F8_E4M3"}, "high", "464", "464.0001"),
    ({"shape": [2, 2], "scheme": "orthogonal"}, "gain", "1.2379401e27", "1.2379402e27"),
    ({"shape": [2, 2], "scheme": "orthogonal", "dtype": "F16"}, "gain", "32752", "32752.01"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "yarn"}, "base", "1.0001", "1"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "yarn"}, "slow", "31.99", "32.01"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "llama3"}, "slow", "3.99", "4.01"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "llama3", "base": 1}, "fast", "1.01", "1"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "linear", "slow": 9, "base": 1}, "fast", "3", "0"),
    ({"shape": [2], "scheme": "rope_frequencies", "scaling": "yarn"}, "truncate", "false", "null"),
    ({"shape": [2, 4], "scheme": "sinusoidal"}, "padding", "1", "2"),
    ({"shape": [1, 4], "scheme": "sinusoidal"}, "padding", "0", "-1"),
    ({"shape": [3, 4], "scheme": "sinusoidal"}, "base", "1.9e-156", "1.88e-156"),
    ({"shape": [2, 4], "scheme": "sparse", "std": 1}, "sparsity", "1", "1.0000000000000002"),
    ({"shape": [2, 4], "scheme": "sparse", "std": 1, "sparsity": 0.5}, "axis", "1", "2"),
    ({"shape": [2, 4], "scheme": "sparse", "std": 1, "sparsity": 0.5}, "axis", "-2", "-3"),
)
"""A tensor without one member, the member, and two values of it as text: the first is accepted, the second refused."""


def limits() -> Iterator[dict[str, Any]]:
    """Yield an accepted and a refused text for each limit."""
    for tensor, member, inside, outside in (*LIMITS, *PARAMETERS):
        yield accepted(_text(tensor, member, inside))
        yield refused(_text(tensor, member, outside))
    for tensor, inside_parts, outside_parts in PARTS:
        yield accepted(json.dumps({**tensor, "scheme": "blocks", "parts": inside_parts}))
        yield refused(json.dumps({**tensor, "scheme": "blocks", "parts": outside_parts}))


def _text(tensor: dict[str, Any], member: str, value: str) -> str:
    """The tensor with this member, whose value is text: `json` would write it in another way."""
    return json.dumps(tensor)[:-1] + f', "{member}": {value}}}'
