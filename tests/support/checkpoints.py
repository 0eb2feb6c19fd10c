"""An artifact of three small files: its recipe, making it, and what is in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fanin import artifact

RECIPE: Mapping[str, Any] = {
    "seed": 7,
    "dtype": "BF16",
    "tensors": {
        "layers.1.weight": {"shape": [100, 50], "scheme": "glorot_uniform"},
        "layers.0.weight": {"shape": [100, 50], "scheme": "he_normal"},
        "layers.0.bias": {"shape": 100, "scheme": "zeros"},
        "head": {"shape": [30, 50], "scheme": "normal", "std": 0.02, "dtype": "F32"},
    },
}
SHARD = 10_300
"""Bytes that divide the recipe into three files: head and layers.0.bias, layers.0.weight, layers.1.weight."""
FILES = {"config.json": b"{}", "tokenizer/vocab.txt": b"a\nb\n"}


def files_of(directory: Path) -> dict[str, bytes]:
    """Return the content of every file, by its path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def made(directory: Path, **options: Any) -> artifact.Manifest:
    """Make the artifact of these tests."""
    return artifact.make(RECIPE, directory, **{"shard_bytes": SHARD, "files": FILES, **options})
