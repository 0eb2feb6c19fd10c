"""Formats of artifacts: which objects there are, and what is in each."""

from __future__ import annotations

from importlib import import_module

from fanin.artifact.formats.base import TIED, Arrangement, Content, Given

__all__ = ["FORMATS", "TIED", "Arrangement", "Content", "Given", "arrangement_of"]

FORMATS = {
    "dcp": "fanin.artifact.formats.dcp.files",
    "hf": "fanin.artifact.formats.hf",
    "safetensors": "fanin.artifact.formats.single",
}
"""Module of each format, which has a class `Files`. It is imported when it is used."""


def arrangement_of(format: str) -> type[Arrangement]:
    """Return the class that arranges the files of a format.

    Raises:
        ValueError: no format has this name.
        MissingPackageError: a package that it needs is not installed.
    """
    if format not in FORMATS:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")
    found: type[Arrangement] = import_module(FORMATS[format]).Files
    return found
