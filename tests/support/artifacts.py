"""Artifacts of a service: a recipe of several files, requests for it, and what must be in the destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

import fanin
from tests.support.servers import wait_for

FILES, FILE_BYTES = 6, 1_200_000
RECIPE: dict[str, Any] = {
    "seed": 7,
    "dtype": "F32",
    "tensors": {f"t{place}": {"shape": [300, 1000], "scheme": "normal", "std": 0.02} for place in range(FILES)},
}
REQUEST = {"destination": "weights", "recipe": RECIPE, "shard_size": "2MB"}
"""A request for an artifact of `FILES` files of weights."""


def state(client: httpx.Client, path: str, **options: Any) -> dict[str, Any]:
    """Return the artifact at this path of a service."""
    answer = client.get(path, **options)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def wait_until(client: httpx.Client, path: str, wanted: str, **options: Any) -> dict[str, Any]:
    """Return the artifact at this path when it has this state."""
    wait_for(lambda: state(client, path, **options)["state"] == wanted)
    return state(client, path, **options)


def contents(folder: Path | str) -> dict[str, bytes]:
    """Return the files below a folder, by path, except those of Fanin itself."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".fanin" not in path.parts
    }


def expected(folder: Path, recipe: Any = RECIPE, shard_bytes: int = 2_000_000) -> dict[str, bytes]:
    """Return the files that the library itself makes of a recipe, in a new folder."""
    fanin.artifact.make(recipe, folder, shard_bytes=shard_bytes)
    return contents(folder)
