"""The destination that a URL names."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote

from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.directory import Directory
from fanin.errors import MissingPackageError

BUCKETS = ("s3", "gs", "az")
"""Schemes of URLs of buckets."""


def destination(url: str | os.PathLike[str]) -> Destination:
    """Return the destination at a URL s3://, gs:// or az://, or the directory of this path.

    Raises:
        ValueError: the URL has another scheme, names no bucket, or is of a file without an absolute path.
        MissingPackageError: the package for buckets is not installed.
        DestinationError: the configuration of the bucket in the environment is wrong.
    """
    text = os.fspath(url)
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "file":
        # file://tmp/x would be a folder of the working directory, since "tmp" is the place of a host.
        if not rest.startswith("/"):
            raise ValueError(f"destination {text!r}: a file URL has an absolute path, such as file:///tmp/step-0")
        text = unquote(rest)
    elif separator and scheme in BUCKETS:
        return _bucket(scheme, text)
    elif separator:
        allowed = ", ".join(f"{each}://" for each in (*BUCKETS, "file"))
        raise ValueError(f"destination {text!r}: {scheme}:// is not a kind of destination; use {allowed} or a path")
    if not text:
        raise ValueError("the destination is empty: give a directory, or a URL such as s3://bucket/prefix")
    return Directory(Path(text).absolute())


def _bucket(scheme: str, url: str) -> Destination:
    package, module, kind = ("boto3", "s3", "S3") if scheme == "s3" else ("obstore", "bucket", "Bucket")
    try:
        found = import_module(f"fanin.artifact.destinations.{module}")
    except ModuleNotFoundError as error:
        if error.name not in (package, "botocore"):
            raise
        how = "in a checkout of Fanin, run: pip install '.[bucket]'"
        detail = f"destination {url!r} needs the package {package}, which is not installed; {how}"
        raise MissingPackageError(detail, name=package) from None
    opened: Destination = getattr(found, kind)(url)
    return opened
