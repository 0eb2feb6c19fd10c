"""Quantized tensors: their parts describe the draw of the twin, and any range of a part is that of the full part."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from collections.abc import Iterator
from typing import Any, get_args

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import fanin
from fanin import RecipeError, backends
from fanin.backends import quantizing
from fanin.draws.quantization import FORMATS, bound
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.recipe.assumed_layouts import assumed
from fanin.schemes.quantized import FormatName

Floats = NDArray[np.float32]
ROWS, COLUMNS = 256, 384
LAWS = (
    {"scheme": "normal", "std": 0.02},
    {"scheme": "uniform", "low": -0.1, "high": 0.7},
    {"scheme": "blocks", "parts": [{"size": 3, "scheme": "zeros"}, {"size": ROWS - 3, "scheme": "he_normal"}]},
)
PARTS: dict[str, dict[str, tuple[list[int], str]]] = {
    "fp8": {"data": ([ROWS, COLUMNS], "F8_E4M3"), "scale": ([1], "F32")},
    "fp8_channel": {"data": ([ROWS, COLUMNS], "F8_E4M3"), "scale": ([ROWS, 1], "F32")},
    "fp8_block": {"data": ([ROWS, COLUMNS], "F8_E4M3"), "scale": ([2, 3], "F32")},
    "int8": {"data": ([ROWS, COLUMNS], "I8"), "scale": ([ROWS, 1], "F32")},
    "mxfp8": {"data": ([ROWS, COLUMNS], "F8_E4M3"), "scale": ([ROWS, COLUMNS // 32], "U8")},
    "mxfp4": {"data": ([ROWS, COLUMNS // 2], "U8"), "scale": ([ROWS, COLUMNS // 32], "U8")},
    "nvfp4": {
        "data": ([ROWS, COLUMNS // 2], "U8"),
        "scale": ([ROWS, COLUMNS // 16], "F8_E4M3"),
        "global_scale": ([1], "F32"),
    },
    "int4": {"data": ([ROWS, COLUMNS // 8], "I32"), "scale": ([ROWS, 3], "F32"), "shape": ([2], "I64")},
    "int4_asymmetric": {
        "data": ([ROWS, COLUMNS // 8], "I32"),
        "scale": ([ROWS, 3], "F32"),
        "zero_point": ([ROWS // 8, 3], "I32"),
        "shape": ([2], "I64"),
    },
    "awq": {
        "data": ([COLUMNS, ROWS // 8], "I32"),
        "scale": ([3, ROWS], "F16"),
        "zero_point": ([3, ROWS // 8], "I32"),
    },
    "gptq": {
        "data": ([COLUMNS // 8, ROWS], "I32"),
        "scale": ([3, ROWS], "F16"),
        "zero_point": ([3, ROWS // 8], "I32"),
        "group_index": ([COLUMNS], "I32"),
    },
}
"""Shape and storage type of every part, for one matrix."""


def tensor(form: str, part: str, law: dict[str, Any], **more: Any) -> dict[str, Any]:
    shape, dtype = PARTS[form][part]
    full = {"shape": [ROWS, COLUMNS], **law}
    return {"shape": shape, "dtype": dtype, "scheme": "quantized", "format": form, "part": part, "tensor": full, **more}


def recipe_of(form: str, law: dict[str, Any]) -> dict[str, Any]:
    parts = {f"fc.{part}": tensor(form, part, law, twin="weight") for part in PARTS[form]}
    return {"seed": 7, "tensors": parts}


def twin_of(law: dict[str, Any]) -> Floats:
    recipe = {"seed": 7, "tensors": {"fc.weight": {"shape": [ROWS, COLUMNS], **law}}}
    return np.asarray(fanin.materialize(recipe)["fc.weight"])


def nibbles(words: NDArray[Any], order: Any = range(8)) -> NDArray[np.int64]:
    """Return eight codes for each word, on a new last axis: `order` has the place of each code."""
    unsigned = words.view(np.uint32).astype(np.int64)
    return np.stack([unsigned >> 4 * place & 15 for place in order], -1)


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float64)


def e2m1(data: NDArray[np.uint8]) -> NDArray[np.float64]:
    codes = np.stack([data & 15, data >> 4], -1).reshape(len(data), -1)
    return np.where(codes & 8, -1, 1) * E2M1[codes & 7]


def spacing(numbers: NDArray[np.float64], precision: int, least: float) -> NDArray[np.float64]:
    """Return the distance of neighbours among floating-point numbers, at the magnitude of each of these."""
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log2(np.abs(numbers)))
    return np.maximum(2.0 ** (exponent - precision + 1), least)


# A place of the AWQ order: code number n of eight is stored in place AWQ[n].
AWQ = (0, 4, 1, 5, 2, 6, 3, 7)


def dequantized(form: str, parts: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the numbers that a reader of the format gets, and their unit: the distance of two neighbours."""
    data = parts["data"]
    scale = np.asarray(parts["scale"])
    wide = {"mxfp8": 32, "mxfp4": 32, "nvfp4": 16}.get(form, 128)
    match form:
        case "fp8" | "fp8_channel" | "int8":
            scales = np.broadcast_to(scale.astype(np.float64).reshape(-1, 1), (ROWS, COLUMNS))
        case "fp8_block":
            scales = np.repeat(np.repeat(scale.astype(np.float64), 128, 0), 128, 1)[:ROWS, :COLUMNS]
        case "mxfp8" | "mxfp4":
            scales = np.repeat(2.0 ** (scale.astype(np.float64) - 127), wide, 1)
        case "nvfp4":
            scales = np.repeat(scale.astype(np.float64) / parts["global_scale"].astype(np.float64), wide, 1)
        case "awq" | "gptq":
            scales = np.repeat(scale.astype(np.float64), wide, 0).T
        case _:
            scales = np.repeat(scale.astype(np.float64), wide, 1)
    if form in ("fp8", "fp8_channel", "fp8_block", "mxfp8"):
        codes = data.astype(np.float64)
        return codes * scales, spacing(codes, 4, 2.0**-9) * scales
    if form in ("mxfp4", "nvfp4"):
        codes = e2m1(data)
        return codes * scales, spacing(codes, 2, 0.5) * scales
    match form:
        case "int8":
            codes = data.astype(np.float64)
        case "int4":
            codes = nibbles(data).reshape(ROWS, COLUMNS) - 8.0
        case "int4_asymmetric":
            zeros = nibbles(parts["zero_point"]).transpose(0, 2, 1).reshape(ROWS, -1)
            codes = nibbles(data).reshape(ROWS, COLUMNS) - np.repeat(zeros, wide, 1).astype(np.float64)
        case "awq":
            zeros = nibbles(parts["zero_point"], AWQ).reshape(-1, ROWS)
            codes = (nibbles(data, AWQ).reshape(COLUMNS, ROWS) - np.repeat(zeros, wide, 0)).T.astype(np.float64)
        case _:
            zeros = nibbles(parts["zero_point"]).reshape(-1, ROWS)[parts["group_index"]] + 1  # stored as one less
            codes = (nibbles(data).transpose(0, 2, 1).reshape(COLUMNS, ROWS) - zeros).T.astype(np.float64)
    return codes * scales, scales


