"""The formats of the Hugging Face Hub: how its clients expect models and files to be described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fanin.file.shards import CONFIG
from fanin_service.context import Surface
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import Described, Snapshot

ROOT = Surface.HUB.value
COMMIT = "X-Repo-Commit"
TAGS = ("safetensors", "fanin")
"""Tags of every model."""
KINDS = ("datasets", "spaces", "kernels")
"""Kinds of repositories that clients request and that this service does not have."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file in a list of files."""

    file: Described
    sha256: str | None
    """SHA-256 of a file of weights in hexadecimal, once the digests of its recipe have been computed."""

    @property
    def lfs(self) -> dict[str, Any]:
        """The Hub's description of a file that Git stores as a pointer. Its clients compare their own copy with it."""
        if self.sha256 is None:
            return {}
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.file.size}\n"
        names = {"oid": self.sha256, "sha256": self.sha256, "size": self.file.size, "pointerSize": len(pointer)}
        return {"lfs": names}


Files = Mapping[str, Listed | None]
"""Files by path; None for a directory, or if only the path is known."""


def listed(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the models in a list, with the members that all have."""
    return [_of_all(name) for name in names]


def _of_all(name: str) -> dict[str, Any]:
    namespace, slash, _ = name.partition("/")
    return {
        "id": name,
        "modelId": name,
        "author": namespace if slash else None,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": list(TAGS),
    }


def date_of(seconds: int) -> str:
    """Return seconds since 1970 in the format of the Hub."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def info(name: str, snapshot: Snapshot, files: Files, date: str) -> dict[str, Any]:
    """Return the description of a model at a revision. The time grows with the number of tensors.

    It includes the sizes of the files that are not None.
    """
    counts = snapshot.parameters
    return {
        **_of_all(name),
        "_id": snapshot.commit[:24],
        "sha": snapshot.commit,
        "lastModified": date,
        "createdAt": date,
        **({"library_name": "transformers"} if CONFIG in snapshot.content.files else {}),
        "safetensors": {"parameters": counts, "total": sum(counts.values())},
        "siblings": [{"rfilename": path, **_blob(file)} for path, file in files.items()],
    }


def _blob(found: Listed | None) -> dict[str, Any]:
    return {"blobId": found.file.blob, "size": found.file.size, **found.lfs} if found else {}


def refs(snapshot: Snapshot) -> dict[str, Any]:
    """Return the branches of a model: only `main`. Other revisions are created when a request names them."""
    branch = {"name": MAIN, "ref": f"refs/heads/{MAIN}", "targetCommit": snapshot.commit}
    return {"branches": [branch], "converts": [], "tags": [], "pullRequests": []}


def commits(snapshot: Snapshot, date: str) -> list[dict[str, Any]]:
    """Return the history of a revision: itself. Earlier contents of the model have only their commit ids."""
    title = str(snapshot.revision)
    return [{"id": snapshot.commit, "title": title, "message": "", "date": date, "authors": []}]


def children(paths: Iterable[str], directory: str, *, recursive: bool) -> list[str]:
    """Return the paths below a directory; "" is the root. Directories end with a slash.

    With `recursive` these are all paths, otherwise those of the next level.
    """
    prefix = f"{directory}/" if directory else ""
    below = [path for path in paths if path.startswith(prefix)]
    nested = {prefix + part + "/" for path in below for part in _parents(path.removeprefix(prefix), recursive)}
    return sorted([*nested, *(path for path in below if recursive or "/" not in path.removeprefix(prefix))])


def _parents(path: str, recursive: bool) -> list[str]:
    """Return the directories of a path: all, or only the first."""
    parts = path.split("/")[:-1]
    found = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return found if recursive else found[:1]


def entries(snapshot: Snapshot, files: Files, date: str | None) -> list[dict[str, Any]]:
    """Return the entries of a tree. Paths of directories may end with a slash. With `date` each has its commit."""
    return [_entry(path.rstrip("/"), snapshot, found, date) for path, found in files.items()]


def _entry(path: str, snapshot: Snapshot, listed: Listed | None, date: str | None) -> dict[str, Any]:
    found: dict[str, Any] = (
        {"type": "file", "path": path, "size": listed.file.size, "oid": listed.file.blob, **listed.lfs}
        if listed
        else {"type": "directory", "path": path, "size": 0, "oid": snapshot.commit}
    )
    if date is not None:
        found["lastCommit"] = {"id": snapshot.commit, "title": str(snapshot.revision), "date": date}
    return found
