"""`fanin.jax`, on eight devices of a CPU; run by test_apart.py."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as linen
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import fanin
import fanin.jax
from fanin import arrays as host
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Wanted, fit
from fanin.jax.arrays import _for_jax
from tests.support.backends import CountingBackend
from tests.support.samples import MIXED
from tests.support.servers import running

DEVICES = np.array(jax.devices())
TENSOR: dict[str, Any] = {"seed": 5, "shape": [48, 16, 8], "scheme": "he_normal"}
MESHES = [(8,), (2, 4), (4, 2), (2, 2, 2)]
SPECS = [
    P(),
    P("a"),
    P(None, "a"),
    P(None, None, "a"),
    P("a", "b"),
    P("b", None, "a"),
    P(("a", "b")),
    P(None, ("b", "a")),
]
MATRIX: dict[str, Any] = {"shape": [24, 16], "scheme": "orthogonal"}
PLACED = [
    pytest.param(shape, spec, id=f"{shape}-{spec}")
    for shape in MESHES
    for spec in SPECS
    if len(shape) > 1 or "b" not in str(spec)
]


def mesh(*shape: int) -> Mesh:
    return Mesh(DEVICES.reshape(shape), ("a", "b", "c")[: len(shape)])


def sha256(array: Any) -> str:
    return hashlib.sha256(np.asarray(array).tobytes()).hexdigest()


# ---- arrays -------------------------------------------------------------------------------------------------------


def test_there_are_eight_devices() -> None:
    assert len(DEVICES) == 8


@pytest.mark.parametrize(("shape", "spec"), PLACED)
def test_the_bits_are_those_of_one_device(shape: tuple[int, ...], spec: P, made: list[int]) -> None:
    sharding = NamedSharding(mesh(*shape), spec)
    array = fanin.jax.array(TENSOR, "weight", sharding)
    assert array.sharding == sharding
    # Each element once, however many devices have it, and no more at a time than a shard has.
    assert sum(made) == math.prod(TENSOR["shape"])
    assert max(made) <= math.prod(sharding.shard_shape(array.shape))
    assert sha256(array) == sha256(fanin.materialize(TENSOR)["weight"])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_mesh_specification_and_order_of_axes(data: st.DataObject) -> None:
    sizes = data.draw(
        st.sampled_from([shape for shape in itertools.product((1, 2, 4, 8), repeat=3) if math.prod(shape) == 8])
    )
    rank = data.draw(st.integers(1, 4))
    over: list[list[str]] = [[] for _ in range(rank)]
    for axis in data.draw(st.permutations("abc")):
        over[data.draw(st.integers(0, rank - 1))] += [axis] * data.draw(st.booleans())
    parts = [math.prod(sizes["abc".index(axis)] for axis in each) for each in over]
    shape = [part * data.draw(st.integers(1, 5)) for part in parts]
    axes = tuple(data.draw(st.permutations(range(rank))))
    sharding = NamedSharding(mesh(*sizes), P(*(tuple(each) or None for each in over)))
    recipe = {"shape": [shape[axis] for axis in np.argsort(axes)], "scheme": "normal", "std": 1.0, "dtype": "BF16"}
    wanted = {"w": jax.ShapeDtypeStruct(tuple(shape), jnp.bfloat16, sharding=sharding)}
    array = fanin.jax.init(wanted, recipe, names={"w": ("weight", axes)})["w"]
    assert array.sharding == sharding
    assert sha256(array) == sha256(np.ascontiguousarray(fanin.materialize(recipe)["weight"].transpose(axes)))


def test_a_device_asks_for_its_shard_only(made: list[int]) -> None:
    """As one process of eight would: the shards of all devices except one are not generated."""
    sharding = NamedSharding(mesh(8), P(None, "a"))
    index = sharding.addressable_devices_indices_map((48, 16, 8))[DEVICES[3]]
    shard = host.slice(TENSOR, "weight", index)
    assert sum(made) == 48 * 2 * 8
    np.testing.assert_array_equal(shard, fanin.jax.array(TENSOR, "weight", sharding).addressable_shards[3].data)


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16", "F8_E4M3", "F8_E5M2"])
def test_every_type(dtype: str) -> None:
    recipe = {**TENSOR, "dtype": dtype}
    weight = fanin.materialize(recipe)["weight"]
    for sharding in (None, DEVICES[5], NamedSharding(mesh(4, 2), P("b", "a"))):
        array = fanin.jax.array(recipe, "weight", sharding)
        assert array.dtype == weight.dtype
        assert sha256(array) == sha256(weight)


def test_float64_needs_to_be_on() -> None:
    recipe = {**TENSOR, "dtype": "F64"}
    with pytest.raises(ValueError, match="jax_enable_x64"):
        fanin.jax.array(recipe, "weight")
    with jax.enable_x64(True):
        array = fanin.jax.array(recipe, "weight", NamedSharding(mesh(8), P("a")))
        assert sha256(array) == sha256(fanin.materialize(recipe)["weight"])


def test_a_whole_recipe() -> None:
    recipe = {**MIXED, "tensors": {name: t for name, t in MIXED["tensors"].items() if t.get("dtype") != "F64"}}
    found = fanin.jax.arrays(recipe, {"emb": NamedSharding(mesh(8), P()), "scalar": DEVICES[1]})
    assert list(found) == list(recipe["tensors"])
    for name, weight in fanin.materialize(recipe).items():
        assert (found[name].shape, found[name].dtype) == (weight.shape, weight.dtype)
        assert sha256(found[name]) == sha256(weight)
    with pytest.raises(KeyError, match="nope"):
        fanin.jax.arrays(recipe, {"nope": None})


def test_whole_matrices() -> None:
    array = fanin.jax.array(MATRIX, "weight", NamedSharding(mesh(2, 4), P("a", "b")))
    assert sha256(array) == sha256(fanin.materialize(MATRIX)["weight"])


def test_a_specification_is_of_the_mesh_that_is_set() -> None:
    with jax.set_mesh(mesh(8)):
        array = fanin.jax.array(TENSOR, "weight", P("a"))
    assert len(array.addressable_shards) == 8
    with pytest.raises(ValueError, match="needs a mesh"):
        fanin.jax.array(TENSOR, "weight", P("a"))


@pytest.mark.parametrize(("shape", "spec"), [([], P("a")), ([8], P(None, "b"))])
def test_shardings_with_more_axes_than_the_tensor(shape: list[int], spec: P) -> None:
    recipe = {"shape": shape, "scheme": "normal", "std": 1}
    with pytest.raises(ValueError, match=f"is for {len(spec)} axes or more; the tensor has {len(shape)}"):
        fanin.jax.array(recipe, "weight", NamedSharding(mesh(4, 2), spec))


def test_shardings_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="divi"):
        fanin.jax.array({**TENSOR, "shape": [7, 3]}, "weight", NamedSharding(mesh(8), P("a")))
    with pytest.raises(KeyError, match="nope"):
        fanin.jax.array(TENSOR, "nope")


@pytest.mark.parametrize("spec", [None, P(), P("a"), P(None, "a")])
def test_memory_is_taken_over_without_a_copy(spec: P | None, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: set[int] = set()
    original = host.backends.Backend.empty

    def empty(*args: Any) -> Any:
        array = original(*args)
        filled.add(array.ctypes.data)
        return array

    monkeypatch.setattr(host.backends.Backend, "empty", empty)
    placement = None if spec is None else NamedSharding(mesh(8), spec)
    array = fanin.jax.array({**TENSOR, "dtype": "BF16"}, "weight", placement)
    assert {shard.data.unsafe_buffer_pointer() for shard in array.addressable_shards} == filled


@pytest.mark.parametrize(("axes", "spare"), [(None, 0), ((1, 0), 1 << 20)])
def test_memory_at_the_peak(axes: tuple[int, ...] | None, spare: int) -> None:
    """8 MiB over eight devices take 8 MiB; where axes change their order, one shard of 1 MiB more."""
    recipe = {"shape": [2048, 1024], "scheme": "normal", "std": 1.0}
    shape = (2048, 1024) if axes is None else (1024, 2048)
    wanted = {"w": jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh(8), P("a")))}
    names = {"w": "weight" if axes is None else ("weight", axes)}
    fanin.jax.init(wanted, recipe, names=names)  # what is imported and compiled the first time
    tracemalloc.start()
    fanin.jax.init(wanted, recipe, names=names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (8 << 20) + spare + (1 << 18)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_arrays_of_a_gpu_come_by_dlpack(dtype: str) -> None:
    """CuPy's are not to be had here: NumPy's come the same way, with the bits of types that it does not export."""
    entry = fanin.FileLayout.of({**TENSOR, "dtype": dtype}).entry("weight")
    weight = fanin.materialize({**TENSOR, "dtype": dtype})["weight"]

    class OfGpu:
        def __init__(self, array: Any) -> None:
            self._array = array

        def view(self, dtype: Any) -> OfGpu:
            return OfGpu(self._array.view(dtype))

        def __dlpack__(self, **options: Any) -> Any:
            return self._array.__dlpack__(**options)

        def __dlpack_device__(self) -> Any:
            return self._array.__dlpack_device__()

    array = _for_jax(OfGpu(weight), entry.dtype.numpy)
    assert array.dtype == weight.dtype
    assert sha256(array) == sha256(weight)


def test_a_service_makes_what_the_shards_need() -> None:
    backend = CountingBackend()
    recipe = {"shape": [800, 1024], "scheme": "normal", "std": 1.0, "dtype": "BF16"}
    weight = fanin.materialize(recipe)["weight"]
    with running(backend=backend) as server:
        backend.generated = 0  # discard the elements of its self-test
        array = fanin.jax.array(recipe, "weight", NamedSharding(mesh(4, 2), P("a")), service=server.url)
        assert sha256(array) == sha256(weight)
        assert backend.generated == weight.nbytes
        with fanin.Client(server.url, where="remote") as client:
            filled = fanin.jax.init(
                {"w": jnp.zeros((800, 1024), jnp.bfloat16)}, recipe, names={"w": "weight"}, service=client
            )
        assert sha256(filled["w"]) == sha256(weight)


# ---- models -------------------------------------------------------------------------------------------------------

DISTRIBUTION = {"scheme": "uniform", "low": 0.1, "high": 0.2}


class LinenModel(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.relu(linen.Conv(8, (3, 3), name="conv")(x))
        x = linen.BatchNorm(use_running_average=True, name="norm")(x)
        return linen.Dense(10, name="head")(x.mean((1, 2)))


class NnxModel(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.layers = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(8, 10, param_dtype=jnp.bfloat16, rngs=rngs)


def recipe_of(tree: Any, **members: Any) -> dict[str, Any]:
    """A recipe with a tensor for every leaf."""
    names = {np.dtype(dtype.numpy).name: dtype.name for dtype in fanin.dtypes.DTYPES.values()}
    tensors = {
        fanin.jax.trees.path_of(path): {"shape": list(leaf.shape), "dtype": names[str(leaf.dtype)], **DISTRIBUTION}
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    return {"tensors": tensors, **members}


def test_linen() -> None:
    shapes = jax.eval_shape(LinenModel().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    recipe = recipe_of(shapes, seed=3)
    assert set(recipe["tensors"]) == {
        *(
            f"params/{name}"
            for name in ("conv/kernel", "conv/bias", "norm/scale", "norm/bias", "head/kernel", "head/bias")
        ),
        "batch_stats/norm/mean",
        "batch_stats/norm/var",
    }
    variables = fanin.jax.init(shapes, recipe)
    weights = fanin.materialize(recipe)
    np.testing.assert_array_equal(variables["params"]["conv"]["kernel"], weights["params/conv/kernel"])
    assert LinenModel().apply(variables, jnp.ones((2, 8, 8, 3))).shape == (2, 10)
    params = fanin.jax.init(shapes["params"], {**recipe_of(shapes["params"], seed=3)})
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])


def test_linen_boxes_of_metadata() -> None:
    dense = linen.Dense(8, kernel_init=linen.with_partitioning(linen.initializers.zeros, ("a", None)))
    shapes = jax.eval_shape(dense.init, jax.random.key(0), jnp.zeros((1, 16)))
    recipe = recipe_of(shapes)
    assert set(recipe["tensors"]) == {"params/kernel", "params/bias"}
    filled = fanin.jax.init(shapes, recipe)
    assert filled["params"]["kernel"].names == ("a", None)
    np.testing.assert_array_equal(filled["params"]["kernel"].value, fanin.materialize(recipe)["params/kernel"])


def test_trees_of_other_kinds() -> None:
    @jax.tree_util.register_dataclass
    @dataclass
    class Layer:
        weight: Any
        value: Any

    tree = {"layers": [Layer(np.zeros((2, 3), np.float32), jnp.zeros(())), Layer(None, jnp.zeros(4))]}
    recipe = {
        "tensors": {
            "layers/0/weight": {"shape": [2, 3], **DISTRIBUTION},
            "layers/0": {"shape": [], **DISTRIBUTION},  # an attribute `value` looks like that of a variable of Flax
            "layers/1": {"shape": [4], **DISTRIBUTION},
        }
    }
    filled = fanin.jax.init(tree, recipe)
    np.testing.assert_array_equal(filled["layers"][0].weight, fanin.materialize(recipe)["layers/0/weight"])
    assert filled["layers"][1].weight is None
    with pytest.raises(ValueError, match="the same path"):
        fanin.jax.init({"a": {"b": jnp.zeros(1)}, "a/b": jnp.zeros(1)}, {"tensors": {}}, strict=False)


def test_leaves_that_are_no_arrays_stay() -> None:
    """An Equinox module has its activation and its numbers among its leaves."""
    tree = {"kernel": jnp.zeros(3), "act": jax.nn.relu, "rate": 0.5, "step": 7, "name": "mlp"}
    kernel = {"kernel": {"shape": [3], **DISTRIBUTION}}
    for strict in (True, False):
        filled = fanin.jax.init(tree, {"tensors": kernel}, strict=strict)
        np.testing.assert_array_equal(filled["kernel"], fanin.materialize({"tensors": kernel})["kernel"])
        assert {**filled, "kernel": 0} == {**tree, "kernel": 0}
    recording = fanin.jax.record(lambda: tree)
    assert (*recording.recipe.tensors, *recording.literals) == ("kernel", "rate", "step")
    filled = fanin.jax.init(tree, recording)
    assert (filled["rate"], filled["step"]) == (0.5, 7)
    assert filled["step"].dtype == jnp.int32
    assert filled["act"] is jax.nn.relu
    with pytest.raises(fanin.jax.ModuleError, match="/rate: the model has shape"):
        fanin.jax.init(tree, {"tensors": {**kernel, "rate": {"shape": [2], "scheme": "ones"}}})
    with pytest.raises(fanin.jax.ModuleError, match="/act: a tensor of the recipe that the model has no array for"):
        fanin.jax.init(tree, {"tensors": {**kernel, "act": {"shape": [], "scheme": "ones"}}})


def test_nnx_that_never_had_other_weights() -> None:
    graph, shapes, rest = nnx.split(nnx.eval_shape(lambda: NnxModel(nnx.Rngs(0))), nnx.Param, ...)
    recipe = recipe_of(shapes)
    assert "layers/1/kernel" in recipe["tensors"]
    model = nnx.merge(graph, fanin.jax.init(shapes, recipe), rest)
    for path, weight in fanin.materialize(recipe).items():
        value: Any = model
        for step in path.split("/"):
            value = value[int(step)] if step.isdigit() else getattr(value, step)
        assert value.dtype == weight.dtype
        assert sha256(value[...]) == sha256(weight)


def test_nnx_in_place() -> None:
    model = nnx.Linear(4, 3, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0))
    params = nnx.state(model, nnx.Param)
    recipe = recipe_of(params)
    nnx.update(model, fanin.jax.init(params, recipe))
    np.testing.assert_array_equal(model.kernel[...], fanin.materialize(recipe)["kernel"])


@pytest.mark.parametrize("spec", [P("a"), P(None, None, "b", "a"), P(None, None, ("a", "b"))])
def test_shards_of_other_axes(spec: P, made: list[int]) -> None:
    recipe = {"layout": "torch", "tensors": {"conv.weight": {"shape": [16, 8, 4, 4], "scheme": "he_normal"}}}
    sharding = NamedSharding(mesh(4, 2), spec)
    wanted = {"conv": {"kernel": jax.ShapeDtypeStruct((4, 4, 8, 16), jnp.float32, sharding=sharding)}}
    filled = fanin.jax.init(wanted, recipe, names={"conv/kernel": ("conv.weight", (2, 3, 1, 0))})
    assert sum(made) == 16 * 8 * 4 * 4
    array = filled["conv"]["kernel"]
    assert array.sharding == sharding
    np.testing.assert_array_equal(array, fanin.materialize(recipe)["conv.weight"].transpose(2, 3, 1, 0))


def test_arrays_keep_their_place() -> None:
    sharding = NamedSharding(mesh(8), P("a"))
    tree = {"a": jax.device_put(jnp.zeros((8, 2)), sharding), "b": jnp.zeros((8, 2))}
    filled = fanin.jax.init(
        tree, {"tensors": {"a": {"shape": [8, 2], **DISTRIBUTION}, "b": {"shape": [8, 2], **DISTRIBUTION}}}
    )
    assert filled["a"].sharding == sharding
    assert not filled["b"].committed


def test_all_that_does_not_agree_is_told() -> None:
    tree = {name: jnp.zeros((4, 2)) for name in ("a", "b", "c", "d")}
    tensors = {
        "a": {"shape": [2, 4], **DISTRIBUTION},
        "b": {"shape": [4, 2], "dtype": "BF16", **DISTRIBUTION},
        "d": {"shape": [4, 2], **DISTRIBUTION},
        "e": {"shape": [4, 2], **DISTRIBUTION},
    }
    with pytest.raises(fanin.jax.ModuleError) as error:
        fanin.jax.init(tree, {"tensors": tensors}, names={"d": ("d", (0, 0)), "nope": "e"})
    assert [fault.pointer for fault in error.value.faults] == ["/nope", "/a", "/b", "/c", "/d", "/e"]
    filled = fanin.jax.init(tree, {"tensors": {"d": tensors["d"], "e": tensors["e"]}}, strict=False)
    assert (filled["a"] == 0).all()
    assert (filled["d"] != 0).all()
    with pytest.raises(fanin.jax.ModuleError, match="no tensor 'e'"):
        fit(Given.of({"tensors": {}}), {"a": Wanted((2,), "float32")}, {"a": "e"}, strict=False)
    for wrong in (3, None, ("d",), ("d", 0), ("d", (0.0, 1.0)), (0, "d"), b"d"):
        with pytest.raises(ValueError, match=r"names: 'a' is given .*, which is neither a name nor"):
            fanin.jax.init({"a": jnp.zeros((4, 2))}, {"tensors": {"d": tensors["d"]}}, names={"a": wrong})


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16", "float8_e4m3fn", "complex64"])
def test_types_and_shapes_of_jax_spell_a_recipe(name: str) -> None:
    for dtype in (getattr(jnp, name), jnp.zeros(1, name).dtype, f"jnp.{name}", f"jax.numpy.{name}"):
        for shape in (jnp.array([2, 3]), jnp.zeros((2, 3)).shape):
            made = fanin.as_recipe({"shape": shape, "scheme": "ones", "dtype": dtype})
            assert made == fanin.as_recipe({"shape": [2, 3], "scheme": "ones", "dtype": name})


def test_integers_of_a_recipe() -> None:
    tensors = {
        "ids": {"shape": [16, 8], "scheme": "arange", "start": 2**31 - 8, "dtype": "I32"},
        "mask": {"shape": [8, 8], "scheme": "eye", "dtype": "BOOL"},
        "scales": {"shape": [8], "scheme": "constant", "value": 4, "dtype": "F8_E8M0"},
        "long": {"shape": [8], "scheme": "constant", "value": 2**40, "dtype": "I64"},
    }
    wanted = fanin.materialize({"tensors": tensors})
    sharding = NamedSharding(mesh(8), P("a"))
    for name in ("ids", "mask", "scales"):
        made = fanin.jax.array({"tensors": tensors}, name, sharding)
        assert made.dtype == wanted[name].dtype
        assert np.asarray(made).tobytes() == wanted[name].tobytes()
    with pytest.raises(ValueError, match="int64 needs jax"):  # JAX would cut the upper half off
        fanin.jax.array({"tensors": tensors}, "long")


def test_a_recording_and_a_seed() -> None:
    def build() -> Any:
        key = jax.random.key(0)
        count = jnp.array([2, 0, 1, 3, 7, 6, 5, 4], jnp.int32)
        return {"w": jax.random.normal(key, (8, 2)), "count": count, "n": jnp.int32(3)}

    recording = fanin.jax.record(build, seed=1)
    assert set(recording.literals) == {"count"}
    sharding = NamedSharding(mesh(8), P("a"))
    shapes = jax.eval_shape(build)
    shapes["count"] = jax.ShapeDtypeStruct((8,), jnp.int32, sharding=sharding)
    filled = fanin.jax.init(shapes, recording, seed=9)
    assert (filled["count"].tolist(), filled["n"].item()) == ([2, 0, 1, 3, 7, 6, 5, 4], 3)
    assert filled["count"].sharding == sharding
    for other in (
        fanin.jax.init(shapes, recording.with_seed("9")),
        {"w": fanin.jax.array(recording.with_seed(9), "w")},
    ):
        np.testing.assert_array_equal(filled["w"], other["w"])
    assert sha256(filled["w"]) == sha256(fanin.materialize(recording.recipe.seeded(9))["w"])
    with pytest.raises(fanin.jax.ModuleError, match="the model has float32, the tensor 'n' int32"):
        fanin.jax.init({**shapes, "n": jnp.zeros(())}, recording)
    with pytest.raises(fanin.jax.ModuleError, match="no array for"):
        fanin.jax.init({name: shapes[name] for name in ("w", "n")}, recording)


def test_a_path(tmp_path: Path) -> None:
    recipe = {"seed": 1, "tensors": {"w": {"shape": [8, 2], **DISTRIBUTION}}}
    (tmp_path / "recipe").write_text(json.dumps(recipe))
    filled = fanin.jax.init({"w": jnp.zeros((8, 2))}, tmp_path / "recipe")
    np.testing.assert_array_equal(filled["w"], fanin.materialize(recipe)["w"])
    np.testing.assert_array_equal(fanin.jax.arrays(tmp_path / "recipe")["w"], filled["w"])


def test_parameters_are_inspected() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    draw = jax.nn.initializers.he_normal()
    tree = {f"layer_{n}": {"kernel": draw(keys[n], (64, 48)), "bias": jnp.zeros(48)} for n in range(3)}
    found = fanin.inspect(tree)
    assert (found.kind, found.is_quiet) == ("jax", True)
    assert [each.name for each in found.tensors][:2] == ["layer_0.bias", "layer_0.kernel"]
    assert found.tensors[1].expected == "normal, he, 2 / fan_in"
    tree["layer_2"]["kernel"] = tree["layer_1"]["kernel"] + 0
    assert [each.kind for each in fanin.inspect(lambda: tree).findings] == ["equal-tensors"]
    shapes = jax.eval_shape(lambda: tree)
    assert {each.kind for each in fanin.inspect(shapes).findings} == {"meta"}
