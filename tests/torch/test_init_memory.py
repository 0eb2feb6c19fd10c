"""`fanin.torch.init_`: strides, views and shared memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import fanin
from fanin import FileLayout, backends
from fanin.dtypes import DTYPES
from fanin.region import Region
from fanin.strided import place
from fanin.torch import ModuleError, init_, record
from tests.torch.filled import SCHEMES, Net, check, recipe_of


def test_channels_last_and_transposed_parameters() -> None:
    module = Net().to(memory_format=torch.channels_last)
    module.head.weight = nn.Parameter(torch.empty(12, 33).t())
    assert not module.conv.weight.is_contiguous()
    assert not module.head.weight.is_contiguous()
    init_(module, recipe_of(module))
    check(module, recipe_of(module))
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert not module.head.weight.is_contiguous()


def test_views_of_larger_memory_are_filled_and_nothing_beside_them() -> None:
    memory = torch.full((9, 50), math.nan)
    module = nn.Module()
    module.weight = nn.Parameter(memory[1:8, 3:43])
    init_(module, recipe_of(module))
    check(module, recipe_of(module))
    assert memory.isnan().sum() == memory.numel() - 7 * 40


@st.composite
def regions(draw: st.DrawFn) -> tuple[list[int], list[range], list[int], list[int]]:
    """Sizes of a tensor, a box in it, the order of axes in memory, and elements left out behind each."""
    rank = draw(st.integers(0, 4))
    sizes = draw(st.lists(st.integers(0, 40 if rank < 3 else 9), min_size=rank, max_size=rank))
    axes = []
    for size in sizes:
        start = draw(st.integers(0, size))
        axes.append(range(start, draw(st.integers(start, size))))
    return (
        sizes,
        axes,
        draw(st.permutations(range(rank))),
        draw(st.lists(st.integers(0, 2), min_size=rank, max_size=rank)),
    )


@given(
    box=regions(),
    dtype=st.sampled_from(list(DTYPES.values())),
    name=st.sampled_from(["native", "reference"]),
    scheme=st.sampled_from(SCHEMES[:4]),
)
@settings(max_examples=150, deadline=None)
def test_any_box_in_any_memory(
    box: tuple[list[int], list[range], list[int], list[int]], dtype: Any, name: str, scheme: dict[str, Any]
) -> None:
    if name not in backends.available():
        pytest.skip("there are no compiled kernels")
    sizes, axes, order, gaps = box
    entry = FileLayout.of({"shape": sizes, "dtype": dtype.name, **scheme}).entry("weight")
    lengths = [len(axis) for axis in axes]
    room = np.full([lengths[axis] + gaps[axis] for axis in order] + [dtype.itemsize], 0xA5, np.uint8)
    poison = room.copy()
    elements = room.view(f"V{dtype.itemsize}")[..., 0].transpose(np.argsort(order) if order else [])
    memory = elements[(..., *(slice(length) for length in lengths))]
    region = Region(tuple(lengths), tuple(axes), tuple(sizes))
    place(entry, region, memory.ctypes.data, memory.strides, backends.load(name))
    whole = fanin.materialize({"shape": sizes, "dtype": dtype.name, **scheme}, backend="reference")["weight"]
    wanted = whole[tuple(slice(axis.start, axis.stop) for axis in axes)]
    assert memory.tobytes() == wanted.tobytes()
    memory[...] = np.frombuffer(b"\xa5" * dtype.itemsize, memory.dtype)[0]
    assert (room == poison).all(), "something beside it was written"


@pytest.mark.parametrize(
    ("other", "is_shared"),
    [
        (lambda memory: memory.t(), True),
        (lambda memory: memory[1:], True),
        (lambda memory: memory.view(-1), True),
        (lambda memory: memory.as_strided((3, 2), (1, 4), 4), True),
        (lambda memory: memory.as_strided((4, 1), (4, 1), 3), False),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_of_one_memory(other: Callable[[torch.Tensor], torch.Tensor], is_shared: bool, device: str) -> None:
    memory = torch.zeros(4, 4, device=device)
    module = nn.Module()
    module.weight = nn.Parameter(memory[:, :3] if not is_shared else memory)
    module.register_buffer("view", other(memory))
    recipe = recipe_of(module)
    if is_shared:
        with pytest.raises(ModuleError, match=r"shares memory with (weight|view), of which it is another view"):
            init_(module, recipe, device="cpu")
    else:
        init_(module, recipe, device="cpu")
        check(module, recipe)


def test_storages_of_one_memory() -> None:
    array = np.zeros((4, 4), np.float32)
    module = nn.Module()
    module.weight = nn.Parameter(torch.from_numpy(array))
    module.other = nn.Parameter(torch.from_numpy(array[1:]))
    assert module.weight.untyped_storage()._cdata != module.other.untyped_storage()._cdata
    with pytest.raises(ModuleError, match="other: shares memory with weight, of which it is another view"):
        init_(module, recipe_of(module))
    module.other = nn.Parameter(torch.from_numpy(np.zeros((3, 4), np.float32)))
    init_(module, recipe_of(module))
    check(module, recipe_of(module))


def test_a_buffer_in_no_file_may_show_a_parameter() -> None:
    def build() -> nn.Module:
        module = nn.Module()
        module.weight = nn.Parameter(torch.ones(4, 4))
        module.register_buffer("first", module.weight.detach()[:2], persistent=False)
        return module

    recording = record(build)
    module = build()
    nn.init.zeros_(module.weight)
    init_(module, recording)
    assert module.weight.all()
    assert module.first.data_ptr() == module.weight.data_ptr()
    with torch.device("meta"):
        absent = build()
    with pytest.raises(ModuleError, match="shares memory"):  # one tensor would become two
        init_(absent, recording, device="cpu")


def test_no_temporary_is_as_large_as_a_tensor() -> None:
    """torch's own memory is not traced; NumPy's is."""
    module = nn.Linear(1024, 1024, bias=False)
    strided = nn.Linear(1024, 1024, bias=False)
    strided.weight = nn.Parameter(torch.empty(1024, 1024).t())
    recipe = FileLayout.of(recipe_of(module))
    for each, most in ((module, 1 << 16), (strided, 3 << 20)):
        init_(each, recipe)
        tracemalloc.start()
        init_(each, recipe)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most
        check(each, recipe)


@pytest.mark.parametrize(
    ("dtype", "view"),
    [
        (torch.float32, torch.detach),
        (torch.float32, lambda w: w.view(torch.int32)),
        (torch.complex64, torch.conj),
        (torch.complex64, torch._neg_view),
    ],
    ids=["plain", "dtype", "conj", "neg"],
)
def test_views_of_one_memory_stay_views_on_the_meta_device(dtype: torch.dtype, view: Any) -> None:
    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(3, dtype=dtype))
            self.other = nn.Parameter(self.w.detach())
            self.register_buffer("view", view(self.w.detach()))

    recording = record(Viewed)
    with torch.device("meta"):
        module = Viewed()
    init_(module, recording)
    assert {name for name, _ in module.named_parameters()} == {"w", "other"}
    assert torch.equal(module.get_buffer("view"), view(module.w.detach()))
    with torch.no_grad():
        module.other.fill_(7)
    assert torch.equal(module.w, torch.full((3,), 7, dtype=dtype))
    assert torch.equal(module.get_buffer("view"), view(module.w.detach()))


def test_the_axes_of_tied_weights_are_those_of_the_name_that_fills_them() -> None:
    recipe = {"tensors": {"w": {"shape": [4, 4], **SCHEMES[0]}}}
    made = fanin.materialize(recipe)["w"]
    module = nn.Module()
    module.w = nn.Parameter(torch.empty(4, 4))
    module.tied = module.w
    for names in ({"tied": ("absent", (1, 0))}, {"tied": ("w", (0, 1))}):
        init_(module, recipe, names=names)
        np.testing.assert_array_equal(module.w.detach().numpy(), made)
    init_(module, recipe, names={"w": ("w", (1, 0)), "tied": ("w", (1, 0))})
    np.testing.assert_array_equal(module.w.detach().numpy(), made.T)
    for strict in (True, False):
        with pytest.raises(ModuleError, match="w and tied are one memory, but names= gives its axes in several orders"):
            init_(module, recipe, names={"tied": ("w", (1, 0))}, strict=strict)
