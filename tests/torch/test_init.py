"""`fanin.torch.init_`: modules filled in place."""

from __future__ import annotations

import json
import math
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.fx.experimental.proxy_tensor import make_fx

import fanin
from fanin import FileLayout, backends
from fanin.dtypes import DTYPES
from fanin.recording.literals import Recording
from fanin.region import Region
from fanin.strided import place
from fanin.torch import ModuleError, filling, init_, initializers, record, save_checkpoint, seeded
from fanin.torch.recorder.recording import FLOATING as TORCH_DTYPES
from fanin.torch.writable import is_dense
from tests.support.servers import running

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "normal", "std": 0.5},
    {"scheme": "uniform", "low": -1.0, "high": 1.0},
    {"scheme": "truncated_normal", "std": 0.02},
    {"scheme": "constant", "value": 0.25},
    {"scheme": "log_range"},
]


def recipe_of(module: nn.Module, seed: int = 7, **scheme: Any) -> dict[str, Any]:
    """A recipe for every floating-point tensor of the module's state."""
    tensors = {
        name: {"shape": list(tensor.shape), "dtype": TORCH_DTYPES[tensor.dtype], **(scheme or SCHEMES[0])}
        for name, tensor in module.state_dict().items()
        if tensor.dtype in TORCH_DTYPES
    }
    return {"seed": seed, "tensors": tensors}


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def check(module: nn.Module, recipe: Any) -> None:
    """Every tensor has the bits of the recipe's file."""
    state = module.state_dict()
    for name, made in fanin.materialize(recipe, backend="reference").items():
        assert bits(state[name]) == made.tobytes(), name


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(33, 12, dtype=dtype)
        self.conv = nn.Conv2d(5, 7, 3, dtype=dtype)
        self.norm = nn.LayerNorm(12, dtype=dtype)
        self.head = nn.Linear(12, 33, bias=False, dtype=dtype)
        self.scale = nn.Parameter(torch.zeros((), dtype=dtype))
        self.empty = nn.Parameter(torch.zeros((0, 3), dtype=dtype))


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
@pytest.mark.parametrize("dtype", list(TORCH_DTYPES))
def test_every_storage_type_is_filled_in_place(dtype: torch.dtype) -> None:
    module = Net().to(dtype) if dtype.itemsize > 1 else Net().requires_grad_(False).to(dtype)
    before = {name: tensor.data_ptr() for name, tensor in module.named_parameters()}
    recipe = recipe_of(module)
    assert init_(module, recipe) is module
    check(module, recipe)
    assert {name: tensor.data_ptr() for name, tensor in module.named_parameters()} == before


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme["scheme"])
def test_every_kind_of_distribution(scheme: dict[str, Any]) -> None:
    module = nn.Linear(300, 11)
    init_(module, recipe_of(module, **scheme))
    check(module, recipe_of(module, **scheme))


def test_composed_distributions_and_matrices() -> None:
    module = nn.Sequential(nn.Embedding(40, 24), nn.Linear(24, 16))
    rows = [{"size": 1, "scheme": "zeros"}, {"size": 39, "scheme": "normal", "std": 1.0}]
    recipe = {
        "layout": "torch",
        "tensors": {
            "0.weight": {"shape": [40, 24], "scheme": "blocks", "parts": rows},
            "1.weight": {"shape": [16, 24], "scheme": "orthogonal"},
            "1.bias": {"shape": [16], "scheme": "zeros"},
        },
    }
    init_(module, recipe)
    check(module, recipe)
    with torch.no_grad():  # the same through memory that is not row-major
        module[0].weight.set_(torch.empty(24, 40).t())
        module[1].weight.set_(torch.empty(24, 16).t())
    init_(module, recipe)
    check(module, recipe)


def test_a_seed_in_place_of_the_recipes_own() -> None:
    module = nn.Linear(8, 8)
    init_(module, recipe_of(module, 1), seed=2)
    check(module, recipe_of(module, 2))


