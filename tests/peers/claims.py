"""Claims of README.md and docs/initializers.md about other libraries: python -m tests.peers.claims PROCESS.

The command runs the checks of one process and prints a JSON object: name of the check -> whether the claim holds of the
installed version.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

from tests.peers import claims_jax, claims_torch


def checks_of(module: ModuleType) -> dict[str, Callable[[], bool]]:
    """The functions of a module that are checks, by name."""
    own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__}
    return {name: each for name, each in own.items() if inspect.isfunction(each) and not name.startswith("_")}


CHECKS = {"torch": checks_of(claims_torch), "jax": checks_of(claims_jax)}
"""Checks by process and name. JAX and Keras start threads, which the tests' process must not have."""


class Claim(NamedTuple):
    """A row of README's table."""

    words: str
    """First words of the row."""
    libraries: tuple[str, ...]
    """Libraries, each with the version that the row names and the checks ran on."""
    checks: tuple[str, ...]


README = (
    Claim(
        "One seed gives different numbers",
        ("torch 2.13", "JAX 0.10"),
        ("orthogonal_depends_on_threads", "torch_numbers_depend_on_dtype", "jax_numbers_depend_on_dtype"),
    ),
    Claim("A sharded tensor", ("torch 2.13",), ("dtensor_shards_are_not_of_the_whole",)),
    Claim("BF16 normals", ("JAX 0.10", "timm 1.0"), ("jax_bf16_has_128_values", "timm_bf16_is_too_wide")),
    Claim("An upgrade", (), ("trunc_normal_was_rewritten", "jax_switch_changes_numbers")),
    Claim(
        "A new layer",
        ("torch 2.13", "Keras 3.15", "Flax NNX 0.12"),
        (
            "torch_layers_depend_on_others",
            "keras_layers_depend_on_others",
            "nnx_layers_depend_on_others",
            "linen_layers_go_by_name",
        ),
    ),
    Claim("A file of weights", ("safetensors 0.8",), ("files_have_no_recipe",)),
    Claim(
        "Fans of grouped",
        ("torch 2.13", "Keras 3.15"),
        ("torch_fans_are_no_connections", "keras_fans_are_no_connections"),
    ),
)


def main(process: str) -> None:
    os.environ |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    print(json.dumps({name: bool(check()) for name, check in CHECKS[process].items()}))


if __name__ == "__main__":
    main(sys.argv[1])
