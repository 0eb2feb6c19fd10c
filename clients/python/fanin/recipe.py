"""The recipe: what the user asks for, its one canonical JSON text, and its digest (SPEC.md sections 2 and 3)."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Annotated, Any, Literal, Self, get_args

import rfc8785
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from fanin.dialects import Dialect, DialectError, in_its_words, translate
from fanin.dtypes import DTypeName
from fanin.errors import Fault, RecipeError, pointer
from fanin.fans import KernelLayout
from fanin.frozen import FrozenDict, FrozenModel
from fanin.names import MAX_NAMES, Name, RepeatedName, count, written_out
from fanin.schemes import ALIASES, SCHEMES, AnyTensor
from fanin.tensor import Tensor, as_integer

STREAM: Literal["fanin/1"] = "fanin/1"
ONLY_TENSOR = "weight"
"""Name of the tensor of a recipe given in the one-tensor short form."""
MEMBERS = ("tensors", "repeated")
"""The members of a recipe that hold tensors, by names and by repeated names."""
DEFAULTS = ("dtype", "layout", "dialect")
"""The members that its tensors have where they do not give their own."""
MAX_SEED = 2**64 - 1
MAX_FAULTS = 100
"""Faults of a recipe that are told: beyond them, finding near names for each would take minutes."""
_BATCH = 64
"""Tensors that are validated together: pydantic collects all errors, of a kilobyte each, before it tells of any."""
quoted = json.encoder.encode_basestring
"""A text as JSON, which for a tensor's name is also RFC 8785's."""
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_SHOWN = 80


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

    It cannot be changed, nor can its tensors: `seeded`, `with_tensors`, `without` and `renamed` return a new one.

    `dtype`, `layout` and `dialect` are for input: defaults of the tensors that do not give their own. So is `repeated`.
    A validated recipe has them written into its tensors, these in Fanin's own names, so that two spellings of one
    meaning are equal, and shows the library's defaults here.
    """

    stream: Annotated[Literal["fanin/1"], Field(description="Version of the contract.")] = STREAM
    seed: Seed = 0
    dtype: Annotated[DTypeName, Field(description="Default storage type of the tensors.")] = "F32"
    layout: Annotated[KernelLayout, Field(description="Default layout of the kernels.")] = "keras"
    dialect: Annotated[
        Dialect,
        Field(description="Whose names and parameters the tensors' schemes have; a tensor may give its own."),
    ] = "fanin"
    tensors: dict[Name, AnyTensor]
    repeated: Annotated[
        dict[RepeatedName, AnyTensor],
        Field(description="Tensors under names with ranges: layers.{0..79}.bias stands for 80 tensors."),
    ] = {}  # noqa: RUF012 (`_write_out` puts a frozen one in its place)

    @model_validator(mode="before")
    @classmethod
    def _hand_down_defaults(cls, data: Any) -> Any:
        """Write dtype and layout into the tensors that take them and do not give their own; translate dialects."""
        if not isinstance(data, Mapping) or not all(isinstance(data.get(field, {}), Mapping) for field in MEMBERS):
            return data
        handed = {field: data[field] for field in DEFAULTS if field in data and _is_valid(field, data[field])}
        others = {key: data[key] for key in data if key not in handed}
        if "dialect" in others:
            # Whatever the tensors say, it is unknown what they mean.
            return {key: value for key, value in others.items() if key not in MEMBERS} | {"tensors": {}}
        dialect = handed.pop("dialect", "fanin")
        written = {
            field: {
                name: _with_defaults(_translated(field, name, tensor, dialect), handed)
                for name, tensor in data[field].items()
            }
            for field in MEMBERS
            if field in data
        }
        return {**others, **written}

    @model_validator(mode="after")
    def _write_out(self) -> Self:
        """Put repeated tensors under each of their names."""
        tensors = dict(self.tensors)
        for repeated, tensor in self.repeated.items():
            for name in written_out(repeated):
                if name in tensors:
                    context = {"reason": f"{name} is named twice", "path": ["repeated", repeated]}
                    raise PydanticCustomError("formula", "{reason}", context)
                tensors[name] = tensor
        self.__dict__.update(tensors=FrozenDict(tensors), repeated=FrozenDict())
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 (pydantic's)
        """A validated copy: pydantic's own would keep the digest of the original."""
        return self.model_validate(
            {"stream": self.stream, "seed": self.seed, "tensors": self.tensors, **(update or {})}
        )

    def seeded(self, seed: int | str) -> Recipe:
        """The recipe with another seed, 0 .. 2^64 - 1, as a number or a decimal string.

        Raises:
            RecipeError: it is no seed.
        """
        try:
            return self._with(self.tensors, _seed(seed))
        except PydanticCustomError as error:
            raise RecipeError([Fault("/seed", str(error), _shown(seed))]) from None

    def with_tensors(self, tensors: Mapping[str, Any]) -> Recipe:
        """The recipe with these tensors added, or put in place of those of the same names.

        A tensor that gives no dtype or layout has the library's defaults, F32 and keras.

        Raises:
            RecipeError: a tensor or a name is wrong.
        """
        return self._with({**self.tensors, **as_recipe({"stream": self.stream, "tensors": tensors}).tensors})

    def without(self, *names: str) -> Recipe:
        """The recipe without these of its tensors.

        Raises:
            KeyError: it has no tensor of such a name.
        """
        self._check(names)
        left_out = set(names)
        return self._with({name: tensor for name, tensor in self.tensors.items() if name not in left_out})

    def renamed(self, names: Mapping[str, str]) -> Recipe:
        """The recipe with other names of some tensors: old name -> new name. Values change with the name.

        Raises:
            KeyError: it has no tensor of such a name.
            RecipeError: a new name is no name of a tensor, or two tensors would have it.
        """
        self._check(names)
        tensors: dict[str, Tensor] = {}
        for old, tensor in self.tensors.items():
            name = names.get(old, old)
            if name in tensors:
                raise RecipeError([Fault(pointer(["tensors", name]), "two tensors would have this name", _shown(old))])
            tensors[name] = tensor
        as_recipe({"tensors": {name: {"shape": [], "scheme": "zeros"} for name in names.values()}})
        return self._with(tensors)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Recipe:
        """The recipe with `change` of each tensor in its place; called once for names that share a tensor."""
        distinct = {id(tensor): tensor for tensor in self.tensors.values()}
        made: dict[int, Tensor] = {key: change(tensor) for key, tensor in distinct.items()}
        return self._with({name: made[id(tensor)] for name, tensor in self.tensors.items()})

    def part(self, names: Iterable[str]) -> Recipe:
        """The recipe of these of its tensors, whose values are the same there.

        Raises:
            KeyError: it has no tensor of such a name.
        """
        return self._with({name: self.tensors[name] for name in names})

    def _check(self, names: Iterable[str]) -> None:
        if missing := [name for name in names if name not in self.tensors]:
            raise KeyError(missing[0])

    def _with(self, tensors: Mapping[str, Any], seed: int | None = None) -> Recipe:
        """A recipe of the same stream, of tensors that are valid already."""
        seed = self.seed if seed is None else seed
        return Recipe.model_construct(stream=self.stream, seed=seed, tensors=FrozenDict(tensors), repeated=FrozenDict())

    @cached_property
    def canonical(self) -> bytes:
        """The canonical JSON text (RFC 8785), UTF-8: every spelling of one recipe has the same."""
        # Names of one tensor share its text, and members are in the order of their names' UTF-16 code units.
        distinct = {id(tensor): tensor for tensor in self.tensors.values()}
        texts = {key: rfc8785.dumps(tensor.canonical()).decode() for key, tensor in distinct.items()}
        ordered = sorted(self.tensors.items(), key=lambda item: item[0].encode("utf-16-be"))
        tensors = ",".join([f"{quoted(name)}:{texts[id(tensor)]}" for name, tensor in ordered])
        return f'{{"seed":"{self.seed:d}","stream":"{self.stream}","tensors":{{{tensors}}}}}'.encode()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical text, 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.canonical).hexdigest()


