"""Archives: small files that travel as one, in a tar without compression.

Archives are read here and not by `tarfile`, whose readers take quadratic time for some headers before Python 3.11.10
and 3.12.6 (CVE-2024-6232) and recurse for headers of headers in all versions.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fanin.file import shards

MEDIA_TYPE = "application/x-tar"
MAX_EXTENDED_BYTES = 64 << 10
"""Largest extended header (pax or GNU long name): real ones have a few hundred bytes."""
MEMBERS_PER_FILE = 16
"""Headers that are read for each file that is allowed: extended headers and directories count too."""

_BLOCK = 512
_FILES = (b"0", b"\0", b"7")
_DIRECTORY = b"5"
_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_SPARSE = "GNU.sparse"
"""Prefix of the pax keywords of a sparse file."""
_EXTENDED = (_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK)


def files_of_model(directory: Path) -> dict[str, bytes]:
    """Return the files of a model's directory, by their paths in it.

    Hidden ones are left out, such as those of Git and of Kubernetes, which mounts a ConfigMap as links to a hidden
    directory whose name has the time. So are files of weights, which are generated from the recipe.

    Raises:
        ValueError: a symbolic link leads out of the directory.
        OSError: a file cannot be read.
    """
    # huggingface_hub's upload_folder follows every link, so that a link to ~/.ssh in a directory from elsewhere
    # publishes a key. Here a link may lead to a file of the directory, as in a ConfigMap. In the Hub's cache, a
    # snapshot is a directory of links to ../../blobs, and users push the directory that snapshot_download returns.
    root = directory.resolve()
    allowed = [root, *([root.parents[1] / "blobs"] if root.parent.name == "snapshots" else [])]
    return {
        name.as_posix(): _read_within(directory / name, allowed)
        for name in sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
        if not any(part.startswith(".") for part in name.parts)
        and not any(names.has(name.as_posix()) for names in shards.NAMES)
    }


def _read_within(path: Path, allowed: Sequence[Path]) -> bytes:
    """Return the content of a file.

    Raises:
        ValueError: a symbolic link leads out of the allowed directories.
        OSError: the file cannot be read.
    """
    target = path.resolve()
    if not any(target.is_relative_to(each) for each in allowed):
        raise ValueError(f"{path} is a symbolic link out of the directory, to {target}: put a copy in its place")
    return target.read_bytes()


def pack(files: Mapping[str, bytes]) -> bytes:
    """An archive of these files, by name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(archive: bytes, max_files: int) -> dict[str, bytes]:
    """Return the files in an untrusted archive by name. A leading `./` of a name is removed.

    Time and memory are linear in the archive's size.

    Raises:
        ValueError: it is not an archive, has more than `max_files` files or a name twice, or has members that are
            neither files nor directories.
    """
    files: dict[str, bytes] = {}
    for member in _members(archive, MEMBERS_PER_FILE * (max_files + 1)):
        name = member.name.removeprefix("./")
        if member.is_directory:
            continue
        if not member.is_file:
            raise ValueError(f"{name!a} is not a plain file")
        if name in files:
            raise ValueError(f"{name!a} is in the archive twice")
        if len(files) == max_files:
            raise ValueError(f"more than {max_files} files")
        files[name] = archive[member.start : member.stop]
    return files


@dataclass(frozen=True, slots=True)
class _Member:
    """One header, and where its content is."""

    name: str
    type: bytes
    start: int
    stop: int
    is_sparse: bool = False

    @property
    def is_directory(self) -> bool:
        # The first tar programs had no type for directories.
        return self.type == _DIRECTORY or (self.type == b"\0" and self.name.endswith("/"))

    @property
    def is_file(self) -> bool:
        return self.type in _FILES and not self.is_sparse


def _members(archive: bytes, limit: int) -> Iterator[_Member]:
    """The members of an archive (POSIX.1-2017, pax; GNU long names), their extended headers applied.

    Raises:
        ValueError: it is not an archive.
    """
    if not archive:
        raise _failure("it is empty")
    shared: dict[str, str] = {}
    own: dict[str, str] = {}
    is_pending = False
    position = count = 0
    while any(block := archive[position : position + _BLOCK]):
        count += 1
        if count > limit:
            raise _failure(f"it has more than {limit} headers")
        member = _read(block, position + _BLOCK, {} if block[156:157] in _EXTENDED else {**shared, **own})
        if member.stop > len(archive):
            raise _failure("it ends within a member")
        position = member.start + -(-(member.stop - member.start) // _BLOCK) * _BLOCK
        if member.type not in _EXTENDED:
            yield member
            own, is_pending = {}, False
            continue
        if member.stop - member.start > MAX_EXTENDED_BYTES:
            raise _failure(f"an extended header has more than {MAX_EXTENDED_BYTES} bytes")
        content = archive[member.start : member.stop]
        is_pending |= member.type in (_PAX, _LONG_NAME) and bool(content)
        if member.type == _PAX_GLOBAL:
            shared |= _records(content)
        elif member.type == _PAX:
            own |= _records(content)
        elif member.type == _LONG_NAME:
            own["path"] = _text(content)
    # A tar program that is stopped has written complete blocks: only the missing end shows that members are missing.
    if len(block) < _BLOCK:
        raise _failure("it ends without the block of zeros that ends every archive, so it may have been cut")
    if is_pending:
        raise _failure("it ends behind an extended header")


def _read(block: bytes, start: int, extended: Mapping[str, str]) -> _Member:
    """The member whose header is `block` and whose content begins at `start`."""
    if len(block) < _BLOCK:
        raise _failure("it ends within a header")
    # The checksum is the sum of all bytes, its own field taken as spaces.
    if _number(block[148:156]) != sum(block[:148]) + sum(block[156:]) + 8 * ord(" "):
        raise _failure("a header has a wrong checksum")
    name, prefix = _text(block[:100]), _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    if prefix:
        name = f"{prefix}/{name}"
    kind, size = block[156:157], extended.get("size")
    if size is not None and not (size.isascii() and size.isdecimal() and len(size) < 20):
        raise _failure(f"size {size[:20]!a} is not a number")
    length = _number(block[124:136]) if size is None else int(size)
    if kind == _DIRECTORY:
        length = 0  # some programs write the size of the directory itself
    return _Member(
        extended.get("path", name),
        kind,
        start,
        start + length,
        _SPARSE in extended,
    )


def _records(content: bytes) -> dict[str, str]:
    """Return the used records of a pax header. A record is `length key=value` and a newline; the length counts all.

    Other records are dropped: a global header applies to every later member, and each of them reads what is stored.
    """
    records: dict[str, str] = {}
    position = 0
    while position < len(content) and content[position]:
        space = content.find(b" ", position, position + 8)
        digits = content[position:space] if space > 0 else b""
        stop = position + int(digits) if digits.isdigit() else 0
        if not space < stop <= len(content) or content[stop - 1 : stop] != b"\n":
            raise _failure("a pax header has a record of a wrong length")
        key, equals, value = content[space + 1 : stop - 1].partition(b"=")
        if not equals:
            raise _failure("a pax header has a record without =")
        if key in (b"path", b"size"):
            records[key.decode()] = value.decode("utf-8", "surrogateescape")
        elif key.startswith(_SPARSE.encode()):
            records[_SPARSE] = ""
        position = stop
    return records


def _number(field: bytes) -> int:
    """Return a number: octal digits, or base 256 if the first bit is set (GNU)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.translate(None, b"01234567"):
        raise _failure(f"{field!r} is not an octal number")
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _failure(reason: str) -> ValueError:
    return ValueError(f"not an uncompressed tar archive: {reason}")
