"""Requests of the Hugging Face Hub's clients: revisions and paths, lists of paths, filters for lists of models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, unquote

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from fanin.recipe import parse_json
from fanin_service.surfaces.hub import TAGS

MAX_PATHS = 2500
"""Maximum number of paths in one request. No revision has more: at most 1000 uploaded files and 1000 of weights."""
_LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)
_SORTS = ("downloads", "likes", "trendingScore")
"""Sort keys for which all models are equal: this service counts none of them and reports 0."""
_MORE = ("full", "config", "cardData", "expand", "direction")
"""Parameters that do not change which models a list has: they request more details, as far as these exist."""


def tail(raw_path: bytes, head: str) -> str:
    """Return the rest of a raw path after the unescaped `head`; an empty text if the path does not begin with it."""
    parts = raw_path.decode("latin-1").split("/")
    # An escaped slash joins two parts, so at most as many parts as `head` has can express it.
    most = min(len(parts), head.count("/") + 1)
    ends = (end for end in range(most + 1) if unquote("/".join(parts[:end])) == head)
    return "/".join(parts[next(ends, len(parts)) :])


def revision_and_path(raw_path: bytes, head: str) -> tuple[str, str]:
    """Return the revision after `head`, in which a slash is escaped, and the path after the revision."""
    revision, _, path = tail(raw_path, head).partition("/")
    return unquote(revision), unquote(path)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter is set, in the notations of clients in Python and JavaScript."""
    return query.get(name, "").lower() in ("true", "1")


def paths_of_json(body: bytes) -> tuple[list[str], bool]:
    """Return the paths that a JSON body lists, and whether it requests commits. The time grows with the number of
    bytes.

    Raises:
        HTTPException: the list of paths is missing or too long, or has other values than texts.
        RecipeError: the body is not JSON.
    """
    document = parse_json(body)
    paths, expand = (document.get("paths"), document.get("expand")) if isinstance(document, dict) else (None, None)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise HTTPException(400, "paths: must be a list of texts")
    _check_count(len(paths))
    return paths, expand is True


def paths_of_form(body: bytes) -> tuple[list[str], bool]:
    """Return the paths that a form lists, and whether it requests commits.

    Raises:
        HTTPException: the list of paths is too long.
    """
    _check_count(body.count(b"&"))
    fields = parse_qs(body.decode("latin-1"))
    return fields.get("paths", []), flag({name: values[0] for name, values in fields.items()}, "expand")


def _check_count(count: int) -> None:
    if count > MAX_PATHS:
        raise HTTPException(400, f"paths: {count} paths; a request may have at most {MAX_PATHS}. The tree lists all")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of a list of models."""

    author: str | None
    search: str
    """Part of the name, in lower case."""
    limit: int | None

    @classmethod
    def of(cls, query: QueryParams) -> Self:
        """Return the filter in a query string.

        Raises:
            HTTPException: the query filters or sorts by something unknown here, so the list would be wrong.
        """
        for field, value in query.multi_items():
            if field in ("author", "search", *_MORE):
                continue
            if field == "limit" and _LIMIT.fullmatch(value):
                continue
            allowed = {"filter": TAGS, "sort": _SORTS}.get(field)
            if allowed is None or value not in allowed:
                raise HTTPException(400, _refusal(field, value, allowed))
        limit = query.get("limit")
        return cls(query.get("author"), query.get("search", "").lower(), None if limit is None else int(limit))

    def of_names(self, names: Iterable[str]) -> Sequence[str]:
        """Return the names that match, in their order."""
        found = [
            name
            for name in names
            if (self.author is None or name.startswith(f"{self.author}/")) and self.search in name.lower()
        ]
        return found[: self.limit]


def _refusal(field: str, value: str, allowed: Sequence[str] | None) -> str:
    if field == "limit":
        return f"limit {value[:80]!a}: must be a number from 0 to 999999999"
    if allowed is None:
        return f"{field[:80]}: not supported; author and search select models"
    return f"{field} {value[:80]!a}: no value of models here; {field} is one of {', '.join(allowed)}"
