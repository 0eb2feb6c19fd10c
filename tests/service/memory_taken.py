"""Prints, as JSON, the bytes that layouts and contents take, and the bytes that the shared cache counts for them.

A separate process: threads of other tests would allocate meanwhile, and each collection would walk all their objects.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

from fanin import FileLayout
from fanin_service.models.content import Content
from fanin_service.models.revisions import Revision
from fanin_service.models.snapshot import Snapshot
from fanin_service.recipes import limits
from fanin_service.recipes.memory import layout_bytes
from fanin_service.settings import Settings

DISTRIBUTION = {"scheme": "truncated_normal", "std": 0.02}
PARTS = [{"size": 1, "scheme": "normal", "std": 0.01 * n} for n in range(1, 40)]
RECIPES: dict[str, Any] = {
    "one": {"tensors": {"a": {"shape": [2], **DISTRIBUTION}}},
    "alike": {"tensors": {}, "repeated": {"layers.{0..2999}.bias": {"shape": [2], **DISTRIBUTION}}},
    "different": {"tensors": {f"a{n}": {"shape": [n, 3], **DISTRIBUTION} for n in range(400)}},
    "fans": {"tensors": {f"a{n}": {"shape": [n, 3, 4, 5], "scheme": "he_normal"} for n in range(1, 400)}},
    "blocks": {"tensors": {f"a{n}": {"shape": [39, n], "scheme": "blocks", "parts": PARTS} for n in range(1, 5)}},
    "tables": {"tensors": {f"a{n}": {"shape": [50, 64], "scheme": "sinusoidal", "base": 9.0 + n} for n in range(9)}},
    "names": {"tensors": {f"\U0001f600{'a' * 100}{n}": {"shape": [2], **DISTRIBUTION} for n in range(400)}},
}
CONTENTS = ["one", "alike", "blocks"]


def layout(text: bytes) -> tuple[FileLayout, int]:
    """Return a layout, and its size as counted."""
    made = limits.layout_of(text, Settings())
    return made, layout_bytes(made)


def content(text: bytes) -> tuple[Content, int]:
    """Return the content of a model of which four snapshots were read, and its size as counted."""
    # The files count too: bytes outside of the value would be counted and never freed.
    made = Content.put({"recipe.json": bytes(bytearray(text)), "x.txt": bytes(bytearray(10_000))}, Settings())
    for dtype in ("F32", "F16", "BF16", "F64"):
        _ = Snapshot(made, Revision(1, dtype)).layout("model.safetensors").header
    return made, made.size


def taken(make: Callable[[bytes], tuple[Any, int]], text: bytes) -> tuple[int, int]:
    """Return the bytes that the deletion of a value frees, and the size that `make` returns for it."""
    make(text)  # allocates the scalars that all later values share
    gc.collect()
    tracemalloc.start()
    made, counted = make(text)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    del made
    gc.collect()
    memory = before - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return memory, counted


if __name__ == "__main__":
    texts = {name: json.dumps(recipe).encode() for name, recipe in RECIPES.items()}
    layouts = {name: taken(layout, text) for name, text in texts.items()}
    contents = {name: taken(content, texts[name]) for name in CONTENTS}
    print(json.dumps({"layouts": layouts, "contents": contents}))
