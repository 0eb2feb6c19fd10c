"""Texts that clients store: each is either refused on receipt or always served."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fanin.file import archive
from tests.support.servers import Running

TEXT = st.text(max_size=8)
ANY = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
"""Any text, including lone surrogates and control characters."""
VALUES = st.recursive(
    ANY | st.integers() | st.floats() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(["a.txt", "d/a.txt", "README.md", "tokenizer.json", "..", "é.txt"]) | TEXT


def ask(server: Running, method: str, path: str, **options: Any) -> int:
    answer = server.client.request(method, path, **options)
    assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, (method, path, answer.text)
    return answer.status_code


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(ANY, VALUES, max_size=3), PATHS, ANY, TEXT)
@example({"dtype": "float32", "text": "\ud800"}, "a.txt", "w", "")
@example({"dtype": "float32", "\udfff": 1}, "a.txt", "w", "")
@example({"dtype": "float32"}, "a.txt", "\ud800", "")
@example({"dtype": "float32"}, "d", "%2F\"'<&>", "<&\"'>%")
def test_models(server: Running, config: dict[str, Any], path: str, tensor: str, revision: str) -> None:
    recipe = {"tensors": {tensor: {"shape": [2], "scheme": "normal", "std": 1.0}}}
    files = {
        "config.json": json.dumps({"dtype": "float32", **config}).encode(),
        "recipe.json": json.dumps(recipe).encode(),
    }
    try:
        packed = archive.pack({path: b"x", **files})
    except (ValueError, UnicodeError):  # an archive cannot have such a name
        packed = archive.pack(files)
    headers = {"Content-Type": archive.MEDIA_TYPE}
    if ask(server, "PUT", "/v1/models/texts/any", content=packed, headers=headers) >= HTTPStatus.BAD_REQUEST:
        return
    ask(server, "GET", "/v1/models/texts/any")
    for name in ("main", "seed-1-bf16", quote(revision, safe="")):
        for tail in (f"revision/{name}?blobs=true", f"tree/{name}?recursive=true&expand=true"):
            ask(server, "GET", f"/hf/api/models/texts/any/{tail}")
        for file in ("config.json", "model.safetensors", quote(path)):
            ask(server, "GET", f"/hf/texts/any/resolve/{name}/{file}")
            ask(server, "GET", f"/s3/models/texts/any/{name}/{file}")
    ask(server, "GET", "/s3/models", params={"list-type": "2", "prefix": f"texts/any/seed-1-bf16/{revision}"})


@settings(max_examples=60, deadline=None)
@given(ANY, VALUES)
@example("\ud800", "\udfff")
@example("a", {"\ud800": "\udfff"})
def test_recipes(server: Running, text: str, value: Any) -> None:
    for document in (
        {"tensors": {text: {"shape": [2], "scheme": "zeros"}}},
        {"tensors": {"a": {"shape": [2], "scheme": text}}},
        {"tensors": {"a": {"shape": [2], "scheme": "zeros", text: value}}},
        {"tensors": {"a": value}, "repeated": {text: value}},
        {text: value, "shape": [2], "scheme": "zeros"},
    ):
        body = json.dumps(document)
        answer = server.client.post("/v1/recipes", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR, answer.text
        if answer.is_success:
            digest = answer.json()["digest"]
            for tail in ("", "/model.safetensors", "/digests"):
                ask(server, "GET", f"/v1/recipes/{digest}{tail}")
