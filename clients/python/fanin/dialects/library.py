"""What the dialects share: how an initializer of a library is written down, and what all libraries have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Members = dict[str, Any]
Initializer = Callable[..., Members]
"""From a shape, and the parameters of the library as keywords, to the members of a tensor without a dialect."""


class DialectError(ValueError):
    """A tensor that its dialect does not allow. `path` is the field to blame, within the tensor."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        self.path = path
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Library:
    """The initializers of a library."""

    initializers: Mapping[str, Initializer]
    aliases: Mapping[str, str]
    """Other names that the library has for them."""
    parameters: Mapping[str, tuple[str, ...]]
    """The library's names of a field of ours: what is wrong with the field is told of the one that was given."""

    def __iter__(self) -> Iterator[str]:
        """Names of the initializers, without the others for them."""
        return iter(self.initializers)


def zeros(_shape: Shape) -> Members:
    return {"scheme": "zeros"}


def ones(_shape: Shape) -> Members:
    return {"scheme": "ones"}


def matrix(shape: Shape, members: Members) -> Members:
    """The members, of a shape that is a matrix."""
    if len(shape) != 2:
        raise DialectError(["shape"], f"a tensor of {len(shape)} dimensions is no matrix")
    return members


def normal(mean: float, std: float, **bounds: Any) -> Members:
    """A normal law, restricted where bounds are given; one value where the standard deviation is 0."""
    if not std:
        return {"scheme": "constant", "value": mean}
    return {"scheme": "truncated_normal" if bounds else "normal", "mean": mean, "std": std, **bounds}


def uniform(low: float, high: float) -> Members:
    """A uniform law; one value where both ends are the same."""
    return {"scheme": "constant", "value": low} if low == high else {"scheme": "uniform", "low": low, "high": high}


def gained(gain: float, members: Members) -> Members:
    """A law that a change of sign does not alter, times `gain`; zeros where that is 0."""
    return {**members, "gain": abs(gain)} if gain else {"scheme": "zeros"}