@pytest.mark.parametrize(
    "spell", [dict, fanin.as_recipe, FileLayout.of, json.dumps, lambda recipe: json.dumps(recipe).encode()]
)
def test_a_recipe_in_any_spelling(spell: Callable[[Any], Any]) -> None:
    module = nn.Linear(8, 8)
    recipe = recipe_of(module)
    init_(module, spell(recipe))
    check(module, recipe)


def test_a_recipe_from_its_file_or_from_the_weights(tmp_path: Path) -> None:
    module = nn.Linear(8, 8)
    recipe = recipe_of(module)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    fanin.save(recipe, tmp_path / "model.safetensors")
    for path in (tmp_path / "recipe.json", tmp_path / "model.safetensors"):
        nn.init.zeros_(module.weight)
        init_(module, path)
        check(module, recipe)
    with pytest.raises(FileNotFoundError):
        init_(module, tmp_path / "absent.json")


# ---- memory that is not row-major -----------------------------------------------------------------------------------


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


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_weights_are_one_memory_filled_once(device: str) -> None:
    with torch.device(device):
        module = Net()
    module.head.weight = module.embedding.weight
    recipe = recipe_of(module)
    del recipe["tensors"]["embedding.weight"]
    init_(module, recipe)
    assert module.head.weight is module.embedding.weight
    check(module, recipe)


def test_everything_that_does_not_fit_is_told_at_once_and_nothing_is_written() -> None:
    module = Net()
    module.register_buffer("counter", torch.zeros(1))
    module.tied = nn.Linear(33, 12, bias=False)
    module.tied.weight = module.head.weight
    recipe = recipe_of(module)
    tensors = recipe["tensors"]
    del tensors["counter"], tensors["embedding.weight"]
    tensors["norm.bias"]["shape"] = [13]
    tensors["norm.weight"]["dtype"] = "BF16"
    tensors["other"] = {"shape": [2], "scheme": "ones"}
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ModuleError) as caught:
        init_(module, recipe)
    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "/counter": "missing: the recipe has no such tensor",
        "/embedding.weight": "missing: the recipe has no such tensor",
        "/norm.bias": "F32 [12] in the module, F32 [13] in the recipe",
        "/norm.weight": "F32 [12] in the module, BF16 [12] in the recipe",
        "/head.weight": "the module has one memory for it and tied.weight, the recipe two",
        "/other": "unexpected: the module has no such tensor",
    }
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    with pytest.raises(ModuleError, match=r"norm\.bias") as caught:
        init_(module, recipe, strict=False)
    assert len(caught.value.faults) == 2
    del tensors["norm.bias"], tensors["norm.weight"]
    init_(module, recipe, strict=False)
    assert torch.equal(module.embedding.weight, before["embedding.weight"])
    assert bits(module.head.weight) == fanin.materialize(recipe)["head.weight"].tobytes()


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.zeros(4)])


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (nn.UninitializedParameter(), "lazy"),
        (nn.Parameter(torch.zeros(4).to_sparse()), "sparse"),
        (nn.Parameter(nested()), "nested"),
        (nn.Parameter(torch.zeros(1).expand(4)), "share memory"),
        (nn.Parameter(torch.zeros(4, dtype=torch.complex128)), r"complex128 \[4\] in the module"),
    ],
)
def test_tensors_that_cannot_be_filled(tensor: nn.Parameter, reason: str) -> None:
    module = nn.Module()
    module.weight = tensor
    with pytest.raises(ModuleError, match=reason):
        init_(module, {"shape": [4], "scheme": "ones"})


def test_parameters_that_accelerate_has_offloaded_are_refused() -> None:
    module = nn.Linear(3, 4, device="meta")
    module._hf_hook = object()  # type: ignore[assignment]  # it loads the parameters for each call
    recipe = {"tensors": {"weight": {"shape": [4, 3], "scheme": "ones"}, "bias": {"shape": [4], "scheme": "ones"}}}
    with pytest.raises(ModuleError, match="/weight: a parameter that accelerate has offloaded"):
        init_(module, recipe, device="cpu")
    assert module.weight.is_meta


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_read_only_memory_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", np.ones((4096, 3), np.float32))
    for mode, is_refused in (("r", True), ("c", False)):
        module = nn.Module()
        module.weight = nn.Parameter(torch.from_numpy(np.load(tmp_path / "weights.npy", mmap_mode=mode)))
        recipe = {"tensors": {"weight": {"shape": [4096, 3], "scheme": "zeros"}}}
        if is_refused:
            with pytest.raises(ModuleError, match="/weight: a tensor in read-only memory"):
                init_(module, recipe)
            with pytest.raises(ValueError, match="a tensor in read-only memory"):
                fanin.torch.initializers.zeros_(module.weight)
            assert module.weight.min() == module.weight.max() == 1
        else:
            assert not init_(module, recipe).weight.any()


