"""Files: saved completely or not at all, verified to the byte."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin import FileError, FileLayout, MismatchError
from fanin.cli.main import main
from fanin.file import atomic, disk
from fanin.file.disk import chunks
from tests.support.samples import MIXED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.safetensors"
    fanin.save(MIXED, path)
    return path


def test_verify_says_what_it_checked(path: Path) -> None:
    layout = FileLayout.of(MIXED)
    assert fanin.verify(path) == fanin.Verified(layout.recipe.digest, len(layout.entries), layout.size)
    assert fanin.verify(path, backend="reference") == fanin.verify(path)


def test_verify_names_the_first_tensor_and_element_that_differ(path: Path) -> None:
    layout = FileLayout.of(MIXED)
    entry = layout.entry("emb")
    data = bytearray(path.read_bytes())
    for element in (700, 123):
        data[entry.start + element * entry.dtype.itemsize + 1] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(MismatchError, match=r'"emb", element 123 \[17, 4\]') as caught:
        fanin.verify(path)
    assert (caught.value.tensor, caught.value.element) == ("emb", 123)


@pytest.mark.parametrize("offset", range(0, FileLayout.of(MIXED).size, 97))
def test_no_flipped_bit_is_missed(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises((MismatchError, FileError)):
        fanin.verify(path)


def test_chunk_borders_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "CHUNK", 1001)
    fanin.save(MIXED, tmp_path / "a")
    monkeypatch.setattr(disk, "CHUNK", 64)
    fanin.verify(tmp_path / "a")


def test_a_file_that_is_cut_while_it_is_verified_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a border of chunks, the missing ones would be equal to no bytes."""
    path, chunk, generate = tmp_path / "file", 1 << 14, disk.read_into
    fanin.save({"shape": [50_000], "scheme": "zeros"}, path)

    def cutting(layout: FileLayout, start: int, *others: Any) -> None:
        if start == chunk:
            os.truncate(path, 2 * chunk)
        generate(layout, start, *others)

    monkeypatch.setattr(disk, "CHUNK", chunk)
    monkeypatch.setattr(disk, "read_into", cutting)
    with pytest.raises(FileError, match=f"the file was cut while it was read: it ends after {2 * chunk} bytes"):
        fanin.verify(path)


def test_a_file_that_is_cut_or_longer_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for wrong in (data[:-1], data + b"\0", data[:100], data[:7], b""):
        path.write_bytes(wrong)
        with pytest.raises(FileError):
            fanin.verify(path)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b"not json",
        b'{"__metadata__":{}}',
        b'{"__metadata__":{"fanin.recipe":"{}"}}',
        b'{"__metadata__":{"fanin.recipe":7}}',
        json.dumps({"__metadata__": {"fanin.recipe": '{"shape":[2,2],"scheme":"nope"}'}}).encode(),
    ],
)
def test_files_without_a_recipe_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FileError):
        fanin.verify(path)
    path.write_bytes(struct.pack("<Q", 2**63) + header)
    with pytest.raises(FileError, match="not a safetensors file"):
        fanin.verify(path)


def test_a_failed_save_leaves_nothing_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"before")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(disk, "read_into", fail)
    with pytest.raises(OSError, match="full"):
        fanin.save(MIXED, path)
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"]


