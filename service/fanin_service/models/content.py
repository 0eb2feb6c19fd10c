"""Content: all that a model was put with, under one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

import rfc8785

from fanin import shards
from fanin.dtypes import DTypeName
from fanin.shards import LITERALS
from fanin_service.models import names
from fanin_service.models.errors import ModelError, UnknownRevisionError
from fanin_service.models.literals import Literals
from fanin_service.models.names import RECIPE
from fanin_service.models.revisions import CONTENT_BYTES, Revision, ShardSize
from fanin_service.models.template import Template
from fanin_service.settings import Settings

FORMAT = "fanin.model/2"
"""How the files of a revision are made of content: names, headers, shards, what is changed in a config.json. Another
name whenever a byte of them changes, so that no client takes what it has for what it would get."""
MAX_SHARDS = 1000
"""Files of weights in a revision: each has a header of its own, and all are listed together."""
CONFIG = "config.json"
MAX_CONFIG_BYTES = 1 << 20
"""It is read and written anew for every request at another storage type."""
_TORCH_NAMES: dict[str, str] = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}
"""Types that parameters are made of. Those of 8 bits are none: torch takes them for no default type, so loaders that
read one fail."""
_DTYPE_FIELDS = ("dtype", "torch_dtype")
_OF_WEIGHTS = (RECIPE, LITERALS)
"""Files that are not served as they are."""
_MAX_DEPTH = 64
_KEPT = 8
"""Cuts into shards that are remembered of one model."""
_LARGE = 256 << 10
"""Bytes of a recipe's text: about 4,000 tensors."""
_PER_CONTENT, _PER_FILE, _PER_LITERAL = 3_000, 300, 700
_PER_SHARD, _PER_SHARDED_NAME = 300, 10
"""Bytes of memory beside texts: of a content, a file, a literal; of a shard, and a name in one."""


