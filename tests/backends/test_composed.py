"""Blocks and tables: their values element by element, and any part equals that slice of the full tensor."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any, get_args

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fanin
from fanin import RecipeError, backends, draws
from fanin.backends import composed
from fanin.draws import Blocks, Draw, Fill, Function, Mapped, Normal, Orthogonal, Polar, Sparse, Table, Uniform, Waves
from fanin.dtypes import FLOATING, DType
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin.streams import Stream
from tests.parity import scalar

STREAM = Stream("fanin/1", 5, "w")
BACKENDS = [backends.load(name) for name in backends.available()]


def made(**tensor: Any) -> Any:
    return fanin.materialize(tensor)["weight"]


def element(draw: Draw, dtype: DType, index: int, position: int) -> bytes:
    """SPEC.md sections 6.7 to 6.11, word for word."""
    if isinstance(draw, Blocks):
        q, r = divmod(position, draw.period)
        ends = [*draw.starts[1:], draw.period]
        j = next(j for j, end in enumerate(ends) if r < end)
        return element(draw.draws[j], dtype, index, q * (ends[j] - draw.starts[j]) + r - draw.starts[j])
    if isinstance(draw, Waves | Mapped | Polar | Sparse):
        return scalar.element(draw, STREAM, dtype, index, position)
    if isinstance(draw, Orthogonal):
        whole = bytearray(draw.rows * draw.columns * dtype.itemsize)
        backends.load("reference").fill(draw, STREAM, dtype, 0, memoryview(whole))
        return bytes(whole[position * dtype.itemsize :][: dtype.itemsize])
    if isinstance(draw, Table):
        count = len(draw.values) // dtype.itemsize
        at = position // draw.run % count * dtype.itemsize
        return draw.values[at : at + dtype.itemsize]
    out = bytearray(dtype.itemsize)
    backends.load("reference").fill(draw, STREAM, dtype, index, memoryview(out))
    return bytes(out)


@st.composite
def any_draws(draw: st.DrawFn, dtype: DType, depth: int = 3) -> Draw:
    leaves = ["fill", "normal", "table", "waves", "sparse", *(["polar"] if dtype.is_complex else ["uniform", "mapped"])]
    kind = draw(st.sampled_from([*leaves, *(["blocks"] * 6 if depth else [])]))
    match kind:
        case "waves":
            columns = [(Fraction(draw(st.integers(0, 99)), 7), draw(st.integers(0, 3))) for _ in range(3)]
            sizes = [Fraction(1, 3)] if draw(st.booleans()) else [Fraction(n, 5) for n in range(4)]
            run = draw(st.sampled_from([1, 1, 3]))
            return draws.waves(columns, draw(st.integers(1, 4)), sizes, dtype, draw(st.integers(0, 9)), run)
        case "sparse":
            size, inner = draw(st.integers(1, 30)), draw(st.integers(1, 4))
            return Sparse(Normal(0.0, 1.0), size, inner, draw(st.integers(0, size)))
        case "polar":
            return Polar(2.0, draw(st.sampled_from([0.0, 0.25, 1 - math.exp(-4)])))
        case "mapped":
            low, width = draw(st.floats(0.01, 0.5)), draw(st.floats(0.01, 0.24))  # some functions end at 1
            function = draw(st.sampled_from(get_args(Function)))
            return Mapped(function, low + width, width, draw(st.sampled_from([-5.0, -1.0])), 1.0)
        case "fill":
            return Fill(draw(st.sampled_from([0.0, 1.0, -2.0])))
        case "normal":
            return Normal(0.0, draw(st.sampled_from([1.0, 2.0])))
        case "uniform":
            return Uniform(0.0, 1.0, -1.0, 1.0)
        case "table":
            return Table(draw(st.binary(min_size=1, max_size=5)) * dtype.itemsize, draw(st.integers(1, 3)))
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    return draws.blocks(sum(lengths), [(length, draw(any_draws(dtype, depth - 1))) for length in lengths])


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    # The numbers of these draws, and random codes in tables, are not those of F4, which test_f4 has.
    dtype=st.sampled_from([dtype for dtype in FLOATING.values() if dtype.name != "F4"]),
    first=st.integers(0, 2**40),
    count=st.integers(1, 90),
)
def test_every_element_is_that_of_the_specification(
    backend: backends.Backend, data: st.DataObject, dtype: DType, first: int, count: int
) -> None:
    draw = data.draw(any_draws(dtype))
    expected = b"".join(element(draw, dtype, first + n, first + n) for n in range(count))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LONG", "AHEAD", "CHUNK"):
            patch.setattr(composed, name, data.draw(st.integers(1, 20)))
        out = bytearray(b"\xa5" * (count * dtype.itemsize + 8))
        backend.fill(draw, STREAM, dtype, first, memoryview(out)[:-8])
    assert out == expected + b"\xa5" * 8


@pytest.mark.parametrize("dtype", [name for name in FLOATING if name != "F4"])  # test_f4 has its partitions
def test_any_partition_is_the_whole(dtype: str) -> None:
    parts = [{"size": 3, "scheme": "normal", "std": 1}, {"size": 90, "scheme": "zeros"}, {"size": 7, "scheme": "eye"}]
    tensors = {
        "rows": {"shape": [100, 61], "scheme": "blocks", "parts": parts},
        "columns": {"shape": [61, 100], "scheme": "blocks", "axis": 1, "parts": parts},
        "dirac": {"shape": [24, 8, 3, 3], "scheme": "dirac", "layout": "torch", "groups": 2},
        "table": {"shape": [9, 16], "scheme": "mamba_a_log"},
        "positions": {"shape": [40, 31], "scheme": "sinusoidal", "variant": "fairseq", "padding": 1},
        "fourier": {"shape": [30, 1, 17], "scheme": "stft"},
        "rwkv": {"shape": [300], "scheme": "rwkv_decay", "power": 1.3},
        "sparse": {"shape": [9, 50, 3], "scheme": "sparse", "sparsity": 0.3, "std": 1, "axis": 1},
        "scaled": {"shape": [40, 30], "scheme": "he_uniform"},
    }
    if dtype != "C64":
        tensors["steps"] = {"shape": [700], "scheme": "mamba_dt_bias"}
        tensors["heads"] = {"shape": [700], "scheme": "mamba2_a_log"}
        tensors["gates"] = {"shape": [700], "scheme": "rg_lru"}
        tensors["delta"] = {"shape": [3, 3, 8, 12], "scheme": "delta_orthogonal"}
        tensors["delta of torch"] = {"shape": [12, 8, 3], "scheme": "delta_orthogonal", "layout": "torch"}
    layout = FileLayout.of({"dtype": dtype, "tensors": tensors})
    whole = bytearray(layout.size)
    read_into(layout, 0, memoryview(whole), backends.load("reference"))
    cuts = sorted(random.Random(3).sample(range(layout.size), 40))
    for backend in BACKENDS:
        pieces = bytearray(b"\xa5" * layout.size)
        for start, stop in zip([0, *cuts], [*cuts, layout.size]):
            read_into(layout, start, memoryview(pieces)[start:stop], backend)
        assert pieces == whole


def test_slices_of_blocks() -> None:
    recipe = {
        "tensors": {
            "w": {
                "shape": [40, 30],
                "scheme": "blocks",
                "axis": 1,
                "parts": [{"size": 11, "scheme": "glorot_normal"}, {"size": 19, "scheme": "eye", "gain": 3}],
            }
        }
    }
    whole = fanin.materialize(recipe)["w"]
    for index in ((slice(3, 37, 5), slice(None)), (slice(None), slice(9, 13)), (7, slice(None, None, -2)), (..., 11)):
        assert (fanin.slice(recipe, "w", index) == whole[index]).all()


@pytest.mark.parametrize(
    "shape", [(3, 5), (5, 3), (4, 4), (1, 7), (7, 1), (2, 3, 5), (2, 5, 3), (0, 3), (3, 0), (1, 1)]
)
def test_eye(shape: tuple[int, ...]) -> None:
    assert (made(shape=shape, scheme="eye", gain=2.5) == np.broadcast_to(2.5 * np.eye(*shape[-2:]), shape)).all()


@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((8, 4, 3, 3), 1),
        ((8, 4, 3, 3), 2),
        ((12, 2, 4), 3),
        ((6, 9, 3, 2, 5), 2),
        ((4, 1, 3), 4),
        ((6, 3, 1), 1),
        ((1, 1, 2), 1),
        ((4, 0, 3), 1),
    ],
)
def test_dirac_is_that_of_torch(shape: tuple[int, ...], groups: int) -> None:
    expected = np.zeros(shape, np.float32)
    if expected.size:
        expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    assert (made(shape=shape, scheme="dirac", groups=groups, layout="torch") == expected).all()
    transposed = expected.transpose(*range(2, len(shape)), 1, 0)
    assert (made(shape=transposed.shape, scheme="dirac", groups=groups) == transposed).all()


def test_tables() -> None:
    import mpmath

    def single(values: Any) -> list[float]:
        return [float(np.float32(float(value))) for value in values]

    logs = single(mpmath.log(1 + n) for n in range(16))
    assert made(shape=[2, 16], scheme="mamba_a_log").tolist() == [logs, logs]
    frequencies = single(mpmath.mpf(10000) ** (-mpmath.mpf(n) / 64) for n in range(64))
    assert made(shape=[64], scheme="rope_frequencies").tolist() == frequencies
    assert made(shape=[8], scheme="alibi_slopes").tolist() == [2.0**-n for n in range(1, 9)]
    twelve = single(
        [*(mpmath.mpf(2) ** -n for n in range(1, 9)), *(mpmath.mpf(2) ** (n - 0.5) for n in (0, -1, -2, -3))]
    )
    assert made(shape=[1, 12, 1], scheme="alibi_slopes").reshape(-1).tolist() == twelve


@pytest.mark.parametrize(("size", "factor"), [(4, 2), (3, 2), (8, 4), (2, 1)])
def test_bilinear_kernels_interpolate(size: int, factor: int) -> None:
    """A transposed convolution by the kernel leaves a constant what it was, away from the border."""
    kernel = torch.from_numpy(made(shape=[1, 1, size, size], scheme="bilinear", layout="torch"))
    out = torch.nn.functional.conv_transpose2d(torch.ones(1, 1, 9, 9), kernel, stride=factor)
    inner = out[..., size:-size, size:-size]
    assert torch.allclose(inner, torch.ones_like(inner))


def test_an_lstm_bias() -> None:
    gates = [{"size": 8, "scheme": "zeros"}, {"size": 8, "scheme": "ones"}, {"size": 16, "scheme": "zeros"}]
    expected = [0.0] * 8 + [1.0] * 8 + [0.0] * 16
    assert made(shape=[32], scheme="blocks", parts=gates).tolist() == expected


def test_a_padding_row_leaves_the_others_as_they_are() -> None:
    distribution = {"scheme": "normal", "std": 1}
    parts = [{"size": 2, **distribution}, {"size": 1, "scheme": "zeros"}, {"size": 7, **distribution}]
    expected = made(shape=[10, 5], **distribution)
    expected[2] = 0
    assert (made(shape=[10, 5], scheme="blocks", parts=parts) == expected).all()


def test_fans_are_those_of_the_part() -> None:
    """A packed projection, as three matrices."""
    parts = [{"size": 16, "scheme": "glorot_uniform"}] * 3
    recipe = fanin.as_recipe(
        {"layout": "torch", "tensors": {"qkv": {"shape": [48, 16], "scheme": "blocks", "parts": parts}}}
    )
    draw = recipe.tensors["qkv"].draw
    assert isinstance(draw, Blocks)
    one = fanin.as_recipe({"shape": [16, 16], "scheme": "glorot_uniform"}).tensors["weight"].draw
    assert set(draw.draws) == {one}


def test_spellings_of_parts_have_one_digest() -> None:
    short = {"size": 4, "scheme": "xavier_uniform", "gain": 1.0}
    spelled = [
        {"shape": [4, 4], "scheme": "blocks", "parts": [part]}
        for part in (short, {"size": 4, "scheme": "glorot_uniform"})
    ]
    first, second = map(fanin.as_recipe, spelled)
    assert first == second == fanin.as_recipe(first.canonical)
    assert first.digest == second.digest
    assert first.tensors["weight"].model_copy(update={"dtype": "BF16"}).dtype == "BF16"


@pytest.mark.parametrize(
    ("parts", "pointer"),
    [
        ([{"size": 3, "scheme": "zeros"}], "/parts"),
        ([{"size": 4, "scheme": "zeross"}], "/parts/0/scheme"),
        ([{"size": 4}], "/parts/0/scheme"),
        ([{"size": -4, "scheme": "zeros"}], "/parts/0/size"),
        ([{"scheme": "zeros"}], "/parts/0/size"),
        ([{"size": 4, "scheme": "zeros", "shape": [4]}], "/parts/0/shape"),
        ([{"size": 0, "scheme": "ones"}, {"size": 4, "scheme": "normal", "std": -1}], "/parts/1/std"),
        ([{"size": 4, "scheme": "he_normal"}], "/parts/0/in_axes"),
        (
            [{"size": 4, "scheme": "blocks", "parts": [{"size": 4, "scheme": "normal", "std": 1e99}]}],
            "/parts/0/parts/0/std",
        ),
        ([{"size": 0, "scheme": "zeros"}] * 257, "/parts"),
        ([7], "/parts/0"),
    ],
)
def test_wrong_parts_are_told(parts: list[Any], pointer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fanin.as_recipe({"shape": [4], "scheme": "blocks", "parts": parts})
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_nested_blocks_are_read_once() -> None:
    """Not twice at each level: fifty levels would never end."""
    tensor: dict[str, Any] = {"size": 4, "scheme": "ones"}
    for _ in range(50):
        tensor = {"size": 4, "scheme": "blocks", "parts": [tensor]}
    del tensor["size"]
    assert made(shape=[4], **tensor).tolist() == [1.0] * 4


def test_bfloat16_tables_have_their_type() -> None:
    assert made(shape=[4], scheme="log_range", dtype="BF16").dtype == ml_dtypes.bfloat16
