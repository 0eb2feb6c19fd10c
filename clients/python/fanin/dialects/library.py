"""Types of a dialect, and the initializers that all libraries have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Members = dict[str, Any]
Initializer = Callable[..., Members]
"""Function of a shape and, as keywords, the library's parameters. Returns tensor members without a dialect."""


class DialectError(ValueError):
    """The dialect does not allow a tensor. `path` is the wrong field within the tensor."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        self.path = path
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Library:
    """The initializers of a library."""

    initializers: Mapping[str, Initializer]
    aliases: Mapping[str, str]
    """Alternative names in the library, and the name in `initializers`."""
    parameters: Mapping[str, tuple[str, ...]]
    """Names in the library of each field of a scheme. Faults name the parameter that was given."""

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the initializers, without aliases."""
        return iter(self.initializers)


def zeros(_shape: Shape) -> Members:
    return {"scheme": "zeros"}


def ones(_shape: Shape) -> Members:
    return {"scheme": "ones"}


def matrix(shape: Shape, members: Members) -> Members:
    """Return the members.

    Raises:
        DialectError: the shape is not that of a matrix.
    """
    if len(shape) != 2:
        raise DialectError(["shape"], f"a tensor of {len(shape)} dimensions is not a matrix")
    return members


def normal(mean: float, std: float, **bounds: Any) -> Members:
    """Return a normal distribution, truncated if bounds are given; a constant if the standard deviation is 0."""
    if not std:
        return {"scheme": "constant", "value": mean}
    return {"scheme": "truncated_normal" if bounds else "normal", "mean": mean, "std": std, **bounds}


def uniform(low: float, high: float) -> Members:
    """Return a uniform distribution; a constant if both ends are equal."""
    return {"scheme": "constant", "value": low} if low == high else {"scheme": "uniform", "low": low, "high": high}


def gained(gain: float, members: Members) -> Members:
    """Return a symmetric distribution times `gain`; zeros if the gain is 0."""
    return {**members, "gain": abs(gain)} if gain else {"scheme": "zeros"}
