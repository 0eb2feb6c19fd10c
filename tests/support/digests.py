"""Digests of a file, generated here."""

from __future__ import annotations

from fanin.backends import Backend
from fanin.file.digests import Digester, Manifest
from fanin.file.layout import FileLayout


def manifest_of(layout: FileLayout, backend: Backend) -> Manifest:
    """Return the digests of this layout's file. All its bytes are generated."""
    digester = Digester(layout, backend)
    while digester.step():
        pass
    return digester.manifest()
