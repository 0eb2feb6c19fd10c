"""The end of an artifact: its manifest, then the object that makes it complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fanin.artifact.destinations.base import Destination
from fanin.artifact.documents import MANIFEST, MOST_BYTES, PLAN, RECIPE, VERSION, canonical, is_integer, parsed
from fanin.artifact.plan import Plan
from fanin.artifact.survey import Survey, survey
from fanin.artifact.writing import Record, read_record, record_key
from fanin.errors import ArtifactError, ConflictError, IncompleteError

_READERS = 16
"""Threads that read records."""
_NAMED = 5
"""Missing items that an error names."""


@dataclass(frozen=True)
class Manifest:
    """All files of a complete artifact, with their sizes and digests."""

    url: str
    """The destination."""
    recipe: str
    """Digest of the recipe of all tensors."""
    format: str
    files: tuple[Record, ...]
    """Every file but the manifest, the records of the items, and the file `commit`, in the order of their names."""
    commit: Record | None
    """The file that completes the artifact; None if the manifest does."""

    def document(self) -> bytes:
        """Return the content of the manifest's object: canonical JSON."""
        return canonical(
            {
                "version": VERSION,
                "recipe": self.recipe,
                "format": self.format,
                "files": [_member(file) for file in self.files],
                "commit": self.commit and _member(self.commit),
            }
        )


def finish(plan: Plan, destination: Destination) -> Manifest:
    """Create the manifest, then the object that completes the artifact, and return the manifest.

    Raises:
        IncompleteError: items or other files are missing.
        ConflictError: a file has another size than its record says, or the manifest has other content.
        OSError: the destination cannot be read or written.
    """
    found = survey(plan, destination)
    _check(found, destination)
    commit = plan.arrangement.commit(plan.read)
    manifest = manifest_of(found, destination, commit)
    destination.put(MANIFEST, manifest.document())
    if plan.arrangement.commit_path:
        destination.put(plan.arrangement.commit_path, commit)
    destination.sweep(plan.arrangement.name(number) for number in range(len(plan)))
    return manifest


def manifest_of(found: Survey[Plan], destination: Destination, commit: bytes) -> Manifest:
    """Return the manifest of an artifact whose items are written, from their records.

    Args:
        found: The objects in the destination.
        destination: Where the artifact is.
        commit: Content of the object that completes the artifact.

    Raises:
        IncompleteError: a record is missing.
        ConflictError: an object has another size than its record says.
        OSError: the destination cannot be read.
    """
    plan = found.plan
    commit_path = plan.arrangement.commit_path
    own = {PLAN: plan.document(), RECIPE: plan.recipe.canonical}
    files = [
        *_records(found, destination),
        *(Record(path, size, digest) for path, (size, digest) in plan.digests.items()),
        *(_record(key, content) for key, content in own.items()),
    ]
    files.sort(key=lambda file: file.name)
    return Manifest(
        destination.url,
        plan.recipe.digest,
        plan.format,
        tuple(files),
        _record(commit_path, commit) if commit_path else None,
    )


def read_manifest(destination: Destination) -> Manifest | None:
    """Return the manifest in a destination; None if there is none, because the artifact is not complete.

    Raises:
        ArtifactError: it is damaged, or has more than 256 MiB.
        OSError: the destination cannot be read.
    """
    document = destination.read(MANIFEST, MOST_BYTES)
    if document is None:
        return None
    try:
        said = parsed(document)
        files = tuple(map(_file, said["files"]))
        commit = _file(said["commit"]) if said["commit"] else None
        if not isinstance(said["recipe"], str) or not isinstance(said["format"], str):
            raise TypeError("recipe and format are texts")
        return Manifest(destination.url, said["recipe"], said["format"], files, commit)
    except (ValueError, LookupError, TypeError):
        raise ArtifactError(f"{destination.url}: {MANIFEST} is damaged") from None


def require_items(found: Survey[Plan], destination: Destination) -> None:
    """Check that all items are written.

    Raises:
        IncompleteError: one is missing.
    """
    plan = found.plan
    count = len(plan) - found.items_done
    if count:
        names = [plan.arrangement.name(number) for number in islice(found.missing(), _NAMED)]
        others = f" and {count - len(names)} more" if count > len(names) else ""
        raise IncompleteError(
            f"{destination.url}: {count} of {len(plan)} items are missing: {', '.join(names)}{others}"
        )


def _check(found: Survey[Plan], destination: Destination) -> None:
    """Check that everything is there but the manifest and the last object."""
    plan = found.plan
    require_items(found, destination)
    if missing := [path for path in (RECIPE, *plan.digests) if path not in found.others]:
        raise IncompleteError(f"{destination.url}: {missing[0]} is missing")
    for path, (size, _) in plan.digests.items():
        if found.others[path] != size:
            raise ConflictError(f"{destination.url}: {path} has {found.others[path]} bytes; the artifact has {size}")


def _records(found: Survey[Plan], destination: Destination) -> Iterator[Record]:
    """Yield the records of all items, which are read by several threads."""
    name_of = found.plan.arrangement.name

    def read(number: int) -> Record:
        record = read_record(destination, name_of(number))
        if record is None:
            raise IncompleteError(f"{destination.url}: {record_key(name_of(number))} is missing")
        if record.size != found.sizes[number]:
            raise ConflictError(
                f"{destination.url}: {record.name} has {found.sizes[number]} bytes; its record says {record.size}"
            )
        return record

    numbers = iter(range(len(found.plan)))
    with ThreadPoolExecutor(_READERS) as pool:
        # A batch at a time: the pool would make an object for each item at once.
        while batch := list(islice(numbers, 64 * _READERS)):
            yield from pool.map(read, batch)


def _record(path: str, content: bytes) -> Record:
    return Record(path, len(content), hashlib.sha256(content).hexdigest())


def _member(file: Record) -> dict[str, str | int]:
    return {"path": file.name, "size": file.size, "sha256": file.sha256}


def _file(member: Any) -> Record:
    """Return a member of a manifest, the inverse of `_member`.

    Raises:
        LookupError, TypeError: it is not one.
    """
    path, size, sha256 = member["path"], member["size"], member["sha256"]
    if not isinstance(path, str) or not is_integer(size) or not isinstance(sha256, str):
        raise TypeError("path and sha256 are texts, and size is an integer from 0 on")
    return Record(path, size, sha256)