RecipeLike = Recipe | Mapping[str, Any] | str | bytes
"""A recipe, or its JSON as a mapping or a text; also the one-tensor short form."""


def as_recipe(recipe: RecipeLike) -> Recipe:
    """The recipe that `recipe` spells.

    Raises:
        RecipeError: it is not JSON, or not a recipe; one fault per offending field.
    """
    if isinstance(recipe, Recipe):
        return recipe
    document = parse_json(recipe) if isinstance(recipe, str | bytes) else recipe
    if not isinstance(document, Mapping):
        raise RecipeError([Fault("", "a recipe is a JSON object", _shown(document))])
    _check_sizes(document)
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
            raise RecipeError(_faults(error, document, prefix)) from None
    except RecursionError:
        raise RecipeError([Fault("", "the recipe is nested too deeply")]) from None


def _check_sizes(document: Mapping[str, Any]) -> None:
    """Refuse objects with so many fields that their faults could not be told, and more tensors than any file has."""
    for field, name, each in chain([("", "", document)], members(document)):
        if isinstance(each, Mapping) and len(each) > MAX_FAULTS:
            path = [field, str(name)] if field else []
            raise RecipeError([Fault(pointer(path), f"{len(each)} fields; nothing in a recipe has so many")])
    if (total := count_tensors(document)) > MAX_NAMES and "repeated" in document:
        raise RecipeError([Fault("/repeated", f"{total} tensors; no file has more than {MAX_NAMES}")])


