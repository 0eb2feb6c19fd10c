"""Content: all files that were uploaded for a model, under one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import rfc8785

from fanin import Recipe
from fanin.dtypes import DTypeName
from fanin.file import shards
from fanin.file.shards import CONFIG, LITERALS, FileNames
from fanin_service.models import names
from fanin_service.models.errors import ModelError, UnknownRevisionError
from fanin_service.models.literals import Literals
from fanin_service.models.names import RECIPE
from fanin_service.models.revisions import CONTENT_BYTES, Revision, ShardSize
from fanin_service.models.template import Template
from fanin_service.recipes import limits
from fanin_service.settings import Settings

FORMAT = "fanin.model/3"
"""Version of the way in which the files of a revision follow from content: names, headers, shards, changes in
config.json. It must change whenever a byte of those files does. Clients would otherwise treat their cached files as
current."""
MAX_SHARDS = 1000
"""Maximum number of files of weights in a revision. Each has a separate header, and all are listed together."""
MAX_CONFIG_BYTES = 1 << 20
"""Maximum bytes of config.json, which is parsed and rewritten in every request for another storage type."""
_TORCH_NAMES: dict[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}
"""Storage types in which loaders allocate parameters, by torch's names. Those of 8 bits are missing: torch rejects them
as default types, so loaders that read one fail."""
_DTYPE_FIELDS = ("dtype", "torch_dtype")
_OF_WEIGHTS = (RECIPE, LITERALS)
"""Files that are not served unchanged."""
_MAX_DEPTH = 64
_KEPT = 8
"""Maximum number of cached divisions into shards of one model."""
_LARGE = 256 << 10
"""Bytes of a recipe's text above which it is large: about 4,000 tensors."""
_PER_CONTENT, _PER_FILE, _PER_LITERAL = 3_000, 300, 700
_PER_SHARD, _PER_SHARDED_NAME = 300, 10
"""Estimated bytes of memory in addition to texts: of a content, a file, a literal; of a shard, and of a name in one."""
_PER_PART, _PER_PART_NAME, _PER_PART_BYTE = 4_000, 150, 5
"""Estimated bytes of memory of a shard's cached recipe and layout, of a name in them, and of a byte of its text."""