@pytest.mark.parametrize("law", LAWS, ids=["normal", "uniform", "blocks"])
@pytest.mark.parametrize("form", PARTS)
def test_dequantized_parts_are_the_draw_of_the_twin(form: str, law: dict[str, Any]) -> None:
    """The error is half a unit: that of the rounding to the format, and of float32. Only MX formats saturate."""
    parts = {name.removeprefix("fc."): part for name, part in fanin.materialize(recipe_of(form, law)).items()}
    numbers, unit = dequantized(form, parts)
    twin = twin_of(law).astype(np.float64)
    if form in ("mxfp4", "mxfp8"):
        greatest, power = (6, 2) if form == "mxfp4" else (448, 8)
        exponents = parts["scale"].astype(np.int64) - 127
        blocks = np.abs(twin).reshape(*exponents.shape, 32).max(-1)
        rule = np.floor(np.log2(np.where(blocks, blocks, 2.0**power))) - power  # that of OCP; zeros have a scale of 1
        assert np.array_equal(exponents, rule)
        limit = np.repeat(greatest * 2.0**exponents, 32, 1)
        saturated = np.abs(twin) > limit
        assert np.array_equal(np.abs(numbers)[saturated], limit[saturated])
        unit = np.where(saturated, np.inf, unit)
    assert np.all(np.abs(numbers - twin) <= unit * 0.5001)
    assert np.abs(numbers).max() > 0.5 * np.abs(twin).max()


