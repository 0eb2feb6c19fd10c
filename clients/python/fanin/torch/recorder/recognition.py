"""Recognize the schemes of tensors without random numbers: tables that a model has computed."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from fanin.arrays import materialize
from fanin.errors import RecipeError
from fanin.schemes.fans import MAX_KERNEL_RANK

SLACK = 4
"""Largest error of logarithms and powers, in units in the last place of the tensor's type, at most those of float32.

Units of a narrower type would be too large: in bfloat16, 0.7 is two units above ln 2.
"""
TURN = 16
"""Largest error of a sine's argument in these units: the model computes position times frequency in its type."""
BASE_DIGITS = 6
"""Significant digits of a base that is computed from values."""
LARGEST_EXPONENT = math.log(sys.float_info.max) - 1
"""Natural logarithm of the largest base that is computed. Beyond it `exp` raises an error."""


def table(tensor: torch.Tensor) -> dict[str, Any] | None:
    """Return shape, scheme and parameters for these values; `None` if no scheme generates them."""
    if not tensor.numel() or not tensor.is_floating_point():
        return None
    wide = tensor.double()  # torch computes neither maxima nor comparisons in 8 bits
    wanted = wide.numpy()
    for said in _candidates(wide):
        document = {"shape": list(tensor.shape), "dtype": "F64", **said}
        try:
            (made,) = materialize(document).values()
        except RecipeError:
            continue
        eps = min(torch.finfo(tensor.dtype).eps, torch.finfo(torch.float32).eps)
        near = TURN * eps * (1 + np.arange(tensor.shape[-2])[:, None]) if said["scheme"] == "sinusoidal" else 0.0
        slack = SLACK * eps * abs(made) + near
        low, high = (torch.from_numpy(end).to(tensor.dtype).double().numpy() for end in (made - slack, made + slack))
        if ((low <= wanted) & (wanted <= high)).all():
            return {"shape": list(tensor.shape), **said}
    return None


def _candidates(tensor: torch.Tensor) -> Iterator[dict[str, Any]]:
    """Yield the schemes that match a few of the values. The caller compares all values."""
    first = tensor.reshape(-1)[0].item()
    if tensor.dim() == 2:
        yield {"scheme": "eye", "gain": first}
    if 3 <= tensor.dim() <= MAX_KERNEL_RANK:
        at = 0
        for size in tensor.shape[2:]:
            at = at * size + size // 2
        # At the centre, the first input channel is nonzero only in the first output channel of each group.
        taps = tensor.flatten(2)[:, 0, at]
        starts = taps.nonzero().flatten().tolist()
        period = starts[1] if len(starts) > 1 else len(tensor)
        if starts[:1] == [0] and len(tensor) % period == 0:
            groups = len(tensor) // period
            yield {"scheme": "dirac", "groups": groups, "gain": taps[0].item(), "layout": "torch"}
    yield from _positions(tensor)
    if tensor.dim() and -1 < first < 40 and round(math.exp(first)) >= 1:
        yield {"scheme": "log_range", "start": round(math.exp(first))}


def _positions(tensor: torch.Tensor) -> Iterator[dict[str, Any]]:
    """Yield sinusoidal tables. The first row after row 0 that is not padding shows the frequency of the second sine."""
    if tensor.dim() < 2 or min(tensor.shape[-2:]) < 4 or tensor.abs().max() > 1:
        return
    rows = tensor.reshape(-1, tensor.shape[-1])[: tensor.shape[-2]]
    size = rows.shape[-1]
    blank = (rows[:3] == 0).all(1).nonzero().flatten().tolist()
    at = 2 if 1 in blank else 1
    derived = []
    for variant, column, step in (
        ("vaswani", 2, 2 / size),
        ("marian", 1, 2 / size),
        ("fairseq", 1, 1 / (size // 2 - 1)),
    ):
        sine = rows[at, column].item()
        if 0 < sine < 1:
            said = {"scheme": "sinusoidal", "variant": variant, **({"padding": blank[0]} if blank else {})}
            yield {**said, "base": 10000.0}
            # The values can be of any table, so their base can be beyond the floats. Its logarithm is not.
            exponent = (math.log(at) - math.log(math.asin(sine))) / step
            if exponent < LARGEST_EXPONENT:
                derived.append({**said, "base": float(f"{math.exp(exponent):.{BASE_DIGITS}g}")})
    yield from derived
