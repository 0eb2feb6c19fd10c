"""A small model with files."""

from __future__ import annotations

import json
from typing import Any

import httpx

from fanin.file import archive
from fanin_service.models.content import Content
from fanin_service.models.snapshot import Snapshot
from fanin_service.settings import Settings

RECIPE: dict[str, Any] = {
    "seed": 7,
    "dtype": "F32",
    "layout": "torch",
    "tensors": {
        "wte.weight": {"shape": [101, 16], "scheme": "normal", "std": 0.02},
        "fc.weight": {"shape": [64, 16], "scheme": "he_normal"},
        "fc.bias": {"shape": [64], "scheme": "zeros"},
        "norm.weight": {"shape": [16], "scheme": "ones", "dtype": "F32"},
    },
}


CONFIG = {"model_type": "tiny", "dtype": "float32", "text": {"torch_dtype": "float32", "n": 1.5}, "rate": float("inf")}


FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer/vocab.txt": b"a\nb\n",
    "spiece.model": bytes(range(256)),
}


SETTINGS = Settings()


def content(recipe: Any = RECIPE, files: dict[str, bytes] | None = None) -> Content:
    given = FILES if files is None else files
    return Content.put({**given, "recipe.json": json.dumps(recipe).encode()}, SETTINGS)


def snapshot(revision: str, recipe: Any = RECIPE) -> Snapshot:
    found = content(recipe)
    chosen = found.main.named(revision)
    assert chosen is not None
    return Snapshot(found, chosen)


def put_model(client: httpx.Client, name: str, files: dict[str, bytes]) -> httpx.Response:
    headers = {"Content-Type": archive.MEDIA_TYPE}
    return client.put(f"/v1/models/{name}", content=archive.pack(files), headers=headers)
