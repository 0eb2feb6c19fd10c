"""The file: official readers accept it, and its bytes are where upstream would put them."""

from __future__ import annotations

import copy
import json
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import fanin
from fanin import FileLayout, RecipeError
from fanin.description import describe
from fanin.file.order import header_bound
from tests.support.samples import MIXED

VECTORS = Path(__file__).parents[2] / "clients" / "vectors"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("layout") / "mixed.safetensors"
    fanin.save(MIXED, path)
    return path


def header_of(data: bytes) -> tuple[dict[str, object], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def test_the_torch_reader_takes_every_storage_type(file: Path) -> None:
    loaded = safetensors.torch.load_file(file)
    made = fanin.materialize(MIXED)
    assert set(loaded) == set(made)
    for name, array in made.items():
        tensor = loaded[name]
        assert tuple(tensor.shape) == array.shape
        assert tensor.reshape(-1).view(torch.uint8).numpy().tobytes() == array.tobytes()


def test_the_numpy_reader_takes_what_numpy_has(tmp_path: Path) -> None:
    recipe = {**MIXED, "tensors": {name: MIXED["tensors"][name] for name in ("conv.weight", "norm.weight", "head")}}
    fanin.save(recipe, tmp_path / "f")
    loaded = safetensors.numpy.load_file(tmp_path / "f")
    for name, array in fanin.materialize(recipe).items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_saving_again_with_upstream_keeps_the_data_bytes(file: Path, tmp_path: Path) -> None:
    safetensors.torch.save_file(safetensors.torch.load_file(file), tmp_path / "again")
    ours, data = header_of(file.read_bytes())
    theirs, data_again = header_of((tmp_path / "again").read_bytes())
    assert data == data_again
    del ours["__metadata__"]
    theirs.pop("__metadata__", None)
    assert ours == theirs
    assert list(ours) == list(theirs)


def test_upstream_reads_the_recipe_from_the_header(file: Path) -> None:
    with safetensors.safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert fanin.as_recipe(metadata["fanin.recipe"]) == fanin.as_recipe(MIXED)
    assert metadata["format"] == "pt"


def test_data_is_aligned(file: Path) -> None:
    layout = FileLayout.of(MIXED)
    assert len(layout.header) % 8 == 0
    assert all(entry.start % entry.dtype.itemsize == 0 for entry in layout.entries)
    assert file.stat().st_size == layout.size


def test_sizes_are_exact_whatever_they_are() -> None:
    layout = FileLayout.of({"shape": [10**7, 10**7], "scheme": "normal", "std": 1, "dtype": "F8_E4M3"})
    assert layout.size == len(layout.header) + 10**14
    assert layout.index_at(layout.size - 1) == 0


@pytest.mark.parametrize("shape", [[2**53 - 1, 2**10], [2**32, 2**32]])
def test_files_beyond_64_bits_are_refused(shape: list[int]) -> None:
    with pytest.raises(RecipeError, match="2\\^63"):
        FileLayout.of({"shape": shape, "scheme": "zeros"})


def test_sizes_that_readers_cannot_multiply_are_refused() -> None:
    with pytest.raises(RecipeError, match="multiply") as caught:
        FileLayout.of({"shape": [2**53 - 1, 2**53 - 1, 0], "scheme": "zeros"})
    assert caught.value.faults[0].pointer == "/tensors/weight/shape"


def test_unknown_tensor() -> None:
    with pytest.raises(KeyError, match="nope"):
        FileLayout.of(MIXED).entry("nope")


def test_a_layout_may_stand_for_its_recipe() -> None:
    layout = FileLayout.of(MIXED)
    assert FileLayout.of(layout) is layout
    np.testing.assert_array_equal(fanin.slice(layout, "head", 3), fanin.slice(MIXED, "head", 3))


def test_a_description_shows_every_finite_number() -> None:
    recipe = {"tensors": {"a": {"shape": [1], "scheme": "constant", "value": 1e300, "dtype": "F64"}}}
    assert describe(FileLayout.of(recipe))["tensors"]["a"]["draw"] == "1e+300"


def test_which_bytes_are_of_composed_draws() -> None:
    tensors = {
        "a": {"shape": [8], "scheme": "normal", "std": 1},
        "b": {"shape": [8, 4], "scheme": "sparse", "sparsity": 0.5, "std": 1},
        "c": {"shape": [8], "scheme": "ones"},
    }
    layout = FileLayout.of({"tensors": tensors})
    b = layout.entry("b")
    assert layout.has_composed(b.start, b.start + 1)
    assert layout.has_composed(0, layout.size)
    assert not layout.has_composed(0, b.start)
    assert not layout.has_composed(b.stop, layout.size)


@pytest.mark.parametrize("options", [{}, {"backend": "pread"}])
def test_the_lazy_reader_takes_slices_of_every_storage_type(tmp_path: Path, options: dict[str, str]) -> None:
    chance = random.Random(3)
    tensors: dict[str, dict[str, object]] = {
        "\u00e9 \u65e5\u672c \U0001f600": {"shape": [3, 2]},
        'e\u0301"\\': {"shape": []},
    }
    for dtype in ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "C64"):
        for shape in ([7, 9, 3], [13], [], [0, 5]):
            tensors[f"{dtype}{shape}"] = {"shape": shape, "dtype": dtype}
    recipe = {"tensors": {name: {**tensor, "scheme": "normal", "std": 1} for name, tensor in tensors.items()}}
    fanin.save(recipe, tmp_path / "f")
    with safetensors.safe_open(tmp_path / "f", "pt", **options) as opened:
        assert set(opened.keys()) == set(tensors)
        for name, array in fanin.materialize(recipe).items():
            tensor = opened.get_tensor(name)
            assert (tensor.shape, bytes_of(tensor)) == (array.shape, array.tobytes())
            lazy = opened.get_slice(name)
            assert lazy.get_shape() == list(array.shape)
            # safetensors refuses some slices without elements, also of files that safetensors wrote.
            for _ in range(5 if array.size else 0):
                starts = [chance.randrange(size) for size in array.shape]
                index = tuple(slice(start, chance.randint(start + 1, size)) for start, size in zip(starts, array.shape))
                assert bytes_of(lazy[index]) == array[index].tobytes()


