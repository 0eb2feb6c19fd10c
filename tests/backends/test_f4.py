"""The type F4, two elements in a byte, against ml_dtypes, torch and safetensors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
import fanin.torch
from fanin import FileLayout, MismatchError, RecipeError, as_recipe, backends, draws
from fanin.backends import pairs
from fanin.backends.reference import store
from fanin.draws import Draw, Mapped, Normal, Sparse, Table
from fanin.dtypes import STORAGE
from fanin.errors import ModuleError
from fanin.file.plan import read_into
from fanin.scalars import rounded
from fanin.streams import Stream
from tests.backends.test_composed import STREAM, element

BACKENDS = [backends.load(name) for name in backends.available()]
POISON = 0xA5
F4, F32 = STORAGE["F4"], STORAGE["F32"]
NUMBERS = np.arange(16, dtype=np.uint8).view(F4.numpy).astype(np.float32)
"""The numbers of the codes 0 to 15."""
DRAWS: tuple[dict[str, Any], ...] = (
    {"scheme": "uniform", "low": -6, "high": 6},
    {"scheme": "uniform", "low": -0.7, "high": 5.1},
    {"scheme": "normal", "std": 0.45},
    {"scheme": "truncated_normal", "std": 3, "low": -1.5, "high": 1.5},
    {"scheme": "orthogonal", "gain": 3},
    {"scheme": "sparse", "sparsity": 0.3, "std": 0.4},
    {"scheme": "blocks", "axis": 1, "parts": [{"size": 21, "scheme": "ones"}, {"size": 17, "scheme": "he_normal"}]},
    {"scheme": "mamba2_a_log"},
    {"scheme": "sinusoidal"},
    {"scheme": "constant", "value": -0.3},
)


def made(layout: FileLayout, start: int, stop: int, backend: backends.Backend) -> bytes:
    """Return bytes of a file. Nothing around them is written."""
    out = bytearray([POISON]) * (stop - start + 16)
    read_into(layout, start, memoryview(out)[8:-8], backend)
    assert out[:8] + out[-8:] == bytes([POISON]) * 16
    return bytes(out[8:-8])


def joined(numbers: np.ndarray[Any, Any]) -> bytes:
    """Return numbers as they are in a file: two in a byte, the first of them in its lower half."""
    codes = numbers.reshape(-1).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    return bytes(low + 16 * high for low, high in zip(codes[::2].tolist(), codes[1::2].tolist(), strict=True))


def test_rounding_is_that_of_ml_dtypes() -> None:
    """All 2^16 upper halves of float32, which are BF16, also with random lower ones; the neighbours of every tie."""
    upper = np.arange(2**16, dtype=np.uint32) << np.uint32(16)
    random = np.random.default_rng(1).integers(0, 2**16, (8, 2**16), np.uint32)
    numbers = np.unique(NUMBERS)
    ties = ((numbers[1:] + numbers[:-1]) / 2).view(np.uint32)
    every = np.concatenate([(upper | random).reshape(-1), ties, ties + np.uint32(1), ties - np.uint32(1), upper])
    values = every.view(np.float32)
    values = values[np.abs(values) < 7]  # larger ones are refused
    assert len(values) > 2**17
    expected = values.astype(F4.numpy).view(np.uint8)
    np.testing.assert_array_equal(store(values, F4).view(np.uint8), expected)
    assert set(expected.tolist()) == set(range(16))
    for value, code in zip(values[::997].tolist(), expected[::997].tolist(), strict=True):
        assert rounded(Fraction(value), F4) == NUMBERS[code]


@pytest.mark.parametrize("code", range(16))
def test_constants(code: int) -> None:
    value = float(NUMBERS[code])
    array = fanin.constant((2, 4), value=value, dtype="F4")
    assert array.dtype == F4.numpy
    assert array.view(np.uint8).tolist() == [[0 if code == 8 else code] * 4] * 2  # zero is +0
    assert F4.encoded(value + 0.0) == bytes([code % 8 + 8 * (value < 0)])
    assert F4.in_file.encoded(value + 0.0) == bytes([17 * (code % 8 + 8 * (value < 0))])


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("members", DRAWS, ids=lambda members: members["scheme"])
def test_elements_are_those_of_float32_rounded_once(backend: backends.Backend, members: dict[str, Any]) -> None:
    tensor = {"shape": [41, 38], "seed": 3, "dtype": "F4", **members}
    layout = FileLayout.of(tensor)
    entry = layout.entries[0]
    ends = [getattr(entry.draw, end, None) for end in ("low", "high")]  # numbers of the type
    single = fanin.materialize({**tensor, "dtype": "F32"}, backend="reference")["weight"]
    if None not in ends:
        single = np.clip(single, *np.array(ends, np.float32))
    assert layout.size - len(layout.header) == 41 * 19
    content = layout.header + joined(single)
    for start, stop in ((0, layout.size), (len(layout.header), layout.size), (layout.size - 700, layout.size - 3)):
        assert made(layout, start, stop, backend) == content[start:stop]
    array = fanin.materialize(tensor, backend=backend.name)["weight"]
    assert array.tobytes() == single.astype(F4.numpy).tobytes()
    assert (array.dtype, array.shape) == (F4.numpy, (41, 38))
    for index in ((slice(3, 40), slice(1, None, 3)), (5, slice(7, 20)), (..., 37), (slice(None, None, -2),)):
        assert fanin.slice(tensor, "weight", index, backend=backend.name).tobytes() == array[index].tobytes()
    if members["scheme"] not in ("orthogonal", "sparse", "blocks"):
        first = 2**34 - 3
        far, codes = np.full(70_000, POISON, np.uint8), np.full(140_000, POISON, np.uint8)
        backend.fill(entry.draw, Stream("fanin/1", 3, "weight"), F4.in_file, first, far.data)
        backend.fill(entry.draw, Stream("fanin/1", 3, "weight"), F4, 2 * first, codes.data)
        np.testing.assert_array_equal(far, codes[::2] + 16 * codes[1::2])


COMPOSED: tuple[Draw, ...] = (
    draws.waves([(Fraction(3, 7), 1), (Fraction(5, 7), 0)], 3, [Fraction(1), Fraction(3)], F4, 2, 1),
    Mapped("log", 0.3, 0.2, -5.0, 1.0),
    Mapped("logit", 0.3, 0.2, -5.0, 1.0),
    Sparse(Normal(0.0, 0.45), 7, 2, 3),
    Table(bytes([1, 15, 9, 6]), 3),
)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_composed_elements_are_those_of_the_specification(backend: backends.Backend) -> None:
    for draw in (*COMPOSED, draws.blocks(9, [(4, COMPOSED[0]), (2, COMPOSED[3]), (3, COMPOSED[1])])):
        expected = b"".join(element(draw, F4, n, n) for n in range(6, 70))
        codes, content = bytearray([POISON]) * 64, bytearray([POISON]) * 32
        backend.fill(draw, STREAM, F4, 6, memoryview(codes))
        backend.fill(draw, STREAM, F4.in_file, 3, memoryview(content))
        assert codes == expected
        assert content == bytes(low + 16 * high for low, high in zip(expected[::2], expected[1::2], strict=True))


SIZES = st.integers(0, 9)


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, Any]:
    """A tensor of F4, or one of another type, which is a neighbour in the file."""
    shape = draw(st.lists(SIZES, max_size=2))
    if draw(st.booleans()):
        scheme = draw(st.sampled_from([{"scheme": "ones"}, {"scheme": "arange"}]))
        dtype = draw(st.sampled_from(["U8", "BOOL", "F32"]))
        return {"shape": shape, "dtype": dtype, **(scheme if dtype == "U8" and shape else {"scheme": "ones"})}
    last = 2 * draw(st.integers(0, 6))
    plain = [each for each in DRAWS if each["scheme"] not in ("orthogonal", "blocks", "sinusoidal")]
    return {"shape": [*shape, last], "dtype": "F4", **draw(st.sampled_from(plain))}


@settings(max_examples=60, deadline=None)
@given(st.lists(tensors(), min_size=1, max_size=7), st.data())
def test_any_range_of_any_file(made_of: list[dict[str, Any]], data: st.DataObject) -> None:
    layout = FileLayout.of({"seed": 5, "tensors": {f"{n}": tensor for n, tensor in enumerate(made_of)}})
    whole = made(layout, 0, layout.size, backends.load("reference"))
    stored = safetensors.deserialize(whole)  # type: ignore[no-untyped-call]
    arrays = fanin.materialize(layout, backend="reference")
    for name, entry in stored:
        array = arrays[name]
        assert (entry["dtype"], tuple(entry["shape"])) == (layout.entry(name).dtype.name, array.shape)
        assert bytes(entry["data"]) == (joined(array) if entry["dtype"] == "F4" else array.tobytes())
    backend = data.draw(st.sampled_from(BACKENDS))
    start = data.draw(st.integers(0, layout.size))
    stop = data.draw(st.integers(start, layout.size))
    assert made(layout, start, stop, backend) == whole[start:stop]


def test_several_tensors_at_once() -> None:
    """A backend fills runs of tensors by one call; those of F4 are between other types in the file."""
    shapes: dict[str, Any] = {f"u{n}": {"shape": [3], "dtype": "U8", "scheme": "arange"} for n in range(4)}
    shapes |= {f"f{n}": {"shape": [3, 2 * n], "scheme": "uniform", "low": -6, "high": 6} for n in range(5)}
    shapes |= {f"b{n}": {"shape": [5], "dtype": "BOOL", "scheme": "ones"} for n in range(4)}
    layout = FileLayout.of({"dtype": "F4", "tensors": shapes})
    assert layout.packed == range(4, 9)
    assert {layout.entries[place].dtype.name for place in layout.packed} == {"F4"}
    whole = [made(layout, 0, layout.size, backend) for backend in BACKENDS]
    assert len(set(whole)) == 1
    arrays = fanin.materialize(layout)
    assert all(len(array) == 3 and array.shape[-1] % 2 == 0 for name, array in arrays.items() if name[0] == "f")
    assert b"".join(joined(arrays[f"f{n}"]) for n in range(5)) == whole[0][-20 - 30 : -20]
    assert FileLayout.of({"shape": [3], "scheme": "ones"}).packed == range(1, 1)


def test_readers_of_safetensors(tmp_path: Path) -> None:
    tensors = {
        "w": {"shape": [30, 4], "scheme": "uniform", "low": -6, "high": 6, "dtype": "F4"},
        "scale": {"shape": [30, 1], "scheme": "constant", "value": 0.5, "dtype": "F8_E8M0"},
        "mask": {"shape": [3], "scheme": "ones", "dtype": "BOOL"},
        "none": {"shape": [0, 4], "scheme": "zeros", "dtype": "F4"},
    }
    path = tmp_path / "a.safetensors"
    fanin.save({"tensors": tensors}, path)
    loaded, arrays = safetensors.torch.load_file(path), fanin.load(path, verify="full").arrays
    assert (loaded["w"].dtype, loaded["w"].shape) == (torch.float4_e2m1fn_x2, (30, 2))
    assert (loaded["none"].dtype, loaded["none"].shape) == (torch.float4_e2m1fn_x2, (0, 2))
    assert loaded["w"].view(torch.uint8).numpy().tobytes() == joined(arrays["w"])
    assert (arrays["w"].dtype, arrays["w"].shape) == (F4.numpy, (30, 4))
    assert fanin.materialize({"tensors": tensors})["w"].tobytes() == arrays["w"].tobytes()
    with safetensors.safe_open(path, "pt") as file:
        assert file.get_slice("w").get_shape() == [30, 4]
    # A file of torch has the same bytes in the same order.
    again = safetensors.torch.save({name: each for name, each in loaded.items() if name != "none"})
    kept = FileLayout.of({"tensors": {name: tensor for name, tensor in tensors.items() if name != "none"}})
    data = [kept.header, made(kept, len(kept.header), kept.size, BACKENDS[0])]
    assert again.endswith(data[1])


def test_a_difference_names_the_element(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    recipe = {"shape": [3, 4], "scheme": "constant", "value": 1, "dtype": "F4"}
    fanin.save(recipe, path)
    content = path.read_bytes()
    for bits, place in ((0x01, 8), (0x10, 9), (0x11, 8)):
        path.write_bytes(content[:-2] + bytes([content[-2] ^ bits]) + content[-1:])
        with pytest.raises(MismatchError, match=rf"element {place} \[2, {place - 8}\]") as caught:
            fanin.verify(path)
        assert caught.value.element == place


@pytest.mark.parametrize("shape", [[], [1], [2, 3], [0, 5]])
def test_rows_end_with_a_byte(shape: list[int]) -> None:
    """The reader of torch takes pairs of the last axis only, and no reader takes half a byte."""
    with pytest.raises(
        RecipeError, match="the last size must be even, because a byte has two elements of F4"
    ) as caught:
        FileLayout.of({"tensors": {"a": {"shape": shape, "scheme": "zeros", "dtype": "F4"}}})
    assert caught.value.faults[0].pointer == "/tensors/a/shape"
    assert f"{shape}" in str(caught.value)


@pytest.mark.parametrize("value", [7, -7, 1e9])
def test_what_is_too_large_is_refused(value: float) -> None:
    with pytest.raises(RecipeError, match="beyond the largest finite F4, 6"):
        fanin.constant((2,), value=value, dtype="F4")
    with pytest.raises(RecipeError, match="beyond the largest finite F4, 6"):
        fanin.normal((2,), std=abs(value), dtype="F4")


@pytest.mark.parametrize("name", ["F6_E2M3", "F6_E3M2", "f6_e2m3", "ml_dtypes.float6_e3m2fn"])
def test_types_of_six_bits_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="neither an order of its bits in a byte nor a reader") as caught:
        as_recipe({"shape": [4, 4], "scheme": "zeros", "dtype": name})
    assert all(word in str(caught.value) for word in ("/dtype", name, "mxfp4", "nvfp4"))


def test_safetensors_has_no_reader_of_six_bits(tmp_path: Path) -> None:
    """The reason of the refusal: its header is valid, and no framework loads it."""
    header = b'{"w":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}'
    content = len(header).to_bytes(8, "little") + header + bytes(3)
    found = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
    assert found[0][1]["dtype"] == "F6_E2M3"
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(safetensors.SafetensorError, match="Dtype not understood: F6_E2M3"):
        safetensors.torch.load_file(tmp_path / "a.safetensors")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float4_e2m1fn_x2])
def test_torch_modules_refuse_it(dtype: torch.dtype) -> None:
    model = torch.nn.Linear(4, 2, bias=False)
    size = 4 if dtype == torch.float32 else 2
    model.weight = torch.nn.Parameter(torch.empty(2, size, dtype=dtype), requires_grad=False)
    with pytest.raises(ModuleError, match=r"F4 .*float4_e2m1fn_x2 for pairs of them; save the recipe"):
        fanin.torch.init_(model, {"tensors": {"weight": {"shape": [2, 4], "scheme": "zeros", "dtype": "F4"}}})


def test_packing() -> None:
    codes = np.arange(256, dtype=np.uint8) % 16
    content = pairs.packed(codes)
    assert content.tolist() == [n % 16 + 16 * ((n + 1) % 16) for n in range(0, 256, 2)]
    assert pairs.unpacked(content, F4).tolist() == codes.tolist()
    assert pairs.unpacked(content, STORAGE["U8"]) is content
