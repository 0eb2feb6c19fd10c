"""Paths of the given files of an artifact: those that any directory and any bucket can have."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from fanin.artifact.documents import OWN, SIGNATURE
from fanin.artifact.formats import Arrangement

_FORBIDDEN = re.compile("[\\\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that a path cannot have. Listings of buckets are XML, which has no control characters."""
_NAME_BYTES, _PATH_BYTES = 255, 1024
"""Maximum bytes of a name in a directory, and of a key in a bucket."""


def check_paths(paths: Collection[str], arrangement: Arrangement) -> None:
    """Check the paths of all given files of an artifact. A path that fails later would leave a claimed destination.

    Raises:
        ValueError: one is wrong, is that of a file of the artifact itself, or is in a folder with the name of a file.
    """

    def is_own(path: str) -> bool:
        return path == SIGNATURE or path == arrangement.literals_path or arrangement.is_own(path)

    for path in paths:
        check_path(path)
        if is_own(path):
            raise ValueError(f"file {path!r}: the artifact itself has a file of this name")
        for folder in map(str, PurePosixPath(path).parents):
            if folder in paths or is_own(folder):
                raise ValueError(f"file {path!r}: {folder!r} is a file, and cannot be a folder too")


def check_path(path: str) -> None:
    """Check a path by itself.

    Raises:
        ValueError: it is wrong.
    """
    parts = PurePosixPath(path).parts
    octets = [part.encode(errors="surrogatepass") for part in parts]
    if (
        not parts
        or str(PurePosixPath(*parts)) != path
        or parts[0] in ("/", OWN[:-1])
        or ".." in parts
        or _FORBIDDEN.search(path)
        or max(map(len, octets)) > _NAME_BYTES
        or len(b"/".join(octets)) > _PATH_BYTES
    ):
        raise ValueError(
            f"file {path!r:.300}: a path is relative, in UTF-8, not in {OWN}, without .., \\ and control characters,"
            f" and has at most {_PATH_BYTES} bytes, each name in it {_NAME_BYTES}"
        )
