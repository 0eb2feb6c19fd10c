"""Templates: recipes of models, whose default storage type is still open."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import rfc8785
from pydantic import ValidationError

from fanin import Recipe, RecipeError
from fanin.dtypes import DTypeName, storage_name
from fanin.errors import Fault, shown
from fanin.names import written_out
from fanin.recipe import from_json, members, parse_json, quoted
from fanin_service.models.revisions import DTYPE_CODES
from fanin_service.recipes import limits
from fanin_service.recipes.memory import recipe_bytes, recipe_bytes_beside_names
from fanin_service.settings import Settings

_KEPT = 8
"""Maximum number of storage types for which a template's recipe is cached."""
_TENSORS = b',"tensors":'


class Template:
    """A recipe in canonical terms. Its tensors have a storage type only where the upload specified one.

    Equal tensors are one object for each storage type, so the memory grows only with the number of distinct tensors.
    """

    def __init__(self, text: bytes) -> None:
        """`text` is its JSON (RFC 8785), as created by `put`.

        Raises:
            ValueError: the text is something else.
        """
        self.text = text
        head = json.loads(text[: text.index(_TENSORS)] + b"}")
        self.seed = int(head["seed"])
        self.dtype: DTypeName = head["dtype"]
        self._stream = head["stream"]
        self._refused: dict[DTypeName, RecipeError] = {}
        """Errors of storage types with which the recipe is not possible: each takes as long to find as a recipe."""
        self.typed: Callable[[DTypeName], Recipe] = lru_cache(_KEPT)(self._typed)
        """Return the recipe with a storage type as the default.

        Raises:
            RecipeError: the recipe is not possible with this type.
        """

    @classmethod
    def put(cls, text: bytes, settings: Settings) -> Template:
        """Return the template of a recipe's JSON.

        Raises:
            RecipeError: the recipe is invalid.
            LimitExceededError: the recipe exceeds a limit.
        """
        given = parse_json(text)
        checked = limits.check(given, settings)
        recipe = limits.layout_of(checked, settings).recipe
        own = {
            id(recipe.tensors[next(written_out(name)) if field == "repeated" else name])
            for field, name, tensor in members(given)
            if "dtype" in tensor
        }
        documents = {key: tensor.canonical() for key, tensor in recipe.tensors.distinct.items()}
        for key in documents.keys() - own:
            del documents[key]["dtype"]
        texts = {key: rfc8785.dumps(document).decode() for key, document in documents.items()}
        # Sort as the text will be sorted: shards follow this order.
        recipe = recipe.part(sorted(recipe.tensors, key=lambda name: name.encode("utf-16-be")))
        tensors = ",".join([f"{quoted(name)}:{texts[id(tensor)]}" for name, tensor in recipe.tensors.items()])
        dtype = storage_name(given.get("dtype", Recipe.model_fields["dtype"].default))
        if dtype not in DTYPE_CODES:
            allowed = ", ".join(DTYPE_CODES)
            wanted = f"the default type of a model must be one of {allowed}; tensors of other types give their own"
            raise RecipeError([Fault("/dtype", wanted, shown(dtype))])
        head = f'{{"dtype":"{dtype}","seed":"{recipe.seed}","stream":"{recipe.stream}"'
        made = cls(f"{head}{_TENSORS.decode()}{{{tensors}}}}}".encode())
        made.__dict__["work"] = checked.work
        made.__dict__["_read"] = recipe, frozenset(documents.keys() - own)
        return made

    @cached_property
    def work(self) -> int:
        """The cost of creating its recipe with one storage type, in tensors."""
        return limits.work_of(json.loads(self.text))

    @property
    def recipe(self) -> Recipe:
        """The recipe as it was uploaded.

        Raises:
            RecipeError: this version of the library does not accept it.
        """
        return self._read[0]

    @property
    def has_open_dtype(self) -> bool:
        """True if some tensor does not specify its storage type."""
        return bool(self._read[1])

    @property
    def size(self) -> int:
        """Bytes of memory that it takes now."""
        if "_read" not in self.__dict__:
            return len(self.text)
        typed: Any = self.typed
        count: int = typed.cache_info().currsize
        first, other = self._sizes
        return len(self.text) + first + other * count

    @cached_property
    def _sizes(self) -> tuple[int, int]:
        """Bytes of the recipe, and of one with another storage type, which shares its names."""
        return recipe_bytes(self.recipe), recipe_bytes_beside_names(self.recipe)

    @cached_property
    def _read(self) -> tuple[Recipe, frozenset[int]]:
        """The recipe, and the ids of its tensors whose storage type is open."""
        document = parse_json(self.text)
        recipe = from_json(document)
        given = document["tensors"]
        return recipe, frozenset(id(tensor) for name, tensor in recipe.tensors.items() if "dtype" not in given[name])

    def _typed(self, dtype: DTypeName) -> Recipe:
        recipe, open_ = self._read
        if dtype == self.dtype:
            return recipe
        if (refused := self._refused.get(dtype)) is not None:
            raise RecipeError(refused.faults)
        try:
            return recipe.mapped(
                lambda tensor: tensor.model_copy(update={"dtype": dtype}) if id(tensor) in open_ else tensor
            )
        except ValidationError:
            # Read the complete recipe: the error then names the tensor and the reason.
            try:
                return from_json({**json.loads(self.text), "dtype": dtype})
            except RecipeError as error:
                self._refused[dtype] = RecipeError(error.faults)
                raise