def test_arguments_of_other_types_are_refused() -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"^module must be a torch.nn.Module, not OrderedDict$"):
        init_(module.state_dict(), recipe_of(module))  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"^names must be a mapping of names, not function$"):
        init_(module, recipe_of(module), names=lambda name: name)  # type: ignore[arg-type]


def test_names_within_wrappers() -> None:
    """Those of activation checkpointing, and those that torch.compile gives."""
    plain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    recipe = recipe_of(plain)
    compiled = nn.Module()
    compiled._orig_mod = nn.Sequential(checkpoint_wrapper(plain[0]), plain[1])
    init_(compiled, recipe)
    check(plain, recipe)


def test_autograd_is_told() -> None:
    module = nn.Linear(4, 4)
    loss = (module.weight * module.weight).sum()
    init_(module, recipe_of(module))
    assert module.weight.requires_grad
    assert module.weight.is_leaf
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ---- without memory, and recordings ---------------------------------------------------------------------------------


class Rotary(nn.Module):
    """Counters, tables and buffers that are in no file."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 1.0 / 10000 ** (torch.arange(0, 8, 2) / 8), persistent=False)
        self.register_buffer("positions", torch.arange(16))
        self.inner = nn.Sequential(nn.Embedding(20, 8), nn.BatchNorm1d(8), nn.LSTM(8, 6))
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.inner[0].weight
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)


def test_a_recording_fills_a_module_without_memory_completely() -> None:
    recording = record(Rotary, seed=3)
    with torch.device("meta"):
        module = Rotary()
    init_(module, recording, device="cpu")
    reference = Rotary()
    assert torch.equal(module.frequencies, reference.frequencies)
    assert torch.equal(module.positions, reference.positions)
    assert module.inner[1].num_batches_tracked == 0
    assert module.head.weight is module.inner[0].weight
    assert not module.frozen.requires_grad
    assert [*module.state_dict()] == [*reference.state_dict()]
    check(module, recording.recipe)
    module.inner[2](torch.zeros(2, 8))  # the module's own list of its weights is of these
    assert all(any(weight is each for each in module.parameters()) for weight in module.inner[2]._flat_weights)


def test_a_recipe_says_which_buffers_it_cannot_make() -> None:
    with torch.device("meta"):
        module = Rotary()
    recipe = record(Rotary).recipe.without("positions")
    with pytest.raises(ModuleError) as caught:
        init_(module, recipe)
    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "/frequencies": ("a non-persistent buffer on the meta device: its values are in a recording, not in a recipe"),
        "/positions": "missing: int64 values come from the module's own code: pass its recording",
    }
    assert all(tensor.is_meta for tensor in module.state_dict().values())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_integers_of_a_recipe_fill_buffers(device: str) -> None:
    """In memory with any strides, exactly, also beyond the 53 bits of a float64 number."""
    tensors: dict[str, Any] = {
        "positions": {"shape": [3, 5], "scheme": "arange", "start": 2**62 + 1, "dtype": "I64"},
        "codes": {"shape": [4], "scheme": "constant", "value": 2**64 - 1, "dtype": "U64"},
        "mask": {"shape": [3, 3], "scheme": "eye", "dtype": "BOOL"},
        "bytes": {"shape": [7], "scheme": "arange", "start": -3, "dtype": "I8"},
        "scales": {"shape": [2], "scheme": "constant", "value": 0.5, "dtype": "F8_E8M0"},
        "fnuz": {"shape": [9, 4], "scheme": "he_normal", "layout": "torch", "dtype": "F8_E4M3FNUZ"},
    }
    arrays = fanin.materialize({"tensors": tensors})
    module = nn.Module()
    for name, array in arrays.items():
        empty = torch.empty(array.shape[::-1], dtype=getattr(torch, array.dtype.name), device=device)
        module.register_buffer(name, empty.permute(*range(array.ndim)[::-1]))
    init_(module, {"tensors": tensors}, device="cpu")
    for name, tensor in module.state_dict().items():
        assert tensor.contiguous().view(torch.uint8).numpy().tobytes() == arrays[name].tobytes(), name


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_counters_of_batch_norm_start_at_zero(device: str) -> None:
    module = nn.Sequential(nn.Linear(4, 3, device=device), nn.BatchNorm1d(3, device=device))
    module[1].num_batches_tracked.fill_(7)  # as to_empty leaves it: any value
    recipe = recipe_of(module)
    init_(module, recipe, device="cpu")
    check(module, recipe)
    assert module[1].num_batches_tracked.item() == 0


def test_after_to_empty_a_recording_fills_buffers_that_are_in_no_file() -> None:
    recording = record(Rotary, seed=3)
    with torch.device("meta"):
        module = Rotary()
    module.to_empty(device="cpu")
    module.frequencies.fill_(-1)
    tied = r"/head.weight: the recording has one memory for it and inner\.0\.weight, the module two: tie them again"
    with pytest.raises(ModuleError, match=tied):
        init_(module, recording)  # to_empty() has split one parameter into two
    module.head.weight = module.inner[0].weight
    init_(module, recording)
    assert torch.equal(module.frequencies, Rotary().frequencies)
    check(module, recording.recipe)
    module.head.weight = nn.Parameter(torch.empty_like(module.head.weight))
    init_(module, recording, strict=False)
    assert torch.equal(module.head.weight, module.inner[0].weight)


class Annotated(nn.Parameter):
    """As in inference engines: a parameter with a separate loader."""


class Statistic(torch.Tensor):
    pass


def test_classes_and_attributes_survive_the_meta_device() -> None:
    module = nn.Module()
    module.weight = Annotated(torch.empty(3, 3, device="meta"), requires_grad=False)
    module.weight.loader = "rows"
    module.register_buffer("mean", torch.empty(3, device="meta").as_subclass(Statistic))
    module.mean.decay = 0.9
    recipe = recipe_of(module)
    init_(module, recipe, device="cpu")
    check(module, recipe)
    assert type(module.weight) is Annotated
    assert (module.weight.loader, module.weight.requires_grad) == ("rows", False)
    assert type(module.mean) is Statistic
    assert module.mean.decay == 0.9


def test_what_stays_without_memory_is_named() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).to("meta")
    recipe = {"tensors": {"0.weight": {"shape": [3, 3], "scheme": "normal", "std": 1.0}}}
    with pytest.warns(UserWarning, match="meta device, without values: 1.weight"):
        init_(module, recipe, strict=False, device="cpu")
    assert not module[0].weight.is_meta


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


# ---- layouts --------------------------------------------------------------------------------------------------------


def test_a_layout_is_given_where_the_distribution_depends_on_it(tmp_path: Path) -> None:
    recipe = {"shape": [1000, 10], "scheme": "he_normal"}
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(1000, 10))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe))
    for spelt in (recipe, path, fanin.as_recipe(recipe), FileLayout.of(recipe), json.dumps(recipe)):
        with pytest.raises(fanin.RecipeError, match='add "layout": "torch" to the recipe') as caught:
            init_(module, spelt, seed=1)
        assert [fault.pointer for fault in caught.value.faults] == ["/tensors/weight/layout"]
    assert not module.weight.any()
    assert abs(init_(module, {**recipe, "layout": "torch"}).weight.std().item() - math.sqrt(2 / 10)) < 0.02
    keras = fanin.as_recipe({**recipe, "layout": "keras"})
    assert abs(init_(module, keras).weight.std().item() - math.sqrt(2 / 1000)) < 0.002
    init_(module, {**recipe, "scheme": "HeNormal", "dialect": "keras"})
    fanin.save(recipe, tmp_path / "weights.safetensors")
    init_(module, tmp_path / "weights.safetensors")  # its bytes are settled
    check(module, recipe)


# ---- tensors that are on the CPU and have no memory there -----------------------------------------------------------


class Wrapper(torch.Tensor):
    """Stands for another tensor, and says that it is on the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapper:
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return Wrapper(func(args[0].inner))


