"""Archives: what is read as others write it, and what is refused, in linear time."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanin.file import archive

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/") and not name.startswith("./")
)


END = bytes(512)
"""The least that ends an archive. Programs write two such blocks, and then fill a record of 10 KiB."""


def header(kind: bytes, content: bytes, name: str = "x") -> bytes:
    """A member as any program may write it."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, len(content)
    return member.tobuf(tarfile.USTAR_FORMAT) + content.ljust(-(-len(content) // 512) * 512, b"\0")


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@given(files=st.dictionaries(NAMES, st.binary(max_size=1025), max_size=4))
def test_what_tarfile_writes_is_read(format_: int, files: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    kept = {}
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            try:
                made.addfile(member, io.BytesIO(content))
            except ValueError:  # ustar has no room for this name
                continue
            kept[name] = content
    assert archive.unpack(buffer.getvalue(), 10) == kept


def test_what_programs_write_is_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "of all"}) as made:
        directory = tarfile.TarInfo("./d")
        directory.type = tarfile.DIRTYPE
        made.addfile(directory)
        long = tarfile.TarInfo("./d/" + "n" * 200)
        long.size, long.pax_headers, long.mtime = 3, {"SCHILY.xattr.user": "some\nthing"}, 1.5
        made.addfile(long, io.BytesIO(b"abc"))
    # Base 256, as GNU tar writes large numbers, and one block of zeros at the end.
    gnu = tarfile.TarInfo("g")
    gnu.size, gnu.uid = 2, 2**40
    content = gnu.tobuf(tarfile.GNU_FORMAT) + b"hi".ljust(512, b"\0") + END
    assert archive.unpack(buffer.getvalue(), 5) == {"d/" + "n" * 200: b"abc"}
    assert archive.unpack(content, 5) == {"g": b"hi"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header(b"x", b"1" * 65_537), "an extended header has more than 65536 bytes"),
        (header(b"g", b"1" * 65_537), "an extended header has more than 65536 bytes"),
        (header(b"L", b"1" * 65_537), "an extended header has more than 65536 bytes"),
        # Digits without a space: tarfile before 3.11.10 looks for it once for each of them.
        (header(b"x", b"1" * 65_536) + header(b"0", b""), "a pax header has a record of a wrong length"),
        (header(b"x", b"9 a=b\n"), "a pax header has a record of a wrong length"),
        (header(b"x", b"0 a=b\n"), "a pax header has a record of a wrong length"),
        (header(b"x", b"6 abc\n"), "a pax header has a record without ="),
        (header(b"x", b"13 size=\xd9\xa1\xd9\xa2\n") + header(b"0", b""), "is not a number"),
        (header(b"x", b"6 a=b\n") + END, "it ends behind an extended header"),
        (header(b"x", b"6 a=b\n") * 3_000 + header(b"0", b""), "it has more than 176 headers"),
        (header(b"5", b"", "d") * 3_000, "it has more than 176 headers"),
        (header(b"0", b"abc") + END, None),
        # Cut behind the first file: all that is missing are the files after it.
        (header(b"0", b"abc"), "it ends without the block of zeros that ends every archive"),
        (header(b"0", b"abc")[:515], "it ends without the block of zeros that ends every archive"),
        (header(b"0", b"abc") + END[:-1], "it ends without the block of zeros that ends every archive"),
        (header(b"0", b"abc")[:514], "it ends within a member"),
        (header(b"0", b"abc")[:300], "it ends within a header"),
        (header(b"0", b"abc").replace(b"ustar", b"Ustar"), "a header has a wrong checksum"),
        (b"", "it is empty"),
        (header(b"x", b"22 GNU.sparse.major=1\n") + header(b"0", b""), "is not a plain file"),
        (header(b"S", b""), "is not a plain file"),
    ],
)
def test_refusals(content: bytes, words: str | None) -> None:
    if words is None:
        assert archive.unpack(content, 10) == {"x": b"abc"}
        return
    with pytest.raises(ValueError, match=words):
        archive.unpack(content, 10)


def test_what_each_member_costs_does_not_grow_with_global_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A global header applies to all members after it: 5000 records in it must not be looked at for each of them."""
    read, sizes = archive._read, []

    def counted(block: bytes, start: int, extended: Mapping[str, str]) -> archive._Member:
        sizes.append(len(extended))
        return read(block, start, extended)

    monkeypatch.setattr(archive, "_read", counted)
    headers = [header(b"g", b"".join(b"11 %06d=\n" % (5000 * n + k) for k in range(5000))) for n in range(3)]
    directories = [header(b"5", b"", f"d{n}/") for n in range(50)]
    assert archive.unpack(b"".join([*headers, *directories, header(b"0", b"abc", "f"), END]), 10) == {"f": b"abc"}
    assert len(sizes) == 54
    assert max(sizes) == 0
    # Used fields still apply.
    named = header(b"g", b"10 path=p\n"), header(b"0", b"abc"), END
    assert archive.unpack(b"".join(named), 10) == {"p": b"abc"}
    sparse = header(b"g", b"22 GNU.sparse.major=1\n"), header(b"0", b"abc")
    with pytest.raises(ValueError, match="not a plain file"):
        archive.unpack(b"".join(sparse), 10)
