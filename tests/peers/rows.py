"""Rows of the comparison: a call of a library, and the tensor that means the same here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Process = Literal["torch", "jax", "keras"]
"""Libraries that share a process."""


class Row(NamedTuple):
    call: str
    """Python of the library. Beside what the section imports it may use `w`, a tensor of torch that has the shape, or
    `key`, a random key of JAX."""
    tensor: dict[str, Any]
    """The tensor of a recipe, with its shape."""


@dataclass(frozen=True)
class Section:
    """Initializers of one library."""

    title: str
    process: Process
    library: str
    """The module that must be installed."""
    imports: str
    """Python that the calls need."""
    rows: tuple[Row, ...]
    around: str = "{}"
    """Python expression around a call that returns its values; it may also use `shape`."""
    modules: tuple[str, ...] = ()
    """Every public name of these modules is in a call."""
    others: frozenset[str] = frozenset()
    """Public names of these modules that are not initializers."""
    soak: bool = False
    """True if only `make soak` tests these rows."""

    @property
    def names(self) -> set[str]:
        """All names in the calls."""
        return {name for row in self.rows for name in re.findall(r"\w+", row.call)}
