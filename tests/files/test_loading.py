"""`fanin.load`: the arrays of a file and its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import FileError, MismatchError
from fanin.backends.memory import ALIGNMENT
from fanin.file import loading
from tests.support.samples import MIXED

LARGE = {
    "seed": 1,
    "tensors": {"a": {"shape": [700, 1000], "scheme": "he_normal"}, "b": {"shape": [3], "scheme": "ones"}},
}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    fanin.save(LARGE, tmp_path / "large")
    return tmp_path / "large"


@pytest.mark.parametrize("recipe", [MIXED, {"tensors": {}}, LARGE])
@pytest.mark.parametrize("verify", ["none", "sample", "full"])
def test_arrays_and_recipe_of_a_file(recipe: Any, verify: Any, tmp_path: Path) -> None:
    fanin.save(recipe, tmp_path / "file")
    arrays, found = fanin.load(tmp_path / "file", verify=verify)
    wanted = fanin.materialize(recipe)
    assert found.digest == fanin.as_recipe(recipe).digest
    assert list(arrays) == list(found.tensors)
    assert set(arrays) == set(wanted)
    for name, array in arrays.items():
        assert (array.shape, array.dtype) == (wanted[name].shape, wanted[name].dtype)
        assert array.tobytes() == wanted[name].tobytes()
        assert array.flags.writeable
    first = min((array.ctypes.data for array in arrays.values() if array.size), default=0)
    assert first % ALIGNMENT == 0


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def test_damage_is_found_at_the_level_that_looks_for_it(large: Path) -> None:
    size = large.stat().st_size
    damage(large, size - 16)
    fanin.load(large)
    for verify in ("sample", "full"):
        with pytest.raises(MismatchError, match='tensor "a", element'):
            fanin.load(large, verify=verify)
    damage(large, size - 16)
    damage(large, size // 2 - loading.SAMPLE * 3)  # between two places that are looked at
    fanin.load(large, verify="sample")
    with pytest.raises(MismatchError):
        fanin.load(large, verify="full")


def test_what_sample_looks_at(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    read = loading.read_into
    monkeypatch.setattr(
        loading,
        "read_into",
        lambda layout, start, out, maker: seen.append((start, len(out))) or read(layout, start, out, maker),
    )
    fanin.load(large, verify="sample")
    layout = fanin.FileLayout.of(LARGE)
    assert len(seen) == loading.SAMPLES
    assert {length for _, length in seen} == {loading.SAMPLE}
    assert (seen[0][0], sum(seen[-1])) == (len(layout.header), layout.size)
    gaps = np.diff([start for start, _ in seen])
    assert gaps.max() - gaps.min() <= 1


def test_what_is_no_fanin_file(large: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="verify: 'digest' is not one of none, sample, full"):
        fanin.load(large, verify="digest")  # type: ignore[arg-type]
    content = large.read_bytes()
    for wrong, kind, words in (
        (content[:-1], FileError, "the file has"),
        (content + b"0", FileError, "the file has"),
        (content[:20], FileError, "inside its header"),
        (content.replace(b'"format":"pt"', b'"format":"np"'), MismatchError, "the header differs"),
    ):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(kind, match=words):
            fanin.load(tmp_path / "wrong")
    with pytest.raises(FileNotFoundError):
        fanin.load(tmp_path / "absent")
