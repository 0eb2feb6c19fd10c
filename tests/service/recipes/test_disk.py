"""The recipe store is shared by workers and bounded, and its failures do not fail requests."""

from __future__ import annotations

import errno
import logging
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fanin import FileLayout
from fanin_service.recipes.disk import RecipeStore
from fanin_service.settings import Settings
from tests.support.servers import running

RECIPES = [FileLayout.of({"seed": seed, "shape": [2], "scheme": "ones"}).recipe for seed in range(40)]
SIZE = len(RECIPES[10].canonical)
KEPT: Any = {"shape": [3, 5], "scheme": "he_normal", "seed": 5}


def store(directory: Path, max_recipes: int = 1000, max_bytes: int = 1 << 20) -> RecipeStore:
    return RecipeStore(directory, max_recipes=max_recipes, max_bytes=max_bytes)


def age(directory: Path, digest: str, seconds: float) -> None:
    path = directory / f"{digest}.json"
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_what_one_keeps_another_finds(tmp_path: Path) -> None:
    recipe = RECIPES[0]
    assert store(tmp_path).get(recipe.digest) is None
    assert store(tmp_path).add(recipe.digest, recipe.canonical)
    assert not store(tmp_path).add(recipe.digest, recipe.canonical)
    assert store(tmp_path).get(recipe.digest) == recipe.canonical
    assert [path.name for path in tmp_path.iterdir()] == [f"{recipe.digest}.json"]


@pytest.mark.parametrize(
    "digest", ["", "x", "../" * 5 + "etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\0", "\u0660" * 64]
)
def test_other_names_are_no_paths(tmp_path: Path, digest: str) -> None:
    assert store(tmp_path).get(digest) is None


@pytest.mark.parametrize("damage", [b"", b"{}", b"x" * SIZE])
def test_a_damaged_file_is_not_used_and_mended(tmp_path: Path, damage: bytes) -> None:
    recipe = RECIPES[10]
    store(tmp_path).add(recipe.digest, recipe.canonical)
    path = tmp_path / f"{recipe.digest}.json"
    path.write_bytes(damage)
    assert store(tmp_path).get(recipe.digest) is None
    assert not path.exists()
    store(tmp_path).add(recipe.digest, recipe.canonical)
    path.write_bytes(b"cut")
    # After a crash, a file can be truncated. A file of another length is written again.
    assert store(tmp_path).add(recipe.digest, recipe.canonical)
    assert store(tmp_path).get(recipe.digest) == recipe.canonical


def test_the_oldest_go_first(tmp_path: Path) -> None:
    kept = store(tmp_path, max_recipes=3)
    for seconds, recipe in enumerate(RECIPES[:3]):
        kept.add(recipe.digest, recipe.canonical)
        age(tmp_path, recipe.digest, 100 - seconds)
    kept.add(RECIPES[0].digest, RECIPES[0].canonical)  # registered again
    kept.add(RECIPES[3].digest, RECIPES[3].canonical)
    assert {path.stem for path in tmp_path.iterdir()} == {RECIPES[n].digest for n in (0, 2, 3)}


def test_bytes_are_bounded_and_the_newest_stays(tmp_path: Path) -> None:
    kept = store(tmp_path, max_bytes=3 * SIZE)
    for recipe in RECIPES[10:]:
        kept.add(recipe.digest, recipe.canonical)
        age(tmp_path, recipe.digest, 10)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * SIZE
    tiny = store(tmp_path, max_bytes=1)
    tiny.add(RECIPES[0].digest, RECIPES[0].canonical)
    assert tiny.get(RECIPES[0].digest) == RECIPES[0].canonical


def test_what_a_dead_process_left_goes(tmp_path: Path) -> None:
    old, new = (tmp_path / f"{RECIPES[1].digest}.{n:032x}.partial" for n in (1, 2))
    # The store must not remove other files: an operator can name a directory that contains some.
    others = [
        tmp_path / name for name in ("notes.txt", "package.json", "movie.partial", f"{RECIPES[2].digest}.json.bak")
    ]
    for path in (old, new, *others):
        path.write_bytes(b"half")
    for path in (old, *others):
        os.utime(path, (0, 0))
    store(tmp_path, max_recipes=1).add(RECIPES[0].digest, RECIPES[0].canonical)
    assert {path.name for path in tmp_path.iterdir()} == {
        new.name,
        f"{RECIPES[0].digest}.json",
        *(path.name for path in others),
    }


def test_many_at_once_see_whole_recipes_or_none(tmp_path: Path) -> None:
    """Writers, readers and the removal of old recipes run at once, as in separate processes."""

    def work(number: int) -> int:
        kept, order, found = store(tmp_path, max_recipes=10), random.Random(number), 0
        for _ in range(100):
            recipe = order.choice(RECIPES)
            kept.add(recipe.digest, recipe.canonical)
            text = kept.get(order.choice(RECIPES).digest)
            found += text is not None and text in {recipe.canonical for recipe in RECIPES}
            assert text is None or text in {recipe.canonical for recipe in RECIPES}
        return found

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(work, range(4)))
    assert 0 < len(list(tmp_path.iterdir())) <= 14


def test_recipes_survive_a_restart(tmp_path: Path) -> None:
    settings = Settings(recipe_store=tmp_path)
    with running(settings) as server:
        path = server.register(KEPT)
        content = server.client.get(path).content
    with running(settings) as server:
        assert server.client.get(path).content == content
        assert server.client.get(path.rpartition("/")[0]).json()["tensors"]["weight"]["shape"] == [3, 5]
        assert server.client.post("/v1/recipes", json=KEPT).status_code == 200
        assert server.client.get(f"/v1/recipes/{'0' * 64}/model.safetensors").status_code == 404
    # A stored recipe that exceeds a limit is not found. If a client sends it again, the error names the limit.
    with running(Settings(recipe_store=tmp_path, max_rank=1)) as server:
        assert server.client.get(path).status_code == 404
        assert server.client.post("/v1/recipes", json=KEPT).status_code == 422


def test_a_full_disk_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        written(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with running(Settings(recipe_store=tmp_path)) as server:
        monkeypatch.setattr(Path, "write_bytes", full)
        with caplog.at_level(logging.WARNING, "fanin_service.recipes.disk"):
            path = server.register(KEPT)
        assert "No space left" in caplog.text
        assert list(tmp_path.iterdir()) == []
        assert server.client.get(path).status_code == 200
        monkeypatch.undo()
        assert server.client.post("/v1/weights", json=KEPT).status_code == 200
        assert len(list(tmp_path.iterdir())) == 1


def test_a_directory_that_vanished_is_no_error(tmp_path: Path) -> None:
    with running(Settings(recipe_store=tmp_path / "gone")) as server:
        path = server.register(KEPT)
        assert server.client.get(path).status_code == 200
        assert server.client.get(f"/v1/recipes/{'0' * 64}").status_code == 404