def test_a_disk_that_fills_up_is_noticed(tmp_path: Path) -> None:
    """Within the last chunk: a short write must not pass for a complete one."""
    code = f"""
import resource, signal, fanin
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recipe = {{"shape": [1000, 1000], "scheme": "ones"}}
resource.setrlimit(resource.RLIMIT_FSIZE, (fanin.FileLayout.of(recipe).size - 1000,) * 2)
fanin.save(recipe, {str(tmp_path / "f")!r})
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"File too large: {str(tmp_path / 'f')!r}" in found.stderr
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_disk_names_the_file(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fanin.file.disk.layout_of_file", fail)
    monkeypatch.setattr("fanin.file.loading.layout_of_file", fail)
    for read in (fanin.verify, fanin.load):
        with pytest.raises(OSError, match=f"Input/output error: '{path}'"):
            read(path)
    with pytest.raises(OSError, match=r"^unknown$"), atomic.naming(path):
        raise OSError("unknown")
    with pytest.raises(FileNotFoundError, match=r"other$"), atomic.naming(path):
        raise FileNotFoundError(errno.ENOENT, "other")


def test_a_loop_of_links_is_an_error_of_the_file(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        fanin.save(MIXED, loop)
    with pytest.raises(FileExistsError), atomic.replacing_directory(atomic.real(loop)):
        pytest.fail("the directory cannot take the place of the link")
    assert list(tmp_path.iterdir()) == [loop]


def test_many_may_save_to_one_place(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: fanin.save(MIXED, tmp_path / "f"), range(12)))
    fanin.verify(tmp_path / "f")
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_long_names_are_names(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120)
    fanin.save(MIXED, path)
    with disk.resuming(path.with_name("x" * 250), FileLayout.of(MIXED)) as (file, _):
        file.write(b"y")
    assert (tmp_path / ("x" * 250)).read_bytes() == b"y"


@pytest.mark.parametrize("name", [b"\xff.safetensors", b"\xff" * 200])
def test_a_name_may_be_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    fanin.save(MIXED, path)
    assert main(["verify", str(path)]) == 0
    assert [os.fsencode(each.name) for each in tmp_path.iterdir()] == [name]
    (other := tmp_path / "other").mkdir()
    assert main(["make", str(path), "-o", str(other / path.name)]) == 0
    assert [os.fsencode(each.name) for each in other.iterdir()] == [name]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        fanin.save(MIXED, tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("read", [fanin.verify, fanin.load])
def test_a_pipe_is_no_file(read: Callable[[Path], object]) -> None:
    outlet, inlet = os.pipe()
    os.write(inlet, b"".join(chunks(FileLayout.of(MIXED), backend=None))[:1000])
    os.close(inlet)
    try:
        with pytest.raises(FileError, match="not a regular file"):
            read(Path(f"/dev/fd/{outlet}"))
    finally:
        os.close(outlet)


def test_a_folder_is_no_place_and_a_link_is_followed(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        fanin.save(MIXED, tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        fanin.save(MIXED, tmp_path / "none" / "f")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    fanin.save(MIXED, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    fanin.verify(tmp_path / "target")


def test_a_download_that_finishes_meanwhile_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the partial file and locking it, its owner renames it: the next one begins anew."""
    layout = FileLayout.of(MIXED)
    path = tmp_path / "f"
    partial = disk.partial_of(path, layout)
    partial.write_bytes(b"finished elsewhere")
    lock = fcntl.flock

    def rename_first(file: object, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        partial.replace(path)
        lock(file, operation)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", rename_first)
    with disk.resuming(path, layout) as (_, have):
        assert have == 0
        assert path.read_bytes() == b"finished elsewhere"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_download_needs_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Network file systems may have none. Two downloads to one place then use files of different names."""
    layout = FileLayout.of(MIXED)
    paths = [tmp_path / "f", tmp_path / "f"]

    def refuse(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with disk.resuming(paths[0], layout) as (one, have), disk.resuming(paths[1], layout) as (other, _):
        assert (have, len(list(tmp_path.iterdir()))) == (0, 2)
        one.write(b"first")
        other.write(b"second")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
    assert paths[0].read_bytes() == b"first"  # the outer one ends last
    with suppress(ValueError), disk.resuming(paths[0], layout) as (one, _):
        one.write(b"some")
        raise ValueError
    disk.discard_partial(paths[0], layout)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_progress_is_quiet_unless_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fanin.save(MIXED, tmp_path / "a")
    assert capsys.readouterr() == ("", "")
    fanin.save(MIXED, tmp_path / "a", progress=True)
    assert "100%" in capsys.readouterr().err


def test_who_may_read_a_file_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    fanin.save(MIXED, path)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    for mode in (0o600, 0o640):
        path.chmod(mode)
        fanin.save(MIXED, path)
        assert path.stat().st_mode & 0o777 == mode


def test_a_file_may_be_removed_while_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another process, at any time: what is written takes its place all the same."""
    target, ask = tmp_path / "file", Path.stat
    for looks in range(1, 6):
        left = looks

        def look(path: Path, **options: bool) -> os.stat_result:
            nonlocal left
            found = ask(path, **options)
            if path == target:
                left -= 1
                if left == 0:
                    target.unlink()
            return found

        target.write_bytes(b"old")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", look)
            with atomic.replacing(target) as file:
                file.write(b"new")
        assert target.read_bytes() == b"new"
