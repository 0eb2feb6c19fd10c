"""Snapshots: the files of one revision of a model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from fanin import FileLayout, Recipe, RecipeError
from fanin.file import shards
from fanin.schemes.base import Tensor
from fanin_service.http.file import File
from fanin_service.models.content import FORMAT, Content
from fanin_service.models.errors import UnknownFileError, UnknownRevisionError
from fanin_service.models.revisions import Revision

_TAG_DIGITS = 40
"""Length of an entity tag: that of a commit id. Clients of the Hub treat a tag of 64 digits as the SHA-256 of the file,
which is not known in advance."""
_SHOWN = 200
_NAMED = 3
"""Number of names of literals that an error shows."""


def generated(layout: FileLayout) -> File:
    """Return the file of weights that a layout describes."""
    return File(layout, _tag_of_weights(layout.recipe.digest))


@dataclass(frozen=True, slots=True)
class Described:
    """A short description of a file, without its bytes."""

    size: int
    tag: str
    """Entity tag, equal to that of the `File`."""
    blob: str
    """Git's id of a file with these bytes, 40 hexadecimal digits. For weights, whose bytes are not available, the
    entity tag."""
    recipe: str | None = None
    """Digest of the recipe that weights are generated from."""

    @classmethod
    def generated(cls, recipe: Recipe) -> Described:
        """Return the description of the file of this recipe."""
        tag = _tag_of_weights(recipe.digest)
        return cls(FileLayout.of(recipe).size, tag, tag, recipe.digest)


class Snapshot:
    """A revision of a content. Creating one may take a second, for the largest recipes."""

    def __init__(self, content: Content, revision: Revision) -> None:
        """
        Raises:
            UnknownRevisionError: the content has no such revision.
        """
        literals = content.literals
        if literals is not None and literals.seed not in (None, revision.seed):
            some = ", ".join(f"{name!a:.80}" for name in [*literals.tensors][:_NAMED])
            raise UnknownRevisionError(
                f"this model has literals that belong to seed {literals.seed} only ({some}),"
                " so its revisions cannot have another seed"
            )
        try:
            if revision.dtype != content.main.dtype and not content.template.has_open_dtype:
                raise UnknownRevisionError(
                    "every tensor of this model has its own dtype, so a revision cannot choose one"
                )
            self._shards: Mapping[str, Sequence[str]] = content.shards(revision.dtype, revision.size)
            self.recipe: Recipe = content.template.typed(revision.dtype).seeded(revision.seed)
        except RecipeError as error:
            raise UnknownRevisionError(f"this model cannot be served as {revision.dtype}: {error.faults[0]}") from None
        self._literals = None if literals is None else shards.literals_name(self._shards, content.names)
        """Path of the file of literals; None if there are none."""
        self.content = content
        self.revision = revision
        self.commit = revision.commit(content.key)

    @cached_property
    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        index = [self.content.names.index] if self.has_index else []
        literals = [self._literals] if self._literals else []
        return sorted([*self.content.files, *index, *self._shards, *literals])

    @property
    def has_index(self) -> bool:
        """True if the weights are in more than one file."""
        return len(self._shards) > 1 or self._literals is not None

    def is_weights(self, path: str) -> bool:
        """Return whether the file at this path is generated."""
        return path in self._shards

    def layout(self, path: str) -> FileLayout:
        """Return the layout of a file of weights. Takes seconds for the largest."""
        return FileLayout.of(self._part(path))

    def _part(self, path: str) -> Recipe:
        """Return the recipe of a file of weights."""
        revision = self.revision
        return self.content.part(revision.dtype, revision.size, path).seeded(revision.seed)

    def described(self, paths: Sequence[str]) -> list[Described]:
        """Return short descriptions of these files. The time grows with the number of tensors in them.

        Raises:
            UnknownFileError: the revision has no file with one of the paths.
        """
        return [
            Described.generated(self._part(path)) if path in self._shards else self._described_as_given(path)
            for path in paths
        ]

    def tensors_named_in(self, path: str) -> int:
        """Return the number of tensors that the file at this path names; 0 for files that are served unchanged."""
        return self.tensor_count if path == self.content.names.index else len(self._shards.get(path, ()))

    def file(self, path: str) -> File:
        """Return a file that is not generated. The first call takes time for every byte.

        Raises:
            UnknownFileError: the revision has no file with this path.
        """
        content = self.given(path)
        kept = self._upload_name(path, content)
        tag = _tag(content) if kept is None else self._tag_of(kept, content)
        return File(content, tag, is_made=kept is None, has_weights=path == self._literals)

    def _described_as_given(self, path: str) -> Described:
        content = self.given(path)
        kept = self._upload_name(path, content)
        if kept is None:
            return Described(len(content), _tag(content), _blob(content))
        blob = self.content.blobs.get(kept)
        if blob is None:
            blob = self.content.blobs[kept] = _blob(content)
        return Described(len(content), self._tag_of(kept, content), blob)

    def _upload_name(self, path: str, content: bytes) -> str | None:
        """Return the name in the upload of a file that is served unchanged; None if `content` is of this revision."""
        if path == self._literals:
            return shards.LITERALS
        return path if content is self.content.files.get(path) else None

    def _tag_of(self, kept: str, content: bytes) -> str:
        tag = self.content.tags.get(kept)
        if tag is None:
            tag = self.content.tags[kept] = _tag(content)
        return tag

    def side_files(self) -> dict[str, bytes]:
        """Return the files that neither have weights nor say where they are, by path."""
        return {path: self.given(path) for path in self.content.files}

    def given(self, path: str) -> bytes:
        """Return the bytes of a file that is not generated.

        Raises:
            UnknownFileError: the revision has no file with this path.
        """
        if path == self.content.names.index and self.has_index:
            return shards.index(self.recipe, self._shards, self._literal_sizes(), self.content.names)
        if self.content.literals is not None and path == self._literals:
            return self.content.literals.content
        if path not in self.content.files:
            raise UnknownFileError(f"this revision has no file {path[:_SHOWN]!a}; see its list of files")
        return self.content.config(self.revision.dtype) if path == shards.CONFIG else self.content.files[path]

    def _literal_sizes(self) -> dict[str, int]:
        literals = self.content.literals
        return {} if literals is None else {name: literal.size for name, literal in literals.tensors.items()}

    def _tensors(self) -> list[tuple[Tensor, int]]:
        """Return the distinct tensors, and the number of names of each."""
        counts = Counter[int]()
        for _, tensor, names in self.recipe.tensors.lines():
            counts[id(tensor)] += names
        return [(tensor, counts[key]) for key, tensor in self.recipe.tensors.distinct.items()]

    @property
    def parameters(self) -> Counter[str]:
        """Elements of all tensors, including literals, by storage type. The time grows with the number of tensors."""
        counts: Counter[str] = Counter()
        for tensor, names in self._tensors():
            counts[tensor.dtype] += names * shards.count_of(tensor)
        for literal in self.content.literals.tensors.values() if self.content.literals else ():
            counts[literal.dtype] += literal.count
        return counts

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, including literals. The time grows with the number of tensors."""
        return sum(names * shards.bytes_of(tensor) for tensor, names in self._tensors()) + sum(
            self._literal_sizes().values()
        )

    @property
    def tensor_count(self) -> int:
        """Number of tensors, including literals."""
        return len(self.recipe.tensors) + len(self._literal_sizes())


def _tag_of_weights(digest: str) -> str:
    return _tag(f"{FORMAT}\n{digest}".encode())


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_TAG_DIGITS]


def _blob(content: bytes) -> str:
    # `hf cache verify` compares files by Git's id. Nothing relies on it for security here, so SHA-1 is sufficient.
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