def count_tensors(document: Any) -> int:
    """How many tensors a recipe's JSON has; repeated ones are counted and not written out."""
    return sum(count(name) if field == "repeated" else 1 for field, name, _ in members(document))


def members(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Field, name and tensor of all that a recipe's JSON has, whether or not it is one."""
    for field in MEMBERS:
        found = document.get(field) if isinstance(document, Mapping) else None
        for name, tensor in found.items() if isinstance(found, Mapping) else ():
            yield field, name, tensor


def _validated(document: Mapping[str, Any]) -> Recipe:
    """The recipe. Tensors that are one object in `document` are one object there too, and validated once.

    Raises:
        ValidationError: it is not a recipe; tells what is wrong with the first tensors that are wrong.
    """
    found = list(members(document))
    if len(found) <= _BATCH:
        return Recipe.model_validate(document)
    try:
        distinct = _distinct(document, {id(tensor): tensor for _, _, tensor in found})
    except ValidationError:
        for start in range(0, len(found), _BATCH):
            batch: dict[str, dict[str, Any]] = {"tensors": {}, "repeated": {}}
            for field, name, tensor in found[start : start + _BATCH]:
                batch[field][name] = tensor
            Recipe.model_validate({**document, **batch})
        raise
    others = {field: value for field, value in document.items() if field not in (*DEFAULTS, *MEMBERS)}
    written: dict[str, dict[str, Tensor]] = {"tensors": {}, "repeated": {}}
    for field, name, tensor in found:
        written[field][name] = distinct[id(tensor)]
    return Recipe.model_validate({**others, **{field: written[field] for field in MEMBERS if field in document}})


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


def parse_json(text: str | bytes) -> Any:
    """JSON as RFC 8259 has it: no duplicate names, no NaN or Infinity, UTF-8.

    Equal objects of plain values are one object: most of a recipe's tensors are, and are then validated once.

    Raises:
        RecipeError: it is not.
    """
    repeating: list[_Repeating] = []
    known: dict[str, dict[str, Any]] = {}

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Objects of objects are left alone: their texts together would be quadratic in the document's.
        if all(map(_is_plain, pairs)):
            text = repr(pairs)
            if text not in known:
                known[text] = made(pairs)
            return known[text]
        return made(pairs)

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            document = _Repeating(pairs)
            repeating.append(document)
        return document

    try:
        document = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=keep,
            parse_constant=_refuse_constant,
        )
        repetition = _repetition(document) if repeating else None
    except RecipeError:
        raise
    except UnicodeDecodeError as error:
        raise RecipeError([Fault("", f"the text is not UTF-8: byte {error.start} cannot be decoded")]) from None
    except RecursionError:
        raise RecipeError([Fault("", "the JSON is nested too deeply")]) from None
    except ValueError as error:
        raise RecipeError([Fault("", f"not JSON: {error}")]) from None
    if repetition:
        raise RecipeError([repetition])
    return document


