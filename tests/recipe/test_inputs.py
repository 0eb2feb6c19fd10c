"""Every form in which a caller may pass a recipe, and every spelling of a storage type and a shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import fanin
from fanin import FileError, FileLayout, RecipeError, as_recipe
from fanin.dtypes import ALIASES, INTEGERS, MODULES, STORAGE
from fanin.recipe import from_json

RECIPE = {"seed": 3, "layout": "torch", "tensors": {"w": {"shape": [8, 4], "scheme": "he_normal"}}}
ONES: dict[str, Any] = {"shape": [4], "scheme": "ones"}


@pytest.fixture(params=["json", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A recipe's JSON, and a Fanin file."""
    if request.param == "file":
        fanin.save(RECIPE, tmp_path / "odd.name")
    else:
        (tmp_path / "odd.name").write_text(json.dumps(RECIPE))
    return tmp_path / "odd.name"


@pytest.mark.parametrize(
    "call",
    [
        lambda recipe: as_recipe(recipe).digest,
        lambda recipe: FileLayout.of(recipe).recipe.digest,
        lambda recipe: fanin.materialize(recipe)["w"].tobytes(),
        lambda recipe: fanin.slice(recipe, "w", 3).tobytes(),
    ],
)
def test_every_call_takes_every_form(call: Callable[[Any], Any], path: Path) -> None:
    made = call(RECIPE)
    recipe = as_recipe(RECIPE)
    text = json.dumps(RECIPE)
    for form in (text, text.encode(), recipe, FileLayout.of(recipe), SimpleNamespace(recipe=recipe), path):
        assert call(form) == made


def test_save_takes_every_form(path: Path, tmp_path: Path) -> None:
    for place, form in enumerate((path, SimpleNamespace(recipe=as_recipe(RECIPE)))):
        fanin.save(form, tmp_path / str(place))
        assert fanin.verify(tmp_path / str(place)).digest == as_recipe(RECIPE).digest


def test_a_text_is_json_and_not_a_path(path: Path, tmp_path: Path) -> None:
    for text in (str(path), "no/such/file.json", "no.safetensors"):
        with pytest.raises(RecipeError, match=r"not JSON: for the recipe in a file, pass pathlib\.Path"):
            as_recipe(text)
    for text in ("no such file", "{", "\0"):
        with pytest.raises(RecipeError, match="not JSON: "):
            as_recipe(text)
    with pytest.raises(FileNotFoundError):
        as_recipe(tmp_path / "none")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(FileError, match="no recipe"):
        as_recipe(damaged)


@pytest.mark.parametrize("wrong", [7, None, [], SimpleNamespace(recipe=RECIPE)])
def test_other_objects_are_no_recipe(wrong: Any) -> None:
    with pytest.raises(RecipeError, match="a recipe is a JSON object"):
        as_recipe(wrong)


def dtype_of(dtype: Any) -> str:
    """The storage type of a tensor that gives it, and of one that has it from the recipe."""
    own = as_recipe({"tensors": {"a": {**ONES, "dtype": dtype}}}).tensors["a"].dtype
    (short,) = as_recipe({**ONES, "dtype": dtype}).tensors.values()
    assert own == short.dtype == as_recipe({"dialect": "keras", **ONES, "dtype": dtype}).tensors["weight"].dtype
    return own


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("F64", [torch.float64, torch.double, np.float64, np.double, np.dtype("f8")]),
        ("C64", [torch.complex64, np.complex64, np.dtype("c8")]),
        ("F32", [torch.float32, torch.float, np.float32, np.dtype("<f4")]),
        ("F16", [torch.float16, torch.half, np.float16]),
        ("BF16", [torch.bfloat16, ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)]),
        ("F8_E4M3", [torch.float8_e4m3fn, ml_dtypes.float8_e4m3fn]),
        ("F8_E5M2", [torch.float8_e5m2, ml_dtypes.float8_e5m2]),
    ],
)
def test_storage_types_of_libraries(name: str, types: list[Any]) -> None:
    assert [dtype_of(each) for each in types] == [name] * len(types)
    assert dtype_of(str(types[0])) == name  # torch.float64


def test_integer_types_of_libraries() -> None:
    for name, dtype in INTEGERS.items():
        of_torch = getattr(torch, dtype.numpy.name)
        assert {dtype_of(each) for each in (of_torch, dtype.numpy, dtype.numpy.type, name.lower())} == {name}
        with pytest.raises(RecipeError, match=f"did you mean {name}"):
            dtype_of(f"{of_torch}" if name != "BOOL" else "boolean")


def test_storage_types_in_json() -> None:
    assert set(ALIASES.values()) == set(STORAGE)
    for alias, name in ALIASES.items():
        assert dtype_of(alias) == name
        text = json.dumps({**ONES, "dtype": alias})
        assert as_recipe(text).canonical == as_recipe({**ONES, "dtype": name}).canonical
    assert {dtype_of(f"{module}.bfloat16") for module in MODULES} == {"BF16"}


@pytest.mark.parametrize(
    "wrong",
    [float, int, np.complex128, torch.complex128, np.dtype(">f4"), ml_dtypes.float8_e4m3, np.float32(1),
     np.zeros(1, "f4"), "float", "torch.F32", "x.float32", ".float32", "float32 ", ["F32"], {}, None],
)  # fmt: skip
def test_what_is_no_storage_type(wrong: Any) -> None:
    for recipe in ({**ONES, "dtype": wrong}, {"dtype": wrong, "tensors": {"a": ONES}}):
        with pytest.raises(RecipeError) as caught:
            as_recipe(recipe)
        assert [fault.pointer for fault in caught.value.faults] == ["/dtype"]


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        (4, (4,)),
        (np.int32(4), (4,)),
        (np.array(4), (4,)),
        (torch.tensor(4), (4,)),
        (range(2, 4), (2, 3)),
        (np.array([2, 3]), (2, 3)),
        (np.array([], int), ()),
        (torch.Size([2, 3]), (2, 3)),
        (torch.tensor([2, 3]), (2, 3)),
        ([np.uint8(2), torch.tensor(3)], (2, 3)),
        (4 * (2,), (2, 2, 2, 2)),
    ],
)
def test_shapes_of_programs(shape: Any, sizes: tuple[int, ...]) -> None:
    tensor = {"shape": shape, "scheme": "ones"}
    recipe = as_recipe(tensor)
    assert recipe.tensors["weight"].shape == sizes
    assert recipe == as_recipe({"tensors": {}}).with_tensors({"weight": tensor})
    several = as_recipe({"tensors": {"a": tensor}, "repeated": {"{0..1}": tensor}})
    assert [each.shape for each in several.tensors.values()] == [sizes] * 3
    assert len({id(each) for each in several.tensors.values()}) == 1 + 1
    assert as_recipe({**tensor, "dialect": "torch", "scheme": "ones_"}) == recipe


@pytest.mark.parametrize("wrong", [{4, 2}, frozenset([4]), True, np.True_, 4.0, np.array([4.0]), "4", b"4", None])
def test_what_is_no_shape(wrong: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe({"shape": wrong, "scheme": "ones"})
    assert {fault.pointer.removesuffix("/0") for fault in caught.value.faults} == {"/shape"}


def test_json_has_shapes_as_arrays() -> None:
    for text in ('{"shape": 4, "scheme": "ones"}', '{"tensors": {"a": {"shape": 4, "scheme": "ones"}}}'):
        for read in (lambda text: as_recipe(text), lambda text: from_json(json.loads(text))):
            with pytest.raises(RecipeError, match="must be an array of integers"):
                read(text)
