"""The plan of an artifact: the request, the items that it consists of, and its claim on a destination.

The module is slightly long because it writes the claim and reads it: both must have the same members.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from fanin.artifact.destinations.base import Destination
from fanin.artifact.documents import (
    MANIFEST,
    MOST_BYTES,
    OWN,
    PLAN,
    RECIPE,
    VERSION,
    canonical,
    difference,
    is_integer,
    parsed,
)
from fanin.artifact.formats import Arrangement, Content, Given, arrangement_of
from fanin.artifact.formats.safetensors_files import STEM, options_for, seed_in, sizes_in
from fanin.artifact.paths import check_path, check_paths
from fanin.errors import ArtifactError, ConflictError, NotBegunError
from fanin.recipe import Recipe, RecipeLike, as_recipe
from fanin.recipe.assumed_layouts import refuse_assumed

SHARD_BYTES = 5_000_000_000
"""Bytes of tensors in an object by default: those of transformers."""
_PLANS, _PLAN_TENSORS = 8, 100_000
"""Plans that a process keeps, and their tensors. It keeps the newest one in any case."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object of an artifact. One writer creates it."""

    number: int
    name: str
    """Key of the object."""
    content: Content
    nbytes: int
    """Bytes of its tensors."""


@dataclass(frozen=True, slots=True)
class Outline:
    """The names and sizes of the items of an artifact. It takes a few bytes for each item, and none for a tensor."""

    arrangement: Arrangement
    commit_path: str
    """Key of the object that completes the artifact."""

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.arrangement)


