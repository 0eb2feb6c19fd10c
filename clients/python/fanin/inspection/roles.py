"""Roles of tensors in a model, their fans, and the formulas that give standard deviations from fans."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fanin.schemes.fans import Fans

Kind = Literal["kernel", "embedding", "norm", "bias", "buffer", "other"]

FIXED = (0.001, 0.006, 0.01, 0.014, 0.015, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Standard deviations that published models give as numbers."""

STARTS_AT_ZERO = re.compile(
    r"lora_?b|zero|adaln|ada_ln|modulation|gate|pos(ition)?_?emb|token|head|gamma|beta|scale|bias|moving|running|"
    r"(^|[._])(fc|classifier|logit|out|proj|final)[._]?(out|layer|proj)?\.weight$",
    re.IGNORECASE,
)
"""Names of tensors that some designs start at zero."""
_FUSED = re.compile(r"(^|[._])(qkv|in_proj|c_attn|query_key_value|wqkv|qkv_proj|to_qkv)([._]|$)", re.IGNORECASE)
_NORM = re.compile(r"norm|(^|[._])(ln|bn|gn)(_?[a-z0-9]*)([._]|$)", re.IGNORECASE)
_EMBEDDING = re.compile(r"emb|wte|wpe|relative_attention_bias|position", re.IGNORECASE)
_TRANSPOSED = re.compile(r"transpose|deconv|upconv", re.IGNORECASE)


TRANSPOSED = "transposed kernel"


@dataclass(frozen=True, slots=True)
class Counted:
    """Fans as an initializer counts them, and the way of counting in words."""

    fans: Fans
    how: str


@dataclass(frozen=True, slots=True)
class Role:
    """Use of a tensor in its model."""

    kind: Kind
    fans: Fans | None = None
    """Connections of one output unit and of one input unit."""
    wrong: tuple[Counted, ...] = ()
    """Other fans that initializers count for this shape."""
    text: str = ""
    """Description for reports."""
    default: str = ""
    """Formula of `FORMULAS` with which the layer's library initializes it; empty if unknown."""
    is_output_last: bool = False
    """True if the last axis of a kernel has the outputs, as in Keras and JAX; otherwise the first one has them."""

    @property
    def is_transposed(self) -> bool:
        """True for the kernel of a transposed convolution."""
        return self.text == TRANSPOSED

    @property
    def label(self) -> str:
        return self.text or self.kind


FORMULAS: dict[str, tuple[str, Callable[[Fans], float]]] = {
    "he": ("2 / fan_in", lambda fans: 2 / fans.fan_in),
    "lecun": ("1 / fan_in", lambda fans: 1 / fans.fan_in),
    "glorot": ("2 / (fan_in + fan_out)", lambda fans: 2 / (fans.fan_in + fans.fan_out)),
    "torch default": ("1 / (3 fan_in)", lambda fans: 1 / (3 * fans.fan_in)),
    "he, fan_out": ("2 / fan_out", lambda fans: 2 / fans.fan_out),
    "lecun, fan_out": ("1 / fan_out", lambda fans: 1 / fans.fan_out),
}
"""Formulas of variances by name."""


def candidates(fans: Fans) -> Iterator[tuple[str, str, float]]:
    """Yield name, formula of the variance and standard deviation for these fans."""
    for name, (text, variance) in FORMULAS.items():
        yield name, text, math.sqrt(variance(fans))


def guessed(name: str, shape: Sequence[int]) -> Role:
    """Return the role that a name and a shape of torch's layout suggest."""
    short = name.rpartition(".")[2].lower()
    if len(shape) < 2 or max(shape, default=0) == math.prod(shape):
        if short in ("bias", "b", "beta"):
            return Role("bias")
        return Role("norm") if _NORM.search(name) else Role("other")
    if _EMBEDDING.search(name):
        return Role("embedding")
    if not 2 <= len(shape) <= 5 or math.prod(shape) == 0:
        return Role("other")
    if _TRANSPOSED.search(name) and len(shape) > 2:
        return transposed_kernel(shape, 1)
    if len(shape) > 2 and shape[1] == 1:
        return kernel(shape, groups=shape[0])
    return fused_kernel(shape, name)


def kernel(shape: Sequence[int], groups: int = 1, text: str = "") -> Role:
    """Return the role of a kernel (out, in / groups, *k) of torch."""
    field = math.prod(shape[2:])
    fan_in, stored_out = shape[1] * field, shape[0] * field
    wrong = []
    if groups > 1:
        wrong.append(Counted(Fans(fan_in, stored_out), "fan_out of all groups, of which an input unit reaches one"))
        wrong.append(Counted(Fans(fan_in * groups, stored_out), "fan_in of all groups, of which a unit reads one"))
    named = text or (f"kernel of {groups} groups" if groups > 1 else "kernel")
    return Role("kernel", Fans(fan_in, stored_out // groups), tuple(wrong), named)


def transposed_kernel(shape: Sequence[int], groups: int, default: str = "") -> Role:
    """Return the role of a kernel (in, out / groups, *k) of a transposed convolution of torch."""
    field = math.prod(shape[2:])
    right = Fans(shape[0] // groups * field, shape[1] * field)
    how = "axes of a convolution that is not transposed: its fan_in is this kernel's fan_out"
    wrong = Counted(Fans(shape[1] * field, shape[0] * field), how)
    return Role("kernel", right, (wrong,), TRANSPOSED, default)


def fused_kernel(shape: Sequence[int], name: str, default: str = "") -> Role:
    """Return the role of a matrix (out, in), which may be several projections of attention in one."""
    if len(shape) == 2 and _FUSED.search(name):
        for rows, columns, flip in ((shape[0], shape[1], False), (shape[1], shape[0], True)):
            if rows == 3 * columns:
                right = Fans(columns, columns)
                how = "fan_out of three projections in one matrix: each has a third of the rows"
                wrong = [Counted(Fans(columns, rows), how)]
                if flip:
                    wrong.append(Counted(Fans(rows, columns), "fan_in and fan_out exchanged: the matrix is (in, out)"))
                return Role("kernel", right, tuple(wrong), "three projections in one", default)
    return kernel(shape)


def flipped(shape: Sequence[int], name: str) -> Role:
    """Return the role of a matrix (in, out), such as that of Conv1D in GPT-2."""
    fused = fused_kernel((shape[1], shape[0]), name)
    exchanged = Counted(Fans(shape[1], shape[0]), "fan_in and fan_out exchanged: the matrix is (in, out)")
    return Role("kernel", fused.fans, (*fused.wrong, exchanged), fused.text or "kernel (in, out)")
