"""Random and damaged inputs for parsers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def fuzz(count: int, holds: Callable[..., None], *strategies: st.SearchStrategy[Any]) -> None:
    """Try `holds` with `count` examples."""
    options = {"max_examples": count, "derandomize": count <= 100, "database": None, "deadline": None}
    settings(**options, suppress_health_check=[*HealthCheck])(given(*strategies)(holds))()  # type: ignore[arg-type]


def damaged(texts: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for one of these texts with some bytes removed, replaced, repeated or inserted."""

    def damage(text: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
        for at, length, junk in cuts:
            at %= len(text) + 1
            text = text[:at] + junk + text[at + length :]
        return text

    known = st.sampled_from([b'"', b"{", b"[", b"]", b",", b"\\ud800", b"1e999", b"NaN", b"-", b"\xff", b"null", b'":'])
    cut = st.tuples(st.integers(0, 2000), st.integers(0, 12), known | st.binary(max_size=6))
    return st.builds(damage, st.sampled_from(texts), st.lists(cut, max_size=4))
