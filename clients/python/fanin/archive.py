"""Archives: small files that travel as one, in a tar without compression."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

MEDIA_TYPE = "application/x-tar"


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
    """The files in an archive, which may have come from anybody; `./` before their names does not count.

    Takes no more memory than the archive does.

    Raises:
        ValueError: it is no archive, or has more than `max_files` files, one twice, or anything but files and
            directories.
    """
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
            for member in members:
                name = member.name.removeprefix("./")
                if member.isdir():
                    continue
                if not member.isreg() or member.sparse is not None:
                    raise ValueError(f"{name!a} is not a plain file")
                if name in files:
                    raise ValueError(f"{name!a} stands twice in the archive")
                if len(files) == max_files:
                    raise ValueError(f"more than {max_files} files")
                content = members.extractfile(member)
                assert content
                files[name] = content.read()
    except (tarfile.TarError, EOFError, OSError, OverflowError) as error:
        raise ValueError(f"not an uncompressed tar archive: {error}") from None
    return files
