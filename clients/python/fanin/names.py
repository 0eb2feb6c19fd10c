"""Names of tensors, and repeated names: names with sets of numbers, each for many tensors (SPEC.md section 2.5).

Examples: `layers.{0..79}.bias`, `layers.{0..3,5..11}.mixer.D` and `layers.{1..31..2}.router`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T", bound=Hashable)

MAX_NAME_BYTES = 1024
MAX_NAMES = 1 << 20
"""Maximum number of tensors of a recipe with repeated names: the header of a file has no room for more."""
_RESERVED = "__metadata__"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_INTEGER = "(?:0|[1-9][0-9]{0,8})"
_ITEM = rf"{_INTEGER}(?:\.\.{_INTEGER}(?:\.\.[1-9][0-9]{{0,8}})?)?"
_SET = re.compile(rf"\{{({_ITEM}(?:,{_ITEM})*)\}}", re.ASCII)
MAX_ITEMS = 16
"""Maximum number of items of a set that `folded` writes, so that names stay readable and valid."""
_BRACE = re.compile("[{}]")
_NUMBER = re.compile(r"(?<![^._/])(0|[1-9][0-9]{0,8})(?![^._/])", re.ASCII)
"""A number between separators of a name, as in `layers.7.bias` and `Dense_7/kernel`."""


_DIGITS = re.compile("[0-9]+")
_TWO_SETS = re.compile(r"\}[0-9]*\{")


def all_valid(names: Collection[Any]) -> bool:
    """Return whether all are valid names of tensors, by one search of all characters.

    False does not mean that a name is invalid, because the bytes of long names are not counted. Then check each with
    `misnamed`.
    """
    try:
        text = "".join(names)
        text.encode()
    except (TypeError, UnicodeEncodeError):
        return False
    lengths = set(map(len, names))
    return (
        (0 not in lengths and max(lengths, default=1) <= MAX_NAME_BYTES // 4)
        and not _CONTROL.search(text)
        and _RESERVED not in names
    )


def named_twice(names: Collection[str], repeated: Collection[str]) -> tuple[str, str] | None:
    """Return the first repeated name with a name that it or a line before it has too, and that name; else `None`.

    Equal names stay equal if each run of digits becomes one digit. So only lines that are alike in this way are written
    out, and the time does not grow with the number of names.
    """
    if not repeated:
        return None
    likenesses = {line: _DIGITS.sub("0", _SET.sub("0", line)) for line in repeated}
    counts = Counter(likenesses.values())
    doubtful = {likeness for line, likeness in likenesses.items() if counts[likeness] > 1 or _TWO_SETS.search(line)}
    found = set()
    if names:
        found = {name for name in names if _DIGITS.sub("0", name) in counts}
        doubtful.update(_DIGITS.sub("0", name) for name in found)
    for line, likeness in likenesses.items():
        for name in written_out(line) if likeness in doubtful else ():
            if name in found:
                return line, name
            found.add(name)
    return None


def misnamed(name: str) -> str:
    """Return why a name is invalid; an empty string if it is valid."""
    try:
        _checked(name)
    except PydanticCustomError as error:
        return error.message()
    return ""


def _checked(value: Any) -> str:
    is_short = type(value) is str and 0 < len(value) <= MAX_NAME_BYTES
    if is_short and value.isascii() and value.isprintable() and value != _RESERVED:
        return str(value)  # the checks below say what is wrong with other names, and take longer
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("name", "a tensor name must be a string that is not empty")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise PydanticCustomError("name", "a tensor name must be valid Unicode, without lone surrogates") from None
    if size > MAX_NAME_BYTES:
        raise PydanticCustomError("name", f"a tensor name has at most {MAX_NAME_BYTES} bytes of UTF-8")
    if _CONTROL.search(value):
        raise PydanticCustomError("name", "a tensor name must not contain control characters")
    if value == _RESERVED:
        raise PydanticCustomError("name", "__metadata__ is reserved by the safetensors format")
    return value


def _checked_sets(name: str) -> str:
    sets = _SET.findall(name)
    if not sets or _BRACE.search(_SET.sub("", name)):
        raise PydanticCustomError(
            "name", "a repeated name has sets of numbers such as {0..79} or {1..31..2,40} and no other braces"
        )
    for each in sets:
        items = _items(each)
        for item, text in zip(items, each.split(","), strict=True):
            if not item or item[-1] != int(text.split("..")[-1 if text.count("..") < 2 else 1]):
                raise PydanticCustomError(
                    "name", f"{text} in {{{each}}} does not reach its last number from its first in steps of this size"
                )
        if any(before[-1] >= after[0] for before, after in itertools.pairwise(items)):
            raise PydanticCustomError("name", f"the numbers of {{{each}}} are not in ascending order")
    return name


def _items(text: str) -> list[range]:
    """Return the items between braces as ranges of numbers."""
    found = []
    for item in text.split(","):
        first, *rest = map(int, item.split(".."))
        last, step = (rest + [first, 1][len(rest) :]) if rest else (first, 1)
        found.append(range(first, last + 1, step))
    return found


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES), BeforeValidator(_checked)]
RepeatedName = Annotated[Name, AfterValidator(_checked_sets)]


def count(repeated: Any) -> int:
    """Return the number of names that a repeated name stands for; 1 for any other value."""
    if not isinstance(repeated, str) or len(repeated) > MAX_NAME_BYTES:
        return 1
    return math.prod(sum(map(len, _items(each))) for each in _SET.findall(repeated))


def written_out(repeated: str) -> Iterator[str]:
    """Return the names that a repeated name stands for. The numbers of the last set change fastest."""
    texts = _SET.split(repeated)
    sets = [map(str, itertools.chain.from_iterable(_items(each))) for each in texts[1::2]]
    fixed = [[text] for text in texts[::2]]
    parts = [fixed[0], *itertools.chain.from_iterable(zip(sets, fixed[1:], strict=True))]
    return map("".join, itertools.product(*parts))


def folded(values: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return the mapping as few plain names and few repeated names, each in the order of their first names.

    A name that has braces is not combined with others.
    """
    alike: dict[tuple[tuple[str, ...], T], list[tuple[int, ...]]] = {}
    for name, value in values.items():
        parts = [name] if _BRACE.search(name) else _NUMBER.split(name)
        alike.setdefault((tuple(parts[::2]), value), []).append(tuple(map(int, parts[1::2])))
    places = {name: place for place, name in enumerate(values)}
    found: list[tuple[int, bool, str, T]] = []
    for (texts, value), numbers in alike.items():
        for box in _boxes(sorted(numbers)):
            first = _joined(texts, [str(part[0][0]) for part in box])
            name = _joined(texts, [_spelled(part) for part in box])
            found.append((places[first], name != first, name, value))
    found.sort(key=lambda each: each[0])
    plain, repeated = ({name: value for _, is_repeated, name, value in found if is_repeated == kind} for kind in (0, 1))
    return plain, repeated