def test_every_format_is_tested() -> None:
    assert set(PARTS) == set(FORMATS) == set(get_args(FormatName))


TOOLS = {
    ("fp8_channel", "data"): "a2cda3e59f45c0d7",
    ("fp8_channel", "scale"): "62d71fdec488dc46",
    ("fp8_block", "data"): "f4e358feefd92fcb",
    ("fp8_block", "scale"): "a923451822c2a264",
    ("int8", "data"): "347fa039191d5d90",
    ("int8", "scale"): "d3d1819d120456e4",
    ("int4", "data"): "b0697d535770e95f",
    ("int4", "scale"): "34d255d48125b128",
    ("int4_asymmetric", "data"): "c4aded371f306964",
    ("int4_asymmetric", "scale"): "5077e842e515314e",
    ("int4_asymmetric", "zero_point"): "f59d31af753fc418",
    ("nvfp4", "data"): "cb1212c29d547181",
    ("nvfp4", "scale"): "5a421e0624f6f041",
    ("mxfp4", "data"): "3eba21c48098fe3b",
    ("mxfp4", "scale"): "194c0096bc3c6900",
    ("mxfp8", "data"): "8d88f19f87400cd6",
    ("mxfp8", "scale"): "6d8b6d3a55878293",
}
"""Begin of the SHA-256 of what compressed-tensors 0.20.1, or for MX formats torchao 0.18.0, makes of the float32 twin.

NVFP4 had our global scale, which is from the bound of the twin.
"""


