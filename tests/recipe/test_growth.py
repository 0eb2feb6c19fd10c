"""Large recipes: the short ways through JSON, names, roots and layouts give what the plain ways give."""

from __future__ import annotations

import json
import re
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanin import FileLayout, Recipe, RecipeError, as_recipe, names, scalars
from fanin.dtypes import DTYPES
from fanin.file import layout as file_layout
from fanin.file import order as file_order
from fanin.recipe import parse_json, strict_json
from fanin.recipe.tensors import Tensors

SPEC = {"shape": [3, 2], "scheme": "normal", "std": 0.02}
EXPERTS = {"layers.{0..57}.experts.{0..255}.w{1..3}": {"shape": [4, 2], "scheme": "he_normal", "dtype": "BF16"}}

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
KEYS = st.sampled_from(["a", "b", ":", "a:b", "\u00e9", ""])


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of JSON objects, in which names stand twice and texts have colons."""
    member = st.tuples(KEYS.map(json.dumps) | st.just('"\\u0061"'), values).map(" : ".join)
    return st.lists(member, max_size=4).map(lambda found: "{" + ",".join(found) + "}")


TEXTS = st.recursive(
    PLAIN.map(json.dumps) | st.sampled_from(["-0", "1E400", "-0.0", "1e5", '"\\ud800"', "{", "NaN", "01"]),
    lambda values: objects(values) | st.lists(values, max_size=3).map(lambda found: f"[{','.join(found)}]"),
    max_leaves=12,
)


@given(objects(TEXTS))
@example('{"a":{"x":1,"x":2}}')
@example('{"a:":1,"b":{"x":1,"x":2}}')
@example('{"a":{"x":{"y":1}},"b":{"x":{"y":1.0}},"c":{"x":{"y":true}},"d":{"x":{"y":1}}}')
def test_json_is_read_as_with_a_hook_for_each_object(text: str) -> None:
    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise KeyError
        return dict(pairs)

    def refuse(_: str) -> None:
        raise ValueError

    wanted: Any = None
    try:
        wanted = json.loads(text, object_pairs_hook=read, parse_constant=refuse)
    except (KeyError, ValueError):
        with pytest.raises(RecipeError):
            parse_json(text)
    else:
        assert repr(parse_json(text)) == repr(wanted)  # also tells 1 from 1.0 and -0.0 from 0.0
        assert repr(parse_json(text.encode())) == repr(wanted)


def test_a_colon_in_a_text_hides_no_name_that_stands_twice() -> None:
    with pytest.raises(RecipeError, match="/b/x: this name is twice"):
        parse_json('{"a": {"kernel:0": 1}, "b": {"x": 1, "x": 2}}')
    # One colon too few is as good as one too many.
    assert not strict_json._names_are_unique({"a": "b"}, '{"a":1,"a":"b"}')
    assert strict_json._names_are_unique({"a": {"b": [{"c": 1}, {"c": 1}]}}, '{"a":{"b":[{"c":1},{"c":1}]}}')


@given(st.lists(st.text(st.characters(), max_size=3) | st.just("__metadata__") | st.just("a" * 300), max_size=5))
def test_names_found_valid_together_are_valid_one_by_one(found: list[str]) -> None:
    each = all(not names.misnamed(name) for name in found)
    short = all(len(name) <= names.MAX_NAME_BYTES // 4 for name in found)
    assert names.all_valid(found) == (each and short)


ITEM = st.sampled_from(["1", "11", "0..3", "9..11", "1..11..5", "1,11", "0,2..3"])
LINE = st.lists(st.sampled_from(["a", ".", "1", "0"]) | ITEM.map("{{{}}}".format), min_size=1, max_size=5).map("".join)
REPEATED = LINE.filter(lambda line: "{" in line)


@given(st.lists(LINE.filter(lambda line: "{" not in line), max_size=4), st.lists(REPEATED, max_size=3, unique=True))
@example([], ["a{1,11}{1,11}"])
@example([], ["a{1,11}1{1,11}"])
@example(["a11"], ["a1{0..3}"])
@example([], ["a{10..20}", "a1{0..3}"])
def test_a_name_that_stands_twice_is_found_as_if_all_were_written_out(plain: list[str], repeated: list[str]) -> None:
    seen, wanted = set(plain), None
    for line, name in [(each, name) for each in repeated for name in names.written_out(each)]:
        if name in seen:
            wanted = wanted or (line, name)
        seen.add(name)
    assert names.named_twice(plain, repeated) == wanted


@pytest.mark.parametrize("count", [40, 90])
def test_recipes_are_as_pydantic_alone_validates_them(count: int) -> None:
    document = {
        "seed": "7",
        "dtype": "BF16",
        "tensors": {f"t{n}.w": {**SPEC, "std": 1.0 + n % 7} for n in range(count)},
        "repeated": {f"r{n}.{{0..2}}": SPEC for n in range(count)},
    }
    found = as_recipe(json.dumps(document))
    wanted = Recipe.model_validate(document)
    assert found == wanted
    assert list(found.tensors) == list(wanted.tensors)
    assert (found.digest, FileLayout.of(found).header) == (wanted.digest, FileLayout.of(wanted).header)
    for wrong, fault in (
        ({"tensors": document["tensors"] | {"": SPEC}}, "must be a string that is not empty"),
        ({"repeated": document["repeated"] | {"x": SPEC}}, "a repeated name has sets"),
        ({"repeated": document["repeated"] | {"t{2..3}.w": SPEC}}, "t2.w is named twice"),
        ({"repeated": 5}, "/repeated: must be an object of tensors by name"),
        ({"tensors": None}, "/tensors: must be an object of tensors by name"),
    ):
        with pytest.raises(RecipeError, match=re.escape(fault)):
            as_recipe(json.dumps({**document, **wrong}))


def test_work_follows_the_lines_until_a_name_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = names.written_out
    monkeypatch.setattr(f"{Tensors.__module__}.written_out", lambda name: written.append(name) or write(name))
    recipe = as_recipe({"seed": 1, "layout": "torch", "tensors": {"norm": SPEC}, "repeated": EXPERTS})
    layout = FileLayout.of(recipe)
    assert len(recipe.tensors) == 44_545
    assert written == []
    assert layout.entry("layers.57.experts.255.w3").shape == (4, 2)
    # Seeds share what was written out and sorted.
    other = FileLayout.of(recipe.seeded(2))
    assert written == [*EXPERTS]
    assert other.entries.names is layout.entries.names
    assert other.header == FileLayout.of(as_recipe(recipe.seeded(2).canonical)).header
    assert len(other.header) == len(layout.header)


def test_a_long_header_is_encoded_at_once_only_if_it_may_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (file_layout, file_order):
        monkeypatch.setattr(module, "MAX_HEADER_BYTES", 100_000)
    # Many names whose tensors say little, names that need a look at the header, and too many.
    for count, is_lazy in ((100, True), (250, False), (600, None)):
        document = {"tensors": {}, "repeated": {f"{'a' * 50}{{1..{count}}}": SPEC}}
        if is_lazy is None:
            with pytest.raises(RecipeError, match="the file header takes"):
                FileLayout.of(document)
            continue
        layout = FileLayout.of(document)
        assert (layout.entries.header._bytes is None) == is_lazy
        assert len(layout.header) <= file_order.header_bound(layout.recipe.tensors)


@given(st.fractions(min_value=0, max_denominator=10**9), st.sampled_from([2, 3, 4, 6, 12]))
@example(Fraction(1, 4), 4)
@example(Fraction(2**300, 3**40), 4)
@example(Fraction(7**40), 4)
def test_roots_are_those_of_a_power(value: Fraction, degree: int) -> None:
    with localcontext(prec=130):
        wanted = Fraction((Decimal(value.numerator) / Decimal(value.denominator)) ** (1 / Decimal(degree)))
    found = scalars.root(value, degree)
    assert abs(found - wanted) <= wanted * Fraction(1, 10**115)
    for dtype in DTYPES.values():
        assert scalars.rounded(found, dtype) == scalars.rounded(wanted if found**degree != value else found, dtype)


@given(st.fractions(min_value=0, max_denominator=10**9), st.sampled_from([2, 3, 4, 6, 12]))
@example(Fraction(1, 3), 2)
@example(Fraction(10**60 + 1, 7), 4)
def test_rational_roots_are_exact(found: Fraction, degree: int) -> None:
    """A decimal root of 1/9 is below 1/3, and a bound would then exclude the number that it names."""
    assert scalars.root(found**degree, degree) == found
