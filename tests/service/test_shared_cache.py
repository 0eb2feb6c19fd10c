"""The shared cache: it counts the memory of its values, and clients share it."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest

from fanin import FileLayout, as_recipe
from fanin.file import archive
from fanin_service.recipes import limits
from fanin_service.settings import Settings
from fanin_service.shared_cache import Kept
from tests.service import memory_taken
from tests.service.memory_taken import CONTENTS, DISTRIBUTION, RECIPES
from tests.support.servers import running


@pytest.fixture(scope="module")
def taken() -> dict[str, dict[str, tuple[int, int]]]:
    """The bytes that values take, and the bytes that are counted for them."""
    command = [sys.executable, "-m", memory_taken.__name__]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_layouts_are_counted_as_the_memory_that_they_take(
    name: str, taken: dict[str, dict[str, tuple[int, int]]]
) -> None:
    memory, counted = taken["layouts"][name]
    assert memory <= counted <= 2.5 * memory


@pytest.mark.parametrize("name", CONTENTS)
def test_contents_are_counted_as_the_memory_that_they_take(
    name: str, taken: dict[str, dict[str, tuple[int, int]]]
) -> None:
    memory, counted = taken["contents"][name]
    assert memory <= counted <= 3 * memory


def test_reading_a_recipe_takes_what_is_held_for_it() -> None:
    count = 5_000
    text = json.dumps({"tensors": {}, "repeated": {f"a{{1..{count}}}": {"shape": [2], **DISTRIBUTION}}}).encode()
    limits.layout_of(text, Settings())
    gc.collect()
    tracemalloc.start()
    try:
        limits.layout_of(text, Settings())
        assert tracemalloc.get_traced_memory()[1] < 2 * limits.MAKING_BYTES * count
    finally:
        tracemalloc.stop()


def test_who_has_most_gives_way() -> None:
    kept: Kept[str, int] = Kept(max_bytes=1000)
    for n in range(20):
        kept.add(f"few{n}", n, 20, "few")
    for n in range(50):
        kept.add(f"many{n}", n, 60, "many")
    assert [kept.get(f"few{n}") for n in range(20)] == [*range(20)]
    assert kept.get("many49") == 49
    assert kept.get("many0") is None
    assert kept.size <= 1000
    # The newest value stays even if it is too large, and does not evict the fair share of other clients.
    kept.add("huge", 1, 5000, "many")
    assert kept.get("huge") == 1
    assert kept.get("few0") == 0
    kept.add("huge2", 2, 5000, "many")
    assert (kept.get("huge"), kept.get("huge2")) == (None, 2)
    kept.resize("huge2", 10)
    assert kept.size == 410
    assert kept.pop("huge2") == 2
    assert kept.pop("huge2") is None
    assert len([*kept]) == len(kept) == 20


def test_a_number_is_shared_too() -> None:
    kept: Kept[int, int] = Kept(max_bytes=1 << 40, max_count=3)
    for n, client in enumerate("abbbbb"):
        kept.add(n, n, 1, client)
    assert [*kept] == [0, 4, 5]
    kept.get(4)
    kept.add(6, 6, 1, "b")
    assert [*kept] == [0, 4, 6]


def test_a_client_puts_out_its_own_recipes_alone() -> None:
    with running(Settings(registry_bytes=4 << 20)) as server:

        def post(address: str, recipe: Any) -> str:
            answer = server.client.post("/v1/recipes", json=recipe, headers={"X-Forwarded-For": address})
            return str(answer.json()["digest"])

        ours = [post("192.0.2.1", {"seed": n, "shape": [2], "scheme": "ones"}) for n in range(100)]
        large = {"tensors": {}, "repeated": {"a{1..8000}": {"shape": [2], "scheme": "ones"}}}
        theirs = [post("192.0.2.2", {**large, "seed": n}) for n in range(3)]
        known = [server.client.head(f"/v1/recipes/{digest}").status_code for digest in (*ours, *theirs)]
        assert known == [200] * 100 + [404, 404, 200]


def test_models_share_by_client(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin_service.models import models

    monkeypatch.setattr(models, "MAX_BYTES", 3 << 20)
    with running() as server:

        def put(address: str, name: str, count: int) -> None:
            recipe = {"tensors": {}, "repeated": {f"a{{1..{count}}}": {"shape": [2], "scheme": "ones"}}}
            packed = archive.pack({"recipe.json": json.dumps(recipe).encode()})
            headers = {"Content-Type": archive.MEDIA_TYPE, "X-Forwarded-For": address}
            assert server.client.put(f"/v1/models/{name}", content=packed, headers=headers).status_code == 201

        put("192.0.2.1", "ours", 10)
        for n in range(4):
            put("192.0.2.2", f"theirs{n}", 5000)
        kept = server.app.state.service.models._contents
        assert kept.size <= 3 << 20
        assert [name for name, _ in kept] == ["ours", "theirs3"]
        before = kept.size
        for dtype in ("f64", "bf16", "f16", "f8_e4m3"):
            assert server.client.get(f"/hf/api/models/theirs3/revision/seed-1-{dtype}").status_code == 200
        assert kept.size > before


def test_the_files_of_a_model_count_when_they_were_requested() -> None:
    with running() as server:
        packed = archive.pack({"recipe.json": json.dumps(RECIPES["alike"]).encode()})
        server.client.put("/v1/models/tiny", content=packed, headers={"Content-Type": archive.MEDIA_TYPE})
        for revision in ("main", "seed-1", "seed-1-f16-1kb"):
            tree = server.client.get(f"/hf/api/models/tiny/tree/{revision}").json()
            path = next(entry["path"] for entry in tree if entry["path"].endswith(".safetensors"))
            assert server.client.get(f"/s3/models/tiny/{revision}/{path}").status_code == 200
        kept = server.app.state.service.models._contents
        (content,) = map(kept.get, kept)
        assert kept.size == content.size


def test_descriptions_are_remembered_and_a_head_makes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin_service.routes import recipes

    made: list[FileLayout] = []
    describe = recipes.describe
    monkeypatch.setattr(recipes, "describe", lambda layout: made.append(layout) or describe(layout))
    recipe = {"tensors": {}, "repeated": {"a{1..1001}": {"shape": [2], "scheme": "ones"}}}
    with running() as server:
        path = server.register(recipe).removesuffix("/model.safetensors")
        head = server.client.head(path)
        assert (head.status_code, len(made)) == (200, 0)
        assert "Content-Length" not in head.headers
        first, second = server.client.get(path), server.client.get(path)
        assert len(made) == 1
        assert first.content == second.content
        assert json.loads(first.content) == {**describe(made[0]), "recipe": json.loads(as_recipe(recipe).canonical)}
        assert server.client.head(path).headers["Content-Length"] == str(len(first.content))