class Content:
    """A recipe whose default storage type is still open, and the files that are served with its weights."""

    def __init__(self, template: Template, files: Mapping[str, bytes], literals: Literals | None = None) -> None:
        self.template = template
        self.files = files
        self.literals = literals
        """Tensors that the recipe does not describe; None if there are none."""
        self.tags: dict[str, str] = {}
        """Entity tags of files that are served unchanged, once they were requested, by their names in the upload."""
        self.blobs: dict[str, str] = {}
        """Git's ids of these files, once they were described."""
        self._most_shards = 0
        self.shards: Callable[[DTypeName, ShardSize], Mapping[str, Sequence[str]]] = lru_cache(_KEPT)(self._shards)
        """Return the tensors of each file of weights, by the file's name, for a storage type and a size.

        Raises:
            RecipeError: the recipe is not possible with this type.
            UnknownRevisionError: there would be too many files.
        """
        self._parts: tuple[tuple[DTypeName, ShardSize] | None, dict[str, Recipe]] = None, {}
        """A storage type and a size, and the recipes of its files of weights that were needed, by the file's name."""

    @classmethod
    def put(cls, files: Mapping[str, bytes], settings: Settings) -> Content:
        """Return the content of files that a client has uploaded.

        Raises:
            ModelError: a file is missing or has an invalid name, there are too many files, or config.json is invalid.
            RecipeError: the recipe is invalid.
            LimitExceededError: the recipe exceeds a limit.
        """
        others = {name: content for name, content in files.items() if name not in _OF_WEIGHTS}
        if RECIPE not in files:
            raise ModelError(f"{RECIPE}: this file is required")
        if len(files[RECIPE]) > settings.max_recipe_bytes:
            raise ModelError(f"{RECIPE}: {len(files[RECIPE])} bytes; the limit is {settings.max_recipe_bytes:d}")
        if len(others) > settings.max_model_files:
            raise ModelError(f"{len(others)} files beside the recipe; the limit is {settings.max_model_files}")
        for name in others:
            if fault := names.file_fault(name):
                raise ModelError(f"{name!a}: {fault}")
            if any(other.startswith(f"{name}/") for other in others):
                raise ModelError(f"{name!a}: is both a file and a directory")
        if CONFIG in others:
            _check_config(others[CONFIG])
        template = Template.put(files[RECIPE], settings)
        literals = Literals.read(files[LITERALS]) if LITERALS in files else None
        if literals is not None:
            _check_literals(literals, template, settings)
        return cls(template, others, literals)

    @classmethod
    def stored(cls, files: Mapping[str, bytes]) -> Content:
        """Return the content that was stored as these files."""
        others = {name: content for name, content in files.items() if name not in _OF_WEIGHTS}
        literals = Literals.read(files[LITERALS]) if LITERALS in files else None
        return cls(Template(files[RECIPE]), others, literals)

    @cached_property
    def all(self) -> dict[str, bytes]:
        """The files as which it is stored."""
        literals = {} if self.literals is None else {LITERALS: self.literals.content}
        return {**self.files, **literals, RECIPE: self.template.text}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the names and digests of all files, in hexadecimal."""
        listing = {name: hashlib.sha256(content).hexdigest() for name, content in self.all.items()}
        return hashlib.sha256(rfc8785.dumps(listing)).hexdigest()

    @cached_property
    def names(self) -> FileNames:
        """The names of its files of weights."""
        return shards.names_for(self.files)

    @property
    def key(self) -> bytes:
        """The bytes that represent it in commit ids."""
        return content_key(self.digest)

    @property
    def is_large(self) -> bool:
        """True if creating one of its revisions takes so long that a separate thread must do it."""
        return len(self.template.text) > _LARGE or self.template.work > limits.LARGE

    @property
    def size(self) -> int:
        """Bytes of memory that it takes now. They grow when more of its revisions are requested.

        With the first revision, all its files of weights count, although `part` creates each only when it is needed.
        """
        remembered: Any = self.shards
        kept: int = remembered.cache_info().currsize
        names = len(self.template.recipe.tensors) if kept else 0
        parts = _PER_PART_NAME * names + _PER_PART_BYTE * len(self.template.text) if kept else 0
        literals = self.literals
        taken = 0 if literals is None else len(literals.content) + _PER_LITERAL * len(literals.tensors)
        return (
            _PER_CONTENT
            + sum(len(name) + len(content) + _PER_FILE for name, content in self.files.items())
            + taken
            + self.template.size
            + kept * (_PER_SHARD * (1 + self._most_shards) + _PER_SHARDED_NAME * names)
            + parts
            + _PER_PART * self._most_shards
        )

    @cached_property
    def main(self) -> Revision:
        """The revision of the recipe as it was uploaded."""
        return Revision(self.template.seed, self.template.dtype)

    def _shards(self, dtype: DTypeName, size: ShardSize) -> dict[str, Sequence[str]]:
        found = shards.split(
            self.template.typed(dtype), size.bytes, has_literals=self.literals is not None, names=self.names
        )
        if len(found) > MAX_SHARDS:
            detail = f"{len(found)} files of {size}; at most {MAX_SHARDS}: choose a larger size"
            raise UnknownRevisionError(detail)
        self._most_shards = max(self._most_shards, len(found))
        return found

    def part(self, dtype: DTypeName, size: ShardSize, path: str) -> Recipe:
        """Return the recipe of a file of weights, with the seed of the upload.

        It is cached: the files of other seeds share its order of tensors and the long part of its header.
        """
        of, kept = self._parts
        if of != (dtype, size):
            kept = {}
            self._parts = (dtype, size), kept  # together: other threads may read them now
        if path not in kept:
            kept[path] = self.template.typed(dtype).part(self.shards(dtype, size)[path])
        return kept[path]

    def config(self, dtype: DTypeName) -> bytes:
        """Return config.json for a storage type: unchanged, except where it names another type for the parameters."""
        given = self.files[CONFIG]
        if dtype not in _TORCH_NAMES:
            return given
        document = json.loads(given)
        agreeing = _agreeing(document, _TORCH_NAMES[dtype])
        return given if agreeing == document else _written(agreeing)


def _written(document: Any) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def content_key(digest: str) -> bytes:
    """Return the bytes that represent the content with this digest in commit ids."""
    return hashlib.sha256(f"{FORMAT}\n{digest}".encode()).digest()[:CONTENT_BYTES]


def _check_literals(literals: Literals, template: Template, settings: Settings) -> None:
    """Check literals against the recipe that they accompany.

    Raises:
        ModelError: there are too many, one is in the recipe too, or they belong to another seed.
    """
    if len(literals.tensors) > settings.max_tensors:
        raise ModelError(f"{LITERALS}: {len(literals.tensors)} tensors; the limit is {settings.max_tensors}")
    if both := sorted(literals.tensors.keys() & template.recipe.tensors.keys()):
        raise ModelError(f"{LITERALS}: {both[0]!a:.80} is in the recipe too")
    if literals.seed not in (None, template.seed):
        raise ModelError(f"{LITERALS}: its values belong to seed {literals.seed}, the recipe has {template.seed}")


def _check_config(text: bytes) -> None:
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelError(f"{CONFIG}: {len(text)} bytes; the limit is {MAX_CONFIG_BYTES}")
    try:
        # Less strict than for a recipe: some configurations contain Infinity.
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CONFIG}: not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ModelError(f"{CONFIG}: must be a JSON object")
    level, depth = [document], 0
    while level := [each for node in level for each in _members(node)]:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ModelError(f"{CONFIG}: nested more than {_MAX_DEPTH} deep")
    try:
        # A revision with another storage type rewrites the file, which must not fail then.
        _written(document)
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ModelError(f"{CONFIG}: {half!a} is half of a surrogate pair; texts must be valid Unicode") from None


def _members(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _agreeing(node: Any, dtype: str) -> Any:
    """Return a configuration with this type wherever it, or a nested one, names the type of its parameters."""
    if isinstance(node, list):
        return [_agreeing(each, dtype) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: dtype if name in _DTYPE_FIELDS and member in _TORCH_NAMES.values() else _agreeing(member, dtype)
        for name, member in node.items()
    }