class _Repeating(dict[str, Any]):
    """A JSON object in which a name stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


def _repetition(document: Any) -> Fault | None:
    """The first name that stands twice in one object of `document`."""
    if isinstance(document, _Repeating):
        return Fault(pointer([document.name]), "this name stands twice in one object", _shown(document.name))
    if not isinstance(document, dict | list):
        return None
    for name, member in document.items() if isinstance(document, dict) else enumerate(document):
        if fault := _repetition(member):
            return Fault(pointer([name]) + fault.pointer, fault.detail, fault.value)
    return None


def _is_plain(member: tuple[str, Any]) -> bool:
    """Whether a member of a JSON object is a number, text or constant, or a list of those."""
    value = member[1]
    return not (isinstance(value, dict) or (isinstance(value, list) and any(isinstance(x, dict | list) for x in value)))


def _refuse_constant(name: str) -> Any:
    raise RecipeError([Fault("", f"{name} is not JSON; numbers are finite")])


def _is_valid(field: str, value: Any) -> bool:
    return isinstance(value, str) and value in get_args(Recipe.model_fields[field].annotation)


def _translated(field: str, name: Any, tensor: Any, dialect: str) -> Any:
    """The tensor without a dialect."""
    if not isinstance(tensor, Mapping):
        return tensor
    dialect = tensor.get("dialect", dialect)
    try:
        if not _is_valid("dialect", dialect):
            raise DialectError(["dialect"], f"unknown dialect; there are {', '.join(get_args(Dialect))}")
        if dialect != "fanin":
            return translate(tensor, dialect)
    except DialectError as error:
        context = {"reason": str(error), "path": [field, name, *error.path]}
        raise PydanticCustomError("dialect", "{reason}", context) from error
    return {field: value for field, value in tensor.items() if field != "dialect"}


def _with_defaults(tensor: Any, defaults: Mapping[str, Any]) -> Any:
    if isinstance(tensor, Tensor):
        if not defaults:
            return tensor
        tensor = tensor.given()
    if not isinstance(tensor, Mapping):
        return tensor
    name = tensor.get("scheme")
    scheme = SCHEMES.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if scheme is None:
        return tensor
    wanted = {field: value for field, value in defaults.items() if field in scheme.model_fields}
    if tensor.get("in_axes") is not None or tensor.get("out_axes") is not None:
        wanted.pop("layout", None)
    if "layout" in defaults and "parts" in scheme.model_fields and isinstance(tensor.get("parts"), list | tuple):
        layout = {"layout": defaults["layout"]}
        tensor = {**tensor, "parts": [_with_defaults(part, layout) for part in tensor["parts"]]}
    return {**wanted, **tensor}


def _faults(error: ValidationError, document: Mapping[str, Any], prefix: tuple[str, ...]) -> list[Fault]:
    return [_fault(details, document, prefix) for details in error.errors(include_url=False)[:MAX_FAULTS]]


def _fault(details: ErrorDetails, document: Mapping[str, Any], prefix: tuple[str, ...]) -> Fault:
    path = list(details["loc"])
    context = details.get("ctx", {})
    # Inside a tensor the union puts the scheme's name in the path; a bad tensor name is marked "[key]".
    if len(path) > 2 and path[0] in MEMBERS:
        del path[2]
    path += context.get("path", [])
    if field := context.get("field"):
        path.append(field)
    detail, value = details["msg"], details["input"]
    match details["type"]:
        case "union_tag_invalid":
            path.append("scheme")
            value = context["tag"]
            near = difflib.get_close_matches(str(value), [*SCHEMES, *ALIASES], n=1)
            detail = f"unknown scheme; did you mean {near[0]}?" if near else "unknown scheme; `fanin schemes` lists all"
        case "union_tag_not_found":
            path.append("scheme")
            value, detail = None, "a tensor needs a scheme; `fanin schemes` lists all"
        case "extra_forbidden":
            detail = "unknown field"
        case "missing":
            value, detail = None, "this field is required"
    if details["type"] != "dialect":
        path, detail = _as_spelled(path, detail, document)
    if details["type"] in ("formula", "dialect"):
        value = _at(document, path)
    path = path[len(prefix) :] if tuple(path[: len(prefix)]) == prefix else path
    return Fault(pointer(path), detail, _shown(value))


def _as_spelled(path: list[str | int], detail: str, document: Mapping[str, Any]) -> tuple[list[str | int], str]:
    """The path to a field and what is wrong with it, in the words of the dialect that the tensor is in."""
    tensor = _at(document, path[:2])
    if len(path) < 3 or path[0] not in MEMBERS or not isinstance(tensor, Mapping):
        return path, detail
    dialect, field = tensor.get("dialect", document.get("dialect", "fanin")), str(path[2])
    if dialect == "fanin" or not _is_valid("dialect", dialect):
        return path, detail
    member, detail = in_its_words(tensor, dialect, field, detail)
    return [*path[:2], member, *(path[3:] if member == field else [])], detail


def _at(document: Any, path: Sequence[str | int]) -> Any:
    """The member of a document that `path` leads to, or `None`."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _shown(value: Any) -> Any:
    """`value` if it is short, else the start of its text."""
    if value is None or isinstance(value, bool | float):
        return value
    text = repr(value) if not isinstance(value, str) else value
    text = text.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and len(text) <= _SHOWN:
        return value
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