@pytest.mark.parametrize(("form", "part"), TOOLS)
def test_parts_are_those_that_the_tools_of_the_formats_make(form: str, part: str) -> None:
    made = fanin.materialize(recipe_of(form, LAWS[0]))[f"fc.{part}"]
    assert hashlib.sha256(made.tobytes()).hexdigest()[:16] == TOOLS[form, part]


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tiles of some rows, of a part of a row, and of a part of a group."""
    monkeypatch.setattr(quantizing, "TILE", 5000)
    yield
    backends.load("native").matrices.clear()


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize("form", PARTS)
def test_any_range_is_that_of_the_whole(form: str, name: str) -> None:
    backend, layout = backends.load(name), FileLayout.of(recipe_of(form, LAWS[2]))
    # The complete file is that of the fastest backend in large tiles.
    quantizing.TILE, small = 1 << 18, quantizing.TILE
    whole = bytearray(b"\xaa" * layout.size)
    read_into(layout, 0, memoryview(whole), backends.get())
    quantizing.TILE = small
    backend.matrices.clear()
    numbers = random.Random(form)
    for _ in range(12 if name == "native" else 3):
        start = numbers.randrange(len(layout.header), layout.size)
        stop = min(layout.size, start + numbers.choice((1, 3, 40, 2000, 30_000)))
        part = bytearray(b"\xbb" * (stop - start))
        read_into(layout, start, memoryview(part), backend)
        assert part == whole[start:stop], (start, stop)


@pytest.mark.parametrize("form", [form for form, each in FORMATS.items() if each.rule != "given"])
def test_an_element_needs_its_groups_only(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One element, and two elements on both sides of a row's end, of matrices with terabytes."""
    generated = []
    numbers = quantizing._numbers

    def counted(*args: Any) -> Any:
        made = numbers(*args)
        generated.append(made.size)
        return made

    monkeypatch.setattr(quantizing, "_numbers", counted)
    rows, columns = 2**30, {"fp8_channel": 2**20, "int8": 2**18, "fp8_block": 2**15}.get(form, 2**22)
    packed = {"awq": [columns, rows // 8], "gptq": [columns // 8, rows]}.get(form)
    per = {"mxfp4": 2, "nvfp4": 2, "int4": 8, "int4_asymmetric": 8}.get(form, 1)
    shape = packed or [rows, columns // per]
    law = {"shape": [rows, columns], "scheme": "normal", "std": 1}
    layout = FileLayout.of(
        {"shape": shape, "dtype": FORMATS[form].data_type, "scheme": "quantized", "format": form, "tensor": law}
    )
    entry = layout.entries[0]
    for first, count in ((12345, 1), (shape[1] * 777 - 1, 2)):
        generated.clear()
        out = bytearray(count * entry.dtype.itemsize)
        backends.get().fill(entry.draw, entry.stream, entry.dtype, first, memoryview(out))
        # A row of groups of fp8_block, for its scales; a group of the others, for each row.
        most = {"fp8_block": 128 * columns, "fp8_channel": columns, "int8": columns}.get(form, 8 * 128)
        assert sum(generated) <= 2 * most


def test_parts_of_repeated_names_share_the_stream_of_their_own_twin() -> None:
    law = {"shape": [4, 32], "scheme": "normal", "std": 1}
    part = {"shape": [4, 16], "dtype": "U8", "scheme": "quantized", "format": "mxfp4", "tensor": law, "twin": "weight"}
    made = fanin.materialize({"tensors": {}, "repeated": {"layers.{0..2}.fc.weight_packed": part}})
    for n in range(3):
        alone = fanin.materialize({"tensors": {f"layers.{n}.fc.weight": {**part, "twin": None}}})
        np.testing.assert_array_equal(made[f"layers.{n}.fc.weight_packed"], alone[f"layers.{n}.fc.weight"])
    assert len({each.tobytes() for each in made.values()}) == 3
    bare = fanin.materialize({"tensors": {"weight_packed": part}})["weight_packed"]
    np.testing.assert_array_equal(bare, fanin.materialize({**part, "twin": None})["weight"])


def test_a_transposed_law_is_quantized_along_its_other_axis() -> None:
    """gpt-oss: the BF16 model has experts as (in, out), the MXFP4 file as (out, in / 32, 16)."""
    law = {"shape": [2, 64, 24], "scheme": "normal", "std": 1}
    blocks = {"shape": [2, 24, 2, 16], "dtype": "U8", "scheme": "quantized", "format": "mxfp4", "tensor": law}
    scales = {**blocks, "shape": [2, 24, 2], "part": "scale"}
    more = {"transposed": True, "twin": "down_proj"}
    made = fanin.materialize(
        {"tensors": {"m.down_proj_blocks": {**blocks, **more}, "m.down_proj_scales": {**scales, **more}}}
    )
    twin = fanin.materialize({"tensors": {"m.down_proj": law}})["m.down_proj"]
    numbers = e2m1(made["m.down_proj_blocks"].reshape(-1, 16)).reshape(2, 24, 2, 32)
    numbers *= 2.0 ** (made["m.down_proj_scales"].astype(np.float64) - 127)[..., None]
    error = np.abs(numbers.reshape(2, 24, 64).transpose(0, 2, 1) - twin)
    assert np.quantile(error, 0.97) < 0.3
    assert np.corrcoef(numbers.reshape(2, 24, 64).transpose(0, 2, 1).ravel(), twin.ravel())[0, 1] > 0.99


def test_rows_of_taller_groups_can_be_of_a_transposed_twin() -> None:
    """Codes of some rows of a row of groups are generated apart from the others."""
    twin = {"shape": [2, 160, 200], "scheme": "normal", "std": 1}
    part = {"scheme": "quantized", "format": "fp8_block", "tensor": twin, "transposed": True}
    recipe = {"tensors": {"w": {**part, "shape": [2, 200, 160], "dtype": "F8_E4M3"}}}
    whole = fanin.materialize(recipe)["w"].view(np.uint8)
    for index in (np.s_[0, 3], np.s_[0, 5:9], np.s_[1, 130, 7:99], np.s_[0, 120:140, 150:], np.s_[1, 199:]):
        np.testing.assert_array_equal(fanin.slice(recipe, "w", index).view(np.uint8), whole[index])


def test_scales_are_never_zero() -> None:
    for form, parts in PARTS.items():
        made = fanin.materialize(recipe_of(form, {"scheme": "zeros"}))
        scale = np.asarray(made["fc.scale"])
        wanted = {"mxfp4": 127, "mxfp8": 127, "nvfp4": 2.0**-9}.get(form, 1)
        assert set(scale.astype(np.float64).ravel()) == {wanted}, parts
        assert not made["fc.data"].astype(np.float64).any() or form in ("int4", "gptq")


@pytest.mark.parametrize(
    ("form", "part", "sizes", "shape", "dtype", "wanted"),
    [
        ("int4", "shape", [0, 256], [2], "I64", [0, 256]),
        ("int4_asymmetric", "shape", [2, 8, 0], [3], "I64", [2, 8, 0]),
        ("gptq", "group_index", [0, 256], [256], "I32", [0] * 128 + [1] * 128),
        ("fp8", "scale", [0, 32], [1], "F32", [np.float32(5 / 448)]),
        ("nvfp4", "global_scale", [8, 0], [], "F32", [np.float32(2688 / 5)]),
        ("int8", "scale", [2, 0], [2, 1], "F32", [1, 1]),
        ("fp8_channel", "scale", [2, 0], [2], "F32", [1, 1]),
    ],
)
def test_parts_of_a_twin_without_elements_can_have_elements(
    form: str, part: str, sizes: list[int], shape: list[int], dtype: str, wanted: list[float]
) -> None:
    law = {"shape": sizes, "scheme": "uniform", "low": -5, "high": 5}
    spec = {"shape": shape, "dtype": dtype, "scheme": "quantized", "format": form, "part": part, "tensor": law}
    assert fanin.materialize(spec)["weight"].reshape(-1).tolist() == wanted


def test_scales_of_16_bits_are_rounded_upwards() -> None:
    """So that the code of no number lies beyond the last one of the format."""
    exact = np.asarray(fanin.materialize(recipe_of("int8", LAWS[0]))["fc.scale"])
    for name, dtype in (("BF16", ml_dtypes.bfloat16), ("F16", np.float16)):
        spec = {**tensor("int8", "scale", LAWS[0], scale_dtype=name, twin="weight"), "dtype": name}
        found = np.asarray(fanin.materialize({"seed": 7, "tensors": {"fc.weight_scale": spec}})["fc.weight_scale"])
        nearest = exact.astype(dtype)
        above = np.nextafter(nearest, dtype(np.inf))
        assert np.array_equal(found, np.where(nearest.astype(np.float32) < exact, above, nearest))


def test_the_bound_of_a_normal_law_is_that_of_its_most_extreme_word() -> None:
    draw = fanin.as_recipe({"shape": [1], "scheme": "normal", "std": 0.5}).tensors["weight"].draw
    from fanin.backends.reference import magnitude
    from fanin.draws import WHOLE_SIDE

    assert bound(draw) == 0.5 * float(magnitude(np.zeros(1, np.uint32), None, WHOLE_SIDE["F32"])[0])


@pytest.mark.parametrize(
    "law",
    [
        {"scheme": "uniform", "low": -1, "high": 3},
        {"scheme": "truncated_normal", "std": 2, "mean": 1},
        {"scheme": "truncated_normal", "std": 1, "low": 4, "high": None},
        {"scheme": "log_of_uniform"},
        {"scheme": "sinusoidal"},
        {"scheme": "arange", "start": -50, "step": 3},
        {"scheme": "log_range", "start": 3},
        {"scheme": "constant", "value": -2.5},
        *LAWS,
    ],
)
def test_no_number_exceeds_the_bound_of_its_law(law: dict[str, Any]) -> None:
    recipe = fanin.as_recipe({"shape": [ROWS, COLUMNS], **law})
    largest = np.abs(fanin.materialize(recipe)["weight"]).max()
    found = bound(recipe.tensors["weight"].draw)
    assert largest <= found <= 4 * largest


def test_spellings_have_one_canonical_text() -> None:
    part = tensor("awq", "data", LAWS[0])
    first = fanin.as_recipe(part)
    assert fanin.as_recipe({**part, "scale_dtype": "F16", "group_size": 128, "transposed": False}) == first
    assert fanin.as_recipe({**part, "tensor": {**part["tensor"], "mean": -0.0}}).digest == first.digest
    assert fanin.as_recipe(json.loads(first.canonical)).digest == first.digest
    assert pickle.loads(pickle.dumps(first)) == first
    assert fanin.as_recipe(first.with_tensors(first.tensors)).digest == first.digest


def test_the_law_gets_the_layout_of_the_recipe() -> None:
    part = tensor("fp8", "data", {"scheme": "lecun_normal"})
    torch = fanin.as_recipe({"layout": "torch", "tensors": {"weight": part}})
    assert torch == fanin.as_recipe(tensor("fp8", "data", {"scheme": "lecun_normal", "layout": "torch"}))
    assert not assumed(torch)
    assert assumed(fanin.as_recipe(part)) == ["weight"]


def test_a_description_has_no_moments_of_codes() -> None:
    described = fanin.describe(recipe_of("nvfp4", LAWS[0]))["tensors"]
    assert described["fc.data"]["draw"] == "codes E2M1 of N(0, 0.02^2) in groups of 1 x 16"
    assert [described["fc.data"][field] for field in ("mean", "std", "low", "high")] == [None] * 4
    assert described["fc.global_scale"]["std"] == 0


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"format": "fp7"}, "/format", "'fp8', 'fp8_channel'"),
        ({"part": "zero_point"}, "/part", "fp8_block has no zero_point; its parts are data, scale"),
        ({"shape": [384, 256]}, "/shape", r"\[384, 256\] is not the shape of this part: \[256, 384\]"),
        ({"dtype": "BF16"}, "/dtype", "BF16 is not the dtype of this part: F8_E4M3"),
        ({"group_size": 64}, "/group_size", "groups of fp8_block have a fixed size"),
        ({"format": "mxfp8", "scale_dtype": "F32"}, "/scale_dtype", "the scales of mxfp8 are U8 or F8_E8M0"),
        ({"tensor": {"shape": [4], "scheme": "ones"}}, "/tensor", "has 1 axes; a quantized tensor has at least 2"),
        ({"tensor": {"shape": [4, 4], "scheme": "onse"}}, "/tensor/scheme", "unknown scheme"),
        ({"tensor": {"shape": [4, 4], "scheme": "normal", "std": -1}}, "/tensor/std", "greater than 0"),
        ({"tensor": {"shape": [256, 384], "scheme": "orthogonal"}}, "/tensor", "cannot be quantized"),
        (
            {"tensor": {"shape": [256, 384], "scheme": "ones", "dtype": "BF16"}},
            "/tensor/dtype",
            "the twin has no dtype",
        ),
        (
            {"format": "mxfp4", "tensor": {"shape": [2, 40], "scheme": "ones"}},
            "/tensor",
            "40 columns are not a multiple of 32",
        ),
        (
            {"format": "int4", "group_size": 4, "tensor": {"shape": [2, 12], "scheme": "ones"}},
            "/tensor",
            "12 columns are not a multiple of 8",
        ),
        (
            {
                "format": "int4_asymmetric",
                "shape": [2, 16],
                "dtype": "I32",
                "tensor": {"shape": [2, 128], "scheme": "constant", "value": 2.0**127},
            },
            "/tensor",
            r"numbers up to 1.70141183e\+38 are too large",
        ),
    ],
)
def test_errors_name_the_field_and_what_is_allowed(change: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        fanin.as_recipe({**tensor("fp8_block", "data", LAWS[0]), **change})
    assert [fault.pointer for fault in caught.value.faults] == [field]


def test_a_quantized_part_cannot_be_one_of_several_blocks() -> None:
    inner = {field: value for field, value in tensor("fp8", "data", LAWS[0]).items() if field not in ("shape", "dtype")}
    parts = [{"size": ROWS, **inner}, {"size": 1, "scheme": "ones"}]
    with pytest.raises(RecipeError, match="must be the full tensor"):
        fanin.as_recipe({"shape": [ROWS + 1, COLUMNS], "dtype": "F8_E4M3", "scheme": "blocks", "parts": parts})


def test_a_range_costs_the_numbers_that_it_is_made_from() -> None:
    law = {"shape": [1024, 2048], "scheme": "normal", "std": 1}
    data = {"shape": [1024, 2048], "dtype": "F8_E4M3", "scheme": "quantized", "format": "fp8_block", "tensor": law}
    scale = {**data, "shape": [8, 16], "dtype": "F32", "part": "scale"}
    layout = FileLayout.of({"tensors": {"a": scale, "b": scale, "c": scale, "d": data, "e": law}})
    entries = {entry.name: entry for entry in layout.entries}
    group, matrix = 4 * 128 * 128, 4 * 1024 * 2048
    assert layout.source_bytes(entries["a"].start, entries["a"].start + 1) == 2 * group
    assert layout.source_bytes(entries["b"].start, entries["b"].stop) == matrix + group
    assert layout.source_bytes(entries["d"].start, entries["d"].stop) == 2 * matrix + group
    assert layout.source_bytes(entries["e"].start, entries["e"].stop) == 0
    assert layout.source_bytes(entries["a"].start + 4, entries["c"].start + 4) == 2 * matrix + 3 * group
    assert layout.source_bytes(0, layout.size) == 5 * matrix + 4 * group
    plain = FileLayout.of(law)
    assert plain.source_bytes(0, plain.size) == 0