class Content:
    """A recipe whose default storage type is still open, and the files that are served beside its weights."""

    def __init__(self, template: Template, files: Mapping[str, bytes], literals: Literals | None = None) -> None:
        self.template = template
        self.files = files
        self.literals = literals
        """Tensors that the recipe does not say, where there are some."""
        self.tags: dict[str, str] = {}
        """Entity tags of files that are served as they were put, once they were asked for."""
        self._most_shards = 0
        self.shards: Callable[[DTypeName, ShardSize], Mapping[str, Sequence[str]]] = lru_cache(_KEPT)(self._shards)
        """The tensors of each file, by its name, at a storage type and a size.

        Raises:
            RecipeError: the recipe is not possible at this type.
            UnknownRevisionError: there would be too many files.
        """

    @classmethod
    def put(cls, files: Mapping[str, bytes], settings: Settings) -> Content:
        """The content that somebody gives.

        Raises:
            ModelError: a file is missing, too many or of a wrong name, or config.json is wrong.
            RecipeError: the recipe is wrong, or exceeds a limit.
        """
        others = {name: content for name, content in files.items() if name not in _OF_WEIGHTS}
        if RECIPE not in files:
            raise ModelError(f"{RECIPE}: this file is required")
        if len(files[RECIPE]) > settings.max_recipe_bytes:
            raise ModelError(f"{RECIPE}: {len(files[RECIPE])} bytes; at most {settings.max_recipe_bytes:d} are taken")
        if len(others) > settings.max_model_files:
            raise ModelError(f"{len(others)} files beside the recipe; at most {settings.max_model_files} are taken")
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
        """The content that was kept as these files."""
        others = {name: content for name, content in files.items() if name not in _OF_WEIGHTS}
        literals = Literals.read(files[LITERALS]) if LITERALS in files else None
        return cls(Template(files[RECIPE]), others, literals)

    @cached_property
    def all(self) -> dict[str, bytes]:
        """The files that it is kept as."""
        literals = {} if self.literals is None else {LITERALS: self.literals.content}
        return {**self.files, **literals, RECIPE: self.template.text}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the names and digests of all files, in hexadecimal."""
        listing = {name: hashlib.sha256(content).hexdigest() for name, content in self.all.items()}
        return hashlib.sha256(rfc8785.dumps(listing)).hexdigest()

    @property
    def key(self) -> bytes:
        """What stands for it in commit ids."""
        return content_key(self.digest)

    @property
    def is_large(self) -> bool:
        """Making one of its revisions takes a while."""
        return len(self.template.text) > _LARGE

    @property
    def size(self) -> int:
        """Bytes of memory that it takes now: more when more of its revisions have been asked for."""
        remembered: Any = self.shards
        kept: int = remembered.cache_info().currsize
        names = len(self.template.recipe.tensors) if kept else 0
        literals = self.literals
        taken = 0 if literals is None else len(literals.content) + _PER_LITERAL * len(literals.tensors)
        return (
            _PER_CONTENT
            + sum(len(name) + len(content) + _PER_FILE for name, content in self.files.items())
            + taken
            + self.template.size
            + kept * (_PER_SHARD * (1 + self._most_shards) + _PER_SHARDED_NAME * names)
        )

    @cached_property
    def main(self) -> Revision:
        """The revision of the recipe as it was put."""
        return Revision(self.template.seed, self.template.dtype)

    def _shards(self, dtype: DTypeName, size: ShardSize) -> dict[str, Sequence[str]]:
        found = shards.split(self.template.typed(dtype), size.bytes, has_literals=self.literals is not None)
        if len(found) > MAX_SHARDS:
            detail = f"{len(found)} files of {size}; at most {MAX_SHARDS}: choose a larger size"
            raise UnknownRevisionError(detail)
        self._most_shards = max(self._most_shards, len(found))
        return found

    def config(self, dtype: DTypeName) -> bytes:
        """config.json at a storage type: as it was put, but where it names another type for the parameters."""
        given = self.files[CONFIG]
        if dtype not in _TORCH_NAMES:
            return given
        document = json.loads(given)
        agreeing = _agreeing(document, _TORCH_NAMES[dtype])
        return given if agreeing == document else _written(agreeing)


def _written(document: Any) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def content_key(digest: str) -> bytes:
    """What stands for the content of this digest in commit ids."""
    return hashlib.sha256(f"{FORMAT}\n{digest}".encode()).digest()[:CONTENT_BYTES]


def _check_literals(literals: Literals, template: Template, settings: Settings) -> None:
    """
    Raises:
        ModelError: they do not go with this recipe.
    """
    if len(literals.tensors) > settings.max_tensors:
        raise ModelError(f"{LITERALS}: {len(literals.tensors)} tensors; at most {settings.max_tensors} are taken")
    if both := sorted(literals.tensors.keys() & template.recipe.tensors.keys()):
        raise ModelError(f"{LITERALS}: {both[0]!a:.80} is in the recipe too")
    if literals.seed not in (None, template.seed):
        raise ModelError(f"{LITERALS}: its values belong to seed {literals.seed}, the recipe has {template.seed}")


def _check_config(text: bytes) -> None:
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelError(f"{CONFIG}: {len(text)} bytes; at most {MAX_CONFIG_BYTES} are taken")
    try:
        # Not as strictly as a recipe: some configurations have an Infinity.
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
        # A revision with another storage type writes it anew.
        _written(document)
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ModelError(f"{CONFIG}: {half!a} is half of a surrogate pair; texts must be valid Unicode") from None


def _members(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _agreeing(node: Any, dtype: str) -> Any:
    """A configuration, and those in it, with this type where it names one for its parameters."""
    if isinstance(node, list):
        return [_agreeing(each, dtype) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: dtype if name in _DTYPE_FIELDS and member in _TORCH_NAMES.values() else _agreeing(member, dtype)
        for name, member in node.items()
    }
