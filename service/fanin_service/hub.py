"""The Hugging Face Hub's words: what its clients read of models, and of errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp

from fanin_service.models.content import CONFIG
from fanin_service.models.revisions import MAIN
from fanin_service.models.snapshot import File, Snapshot
from fanin_service.problems import URN
from fanin_service.surface import Surface

ROOT = "/hf"
"""Clients find the service by HF_ENDPOINT=http://host/hf."""
COMMIT = "X-Repo-Commit"
_DATE = "1970-01-01T00:00:00.000Z"
"""A commit has no time: its files are made when they are asked for, and are what they always were."""
_CODES = {
    "unknown-model": "RepoNotFound",
    "unknown-revision": "RevisionNotFound",
    "unknown-file": "EntryNotFound",
}
"""What clients make their own exceptions of."""
_BAD_TOKEN = "Invalid credentials in Authorization header"  # nosec B105: no password
"""The Hub's own words, by which its clients tell a bad token from a repository that is not there."""


def info(name: str, snapshot: Snapshot, files: Mapping[str, File | None]) -> dict[str, Any]:
    """A model at a revision; of files that are given, their sizes too."""
    counts = snapshot.parameters
    namespace, slash, _ = name.partition("/")
    return {
        "_id": snapshot.commit[:24],
        "id": name,
        "modelId": name,
        "author": namespace if slash else None,
        "sha": snapshot.commit,
        "lastModified": _DATE,
        "createdAt": _DATE,
        "private": False,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": ["safetensors", "fanin"],
        **({"library_name": "transformers"} if CONFIG in snapshot.content.files else {}),
        "safetensors": {"parameters": counts, "total": sum(counts.values())},
        "siblings": [{"rfilename": path, **_blob(file)} for path, file in files.items()],
    }


def _blob(file: File | None) -> dict[str, Any]:
    return {"blobId": file.etag, "size": file.size} if file else {}


def refs(snapshot: Snapshot) -> dict[str, Any]:
    """The branches of a model: `main`. All other revisions are made by naming them."""
    branch = {"name": MAIN, "ref": f"refs/heads/{MAIN}", "targetCommit": snapshot.commit}
    return {"branches": [branch], "converts": [], "tags": [], "pullRequests": []}


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


def entry(path: str, snapshot: Snapshot, file: File | None, *, expand: bool) -> dict[str, Any]:
    """An item of a tree: a file, or without one a directory."""
    found: dict[str, Any] = (
        {"type": "file", "path": path, "size": file.size, "oid": file.etag}
        if file
        else {"type": "directory", "path": path, "size": 0, "oid": snapshot.commit}
    )
    if expand:
        found["lastCommit"] = {"id": snapshot.commit, "title": str(snapshot.revision), "date": _DATE}
    return found


def error(status: int, headers: MutableHeaders, problem: Mapping[str, Any]) -> tuple[int, bytes]:
    """A problem as the Hub's clients read it.

    429 stands for 503 too: most of them repeat a GET after the one and give up after the other.
    """
    headers["content-type"] = "application/json"
    if code := _CODES.get(problem["type"].removeprefix(URN)):
        headers["x-error-code"] = code
    # Header fields are ASCII for certain (RFC 9110 section 5.5); the body says it in full.
    is_bad_token = status == HTTPStatus.UNAUTHORIZED and "invalid_token" in headers.get("www-authenticate", "")
    message = _BAD_TOKEN if is_bad_token else problem["detail"]
    ascii_ = message.encode("ascii", "backslashreplace").decode()
    # A control character, which a path may have, is not allowed in a header.
    headers["x-error-message"] = "".join(each if each.isprintable() else " " for each in ascii_)
    is_busy = status == HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.TOO_MANY_REQUESTS if is_busy else status, json.dumps({"error": problem["detail"]}).encode()


def surface(app: ASGIApp) -> ASGIApp:
    """The application, with errors below `ROOT` in these words."""
    return Surface(app, ROOT, error)
