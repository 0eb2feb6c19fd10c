"""Integer types: exact elements on every backend, in any range, in files that upstream readers accept."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fanin
from fanin import FileLayout, RecipeError, as_recipe, backends
from fanin.dtypes import FLOATING, INTEGERS, STORAGE, DType
from fanin.file.plan import read_into
from fanin.streams import Stream

BACKENDS = [backends.load(name) for name in backends.available()]
POISON = 0xA5
STREAM = Stream("fanin/1", 5, "weight")
TYPES = st.sampled_from(list(INTEGERS.values()))


@st.composite
def tensors(draw: st.DrawFn, dtype: DType) -> tuple[dict[str, Any], list[int]]:
    """Return a tensor of an integer type, and its elements."""
    rows, size = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    least, largest = int(dtype.least), int(dtype.largest)
    members: dict[str, Any]
    match draw(st.sampled_from(["constant", "arange", "eye", "blocks"])):
        case "constant":
            value = draw(st.integers(least, largest) | st.sampled_from([least, largest]))
            members, row = {"value": draw(st.sampled_from([value, str(value)]))}, lambda _: [value] * size
            scheme = "constant"
        case "arange":
            start, end = draw(st.integers(least, largest)), draw(st.integers(least, largest))
            step = int((end - start) / (size - 1)) if size > 1 else draw(st.integers(-(2**64) + 1, 2**64 - 1))
            while size > 1 and not least <= start + step * (size - 1) <= largest:
                step -= 1 if step > 0 else -1  # the quotient was rounded
            members, row = {"start": start, "step": step}, lambda _: [start + step * i for i in range(size)]
            scheme = "arange"
        case "eye":
            members, row, scheme = {}, lambda r: [int(r == i) for i in range(size)], "eye"
        case _:
            first = draw(st.integers(0, size))
            parts = [{"size": first, "scheme": "ones"}, {"size": size - first, "scheme": "zeros"}]
            members, row = {"axis": 1, "parts": parts}, lambda _: [1] * first + [0] * (size - first)
            scheme = "blocks"
    tensor = {"shape": [rows, size], "dtype": dtype.name, "scheme": scheme, **members}
    return tensor, [value for r in range(rows) for value in row(r)]


def stored(values: list[int], dtype: DType) -> bytes:
    """Elements as SPEC.md section 7 has them, without NumPy."""
    return b"".join((value % 256**dtype.itemsize).to_bytes(dtype.itemsize, "little") for value in values)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=TYPES)
def test_every_range_has_the_exact_integers(backend: backends.Backend, data: st.DataObject, dtype: DType) -> None:
    tensor, values = data.draw(tensors(dtype))
    layout = FileLayout.of(tensor)
    content = layout.header + stored(values, dtype)
    assert layout.size == len(content)
    start = data.draw(st.integers(0, len(content) - 1))
    stop = data.draw(st.integers(start + 1, len(content)))
    out = bytearray([POISON]) * (stop - start + 16)
    read_into(layout, start, memoryview(out)[8:-8], backend)
    assert out == bytes([POISON]) * 8 + content[start:stop] + bytes([POISON]) * 8
    assert as_recipe(layout.recipe.canonical).digest == layout.recipe.digest
    described = fanin.describe(layout)["tensors"]["weight"]
    assert (described["low"], described["high"]) == (min(values), max(values))
    assert described["mean"] == pytest.approx(float(np.mean(np.array(values, float))), rel=1e-9, abs=1e-9)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_many_tensors_and_boxes(data: st.DataObject) -> None:
    """Several tensors are written at once, and parts of tensors go to memory with strides."""
    made = {name: data.draw(tensors(dtype)) for name, dtype in INTEGERS.items()}
    recipe = {"tensors": {name: tensor for name, (tensor, _) in made.items()}}
    for backend in BACKENDS:
        arrays = fanin.materialize(recipe, backend=backend.name)
        for name, (tensor, values) in made.items():
            whole = np.array(values, object).astype(INTEGERS[name].numpy).reshape(tensor["shape"])
            np.testing.assert_array_equal(arrays[name], whole, strict=True)
            box = np.s_[:, data.draw(st.integers(0, tensor["shape"][1] - 1)) :: 2]
            taken = fanin.slice(recipe, name, box, backend=backend.name)
            np.testing.assert_array_equal(taken, whole[box], strict=True)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("name", [*INTEGERS, "F64", "F32", "C64"])
def test_ranges_far_out(backend: backends.Backend, name: str) -> None:
    dtype, size = STORAGE[name], 2**53 - 1 if name in ("I64", "U64", "F64") else 2 if name == "BOOL" else 100
    tensor = {"shape": [2**5, size], "scheme": "arange", "dtype": name}
    draw = as_recipe(tensor).tensors["weight"].draw
    for first in (0, size - 1, 2 * size - 3, 2**31 - 1, 2**40 + 5):
        out = bytearray([POISON]) * (70_000 * dtype.itemsize)
        backend.fill(draw, STREAM, dtype, first, memoryview(out))
        expected = np.array([(first + n) % size for n in range(70_000)], dtype.numpy)
        np.testing.assert_array_equal(np.frombuffer(out, dtype.numpy), expected)


def test_readers_of_safetensors(tmp_path: Path) -> None:
    """Upstream reads the file with these types and values, and would have written tensors in this order."""
    values = {name: [int(dtype.least), int(dtype.largest)] for name, dtype in INTEGERS.items()}
    values |= {name: [0, 1] for name in FLOATING}
    step = {name: ends[1] - ends[0] for name, ends in values.items()}
    recipe: dict[str, Any] = {
        "tensors": {
            name: {"shape": [2, 2], "scheme": "arange", "start": ends[0], "step": step[name], "dtype": name}
            for name, ends in values.items()
        }
    }
    values["F8_E8M0"] = [4, 4]
    recipe["tensors"]["F8_E8M0"] = {"shape": [2, 2], "scheme": "constant", "value": 4, "dtype": "F8_E8M0"}
    path = tmp_path / "a.safetensors"
    fanin.save(recipe, path)
    loaded = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "np") as file:
        for name, ends in values.items():
            of_numpy = STORAGE[name].numpy
            if name == "F4":  # two elements in a byte
                assert loaded[name].dtype == torch.float4_e2m1fn_x2
                assert loaded[name].view(torch.uint8).tolist() == [[0x20], [0x20]]
                continue
            assert loaded[name].dtype == getattr(torch, of_numpy.name)
            # torch compares few unsigned integers: bits are compared instead.
            bits = np.array([ends, ends], of_numpy).view(np.uint8)
            assert loaded[name].view(torch.uint8).numpy().tobytes() == bits.tobytes()
            if of_numpy.isbuiltin == 1:
                np.testing.assert_array_equal(file.get_tensor(name).view(np.uint8), bits)
    theirs = safetensors.torch.save(loaded)
    (length,) = struct.unpack("<Q", theirs[:8])
    order = sorted(json.loads(theirs[8 : 8 + length]).items(), key=lambda item: item[1]["data_offsets"])
    assert [name for name, _ in order] == list(STORAGE)
    assert fanin.load(path, verify="full").arrays["I64"].tolist() == [values["I64"]] * 2


@pytest.mark.parametrize(
    ("members", "field", "words"),
    [
        ({"scheme": "constant", "value": 0.5}, "value", "an integer from -128 to 127 (I8)"),
        ({"scheme": "constant", "value": 128}, "value", "128 is not one of the integers of I8, -128 to 127"),
        ({"scheme": "constant", "value": 2**60 + 1, "dtype": "F8_E4M3"}, "value", "beyond the largest finite F8_E4M3"),
        ({"scheme": "constant", "value": float(2**60), "dtype": "I64"}, "value", "without fraction and exponent"),
        ({"scheme": "constant", "value": 2, "dtype": "BOOL"}, "value", "2 is not one of the integers of BOOL, 0 to 1"),
        ({"scheme": "eye", "gain": 2**60 + 1, "dtype": "I64"}, "scheme", "at most 53 bits"),
        (
            {"scheme": "normal", "std": 1.0},
            "dtype",
            "I8 has integers only, and this scheme real numbers: use one of F64",
        ),
        ({"scheme": "he_normal"}, "dtype", "use one of F64, C64, F32, BF16, F16, F8_E4M3, F8_E5M2"),
        ({"scheme": "arange", "start": 120, "shape": [9]}, "step", "128 is not one of the integers of I8"),
        ({"scheme": "arange", "start": 460, "shape": [9], "dtype": "F8_E4M3"}, "step", "beyond the largest"),
    ],
)
def test_what_no_integer_type_has(members: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        as_recipe({"shape": [3, 3], "dtype": "I8", **members})
    (fault,) = caught.value.faults
    assert fault.pointer == f"/{field}"
    assert words in fault.detail


@example(2**53 + 1)
@settings(max_examples=30, deadline=None)
@given(value=st.integers(-(2**63), 2**64 - 1))
def test_constants_are_not_rounded(value: int) -> None:
    name = "U64" if value >= 0 else "I64"
    for given_ in (value, str(value), np.uint64(value) if value >= 0 else np.int64(value)):
        assert fanin.constant((2,), value=given_, dtype=name).tolist() == [value] * 2  # type: ignore[arg-type]
    canonical = as_recipe({"shape": [], "scheme": "constant", "value": value, "dtype": name}).canonical
    written = json.loads(canonical)["tensors"]["weight"].get("value", 0)
    assert written == (value if abs(value) < 2**53 else str(value))


def test_types_of_floats_read_constants_as_before() -> None:
    for value in (2**53 + 1, 10**400, "1", True):
        given_ = {"shape": [], "scheme": "constant", "value": value, "dtype": "F64"}
        if value == 2**53 + 1:
            assert json.loads(as_recipe(given_).canonical)["tensors"]["weight"]["value"] == 2**53
        else:
            with pytest.raises(RecipeError):
                as_recipe(given_)
