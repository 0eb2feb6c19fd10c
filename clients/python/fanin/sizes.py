"""Sizes as people write them, such as 5GB: on the command line and in requests."""

from __future__ import annotations

import re
from fractions import Fraction

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "B": 1} | {
    f"{letter}{infix}B": (1024 if infix else 1000) ** power
    for power, letter in enumerate("KMGT", 1)
    for infix in ("", "I")
}


def byte_count(text: str) -> int | None:
    """Return the bytes of a size such as 5GB, 512MiB or 1000000, rounded down; None if the text is not one.

    The arithmetic is exact: in float64, 1.001 kB would be 1000 bytes.
    """
    found = _SIZE.fullmatch(text)
    scale = _UNITS.get(found[2].upper()) if found else None
    return None if found is None or scale is None else int(Fraction(found[1]) * scale)
