"""Names of models and of their files."""

from __future__ import annotations

import re

from fanin.shards import INDEX

RECIPE = "recipe.json"
"""Name of the file of a model that has its recipe. Other files are served unchanged."""
RULE = (
    "a model's name is one or two parts with a slash between, each of up to 96 letters, digits and ._-."
    " A part begins with a letter, a digit or _ and ends with one, without -- and .., and not in .git."
    " The first of two is not api, datasets, kernels or spaces"
)

_PART = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_NO_NAMESPACES = ("api", "datasets", "kernels", "spaces")
"""Names that cannot be namespaces. In the Hugging Face Hub's paths they mark other repositories: datasets/x is the data
set x."""
_FILE_PART = re.compile(r"[\w.-]{1,100}", re.ASCII)
_MAX_FILE_NAME = 200
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors", re.ASCII)


def is_model(name: str) -> bool:
    """Return whether this is a valid name of a model. Clients of the Hugging Face Hub accept the same names."""
    parts = name.split("/")
    if len(parts) == 2 and parts[0] in _NO_NAMESPACES:
        return False
    return len(parts) <= 2 and all(_PART.fullmatch(part) and not _is_special(part) for part in parts)


def _is_special(part: str) -> bool:
    return "--" in part or ".." in part or part.endswith(".git")


def file_fault(name: str) -> str | None:
    """Return why an uploaded file must not have this name; None if it may."""
    if len(name) > _MAX_FILE_NAME or not all(
        _FILE_PART.fullmatch(part) and part.strip(".") for part in name.split("/")
    ):
        return f"a file's name has up to {_MAX_FILE_NAME} letters, digits and ._-, and may be in directories"
    if name == INDEX or _WEIGHTS.fullmatch(name):
        return "this name belongs to a file that is generated from the recipe"
    return None
