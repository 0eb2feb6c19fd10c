"""Limits: refuses valid recipes that cost more than this service allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fanin import Fault, FileLayout, Recipe
from fanin.dialects.keras import KERAS
from fanin.draws import matrices_of
from fanin.draws.composed import MAX_TABLE
from fanin.errors import pointer
from fanin.names import count
from fanin.recipe import check_sizes, count_tensors, from_json, members, parse_json
from fanin.schemes import SCHEMES
from fanin.schemes.base import MAX_RANK
from fanin_service.recipes.errors import LimitExceededError
from fanin_service.settings import Settings

LARGE = 5_000
"""Work, in tensors, above which a recipe is read in a separate thread: about 50 ms."""
MAKING_BYTES = 600
"""Bytes of memory for each tensor while a recipe is read, in addition to its text (tests/service/test_shared_cache.py).
"""
_PER_DISTRIBUTION = 100
"""Number of tensors that cost as much as a distribution, whose scalars take up to a millisecond."""
_PER_VALUE = 4
"""Number of values of a table that cost as much as a distribution."""
_NARROWEST = 64
"""Minimum length that is counted for the shorter side of a matrix. For a narrower one the kernel takes the memory and
time of this number of columns (256 bytes a row, `fanin.backends.native_orthogonal`)."""
_TABLES = dict.fromkeys(
    (
        *("log_range", "rope_frequencies", "alibi_slopes", "power_range", "sinusoidal", "stft"),
        *("retention_decay", "hippo_legs", "s4d_inv"),
    ),
    MAX_TABLE // _PER_VALUE,
) | {"bilinear": 100}
"""Schemes whose values are computed one by one, most of them to 120 digits. The number is their maximum cost, in
distributions."""
_STFT = (name for name in (*KERAS.initializers, *KERAS.aliases) if name.lower().startswith("stft"))
_COSTS = {name: most for scheme, most in _TABLES.items() for name in SCHEMES[scheme].names()} | dict.fromkeys(
    _STFT, _TABLES["stft"]
)
"""Maximum cost of each table, by all its names. `STFT` of Keras is the only initializer of a dialect with a table."""


@dataclass(frozen=True, slots=True)
class Checked:
    """JSON that may be a recipe, and whose cost is within the limits. No tensor was created from it yet."""

    document: Any
    tensors: int
    distributions: int

    @property
    def work(self) -> int:
        """The cost of reading it, in tensors: 10 us each."""
        return self.tensors + _PER_DISTRIBUTION * self.distributions

    @property
    def is_large(self) -> bool:
        """True if reading it takes more than about 50 ms, so that a separate thread must do it."""
        return self.work > LARGE


def layout_of(document: bytes | Mapping[str, Any] | Checked, settings: Settings) -> FileLayout:
    """Return the layout of the recipe in this JSON, with its digest already computed.

    Takes seconds for the largest recipes, so the event loop's thread must not call it.

    Raises:
        RecipeError: the JSON is not a recipe.
        LimitExceededError: the recipe exceeds a limit.
    """
    parsed = (document if isinstance(document, Checked) else check(document, settings)).document
    recipe = from_json(parsed)
    short = "tensors" not in parsed
    _check_ranks(recipe, settings.max_rank, short)
    layout = FileLayout.of(recipe)
    _check_matrices(layout, settings.max_matrix_elements, short)
    if layout.size > settings.max_file_bytes:
        limit = f"this service generates at most {settings.max_file_bytes:d}"
        raise _exceeded("/shape" if short else "/tensors", f"the file has {layout.size} bytes; {limit}")
    _ = recipe.digest
    return layout


def check(document: bytes | Mapping[str, Any], settings: Settings) -> Checked:
    """Check the cost of a recipe before any of it is created, and return the JSON with its cost.

    Raises:
        RecipeError: the text is not JSON, or a list or object in it is longer than any of a recipe.
        LimitExceededError: the recipe would cost too much.
    """
    parsed = parse_json(document) if isinstance(document, bytes) else document
    if not isinstance(parsed, Mapping):
        return Checked(parsed, 1, 1)  # `layout_of` refuses it
    if (tensors := count_tensors(parsed)) > settings.max_tensors:
        field = "/repeated" if "repeated" in parsed else "/tensors"
        raise _exceeded(field, f"{tensors} tensors; this service accepts at most {settings.max_tensors}")
    check_sizes(parsed)
    _check_text(parsed, settings.max_recipe_bytes)
    return Checked(parsed, tensors, _check_distributions(parsed, settings.max_distributions))


def work_of(document: Mapping[str, Any]) -> int:
    """Return the cost of reading a recipe that was accepted before, in tensors."""
    distinct = {str(tensor): tensor for _, _, tensor in members(document)}
    return count_tensors(document) + _PER_DISTRIBUTION * sum(map(distributions_of, distinct.values()))


def _check_text(document: Any, limit: int) -> None:
    """Refuse a recipe whose repeated names expand to more than `limit` bytes: it is stored and sent expanded."""
    repeated = [(count(name), name, tensor) for field, name, tensor in members(document) if field == "repeated"]
    if (size := sum(times * (len(name) + len(str(tensor))) for times, name, tensor in repeated)) > limit:
        raise _exceeded("/repeated", f"{size} bytes in expanded form; this service accepts at most {limit:d}")


def _check_distributions(document: Any, limit: int) -> int:
    """Return the number of distributions of a document. Each costs up to a millisecond, once for all equal tensors."""
    distinct = {id(tensor): tensor for _, _, tensor in members(document)} or {0: document}
    distributions = {str(tensor): tensor for tensor in distinct.values()}
    if len(distributions) > limit:
        raise _exceeded("/tensors", f"{len(distributions)} different tensors; this service accepts at most {limit}")
    count = sum(map(distributions_of, distributions.values()))
    if count > limit:
        rule = f"where a block counts as one, as do {_PER_VALUE} values of a table"
        raise _exceeded("/tensors", f"{count} different tensors, {rule}; this service accepts at most {limit}")
    return count


def distributions_of(tensor: Any) -> int:
    """Return the cost of a tensor's JSON in distributions, at least 1: that of its blocks, or that of its table.

    The values of a table are computed also for a tensor without elements. A block's table follows the tensor's axes.
    """
    found, level = 0, [(tensor, *_measured(tensor))]
    while level:
        each, sizes, product = level.pop()
        if not isinstance(each, Mapping):
            continue
        if isinstance(parts := each.get("parts"), list | tuple):
            level.extend(_shaped(parts, sizes, each.get("axis", 0)))
        if isinstance(twin := each.get("tensor"), Mapping):
            level.append(_sized(twin))
        if isinstance(source := each.get("tensor"), Mapping):
            level.append((source, *_measured(source)))
        found += 1
        if most := _COSTS.get(str(each.get("scheme"))):
            found += min(product // _PER_VALUE, most)
    return max(found, 1)


def _measured(tensor: Any) -> tuple[Sequence[Any], int]:
    """Return the shape of a tensor's JSON, and the product of its sizes."""
    shape = tensor.get("shape") if isinstance(tensor, Mapping) else None
    sizes: Sequence[Any] = shape if isinstance(shape, list | tuple) and len(shape) <= MAX_RANK else [None]
    return sizes, _product(sizes)