class Plan:
    """The items of one artifact. Equal requests have equal plans, byte for byte."""

    def __init__(
        self,
        recipe: Recipe,
        *,
        format: str,
        shard_bytes: int,
        digests: Mapping[str, tuple[int, str]],
        has_literals: bool,
        options: Mapping[str, Any],
        read: Callable[[str], bytes],
    ) -> None:
        """Use `Plan.of` or `read_plan`.

        Args:
            recipe: The recipe of all tensors.
            format: Name of the format.
            shard_bytes: Maximum bytes of tensors in an item, unless one tensor is larger.
            digests: Size and SHA-256 of each given file, by its path.
            has_literals: Whether one of the given files has literals.
            options: Further parameters of the format, as JSON values.
            read: Returns the content of a given file.
        """
        self.recipe, self.format, self.shard_bytes, self.options = recipe, format, shard_bytes, options
        self.read = read
        self.arrangement = _arranged(format, Given(recipe, shard_bytes, has_literals, options))
        self.digests: Mapping[str, tuple[int, str]] = MappingProxyType(dict(sorted(digests.items())))
        self.has_literals = has_literals

    @classmethod
    def of(
        cls,
        recipe: RecipeLike,
        *,
        format: str = "hf",
        shard_bytes: int = SHARD_BYTES,
        files: Mapping[str, bytes] | None = None,
        literals: bytes | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Self:
        """Return the plan of a request.

        Args:
            recipe: A recipe in any form that `fanin.as_recipe` takes.
            format: `hf`, `safetensors` or `dcp`.
            shard_bytes: Maximum bytes of tensors in an item, unless one tensor is larger.
            files: Further files such as config.json, by their paths in the destination.
            literals: A safetensors file with tensors that the recipe does not describe.
            options: Further parameters of the format, as JSON values.

        Raises:
            ValueError: an argument is wrong.
            FileError: `literals` is not a safetensors file.
            RecipeError: the recipe is wrong.
        """
        _check_shard_bytes(shard_bytes)
        found, given = as_recipe(recipe), {path: bytes(content) for path, content in (files or {}).items()}
        if format == "dcp":
            # torch reads it, and the layout that a recipe without one has is that of Keras.
            refuse_assumed(found)
        implied = options_for(given) if STEM in arrangement_of(format).OPTIONS else {}
        options = json.loads(json.dumps({**implied, **(options or {})}, sort_keys=True))
        # Arranged first without contents: the path of the literals depends on the number of items.
        arrangement = _arranged(format, Given(found, shard_bytes, literals is not None, options))
        if literals is not None:
            if twice := sorted(sizes_in(literals).keys() & found.tensors.keys()):
                raise ValueError(f"the literals have the tensor {twice[0]!r}, which the recipe has too")
            if (seed := seed_in(literals)) not in (None, str(found.seed)):
                raise ValueError(f"the values of the literals belong to seed {seed}, the recipe has {found.seed}")
        check_paths(given, arrangement)
        if literals is not None:
            assert arrangement.literals_path is not None
            given[arrangement.literals_path] = arrangement.literals(literals)
        digests = {path: (len(content), hashlib.sha256(content).hexdigest()) for path, content in given.items()}
        return cls(
            found,
            format=format,
            shard_bytes=shard_bytes,
            digests=digests,
            has_literals=literals is not None,
            options=options,
            read=given.__getitem__,
        )

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.arrangement)

    def item(self, number: int) -> Item:
        """Return an item, 0 to `len(plan) - 1`.

        Raises:
            IndexError: no item has this number.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"item {number}: the artifact has items 0 to {len(self) - 1}")
        arrangement = self.arrangement
        return Item(number, arrangement.name(number), arrangement.content(number), arrangement.nbytes(number))

    @property
    def nbytes(self) -> int:
        """Bytes of the tensors of all items."""
        return self.arrangement.total()

    @property
    def commit_path(self) -> str:
        """Key of the object that completes the artifact. It is created last."""
        return self.arrangement.commit_path or MANIFEST

    def outline(self) -> Outline:
        """Return what a survey needs, without the recipe."""
        return Outline(self.arrangement.outline(), self.commit_path)

    def document(self) -> bytes:
        """Return the claim: canonical JSON, which says everything that the bytes of the artifact depend on."""
        return canonical(
            {
                "version": VERSION,
                "stream": self.recipe.stream,
                "recipe": self.recipe.digest,
                "format": self.format,
                "shard_bytes": self.shard_bytes,
                "items": len(self),
                "bytes": self.nbytes,
                "files": {path: {"size": size, "sha256": digest} for path, (size, digest) in self.digests.items()},
                "literals": self.arrangement.literals_path if self.has_literals else None,
                "options": self.options,
            }
        )


def begin(plan: Plan, destination: Destination) -> None:
    """Claim a destination for a plan, and create its given files. Do nothing that was done before.

    Raises:
        ConflictError: the destination has another artifact, or other objects.
        ArtifactError: the plan or the recipe has more bytes than other processes would read.
        OSError: the destination cannot be read or written.
    """
    document = plan.document()
    for key, count in ((PLAN, len(document)), (RECIPE, len(plan.recipe.canonical))):
        destination.check_size(key, count, MOST_BYTES)
    found = destination.read(PLAN, MOST_BYTES)
    if found is None:
        foreign = next((key for key, _ in destination.objects() if not key.startswith(OWN)), None)
        if foreign is not None and (found := destination.read(PLAN, MOST_BYTES)) is None:
            raise ConflictError(
                f"{destination.url}: it has no artifact, but {foreign}; an artifact needs an empty destination"
            )
        if found is None:
            found = destination.claim(PLAN, document)
            if found == document and destination.create(PLAN, [memoryview(document)], len(document)):
                # It exists. Two drivers would replace each other's objects.
                raise ArtifactError(f"{destination.url}: this store ignores If-None-Match, which an artifact needs")
    if found != document:
        raise ConflictError(f"{destination.url} has another artifact: {difference(found, document)}")
    destination.put(RECIPE, plan.recipe.canonical)
    for path in plan.digests:
        destination.put(path, plan.read(path))


def read_plan(destination: Destination) -> Plan:
    """Return the plan of the artifact in a destination. A process reads and arranges each plan once.

    Raises:
        NotBegunError: the destination has no artifact, or another process is about to begin it.
        ArtifactError: the artifact is damaged, or of a later version of Fanin.
        OSError: the destination cannot be read.
    """
    document = destination.read(PLAN, MOST_BYTES)
    if document is None:
        raise NotBegunError(f"{destination.url} has no artifact: {PLAN} does not exist")
    key = destination.url, document
    with _lock:
        plan = _plans.get(key)
    # Without the lock: a slow bucket stops nobody else.
    plan = plan or _read(destination, document)
    with _lock:
        _plans[key] = plan
        _plans.move_to_end(key)
        tensors = sum(len(kept.recipe.tensors) for kept in _plans.values())
        while len(_plans) > _PLANS or (len(_plans) > 1 and tensors > _PLAN_TENSORS):
            tensors -= len(_plans.popitem(last=False)[1].recipe.tensors)
    return plan


def read_outline(destination: Destination) -> Outline:
    """Return the outline of the artifact in a destination. The plan is read for it, and not cached.

    Raises: as `read_plan`.
    """
    document = destination.read(PLAN, MOST_BYTES)
    if document is None:
        raise NotBegunError(f"{destination.url} has no artifact: {PLAN} does not exist")
    return _read(destination, document).outline()


_lock = threading.Lock()
_plans: OrderedDict[tuple[str, bytes], Plan] = OrderedDict()


def _read(destination: Destination, document: bytes) -> Plan:
    try:
        said = parsed(document)
        version = said["version"]
    except (ValueError, LookupError, TypeError):
        raise ArtifactError(f"{destination.url}: {PLAN} is damaged") from None
    if version != VERSION:
        raise ArtifactError(f"{destination.url}: {PLAN} has version {version!r}; this Fanin reads version {VERSION}")
    text = destination.read(RECIPE, MOST_BYTES)
    if text is None:
        raise NotBegunError(f"{destination.url}: {RECIPE} does not exist: the artifact was not begun to the end")
    recipe = as_recipe(text)

    def read(path: str) -> bytes:
        content = destination.read(path)
        if content is None:
            raise NotBegunError(f"{destination.url}: {path} does not exist: the artifact was not begun to the end")
        if hashlib.sha256(content).hexdigest() != plan.digests[path][1]:
            raise ConflictError(f"{destination.url}: {path} has other content than {PLAN} says")
        return content

    try:
        _check_members(said)
        plan = Plan(
            recipe,
            format=said["format"],
            shard_bytes=said["shard_bytes"],
            digests={path: (file["size"], file["sha256"]) for path, file in said["files"].items()},
            has_literals=said["literals"] is not None,
            options=said["options"],
            read=read,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{destination.url}: {PLAN} is damaged: {error}") from None
    if plan.document() != document:
        raise ArtifactError(f"{destination.url}: {PLAN} and {RECIPE} differ: {difference(document, plan.document())}")
    return plan


def _check_members(said: Mapping[str, Any]) -> None:
    """Check the types of the members of a claim, and its paths.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is not one of Fanin.
    """
    if not isinstance(said["format"], str) or not isinstance(said["options"], dict):
        raise ValueError("format is a text, and options is an object")
    _check_shard_bytes(said["shard_bytes"])
    for path, file in said["files"].items():
        check_path(path)
        if not is_integer(file["size"]) or not isinstance(file["sha256"], str):
            raise ValueError(f"file {path!r}: size is an integer, and sha256 is a text")


def _arranged(format: str, given: Given) -> Arrangement:
    kind = arrangement_of(format)
    if unknown := sorted(given.options.keys() - set(kind.OPTIONS)):
        allowed = ", ".join(map(repr, kind.OPTIONS)) or "none"
        raise ValueError(f"option {unknown[0]!r}: format {format!r} has other options: {allowed}")
    return kind(given)


def _check_shard_bytes(shard_bytes: object) -> None:
    if not is_integer(shard_bytes) or not 1 <= shard_bytes < 2**63:
        raise ValueError(f"shard_bytes is an integer from 1 to 2^63 - 1, not {shard_bytes!r}")