def freed() -> torch.Tensor:
    tensor = torch.zeros(300)
    tensor.untyped_storage().resize_(0)
    return tensor


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.empty(300)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fake, "a FakeTensor, whose memory is not its values"),
        (lambda: Wrapper(torch.zeros(300)), "a Wrapper, whose memory is not its values"),
        (freed, "memory was freed: 0 of 1200 bytes are left"),
        (lambda: torch.zeros(301).as_strided((2, 150), (1, 1)), "share memory"),
        (lambda: torch.zeros(1).expand(300), "share memory"),
        (lambda: torch.zeros(300, dtype=torch.complex64).conj(), "conjugates"),
        (lambda: torch.zeros(300, dtype=torch.complex64).conj().imag, "negatives"),
    ],
)
def test_tensors_without_memory_of_their_values_are_refused(make: Callable[[], torch.Tensor], reason: str) -> None:
    tensor = make()
    assert not is_dense(tensor)
    with pytest.raises(ValueError, match=reason):
        initializers.normal_(tensor, seed=1, name="w")
    with pytest.raises(ValueError, match=reason):
        initializers.zeros_(tensor)
    module = nn.Module()
    module.register_buffer("weight", tensor)
    dtype = TORCH_DTYPES[tensor.dtype]
    with pytest.raises(ModuleError, match=reason):
        init_(module, {"shape": list(tensor.shape), "scheme": "normal", "std": 1.0, "dtype": dtype})


