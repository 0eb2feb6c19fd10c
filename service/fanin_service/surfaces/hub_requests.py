"""What requests of the Hugging Face Hub's clients ask for: revisions and paths, lists of paths, lists of models."""

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
"""Paths in one request: more than any revision has, of at most 1000 files that were put and 1000 of weights."""
_LIMIT = re.compile(r"[0-9]{1,9}", re.ASCII)
_SORTS = ("downloads", "likes", "trendingScore")
"""Orders in which all models are equal: nothing of this is counted here, and each says 0."""
_MORE = ("full", "config", "cardData", "expand", "direction")
"""Parameters that change nothing in which models there are: they ask for more of each, where there is more."""


def tail(raw_path: bytes, head: str) -> str:
    """What follows `head`, which is not escaped, in a path as it was sent; empty where the path does not begin so."""
    parts = raw_path.decode("latin-1").split("/")
    # An escaped slash joins two parts in one, so no more parts than `head` has can spell it.
    most = min(len(parts), head.count("/") + 1)
    ends = (end for end in range(most + 1) if unquote("/".join(parts[:end])) == head)
    return "/".join(parts[next(ends, len(parts)) :])


def revision_and_path(raw_path: bytes, head: str) -> tuple[str, str]:
    """The revision that follows `head`, in which a slash is escaped, and the path that follows the revision."""
    revision, _, path = tail(raw_path, head).partition("/")
    return unquote(revision), unquote(path)


def flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a parameter is set, as clients in Python and JavaScript write it."""
    return query.get(name, "").lower() in ("true", "1")


def paths_of_json(body: bytes) -> tuple[list[str], bool]:
    """The paths that a body of JSON asks for, and whether with commits. Takes time for every byte.

    Raises:
        HTTPException: it has no list of paths, or too long a one.
        RecipeError: it is no JSON.
    """
    document = parse_json(body)
    paths, expand = (document.get("paths"), document.get("expand")) if isinstance(document, dict) else (None, None)
    if not isinstance(paths, list):
        raise HTTPException(400, "paths: must be a list of texts")
    _check_count(len(paths))
    return [path for path in paths if isinstance(path, str)], expand is True


def paths_of_form(body: bytes) -> tuple[list[str], bool]:
    """The same of a form.

    Raises:
        HTTPException: it has too many paths.
    """
    _check_count(body.count(b"&"))
    fields = parse_qs(body.decode("latin-1"))
    return fields.get("paths", []), flag({name: values[0] for name, values in fields.items()}, "expand")


def _check_count(count: int) -> None:
    if count > MAX_PATHS:
        raise HTTPException(400, f"paths: {count} paths; at most {MAX_PATHS} are answered at once, and all by the tree")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which models a list is to have."""

    author: str | None
    search: str
    """A part of the name, in lower case."""
    limit: int | None

    @classmethod
    def of(cls, query: QueryParams) -> Self:
        """What a query string asks for.

        Raises:
            HTTPException: it asks for what is not known of models here, so that the list would be another.
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
        """Those of these names that are wanted, in their order."""
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
        return f"{field[:80]}: models are found here by author and search alone"
    return f"{field} {value[:80]!a}: this is not known of models here; {field} is one of {', '.join(allowed)}"
