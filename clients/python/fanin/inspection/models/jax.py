"""Pytrees of JAX arrays, such as parameters of Flax: their tensors by path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from fanin.dtypes import STORAGE
from fanin.inspection.roles import Role, guessed
from fanin.inspection.sources import Source, of_array
from fanin.schemes.fans import Fans


def read(tree: Any) -> list[Source]:
    """Return the arrays of a pytree as sources, with names of their path."""
    sources = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = ".".join(_word(key) for key in path) or "(array)"
        if isinstance(leaf, jax.ShapeDtypeStruct):
            sources.append(Source(name, leaf.shape, STORAGE["F32"], lambda: iter(()), Role("other"), is_meta=True))
            continue
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        sources.append(of_array(name, np.asarray(leaf), role_of(name, leaf.shape), id(leaf)))
    return sources


def _word(key: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def role_of(name: str, shape: Sequence[int]) -> Role:
    """Return the role that a name and a shape of the layout (*k, in, out) suggest."""
    if "kernel" in name.rpartition(".")[2] and 2 <= len(shape) <= 5 and all(shape):
        field = math.prod(shape[:-2])
        return Role("kernel", Fans(shape[-2] * field, shape[-1] * field), is_output_last=True)
    found = guessed(name, shape)
    return Role(found.kind, text=found.text) if found.kind == "kernel" else found