def fill(tensor: torch.Tensor) -> torch.Tensor:
    with pytest.raises(RuntimeError, match="does not follow what fanin writes to memory"):
        initializers.zeros_(tensor)
    return initializers.normal_(tensor, seed=1, name="w")


def within_fake_mode() -> None:
    with FakeTensorMode():
        init_(nn.Linear(300, 300, bias=False), {"shape": [300, 300], "scheme": "ones"})


@pytest.mark.parametrize(
    ("run", "by"),
    [
        (within_fake_mode, "FakeTensorMode"),
        (lambda: torch.func.functionalize(fill)(torch.zeros(3)), "torch.func"),
        (lambda: torch.vmap(fill)(torch.zeros(3, 2)), "torch.func"),
        (lambda: torch.vmap(lambda x: x + fill(torch.zeros(2)))(torch.zeros(3, 2)), "torch.func"),
        (lambda: torch.func.grad(lambda x: fill(x).sum())(torch.zeros(3)), "torch.func"),
        (lambda: torch.jit.trace(lambda x: x + fill(torch.zeros(2)), torch.zeros(2)), r"torch\.jit\.trace"),
        (lambda: make_fx(lambda x: x + fill(torch.zeros(2)))(torch.zeros(2)), "make_fx"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")  # from torch 2.14 on
def test_tracers_and_transforms_are_refused(run: Callable[[], Any], by: str) -> None:
    with pytest.raises(RuntimeError, match=f"{by}.* does not follow what fanin writes to memory"):
        run()


# ---- defaults of torch ----------------------------------------------------------------------------------------------


@pytest.fixture
def other_defaults() -> Iterator[None]:
    """A default device without memory, and another default type."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("other_defaults")
def test_defaults_of_torch_change_nothing(tmp_path: Path) -> None:
    module = nn.Linear(300, 200, bias=False, device="cpu", dtype=torch.float32)
    recipe = recipe_of(module)
    init_(module, recipe)
    check(module, recipe)
    with seeded(7, module):
        initializers.normal_(module.weight, std=0.5)
    check(module, recipe)
    recording = record(lambda: nn.BatchNorm1d(3, device="cpu", dtype=torch.float32))
    assert recording.recipe.tensors["num_batches_tracked"].scheme == "zeros"
    save_checkpoint(recording, tmp_path / "dcp")
    save_checkpoint(recipe, tmp_path / "st", format="safetensors")
    absent = nn.Linear(300, 200, bias=False, dtype=torch.float32)
    with pytest.raises(ValueError, match="device is meta, which has no memory: pass device="):
        init_(absent, recipe)
    check(init_(absent, recipe, device="cpu"), recipe)


# ---- while a model is recorded --------------------------------------------------------------------------------------


def test_fanins_own_calls_are_recorded_as_what_they_are() -> None:
    parts = [{"size": 1, "scheme": "zeros"}, {"size": 8, "scheme": "ones"}]
    recipe: dict[str, Any] = {
        "seed": 5,
        "tensors": {
            "0.weight": {"shape": [9, 4], "scheme": "blocks", "parts": parts},
            "1.weight": {"shape": [6, 4], "scheme": "truncated_normal", "std": 0.3},
            "1.bias": {"shape": [6], "scheme": "log_range"},
            "2.weight": {"shape": [6, 6], "scheme": "orthogonal", "layout": "keras"},
            "2.bias": {"shape": [6], "scheme": "uniform", "low": 0.0, "high": 0.1},
        },
    }

    def build() -> nn.Module:
        model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5, bias=False))
        init_(model, {**recipe, "dtype": "F32"}, strict=False)
        with seeded(5, model), torch.no_grad():
            initializers.kaiming_normal_(model[3].weight)
            model[2].bias.mul_(2)
        return model

    found = record(build, seed=5).recipe
    own = {"shape": [5, 6], "scheme": "kaiming_normal_", "dialect": "torch"}
    expected = {**recipe, "tensors": {**recipe["tensors"], "3.weight": own}}
    expected["tensors"]["2.bias"] = {"shape": [6], "scheme": "uniform", "low": 0.0, "high": 0.2}
    made, wanted = fanin.materialize(found), fanin.materialize(expected)
    assert {name: array.tobytes() for name, array in made.items()} == {n: a.tobytes() for n, a in wanted.items()}
    init_(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5, bias=False)), found)


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


# ---- other names, backends and recordings ---------------------------------------------------------------------------


def test_other_names_and_axes() -> None:
    recipe = {
        "layout": "torch",
        "seed": 4,
        "tensors": {"k": {"shape": [3, 5, 2, 4], "scheme": "he_normal"}, "b": {"shape": [4], **SCHEMES[0]}},
    }
    names = {"weight": ("k", (3, 2, 0, 1)), "bias": "b"}
    for module in (nn.Conv2d(2, 4, (3, 5)), nn.Conv2d(2, 4, (3, 5)).to(memory_format=torch.channels_last)):
        assert init_(module, recipe, names=names) is module
        made = fanin.materialize(recipe)
        np.testing.assert_array_equal(module.weight.detach().numpy(), made["k"].transpose(3, 2, 0, 1))
        np.testing.assert_array_equal(module.bias.detach().numpy(), made["b"])
    with running() as server:
        fetched = init_(nn.Conv2d(2, 4, (3, 5)), recipe, names=names, service=server.url)
    assert bits(fetched.weight) == bits(module.weight)


@pytest.mark.parametrize(
    ("names", "name", "words"),
    [
        ({"weight": "absent"}, "weight", "no tensor 'absent'"),
        ({"nowhere": "w"}, "nowhere", "the module has no such tensor"),
        ({"weight": ("w", (0, 0))}, "weight", "not a permutation of the 2 axes"),
        ({"weight": ("w", (0, 1))}, "weight", "F32 [8, 4] in the module, F32 [4, 8] in the recipe"),
    ],
)
def test_wrong_names_are_refused(names: Any, name: str, words: str) -> None:
    module = nn.Linear(4, 8, bias=False)
    recipe = {"tensors": {"w": {"shape": [4, 8], **SCHEMES[0]}}}
    for strict in (True, False):
        with pytest.raises(ModuleError) as caught:
            init_(module, recipe, names=names, strict=strict)
        assert {fault.pointer: fault.detail for fault in caught.value.faults}[f"/{name}"].count(words) == 1


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


def test_the_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(4, 8)
    recipe = recipe_of(module)
    asked: list[Any] = []
    get = fanin.backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: asked.append(name) or get(name))
    init_(module, recipe, backend="reference")
    assert set(asked) == {"reference"}
    check(module, recipe)
    with pytest.raises(fanin.BackendError, match="the tensor of 'weight' is on cpu"):
        init_(module, recipe, backend="cuda")
    with (
        fanin.Client("http://127.0.0.1:1") as client,
        pytest.raises(ValueError, match="cannot be combined with a client"),
    ):
        init_(module, recipe, service=client, backend="native")


class Calls(backends.ForwardingBackend):
    """Counts calls that fill several tensors."""

    def __init__(self) -> None:
        super().__init__(backends.get("native" if "native" in backends.available() else "reference"))
        self.counts: list[int] = []

    def fill_tensors(self, tensors: Any, addresses: Any, first: int = 0) -> None:
        self.counts.append(len(addresses))
        super().fill_tensors(tensors, addresses, first)


def test_tensors_that_are_neighbours_in_the_file_are_filled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    get = backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: get(name) if name else calls)
    module = nn.Sequential(*[nn.Linear(3, 4) for _ in range(50)])
    recipe = recipe_of(module)
    versions = [parameter._version for parameter in module.parameters()]
    init_(module, recipe)
    assert calls.counts == [100]
    assert all(each._version > before for each, before in zip(module.parameters(), versions, strict=True))
    check(module, recipe)
    calls.counts.clear()
    few = nn.ModuleDict({"3": nn.Linear(3, 4), "4": nn.Linear(3, 4), "8": nn.Linear(3, 4)})
    few["8"].weight = nn.Parameter(torch.empty(8, 3)[::2])  # not dense: filled alone
    init_(few, recipe, strict=False)
    assert calls.counts == [2, 2, 1]  # 3.weight and 4.bias have other tensors between them
    check(few, {**recipe, "tensors": {name: recipe["tensors"][name] for name in few.state_dict()}})
    twice = nn.ModuleDict({"0": nn.Linear(3, 4), "1": nn.Linear(3, 4)})
    init_(twice, recipe, strict=False, names={"1.weight": "0.weight"})
    assert torch.equal(twice["0"].weight, twice["1"].weight)


def test_a_call_of_the_backend_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is noticed between calls, so one call does not fill a large model."""
    calls = Calls()
    get = backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: get(name) if name else calls)
    monkeypatch.setattr(filling, "PIECE", 256)
    module = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(9)], nn.Linear(4, 100, bias=False))
    recipe = recipe_of(module)
    init_(module, recipe)
    assert calls.counts == [4, 4, 1, 1]
    check(module, recipe)


