"""Expected results of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fanin
from tests.support.samples import MIXED

BIG: dict[str, Any] = {"shape": [200_000], "scheme": "normal", "std": 0.02}


def whole(tmp_path: Path, recipe: Any = MIXED) -> bytes:
    fanin.save(recipe, tmp_path / "expected")
    return (tmp_path / "expected").read_bytes()


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
