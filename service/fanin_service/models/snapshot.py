"""Snapshots: the files of one revision of a model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fanin import FileLayout, Recipe, RecipeError, shards
from fanin.schemes.base import Tensor
from fanin_service.http.file import File
from fanin_service.models.content import CONFIG, FORMAT, Content
from fanin_service.models.errors import UnknownFileError, UnknownRevisionError
from fanin_service.models.revisions import Revision

_TAG_DIGITS = 40
"""As many as a commit id has. Clients of the Hub take 64 for the SHA-256 of the file, which is not known beforehand."""
_SHOWN = 200
_NAMED = 3
"""Names of literals that an error shows."""


def generated(layout: FileLayout) -> File:
    """Return the file of weights that a layout describes."""
    return File(layout, _tag_of_weights(layout.recipe.digest))


@dataclass(frozen=True, slots=True)
class Described:
    """What is told of a file without its bytes."""

    size: int
    tag: str
    """As that of the `File`."""
    blob: str
    """What Git calls a file of these bytes, where they are at hand: 40 hexadecimal digits; the tag of weights."""
    recipe: str | None = None
    """Digest of the recipe that weights are generated from."""

    @classmethod
    def given(cls, content: bytes) -> Described:
        """A file with these bytes."""
        # Git's own id of them, by which `hf cache verify` compares a file; nothing is kept under it.
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return cls(len(content), _tag(content), blob)

    @classmethod
    def generated(cls, recipe: Recipe) -> Described:
        """The file of this recipe."""
        tag = _tag_of_weights(recipe.digest)
        return cls(FileLayout.of(recipe).size, tag, tag, recipe.digest)


class Snapshot:
    """A revision of a content. Making one may take a second, for the largest recipes."""

    def __init__(self, content: Content, revision: Revision) -> None:
        """
        Raises:
            UnknownRevisionError: the content has no such revision.
        """
        literals = content.literals
        if literals is not None and literals.seed not in (None, revision.seed):
            some = ", ".join(f"{name!a:.80}" for name in [*literals.tensors][:_NAMED])
            raise UnknownRevisionError(
                f"this model has literals that belong to seed {literals.seed} alone ({some}):"
                f" its revisions have no other seed"
            )
        try:
            if revision.dtype != content.main.dtype and not content.template.has_open_dtype:
                raise UnknownRevisionError("every tensor of this model gives its own storage type: none can be chosen")
            self._shards: Mapping[str, Sequence[str]] = content.shards(revision.dtype, revision.size)
            self.recipe: Recipe = content.template.typed(revision.dtype).seeded(revision.seed)
        except RecipeError as error:
            raise UnknownRevisionError(f"this model cannot be had as {revision.dtype}: {error.faults[0]}") from None
        self._literals = None if literals is None else shards.literals_name(self._shards)
        """The path of the file of literals, if there is one."""
        self.content = content
        self.revision = revision
        self.commit = revision.commit(content.key)

    @cached_property
    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        index = [shards.INDEX] if self.has_index else []
        literals = [self._literals] if self._literals else []
        return sorted([*self.content.files, *index, *self._shards, *literals])

    @property
    def has_index(self) -> bool:
        """The weights are in more than one file."""
        return len(self._shards) > 1 or self._literals is not None

    def is_weights(self, path: str) -> bool:
        """Whether the file at this path is generated."""
        return path in self._shards

    def layout(self, path: str) -> FileLayout:
        """The layout of weights. Takes seconds for the largest."""
        return FileLayout.of(self.recipe.part(self._shards[path]))

    def described(self, paths: Sequence[str]) -> list[Described]:
        """These files in short. Takes time for every tensor in them.

        Raises:
            UnknownFileError: there is none at one of the paths.
        """
        return [
            Described.generated(self.recipe.part(self._shards[path]))
            if path in self._shards
            else Described.given(self.given(path))
            for path in paths
        ]

    def tensors_named_in(self, path: str) -> int:
        """How many tensors the file at this path names; 0 for files that are served as they were put."""
        return self.tensor_count if path == shards.INDEX else len(self._shards.get(path, ()))

    def file(self, path: str) -> File:
        """A file that is not generated. Takes time for every byte, the first time.

        Raises:
            UnknownFileError: there is none at this path.
        """
        content = self.given(path)
        if content is not self.content.files.get(path):
            return File(content, _tag(content), is_made=True)
        tag = self.content.tags.get(path)
        if tag is None:
            tag = self.content.tags[path] = _tag(content)
        return File(content, tag)

    def given(self, path: str) -> bytes:
        """The bytes of any other file.

        Raises:
            UnknownFileError: there is none at this path.
        """
        if path == shards.INDEX and self.has_index:
            return shards.index(self.recipe, self._shards, self._literal_sizes())
        if self.content.literals is not None and path == self._literals:
            return self.content.literals.content
        if path not in self.content.files:
            raise UnknownFileError(f"this revision has no file {path[:_SHOWN]!a}; see its list of files")
        return self.content.config(self.revision.dtype) if path == CONFIG else self.content.files[path]

    def _literal_sizes(self) -> dict[str, int]:
        literals = self.content.literals
        return {} if literals is None else {name: literal.size for name, literal in literals.tensors.items()}

    def _tensors(self) -> list[tuple[Tensor, int]]:
        """The tensors that differ, and how many names each has."""
        tensors = self.recipe.tensors.values()
        distinct, counts = {id(tensor): tensor for tensor in tensors}, Counter(map(id, tensors))
        return [(distinct[key], count) for key, count in counts.items()]

    @property
    def parameters(self) -> Counter[str]:
        """Elements of all tensors, literals among them, by storage type. Takes time for every tensor."""
        counts: Counter[str] = Counter()
        for tensor, names in self._tensors():
            counts[tensor.dtype] += names * shards.count_of(tensor)
        for literal in self.content.literals.tensors.values() if self.content.literals else ():
            counts[literal.dtype] += literal.count
        return counts

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, literals among them. Takes time for every tensor."""
        return sum(names * shards.bytes_of(tensor) for tensor, names in self._tensors()) + sum(
            self._literal_sizes().values()
        )

    @property
    def tensor_count(self) -> int:
        """Tensors, literals among them."""
        return len(self.recipe.tensors) + len(self._literal_sizes())


def _tag_of_weights(digest: str) -> str:
    return _tag(f"{FORMAT}\n{digest}".encode())


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_TAG_DIGITS]
