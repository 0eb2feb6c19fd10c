"""Names of tensors, and repeated names: one with ranges, `layers.{0..79}.bias`, that stands for many (SPEC.md 12.5)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T", bound=Hashable)

MAX_NAME_BYTES = 1024
MAX_NAMES = 1 << 20
"""Most tensors of a recipe that is written with ranges: the header of a file has no room for more."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_RANGE = re.compile(r"\{(0|[1-9][0-9]{0,8})\.\.(0|[1-9][0-9]{0,8})\}", re.ASCII)
_BRACE = re.compile("[{}]")
_NUMBER = re.compile(r"(?<![^._/])(0|[1-9][0-9]{0,8})(?![^._/])", re.ASCII)
"""A number that is a part of a name by itself, as in `layers.7.bias` and `Dense_7/kernel`."""


def _checked(value: Any) -> str:
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
    if value == "__metadata__":
        raise PydanticCustomError("name", "__metadata__ is reserved by the safetensors format")
    return value


def _checked_ranges(name: str) -> str:
    ranges = _RANGE.findall(name)
    if not ranges or _BRACE.search(_RANGE.sub("", name)):
        raise PydanticCustomError("name", "a repeated name has ranges such as {0..79} and no other braces")
    for first, last in ranges:
        if int(first) > int(last):
            raise PydanticCustomError("name", f"the range {{{first}..{last}}} has its ends in the wrong order")
    return name


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES), BeforeValidator(_checked)]
RepeatedName = Annotated[Name, AfterValidator(_checked_ranges)]


def count(repeated: Any) -> int:
    """How many names it stands for, which may be no repeated name at all."""
    if not isinstance(repeated, str) or len(repeated) > MAX_NAME_BYTES:
        return 1
    return math.prod(max(int(last) - int(first) + 1, 0) for first, last in _RANGE.findall(repeated))


def written_out(repeated: str) -> Iterator[str]:
    """The names it stands for, the last range running fastest."""
    texts = _RANGE.split(repeated)
    ranges = [range(int(first), int(last) + 1) for first, last in zip(texts[1::3], texts[2::3], strict=True)]
    for numbers in itertools.product(*ranges):
        yield _joined(texts[::3], [str(number) for number in numbers])


def folded(values: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """The same as few names and repeated names with their values, in the order in which they begin.

    A name with braces of its own stays as it is.
    """
    alike: dict[tuple[tuple[str, ...], T], list[tuple[int, ...]]] = {}
    for name, value in values.items():
        parts = [name] if _BRACE.search(name) else _NUMBER.split(name)
        alike.setdefault((tuple(parts[::2]), value), []).append(tuple(map(int, parts[1::2])))
    places = {name: place for place, name in enumerate(values)}
    found: list[tuple[int, bool, str, T]] = []
    for (texts, value), numbers in alike.items():
        for box in _boxes(sorted(numbers)):
            first = _joined(texts, [str(part[0]) for part in box])
            name = _joined(texts, [_spelled(part) for part in box])
            found.append((places[first], name != first, name, value))
    found.sort(key=lambda each: each[0])
    plain, repeated = ({name: value for _, is_repeated, name, value in found if is_repeated == kind} for kind in (0, 1))
    return plain, repeated


def _joined(texts: Sequence[str], numbers: Sequence[str]) -> str:
    return texts[0] + "".join(number + text for number, text in zip(numbers, texts[1:], strict=True))


def _boxes(points: Sequence[tuple[int, ...]]) -> list[tuple[range, ...]]:
    """Products of ranges that hold just these points, which are sorted and of one length."""
    if not points[0]:
        return [()]
    runs: list[tuple[range, list[tuple[range, ...]]]] = []
    for first, members in itertools.groupby(points, key=lambda point: point[0]):
        rest = _boxes([point[1:] for point in members])
        if runs and runs[-1][0].stop == first and runs[-1][1] == rest:
            runs[-1] = range(runs[-1][0].start, first + 1), rest
        else:
            runs.append((range(first, first + 1), rest))
    return [(run, *box) for run, rest in runs for box in rest]


def _spelled(numbers: range) -> str:
    return f"{{{numbers[0]}..{numbers[-1]}}}" if len(numbers) > 1 else str(numbers[0])
