"""The recipe in the header of a Fanin file (SPEC.md section 8)."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from fanin.errors import FileError, RecipeError
from fanin.recipe.model import Recipe, from_json
from fanin.recipe.strict_json import parse_json

MAX_HEADER_BYTES = 100_000_000
"""Most bytes of a header's JSON that the official safetensors reader accepts."""
METADATA_RECIPE = "fanin.recipe"
"""The member of a file's metadata that holds the recipe's JSON."""


def has_weights(file: io.BufferedReader) -> bool:
    """Return whether an open file, read from its start, is a safetensors file and not JSON.

    The former begins with a length of eight bytes, the upper ones zero; JSON has no such bytes.
    """
    return b"\0" in file.peek(8)[:8]


def recipe_in(file: BinaryIO) -> Recipe:
    """Return the recipe in the header of a safetensors file, which is read from its start.

    Raises:
        FileError: the header is damaged, or has no valid recipe.
    """
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 0 < length <= MAX_HEADER_BYTES:
        raise FileError("not a safetensors file: it does not begin with the length of a header")
    text = file.read(length)
    if len(text) < length:
        raise FileError("the file ends inside its header")
    try:
        document = parse_json(text)
    except RecipeError as error:
        raise FileError(f"not a safetensors file: {error}") from None
    metadata = document.get("__metadata__") if isinstance(document, dict) else None
    recipe = metadata.get(METADATA_RECIPE) if isinstance(metadata, dict) else None
    if not isinstance(recipe, str):
        raise FileError(f"the header carries no recipe ({METADATA_RECIPE} in __metadata__)")
    try:
        return from_json(parse_json(recipe))
    except RecipeError as error:
        raise FileError(f"the recipe in the header is wrong: {error}") from None
