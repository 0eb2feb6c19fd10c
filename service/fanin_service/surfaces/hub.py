"""The Hugging Face Hub's words: what its clients read of models, and of errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fanin_service.context import Surface
from fanin_service.models.content import CONFIG
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import Described, Snapshot

ROOT = Surface.HUB.value
COMMIT = "X-Repo-Commit"
TAGS = ("safetensors", "fanin")
"""What every model is tagged with."""
KINDS = ("datasets", "spaces", "kernels")
"""Kinds of repositories that clients ask for and that are not here."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A file, as lists of files tell of it."""

    file: Described
    sha256: str | None
    """Of weights, once digests of their recipe have been computed."""

    @property
    def lfs(self) -> dict[str, Any]:
        """What the Hub tells of a file that Git has as a pointer, by which its clients compare one that they have."""
        if self.sha256 is None:
            return {}
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.file.size}\n"
        names = {"oid": self.sha256, "sha256": self.sha256, "size": self.file.size, "pointerSize": len(pointer)}
        return {"lfs": names}


Files = Mapping[str, Listed | None]
"""Files by their paths; None for a directory, or where nothing but the path is told."""


def listed(names: Iterable[str]) -> list[dict[str, Any]]:
    """Models, with what is said of all alike."""
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
    """Seconds since 1970 as the Hub writes them: when the content of a commit was put."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def info(name: str, snapshot: Snapshot, files: Files, date: str) -> dict[str, Any]:
    """A model at a revision; of files that are given, their sizes too. Takes time for every tensor."""
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
    """The branches of a model: `main`. All other revisions are made by naming them."""
    branch = {"name": MAIN, "ref": f"refs/heads/{MAIN}", "targetCommit": snapshot.commit}
    return {"branches": [branch], "converts": [], "tags": [], "pullRequests": []}


def commits(snapshot: Snapshot, date: str) -> list[dict[str, Any]]:
    """The history of a revision: itself. What its model was before is known by commit ids alone."""
    title = str(snapshot.revision)
    return [{"id": snapshot.commit, "title": title, "message": "", "date": date, "authors": []}]


def children(paths: Iterable[str], directory: str, *, recursive: bool) -> list[str]:
    """The paths below a directory, "" for the root: of all files, or of the next level, directories with a slash."""
    prefix = f"{directory}/" if directory else ""
    below = [path for path in paths if path.startswith(prefix)]
    nested = {prefix + part + "/" for path in below for part in _parents(path.removeprefix(prefix), recursive)}
    return sorted([*nested, *(path for path in below if recursive or "/" not in path.removeprefix(prefix))])


def _parents(path: str, recursive: bool) -> list[str]:
    """The directories of a path: all, or the first."""
    parts = path.split("/")[:-1]
    found = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return found if recursive else found[:1]


def entries(snapshot: Snapshot, files: Files, date: str | None) -> list[dict[str, Any]]:
    """Items of a tree: files and directories, whose paths may end with a slash. With `date` each has its commit."""
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
