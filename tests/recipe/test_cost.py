"""Cost of recipes of many tensors: work and objects grow with the different tensors, not with their names."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from fanin import FileLayout, RecipeError, as_recipe
from fanin.names import MAX_NAME_BYTES
from fanin.schemes import SCHEMES

SPEC = {"shape": [3, 2], "scheme": "normal", "std": 0.02}
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(
    lambda name: name != "__metadata__" and len(name.encode()) <= MAX_NAME_BYTES
)


def text(tensors: dict[str, Any], **members: Any) -> str:
    return json.dumps({"tensors": tensors, **members})


def test_tensors_that_are_alike_are_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[Any] = []
    lower = SCHEMES["normal"].lower
    monkeypatch.setattr(SCHEMES["normal"], "lower", lambda self, dtype: lowered.append(self) or lower(self, dtype))
    alike = {f"a{n}": SPEC for n in range(500)}
    recipe = as_recipe(text(alike | {"b": {**SPEC, "std": 1.0}}, repeated={"c{0..499}": SPEC}, dtype="BF16"))
    assert len(recipe.tensors) == 1001
    assert len(lowered) <= 2
    # The same as one by one.
    one = as_recipe({"tensors": {"a": {**SPEC, "dtype": "BF16"}}}).tensors["a"]
    assert recipe.tensors["a0"] == recipe.tensors["c499"] == one
    FileLayout.of(recipe)
    assert len(lowered) == 3


def test_a_change_is_made_once_for_names_that_share_a_tensor() -> None:
    recipe = as_recipe({"seed": 3, "tensors": {"b": {**SPEC, "std": 1.0}}, "repeated": {"a{0..99}": SPEC}})
    changed: list[Any] = []
    made = recipe.mapped(lambda tensor: changed.append(tensor) or tensor.model_copy(update={"dtype": "F16"}))
    assert len(changed) == 2
    specs = {name: {**SPEC, "std": 1.0 if name == "b" else 0.02, "dtype": "F16"} for name in recipe.tensors}
    assert made == as_recipe({"seed": 3, "tensors": specs})
    assert made.digest == as_recipe({"seed": 3, "tensors": specs}).digest


@given(st.dictionaries(NAMES, st.sampled_from([0.5, 1.0, 1e-7]), max_size=8))
def test_texts_are_those_of_an_encoder(given_: dict[str, float]) -> None:
    recipe = as_recipe({"seed": 2**64 - 1, "tensors": {name: {**SPEC, "std": std} for name, std in given_.items()}})
    tensors = {name: tensor.canonical() for name, tensor in recipe.tensors.items()}
    assert recipe.canonical == rfc8785.dumps({"stream": "fanin/1", "seed": str(2**64 - 1), "tensors": tensors})
    layout = FileLayout.of(recipe)
    header = layout.header[8:].rstrip(b" ")
    assert header == json.dumps(json.loads(header), ensure_ascii=False, separators=(",", ":")).encode()
    start = len(layout.header)
    assert {name: member for name, member in json.loads(header).items() if name != "__metadata__"} == {
        entry.name: {
            "dtype": "F32",
            "shape": [3, 2],
            "data_offsets": [entry.start - start, entry.stop - start],
        }
        for entry in layout.entries
    }


@pytest.mark.parametrize("field", ["tensors", "repeated"])
@pytest.mark.parametrize("bad", [3, 70, 700])
def test_faults_of_many_are_told_as_those_of_few(field: str, bad: int) -> None:
    brace = "{0..1}" if field == "repeated" else ""
    wrong = {f"w{n}{brace}": {"shape": [2], "scheme": "normal", "std": -1.0} for n in range(bad)}
    good = {f"g{n}{brace}": SPEC for n in range(200)}
    with pytest.raises(RecipeError) as caught:
        as_recipe(json.dumps({"tensors": {}, field: {**good, **wrong}}))
    pointers = [fault.pointer for fault in caught.value.faults]
    # Those of the first 64 tensors among which one is wrong.
    assert pointers == [f"/{field}/w{n}{brace}/std" for n in range(min(bad, 56))]


def test_a_layout_keeps_no_object_for_a_name() -> None:
    def objects(count: int) -> int:
        recipe = as_recipe({"tensors": {}, "repeated": {f"a{{1..{count}}}": SPEC}})
        gc.collect()
        before = len(gc.get_objects())
        layout = FileLayout.of(recipe)
        gc.collect()
        return len(gc.get_objects()) - before + 0 * layout.size

    objects(10)
    assert objects(10_000) - objects(10) < 100
