"""Names of models and of their files."""

from __future__ import annotations

import re

from fanin.file import shards
from fanin_service.models.revisions import is_revision

RECIPE = "recipe.json"
"""Name of the file of a model that has its recipe. Other files are served unchanged."""
RULE = (
    "a model's name is one or two parts with a slash between, each of up to 96 letters, digits and ._-."
    " A part begins with a letter, a digit or _ and ends with one, without -- and .., and not in .git."
    " The first of two is not api, datasets, kernels or spaces"
)
NEW_RULE = (
    "the second part of a new name must not be a revision, or one of auth-check, commits, paths-info, raw, refs,"
    " resolve, revision and tree: in URLs it would mean something about the model that the first part names"
)
LONG_RULE = "a new name has at most 255 characters, where a capital letter and the slash count as two"

_MAX_GROUP = 255
"""Maximum length of a file's name on Linux."""
_UPPER, _ESCAPED = re.compile("[A-Z]"), re.compile("!([a-z])")
_PART = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_NO_NAMESPACES = ("api", "datasets", "kernels", "spaces")
"""Names that cannot be namespaces. In the Hugging Face Hub's paths they mark other repositories: datasets/x is the data
set x."""
_VERBS = frozenset(("auth-check", "commits", "paths-info", "raw", "refs", "resolve", "revision", "tree"))
"""Words that follow a model's name in the Hub's paths: /api/models/x/refs lists the branches of x."""
_FILE_PART = re.compile(r"[\w.-]{1,100}", re.ASCII)
_MAX_FILE_NAME = 200


def is_model(name: str) -> bool:
    """Return whether this is a valid name of a model. Clients of the Hugging Face Hub accept the same names."""
    parts = name.split("/")
    if len(parts) == 2 and parts[0] in _NO_NAMESPACES:
        return False
    return len(parts) <= 2 and all(_PART.fullmatch(part) and not _is_special(part) for part in parts)


def new_fault(name: str) -> str | None:
    """Return why a new model must not have this name; None if it may.

    Names that older versions accepted stay readable. `is_model` accepts them.
    """
    if not is_model(name):
        return RULE
    if len(group_of(name)) > _MAX_GROUP:
        return LONG_RULE
    second = name.partition("/")[2]
    return NEW_RULE if second in _VERBS or is_revision(second) else None


def _is_special(part: str) -> bool:
    return "--" in part or ".." in part or part.endswith(".git")


def group_of(name: str) -> str:
    """Return the group of objects of a model: one part for two. It is unique, since no part of a name has two hyphens.

    `A` is written `!a`. If a file system ignores case, `Me/x` and `me/x` would otherwise be one model, and a key for
    the one could replace the other.
    """
    return _UPPER.sub(lambda letter: f"!{letter[0].lower()}", name.replace("/", "--"))


def name_of(group: str) -> str:
    """Return the name of the model with this group of objects."""
    return _ESCAPED.sub(lambda letter: letter[1].upper(), group.replace("--", "/"))


def file_fault(name: str) -> str | None:
    """Return why an uploaded file must not have this name; None if it may."""
    if len(name) > _MAX_FILE_NAME or not all(
        _FILE_PART.fullmatch(part) and part.strip(".") for part in name.split("/")
    ):
        return f"a file's name has up to {_MAX_FILE_NAME} letters, digits and ._-, and may be in directories"
    if any(names.has(name) for names in shards.NAMES):
        return "this name belongs to a file that is generated from the recipe"
    return None
