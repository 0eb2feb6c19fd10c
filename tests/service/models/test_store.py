"""Named models: what is stored."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fanin.file import archive
from fanin_service.models import store as stores
from fanin_service.models.errors import ModelError
from fanin_service.models.objects import DirectoryObjects, ObjectsError
from fanin_service.models.store import ModelStore
from tests.support.models import RECIPE, content


class WatchedObjects(DirectoryObjects):
    """Objects on a file system that ignores case. It counts how often all objects were listed."""

    counted = 0

    def get(self, key: str) -> bytes | None:
        return super().get(key.lower())

    def put(self, key: str, content: bytes) -> None:
        super().put(key.lower(), content)

    def delete(self, key: str) -> None:
        super().delete(key.lower())

    def sizes(self, group: str | None = None) -> dict[str, int]:
        self.counted += group is None
        return super().sizes(group and group.lower())


class TestStore:
    def test_names_and_versions(self, tmp_path: Path) -> None:
        store, other = (ModelStore(DirectoryObjects(tmp_path / "models"), 1 << 20) for _ in range(2))
        first, second = content(), content({**RECIPE, "seed": 8})
        assert store.names() == []
        assert store.main("me/tiny") is None
        assert (store.put("me/tiny", first), store.put("me/tiny", second), store.put("tiny", first)) == (
            True,
            False,
            True,
        )
        assert other.names() == ["me/tiny", "tiny"]
        assert other.main("me/tiny") == second.digest
        for each in (first, second):
            assert other.digest_of("me/tiny", each.key) == each.digest
            found = other.get("me/tiny", each.digest)
            assert found is not None
            assert found.all == each.all
        assert other.get("tiny", second.digest) is None
        assert other.digest_of("tiny", second.key) is None
        assert other.delete("me/tiny")
        assert not store.delete("me/tiny")
        assert store.names() == ["tiny"]
        assert store.get("me/tiny", first.digest) is None

    def test_what_is_damaged_is_not_there(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store, kept = ModelStore(DirectoryObjects(tmp_path), 1 << 20), content()
        store.put("tiny", kept)
        path = tmp_path / "tiny" / f"{kept.digest}.tar"
        good = path.read_bytes()
        for damaged in (
            b"",
            good[:1000],
            good.replace(b"float32", b"float16"),
            good[:600] + b"\xff" * 600 + good[1200:],
        ):
            path.write_bytes(damaged)
            assert store.get("tiny", kept.digest) is None
        assert store.put("tiny", kept) is False
        assert path.read_bytes() == good
        for damaged in (b"", b"x" * 64, kept.digest[:63].encode(), b"\xff" * 64):
            (tmp_path / "tiny" / "main").write_bytes(damaged)
            assert store.main("tiny") is None
        assert "damaged" in caplog.text
        assert store.put("tiny", kept)
        assert store.main("tiny") == kept.digest

    def test_a_full_store_takes_only_what_it_has(self, tmp_path: Path) -> None:
        first, second = content(), content({**RECIPE, "seed": 8})
        size = len(archive.pack(first.all))
        store = ModelStore(DirectoryObjects(tmp_path), size + 100)
        store.put("tiny", first)
        with pytest.raises(ModelError, match=f"the store has .* of at most {size + 100}"):
            store.put("tiny", second)
        assert store.main("tiny") == first.digest
        assert not store.put("tiny", first)

    def test_the_bytes_in_a_store_are_counted_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If every put counted them, a thousand puts would read a million files."""
        monkeypatch.setattr(stores, "REFUSAL_SECONDS", stores.RECOUNT_SECONDS)
        objects = WatchedObjects(tmp_path)
        contents = [content({**RECIPE, "seed": seed}) for seed in range(5)]
        size = len(archive.pack(contents[0].all))
        store = ModelStore(objects, 4 * size + 1000)
        for place, each in enumerate(contents[:4]):
            store.put(f"me/x{place}", each)
        assert objects.counted == 1
        with pytest.raises(ModelError, match="delete some"):
            store.put("me/y", contents[4])
        assert store.delete("me/x0")
        assert store.put("me/y", contents[4])
        assert store.names() == ["me/x1", "me/x2", "me/x3", "me/y"]
        assert objects.counted == 1

    def test_names_that_differ_in_case(self, tmp_path: Path) -> None:
        """They differ even if the file system ignores case: a right to `me/*` does not include `Me/*`."""
        store = ModelStore(WatchedObjects(tmp_path), 1 << 30)
        first, second = content(), content({**RECIPE, "seed": 8})
        assert store.put("Me/TinY", first)
        assert store.put("me/tiny", second)
        assert store.names() == ["Me/TinY", "me/tiny"]
        assert [store.main(name) for name in ("Me/TinY", "me/tiny", "ME/tiny")] == [first.digest, second.digest, None]
        assert store.delete("me/tiny")
        assert store.get("Me/TinY", first.digest) is not None

    def test_a_name_that_is_too_long_for_the_disk_is_not_there(self, tmp_path: Path) -> None:
        store = ModelStore(DirectoryObjects(tmp_path), 1 << 20)
        store.put("tiny", content())
        name = "A" * 96 + "/" + "B" * 96
        assert (store.main(name), store.modified(name), store.digest_of(name, b"x")) == (None, None, None)
        assert not store.delete(name)

    def test_a_disk_that_fails(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file")
        store = ModelStore(DirectoryObjects(tmp_path / "models"), 1 << 20)
        for call in (lambda: store.put("tiny", content()), lambda: store.main("tiny")):
            with pytest.raises(ObjectsError):
                call()

    def test_many_put_at_once(self, tmp_path: Path) -> None:
        """After simultaneous puts, the name has exactly one of the contents."""
        contents = [content({**RECIPE, "seed": seed}) for seed in range(8)]
        stores = [ModelStore(DirectoryObjects(tmp_path), 1 << 30) for _ in contents]

        def race(place: int) -> None:
            for _ in range(10):
                stores[place].put("tiny", contents[place])
                digest = stores[place].main("tiny")
                assert digest is not None
                found = stores[place].get("tiny", digest)
                assert found is not None
                assert found.digest == digest

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(race, range(8)))
        assert [path.name for path in tmp_path.glob("tiny/.*")] == [".lock"]  # no partial file


def test_a_store_without_a_place_goes_with_the_service() -> None:
    objects = DirectoryObjects()
    assert (objects.sizes(), objects.get("a/b"), objects.delete("a/b")) == ({}, None, None)
    assert objects._directory is None
    objects.put("a/b", b"c")
    assert objects.get("a/b") == b"c"
    directory = objects._directory
    assert directory is not None
    assert [path.name for path in directory.iterdir()] == ["a"]
    del objects
    assert not directory.exists()