def bytes_of(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("is_used", [False, True])
def test_a_layout_can_be_sent_to_a_process(copied: Callable[[Any], Any], is_used: bool) -> None:
    """The parts that a layout has computed are not pickled."""
    layout = FileLayout.of({**MIXED, "seed": 3})
    if is_used:
        describe(layout)
    for value in (layout, layout.entries, layout.entry("head")):
        found = copied(value)
        if isinstance(value, FileLayout):
            assert found.header == layout.header
            assert list(found.entries.names) == list(layout.entries.names)
            np.testing.assert_array_equal(fanin.slice(found, "head", ...), fanin.slice(layout, "head", ...))
        else:
            assert found.header.bytes == layout.header


def test_the_header_is_encoded_on_first_use() -> None:
    layout = FileLayout.of({"tensors": {f"{n}": {"shape": [2, 3], "scheme": "he_normal"} for n in range(100)}})
    fanin.materialize(layout)
    fanin.slice(layout, "7", 1)
    assert layout.entries.header._bytes is None
    assert layout.entries[0].start == len(layout.header)


@pytest.mark.parametrize("name", ["recipes", "repeated", "dialects", "schemes", "far_schemes"])
def test_no_header_is_longer_than_its_bound(name: str) -> None:
    for vector in json.loads((VECTORS / f"{name}.json").read_text()):
        if vector.get("refused") or "recipe" not in vector:
            continue
        layout = FileLayout.of(vector["recipe"])
        assert len(layout.header) <= header_bound(layout.recipe.tensors)


def test_a_header_of_the_longest_names_and_lists_is_within_its_bound() -> None:
    axes = [*range(64)]
    part = {
        "size": 1,
        "scheme": "variance_scaling",
        "scale": 1 / 3,
        "mode": "fan_avg",
        "distribution": "truncated_normal",
    }
    wide = {
        "shape": [1] * 64,
        "scheme": "glorot_uniform",
        "in_axes": axes[:20],
        "out_axes": axes[20:40],
        "batch_axes": axes[40:],
    }
    blocks = {"shape": [256, 2], "scheme": "blocks", "axis": 0, "parts": [part] * 256}
    for tensor in (wide, blocks):
        layout = FileLayout.of({"tensors": {character * 250: tensor for character in ('"', "\U0001f642")}})
        assert len(layout.header) <= header_bound(layout.recipe.tensors)
