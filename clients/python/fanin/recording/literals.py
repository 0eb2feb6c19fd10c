"""Literals: tensors that no recipe says, as the file that goes with one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def file_of(literals: Mapping[str, np.ndarray]) -> bytes | None:
    """A safetensors file of these arrays; none if there are none.

    Raises:
        ModuleNotFoundError: safetensors is not installed.
    """
    import safetensors.numpy

    if not literals:
        return None
    # safetensors 0.8 ignores the strides of an array: it would write the elements in the order of the memory.
    given = {name: np.asarray(literal, order="C") for name, literal in literals.items()}
    # The format that loaders of older transformers ask for.
    content: bytes = safetensors.numpy.save(given, {"format": "pt"})
    return content
