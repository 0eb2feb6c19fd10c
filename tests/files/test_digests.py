"""Digests of a file's blocks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin import FileError, FileLayout, backends
from fanin.file import digests
from fanin.file.digests import BLOCK, Digester, Manifest, blocks
from fanin.file.plan import read_into
from tests.support.digests import manifest_of

SMALL = FileLayout.of(
    {
        "tensors": {
            "a": {"shape": [5, 7], "scheme": "normal", "std": 1.0},
            "b": {"shape": [0], "scheme": "ones"},
            "c": {"shape": [3], "scheme": "ones", "dtype": "F8_E5M2"},
        }
    }
)
LARGE = FileLayout.of(
    {
        "tensors": {
            "b": {"shape": [(2 * BLOCK + 40) // 4], "scheme": "normal", "std": 1.0},
            "a": {"shape": [BLOCK // 4], "scheme": "ones"},
            "c": {"shape": [13], "scheme": "ones", "dtype": "BF16"},
        }
    }
)


def content_of(layout: FileLayout) -> bytes:
    content = bytearray(b"\xca" * layout.size)
    read_into(layout, 0, memoryview(content), backends.get())
    return bytes(content)


@pytest.mark.parametrize("layout", [SMALL, LARGE], ids=["small", "large"])
def test_every_digest_is_that_of_its_bytes(layout: FileLayout) -> None:
    content, manifest = content_of(layout), manifest_of(layout, backends.get())
    assert manifest.file == hashlib.sha256(content).hexdigest()
    assert manifest.header == hashlib.sha256(layout.header).hexdigest()
    for block in blocks(layout):
        assert manifest.of(block) == hashlib.sha256(content[block.start : block.stop]).hexdigest()
    for entry in layout.entries:
        data = content[entry.start : entry.stop]
        expected = [hashlib.sha256(data[at : at + BLOCK]).hexdigest() for at in range(0, len(data), BLOCK)]
        assert manifest.tensors[entry.name] == tuple(expected)


@pytest.mark.parametrize("layout", [SMALL, LARGE], ids=["small", "large"])
def test_blocks_tile_the_file(layout: FileLayout) -> None:
    at = 0
    for block in blocks(layout):
        assert block.start == at < block.stop
        at = block.stop
    assert at == layout.size


@given(st.data())
def test_blocks_of_a_range_are_those_that_touch_it(data: st.DataObject) -> None:
    layout = data.draw(st.sampled_from([SMALL, LARGE]))
    edges = sorted({0, layout.size, *(edge for block in blocks(layout) for edge in (block.start, block.stop))})
    near = st.sampled_from(edges).flatmap(lambda edge: st.integers(edge - 2, edge + 2)) | st.integers(0, layout.size)
    start, stop = sorted(min(max(data.draw(near), 0), layout.size) for _ in range(2))
    expected = [block for block in blocks(layout) if start < stop and block.start < stop and block.stop > start]
    assert list(blocks(layout, start, stop)) == expected


def test_steps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "BLOCK", 64)
    layout = FileLayout.of({"tensors": {f"t{n:03}": {"shape": [4], "scheme": "ones"} for n in range(100)}})
    digester, steps = Digester(layout, backends.get()), []
    while digester.step():
        steps.append(digester.done)
    assert len(steps) >= layout.size // (64 + len(layout.header))
    assert max(after - before for before, after in zip([len(layout.header), *steps[1:]], steps[1:])) <= 64 + 16
    assert digester.manifest().file == hashlib.sha256(content_of(layout)).hexdigest()


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = manifest_of(SMALL, backends.get())
    assert Manifest.read(manifest.document(), SMALL) == manifest


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "md5"},
        {"block_size": 1},
        {"file": None},
        {"file": "00"},
        {"header": 7},
        {"tensors": {}},
        {"tensors": {"a": [], "b": [], "c": []}},
        {"tensors": {"a": ["00" * 32], "b": [], "c": [None]}},
        {"tensors": 1},
    ],
)
def test_a_wrong_manifest_is_refused(change: dict[str, object]) -> None:
    document = manifest_of(SMALL, backends.get()).document()
    Manifest.read(document, SMALL)
    with pytest.raises(FileError, match="digests"):
        Manifest.read({**document, **change}, SMALL)


@pytest.mark.parametrize("document", [None, [], "x", {}])
def test_no_manifest_is_refused(document: object) -> None:
    with pytest.raises(FileError, match="digests"):
        Manifest.read(document, SMALL)


def test_a_step_has_few_small_tensors() -> None:
    """Others wait for a step. 30,000 tensors of one element have few bytes, and take seconds."""
    layout = FileLayout.of({"repeated": {"l.{0..4999}": {"shape": [1], "scheme": "log_of_uniform"}}, "tensors": {}})
    digester = Digester(layout, backends.get())
    assert digester.step()
    assert digester.done < layout.size
    while digester.step():
        pass
    assert digester.manifest().file == hashlib.sha256(content_of(layout)).hexdigest()
