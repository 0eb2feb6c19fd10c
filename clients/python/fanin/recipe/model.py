"""The recipe: what the user asks for, its one canonical JSON text, and its digest (SPEC.md sections 2 and 3)."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, GetPydanticSchema, ValidationError, field_serializer, model_validator
from pydantic_core import PydanticCustomError

from fanin.dialects import Dialect
from fanin.errors import Fault, RecipeError, pointer, shown
from fanin.frozen import FrozenDict, FrozenModel, computed_once
from fanin.names import Name, RepeatedName, all_valid, named_twice
from fanin.recipe.defaults import DEFAULTS, hand_down
from fanin.recipe.display import Summary
from fanin.recipe.faults import faults
from fanin.recipe.members import MEMBERS, check_sizes, members, plain_document
from fanin.recipe.tensors import Tensors
from fanin.schemes import AnyTensor
from fanin.schemes.base import StorageName, Tensor, as_integer
from fanin.schemes.fans import KernelLayout

STREAM: Literal["fanin/1"] = "fanin/1"
ONLY_TENSOR = "weight"
"""Name of the tensor of a recipe given in the one-tensor short form."""
MAX_SEED = 2**64 - 1
_BATCH = 64
"""Tensors that are validated together: pydantic collects all errors, of a kilobyte each, before it tells of any."""
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)


def _seed(value: Any) -> int:
    value = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else as_integer(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEED:
        return value
    raise PydanticCustomError("seed", "must be an integer from 0 to 2^64 - 1, as a number or a decimal string")


_SeedText = Annotated[str, Field(pattern=f"^({_DECIMAL.pattern})$")]
Seed = Annotated[
    int,
    BeforeValidator(_seed, json_schema_input_type=Annotated[int, Field(ge=0, le=MAX_SEED)] | _SeedText),
    Field(description="0 .. 2^64 - 1, as a number or a decimal string."),
]


class Recipe(FrozenModel):
    """A seed, a stream version, and for each named tensor its shape, dtype, scheme and parameters.

    `fanin.as_recipe` returns one. A recipe and its tensors are immutable: `seeded`, `with_tensors`, `without`, `part`
    and `renamed` return a new recipe of the same stream.

    `dtype`, `layout` and `dialect` are the defaults of tensors that do not give theirs. Validation writes them, and the
    tensors of `repeated`, into `tensors`. Here they then have the library's defaults, so that two spellings of one
    recipe are equal.
    """

    stream: Annotated[Literal["fanin/1"], Field(description="Version of the contract.")] = STREAM
    seed: Seed = 0
    dtype: Annotated[StorageName, Field(description="Default storage type of the tensors.")] = "F32"
    layout: Annotated[KernelLayout, Field(description="Default layout of the kernels.")] = "keras"
    dialect: Annotated[
        Dialect,
        Field(description="Library whose names and parameters the schemes use; a tensor may give another one."),
    ] = "fanin"
    tensors: Annotated[Tensors, GetPydanticSchema(lambda _, handler: handler(dict[Name, AnyTensor]))]
    repeated: Annotated[
        dict[RepeatedName, AnyTensor],
        Field(description="Tensors under names with ranges: layers.{0..79}.bias stands for 80 tensors."),
    ] = {}  # noqa: RUF012 (`_write_out` puts a frozen one in its place)

    @model_validator(mode="before")
    @classmethod
    def _hand_down_defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not all(isinstance(data.get(field, {}), Mapping) for field in MEMBERS):
            return data
        return hand_down(data)

    @model_validator(mode="after")
    def _unite(self) -> Self:
        """Put the repeated tensors among the others."""
        if twice := named_twice(self.tensors.keys(), self.repeated):
            repeated, name = twice
            context = {"reason": f"{name} is named twice", "path": ["repeated", repeated]}
            raise PydanticCustomError("formula", "{reason}", context)
        self.__dict__.update(tensors=Tensors(self.tensors, self.repeated), repeated=FrozenDict())
        return self

    @field_serializer("tensors", mode="wrap")
    def _as_dict(self, tensors: Tensors, handler: Callable[[Any], Any]) -> Any:
        return handler(dict(tensors))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 (pydantic's)
        """A validated copy: pydantic's own would keep the digest of the original."""
        return self.model_validate(
            {"stream": self.stream, "seed": self.seed, "tensors": self.tensors, **(update or {})}
        )

    def seeded(self, seed: int | str) -> Recipe:
        """Return the recipe with another seed: 0 to 2^64 - 1, as a number or a decimal string.

        Raises:
            RecipeError: the seed is out of range, or not a seed.
        """
        try:
            return self._with(self.tensors, _seed(seed))
        except PydanticCustomError as error:
            raise RecipeError([Fault("/seed", str(error), shown(seed))]) from None

    def with_tensors(self, tensors: Mapping[str, Any]) -> Recipe:
        """Return the recipe with these tensors added, or in place of tensors of the same names.

        A tensor without `dtype` or `layout` has the library's defaults, F32 and keras.

            >>> recipe.with_tensors({"head.bias": {"shape": 10, "scheme": "zeros"}})

        Raises:
            RecipeError: a tensor or a name is wrong.
        """
        return self._with(
            {**self.tensors, **from_json(plain_document({"stream": self.stream, "tensors": tensors})).tensors}
        )

    def without(self, *names: str) -> Recipe:
        """Return the recipe without these tensors.

        Raises:
            KeyError: the recipe does not have one of them.
        """
        self._check(names)
        left_out = set(names)
        return self._with({name: tensor for name, tensor in self.tensors.items() if name not in left_out})

    def renamed(self, names: Mapping[str, str]) -> Recipe:
        """Return the recipe with other names for some tensors. Their values change with the name.

        Args:
            names: The new name of a tensor, by its old name.

        Raises:
            KeyError: the recipe does not have one of the tensors.
            RecipeError: a tensor cannot have a new name, or two tensors would have the same.
        """
        self._check(names)
        tensors: dict[str, Tensor] = {}
        for old, tensor in self.tensors.items():
            name = names.get(old, old)
            if name in tensors:
                raise RecipeError([Fault(pointer(["tensors", name]), "two tensors would have this name", shown(old))])
            tensors[name] = tensor
        from_json({"tensors": {name: {"shape": [], "scheme": "zeros"} for name in names.values()}})
        return self._with(tensors)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Recipe:
        """Return the recipe with `change(tensor)` in place of each tensor; names that share one share the result."""
        made: dict[int, Tensor] = {key: change(tensor) for key, tensor in self.tensors.distinct.items()}
        return self._with({name: made[id(tensor)] for name, tensor in self.tensors.items()})

    def part(self, names: Iterable[str]) -> Recipe:
        """Return the recipe of these tensors alone. Their values stay the same.

        Raises:
            KeyError: the recipe does not have one of them.
        """
        return self._with({name: self.tensors[name] for name in names})

    def _check(self, names: Iterable[str]) -> None:
        if missing := [name for name in names if name not in self.tensors]:
            raise KeyError(missing[0])

    def _with(self, tensors: Mapping[str, Any], seed: int | None = None) -> Recipe:
        """A recipe of the same stream, of tensors that are valid already."""
        seed = self.seed if seed is None else seed
        tensors = tensors if isinstance(tensors, Tensors) else Tensors(tensors)
        return Recipe.model_construct(stream=self.stream, seed=seed, tensors=tensors, repeated=FrozenDict())

    def __repr__(self) -> str:
        return self._summary().text()

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return self._summary().html()

    def _summary(self) -> Summary:
        count = len(self.tensors)
        size = sum(math.prod(tensor.shape) * names for _, tensor, names in self.tensors.lines())
        return Summary(f"Recipe: seed {self.seed}, {count:,} tensors, {size:,} elements", self.tensors)

    @property
    def canonical(self) -> bytes:
        """The canonical JSON text (RFC 8785) in UTF-8. All spellings of one recipe have the same text."""
        head = f'{{"seed":"{self.seed:d}","stream":"{self.stream}","tensors":'
        return b"".join((head.encode(), self.tensors.canonical, b"}"))

    @computed_once
    def digest(self) -> str:
        """SHA-256 of the canonical text, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.canonical).hexdigest()


def from_json(document: Any) -> Recipe:
    """Return the recipe of a JSON document that was parsed already, with `parse_json`.

    Raises:
        RecipeError: it is not a recipe; one fault per offending field.
    """
    if not isinstance(document, Mapping):
        raise RecipeError([Fault("", "a recipe is a JSON object", shown(document))])
    check_sizes(document)
    short = "tensors" not in document and ("shape" in document or "scheme" in document)
    if short:
        shared = {
            field: document[field] for field in ("stream", "seed", "dtype", "layout", "dialect") if field in document
        }
        tensor = {field: value for field, value in document.items() if field not in shared}
        document = {**shared, "tensors": {ONLY_TENSOR: tensor}}
    try:
        try:
            return _validated(document)
        except ValidationError as error:
            prefix = ("tensors", ONLY_TENSOR) if short else ()
            raise RecipeError(faults(error, document, prefix)) from None
    except RecursionError:
        raise RecipeError([Fault("", "the recipe is nested too deeply")]) from None


def _validated(document: Mapping[str, Any]) -> Recipe:
    """The recipe. Tensors that are one object in `document` are one object there too, and validated once.

    Raises:
        ValidationError: it is not a recipe; tells what is wrong with the first tensors that are wrong.
    """
    given = {field: document[field] for field in MEMBERS if field in document}
    if sum(len(tensors) for tensors in given.values() if isinstance(tensors, Mapping)) <= _BATCH:
        return Recipe.model_validate(document)
    if not all(isinstance(tensors, Mapping) for tensors in given.values()):
        empty = {field: {} if isinstance(tensors, Mapping) else tensors for field, tensors in given.items()}
        return Recipe.model_validate({**document, **empty})
    try:
        distinct = _distinct(document, {id(tensor): tensor for _, _, tensor in members(document)})
    except ValidationError:
        found = list(members(document))
        for start in range(0, len(found), _BATCH):
            batch: dict[str, dict[str, Any]] = {"tensors": {}, "repeated": {}}
            for field, name, tensor in found[start : start + _BATCH]:
                batch[field][name] = tensor
            Recipe.model_validate({**document, **batch})
        raise
    written = {
        field: {name: distinct[id(tensor)] for name, tensor in tensors.items()} for field, tensors in given.items()
    }
    others = {field: value for field, value in document.items() if field not in (*DEFAULTS, *MEMBERS)}
    plain, repeated = written.get("tensors", {}), written.get("repeated", {})
    with suppress(ValidationError):
        # Pydantic looks at one name at a time, so only at the few that are repeated.
        recipe = Recipe.model_validate({**others, **written, "tensors": {}})
        if all_valid(plain) and "tensors" in written and not named_twice(plain, repeated):
            return recipe._with(Tensors(plain, repeated))
    return Recipe.model_validate({**others, **written})


def _distinct(document: Mapping[str, Any], tensors: Mapping[int, Any]) -> dict[int, Tensor]:
    """These tensors of the document, validated, by the same keys.

    Raises:
        ValidationError: one of them is wrong, or a default is.
    """
    keys, valid = list(tensors), dict[int, Tensor]()
    shared = {field: value for field, value in document.items() if field not in MEMBERS}
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        recipe = Recipe.model_validate({**shared, "tensors": {f"{key}": tensors[key] for key in batch}})
        valid |= {key: recipe.tensors[f"{key}"] for key in batch}
    return valid