def _sized(tensor: Any) -> tuple[Any, Sequence[Any], int]:
    """Return a tensor's JSON with its shape and the product of its sizes."""
    shape = tensor.get("shape") if isinstance(tensor, Mapping) else None
    sizes: Sequence[Any] = shape if isinstance(shape, list | tuple) and len(shape) <= MAX_RANK else [None]
    return tensor, sizes, _product(sizes)


def _shaped(parts: Sequence[Any], sizes: Sequence[Any], axis: Any) -> Iterator[tuple[Any, Sequence[Any], int]]:
    """Yield each part of a tensor with its shape and the product of its sizes."""
    if not (isinstance(axis, int) and -len(sizes) <= axis < len(sizes)):
        return  # the tensor has no such axis, and is refused before its parts are read
    before, behind = sizes[: axis % len(sizes)], sizes[axis % len(sizes) + 1 :]
    others = _product([*before, *behind])
    for part in parts:
        size = part.get("size") if isinstance(part, Mapping) else None
        yield part, [*before, size, *behind], _product([others, size])


def _product(sizes: Sequence[Any]) -> int:
    """Return the product of the sizes that are not 0, at most `MAX_TABLE`; `MAX_TABLE` for other JSON.

    The product stays small while it is computed. A shape of large sizes would otherwise take minutes, in one call that
    lets no other thread run.
    """
    product = 1
    for size in sizes:
        if not (isinstance(size, int) and size >= 0):
            return MAX_TABLE
        product = min(product * max(size, 1), MAX_TABLE)
    return product


def _check_ranks(recipe: Recipe, limit: int, short: bool) -> None:
    if all(len(tensor.shape) <= limit for tensor in recipe.tensors.distinct.values()):
        return
    for name, tensor in recipe.tensors.items():
        if len(tensor.shape) > limit:
            field = pointer(["shape"] if short else ["tensors", name, "shape"])
            raise _exceeded(field, f"{len(tensor.shape)} axes; this service accepts at most {limit}")


def _check_matrices(layout: FileLayout, limit: int, short: bool) -> None:
    """Refuse large matrices. Each is generated at once, in memory, by work that grows faster than its size."""
    for entry in (layout.entries[place] for place in layout.matrices):
        for matrix in matrices_of(entry.draw):
            shorter, longer = sorted((matrix.rows, matrix.columns))
            if (count := longer * max(shorter, _NARROWEST)) > limit:
                field = pointer(["shape"] if short else ["tensors", entry.name, "shape"])
                counted = f", where the shorter side counts as {_NARROWEST}" if shorter < _NARROWEST else ""
                detail = f"{count} elements of one matrix{counted}; this service generates at most {limit}"
                raise _exceeded(field, detail)


def _exceeded(field: str, detail: str) -> LimitExceededError:
    return LimitExceededError([Fault(field, detail)])