def test_a_recording_of_another_framework() -> None:
    literals = {"short": np.arange(3, dtype=ml_dtypes.bfloat16), "count": np.array(7), "mask": np.array([True, False])}
    recording = Recording(fanin.as_recipe({"seed": 1, "tensors": {"w": {"shape": [2], **SCHEMES[0]}}}), literals)
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(2))
    module.register_buffer("short", torch.zeros(3, dtype=torch.bfloat16))
    module.register_buffer("count", torch.tensor(0))
    module.register_buffer("mask", torch.zeros(2, dtype=torch.bool))
    init_(module, recording, seed=5)
    assert bits(module.w) == fanin.materialize(recording.with_seed(5))["w"].tobytes()
    assert (module.short.tolist(), module.count.item(), module.mask.tolist()) == ([0, 1, 2], 7, [True, False])


# ---- from a service -------------------------------------------------------------------------------------------------


def test_from_a_service(tmp_path: Path) -> None:
    module = Net()
    module.head.weight = nn.Parameter(torch.empty(12, 33).t())
    recipe = recipe_of(module)
    with running() as server:
        init_(module, recipe, service=server.url)
        check(module, recipe)
        with fanin.Client(server.url, where="remote", verify="full") as client:
            init_(module, recipe, seed=9, service=client)
            check(module, {**recipe, "seed": 9})
    with pytest.raises(ValueError, match="URL"):
        init_(module, recipe, service="remote")
