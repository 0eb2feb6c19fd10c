"""Registration of recipes, and the service's descriptions of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
import rfc8785

import fanin
from fanin import FileLayout, catalogue
from fanin_service.recipes import limits
from fanin_service.recipes.memory import layout_bytes
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from tests.support.servers import MIXED, running


def layout(seed: int, tensors: int = 1) -> FileLayout:
    return FileLayout.of({"seed": seed, "tensors": {f"t{i}": {"shape": [1], "scheme": "ones"} for i in range(tensors)}})


def test_registering_twice(client: httpx.Client) -> None:
    recipe = {"seed": 1234, "tensors": {"a": {"shape": [2, 3], "scheme": "he_normal"}}}
    expected = FileLayout.of(recipe)
    summary = {
        "digest": expected.recipe.digest,
        "stream": "fanin/1",
        "seed": "1234",
        "size": expected.size,
        "header_size": len(expected.header),
        "tensor_count": 1,
    }
    for status in (201, 200):
        answer = client.post("/v1/recipes", json=recipe)
        assert answer.status_code == status
        assert answer.json() == summary
        assert answer.headers["Location"] == f"/v1/recipes/{expected.recipe.digest}"
    assert client.get(answer.headers["Location"]).status_code == 200


def test_spellings_of_one_recipe_are_one(client: httpx.Client) -> None:
    long = {"tensors": {"weight": {"shape": [3, 3], "scheme": "xavier_uniform", "layout": "keras"}}, "seed": "77"}
    short = {"shape": [3, 3], "scheme": "glorot_uniform", "seed": 77}
    assert client.post("/v1/recipes", json=long).status_code == 201
    assert client.post("/v1/recipes", json=short).status_code == 200


def test_description(client: httpx.Client) -> None:
    expected = FileLayout.of(MIXED)
    client.post("/v1/recipes", json=MIXED)
    answer = client.get(f"/v1/recipes/{expected.recipe.digest}")
    assert answer.status_code == 200
    document = answer.json()
    assert hashlib.sha256(rfc8785.dumps(document["recipe"])).hexdigest() == expected.recipe.digest
    assert list(document["tensors"]) == [entry.name for entry in expected.entries]
    for entry in expected.entries:
        described = document["tensors"][entry.name]
        assert (described["start"], described["stop"]) == (entry.start, entry.stop)
        assert described["shape"] == list(entry.shape)
    f64 = document["tensors"]["f64"]
    assert (f64["draw"], f64["mean"], f64["std"], f64["low"], f64["high"]) == ("N(0, 1^2)", 0, 1, None, None)
    described = fanin.describe(MIXED)["tensors"]
    assert document["tensors"] == described
    head = client.head(f"/v1/recipes/{expected.recipe.digest}")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(len(answer.content)), b"")


def test_unknown_digests(client: httpx.Client) -> None:
    for digest in ("0" * 64, "nonsense", "A" * 64, "%00", "%F0%9F%8D%8C"):
        for path in (f"/v1/recipes/{digest}", f"/v1/recipes/{digest}/model.safetensors"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["type"] == "urn:fanin:problem:unknown-recipe"
            assert "POST" in answer.json()["detail"]
            assert client.head(path).status_code == 404


def test_a_forgotten_recipe_can_be_sent_again() -> None:
    with running(Settings(registry_recipes=2)) as server:
        paths = [server.register({"shape": [n], "scheme": "ones"}) for n in range(3)]
        assert [server.client.head(path).status_code for path in paths] == [404, 200, 200]
        assert server.register({"shape": [0], "scheme": "ones"}) == paths[0]
        assert [server.client.head(path).status_code for path in paths] == [200, 404, 200]


def remember(registry: Kept[str, FileLayout], key: str, layout: FileLayout) -> bool:
    return registry.add(key, layout, layout_bytes(layout), "client")


def test_registry_forgets_the_least_recently_used() -> None:
    registry = Kept[str, FileLayout](max_count=2, max_bytes=1 << 30)
    first, second, third = layout(1), layout(2), layout(3)
    assert [remember(registry, key, each) for key, each in (("1", first), ("2", second), ("1", first))] == [
        *(True, True, False)
    ]
    assert remember(registry, "3", third)
    assert registry.get("1") is first
    assert registry.get("2") is None


def test_registry_is_bounded_in_bytes() -> None:
    registry = Kept[str, FileLayout](max_count=1000, max_bytes=100_000)
    for seed in range(200):
        remember(registry, str(seed), layout(seed))
    kept = len(registry)
    assert 5 < kept < 60
    large = layout(0, tensors=1000)
    assert remember(registry, "large", large)
    assert registry.get("large") is large
    assert len(registry) == 1
    for seed in range(200):
        remember(registry, str(seed), layout(seed))
    assert len(registry) == kept


def test_schemes(client: httpx.Client) -> None:
    answer = client.get("/v1/schemes")
    assert answer.status_code == 200
    assert answer.json() == catalogue()
    assert client.head("/v1/schemes").status_code == 200


@pytest.mark.parametrize("has_store", [False, True])
def test_a_recipe_that_is_sent_again_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_store: bool
) -> None:
    """A short recipe can describe 100,000 tensors, and parsing it takes seconds each time."""
    read: list[int] = []
    check = limits.check

    def counted(document: Any, settings: Settings) -> limits.Checked:
        read.append(1)
        return check(document, settings)

    monkeypatch.setattr(limits, "check", counted)
    recipe = {"seed": 4321, "tensors": {"a": {"shape": [2], "scheme": "ones"}}}
    with running(Settings(recipe_store=tmp_path if has_store else None)) as server:
        for status in (201, 200, 200):
            assert server.client.post("/v1/recipes", json=recipe).status_code == status
        assert len(read) == 1
        # Other processes find it in the store again.
        for file in tmp_path.glob("*.json"):
            file.unlink()
        server.client.post("/v1/recipes", json=recipe)
        assert len(list(tmp_path.glob("*.json"))) == has_store
        assert len(read) == 1