def _joined(texts: Sequence[str], numbers: Sequence[str]) -> str:
    return texts[0] + "".join(number + text for number, text in zip(numbers, texts[1:], strict=True))


def _boxes(points: Sequence[tuple[int, ...]]) -> list[tuple[list[range], ...]]:
    """Return products of sets that contain exactly these sorted points of one length. A set is a list of ranges."""
    if not points[0]:
        return [()]
    alike: dict[str, tuple[list[int], list[tuple[list[range], ...]]]] = {}
    for first, members in itertools.groupby(points, key=lambda point: point[0]):
        rest = _boxes([point[1:] for point in members])
        alike.setdefault(repr(rest), ([], rest))[0].append(first)
    return [
        (items[start : start + MAX_ITEMS], *box)
        for numbers, rest in alike.values()
        for items in [_progressions(numbers)]
        for start in range(0, len(items), MAX_ITEMS)
        for box in rest
    ]


def _progressions(numbers: Sequence[int]) -> list[range]:
    """Return ascending numbers as few ranges. A range with a step above 1 has at least three numbers."""
    found, at = [], 0
    while at < len(numbers):
        step = numbers[at + 1] - numbers[at] if at + 1 < len(numbers) else 1
        stop = at + 1
        while stop < len(numbers) and numbers[stop] - numbers[stop - 1] == step:
            stop += 1
        if step > 1 and stop - at < 3:
            stop, step = at + 1, 1
        found.append(range(numbers[at], numbers[stop - 1] + 1, step))
        at = stop
    return found


def _spelled(items: Sequence[range]) -> str:
    if len(items) == len(items[0]) == 1:
        return str(items[0][0])
    return "{" + ",".join(map(_item, items)) + "}"


def _item(numbers: range) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    return f"{numbers[0]}..{numbers[-1]}" + (f"..{numbers.step}" if numbers.step > 1 else "")
