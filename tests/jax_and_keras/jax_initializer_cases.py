"""`fanin.jax.initializers`, on eight devices of a CPU; run by test_apart.py."""

from __future__ import annotations

import hashlib
import inspect
import math
from typing import Any

import flax.linen as linen
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import fanin
import fanin.jax
from tests.jax_and_keras.jax_cases import mesh, recipe_of, sha256

INITIALIZERS = fanin.jax.initializers
NAMES = [name for name in INITIALIZERS.__all__ if name != "Initializer"]
ARGUMENTS: dict[str, tuple[Any, ...]] = {"constant": (0.5,), "variance_scaling": (2.0, "fan_avg", "normal")}


def initializer(name: str) -> Any:
    made = getattr(INITIALIZERS, name)
    return made if name in ("zeros", "ones") else made(*ARGUMENTS.get(name, ()))


def test_all_initializers_of_jax_are_there() -> None:
    assert set(NAMES) == set(dir(jax.nn.initializers)) - {name for name in dir(jax.nn.initializers) if name[0] in "_I"}


@pytest.mark.parametrize("name", NAMES)
def test_initializers_are_called_as_those_of_jax(name: str) -> None:
    ours, theirs = getattr(INITIALIZERS, name), getattr(jax.nn.initializers, name)
    assert list(inspect.signature(ours).parameters.values()) == list(inspect.signature(theirs).parameters.values())
    array = initializer(name)(jax.random.key(1), (3, 4, 4), jnp.bfloat16)
    assert isinstance(initializer(name), jax.nn.initializers.Initializer)
    assert INITIALIZERS.normal()(jax.random.key(1), 3).shape == (3,)
    assert (array.shape, array.dtype) == ((3, 4, 4), jnp.bfloat16)


def test_the_key_is_the_seed() -> None:
    init = INITIALIZERS.he_normal()
    recipe = {"dialect": "jax", "scheme": "he_normal", "shape": [3, 3, 8, 4], "seed": 42}
    weight = fanin.materialize(recipe)["weight"]
    for key in (jax.random.key(42), jax.random.PRNGKey(42)):
        np.testing.assert_array_equal(init(key, (3, 3, 8, 4)), weight)
    words = jnp.array([7, 9], jnp.uint32)
    weight = fanin.materialize({**recipe, "seed": (7 << 32) + 9})["weight"]
    np.testing.assert_array_equal(init(jax.random.wrap_key_data(words), (3, 3, 8, 4)), weight)
    longer = init(jax.random.key(42, impl="rbg"), (3, 3, 8, 4))
    seed = int.from_bytes(hashlib.sha256(np.array([0, 42, 0, 42], ">u4").tobytes()).digest()[:8])
    np.testing.assert_array_equal(longer, fanin.materialize({**recipe, "seed": seed})["weight"])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float8_e4m3fn])
def test_under_jit_and_vmap(dtype: Any) -> None:
    init = INITIALIZERS.truncated_normal(0.02)
    keys = jax.random.split(jax.random.key(0), 6).reshape(2, 3)
    alone = np.stack([[np.asarray(init(key, (5, 7), dtype)) for key in row] for row in keys])
    assert len({each.tobytes() for each in alone.reshape(6, 35)}) == 6

    def draw(key: Any) -> Any:
        return init(key, (5, 7), dtype)

    np.testing.assert_array_equal(jax.jit(draw)(keys[1, 2]), alone[1, 2])
    for mapped in (jax.vmap(jax.vmap(draw)), jax.jit(jax.vmap(jax.vmap(draw)))):
        np.testing.assert_array_equal(mapped(keys), alone)
    _, scanned = jax.lax.scan(lambda carry, key: (carry, draw(key)), 0, keys[0])
    np.testing.assert_array_equal(scanned, alone[0])
    inside = jax.jit(lambda: init(jax.random.key(3), (5, 7), dtype))()
    np.testing.assert_array_equal(inside, init(jax.random.key(3), (5, 7), dtype))


def test_shapes_alone_make_nothing(made: list[int]) -> None:
    init = INITIALIZERS.glorot_uniform()
    found = jax.eval_shape(lambda key: init(key, (10**6, 10**6)), jax.random.key(0))
    assert found.shape == (10**6, 10**6)
    with pytest.raises(fanin.RecipeError, match="not an axis of a shape of rank 1"):
        jax.eval_shape(lambda key: init(key, (5,)), jax.random.key(0))
    assert not made


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_shardings_of_initializers(axis_type: AxisType, made: list[int]) -> None:
    init = INITIALIZERS.lecun_normal()
    weight = init(jax.random.key(0), (16, 8))
    made.clear()
    eight = jax.make_mesh((8,), ("a",), axis_types=(axis_type,))
    array = init(jax.random.key(0), (16, 8), out_sharding=NamedSharding(eight, P("a")))
    assert made == [16] * 8
    assert array.sharding.spec == P("a")
    np.testing.assert_array_equal(array, weight)

    draw = jax.jit(lambda key: init(key, (16, 8), out_sharding=P("a")))
    with jax.set_mesh(eight):
        if axis_type == AxisType.Explicit:
            np.testing.assert_array_equal(draw(jax.random.key(0)), weight)
            assert draw(jax.random.key(0)).sharding.is_equivalent_to(array.sharding, 2)
        else:  # as JAX's own
            with pytest.raises(ValueError, match="of type Auto"):
                draw(jax.random.key(0))


def test_types_that_are_no_weights() -> None:
    with pytest.raises(TypeError, match="float32"):
        INITIALIZERS.normal()(jax.random.key(0), (3,), jnp.int32)


def test_a_type_that_is_off_gets_a_warning_as_in_jax() -> None:
    init = fanin.jax.initializers.he_normal()
    with pytest.warns(UserWarning, match="float64 .* is not available"):
        assert init(jax.random.key(1), (2, 2), np.float64).dtype == np.float32


def test_complex_numbers() -> None:
    array = INITIALIZERS.he_normal()(jax.random.key(3), (6, 4), jnp.complex64)
    recipe = {"dialect": "jax", "scheme": "he_normal", "shape": [6, 4], "dtype": "C64", "seed": 3}
    np.testing.assert_array_equal(array, fanin.materialize(recipe)["weight"])
    under_jit = jax.jit(lambda key: INITIALIZERS.he_normal()(key, (6, 4), jnp.complex64))(jax.random.key(3))
    np.testing.assert_array_equal(under_jit, array)


def test_numbers_of_numpy_and_jax() -> None:
    for value in (np.float32(0.5), jnp.float32(0.5), np.float64(0.5)):
        np.testing.assert_array_equal(
            INITIALIZERS.normal(value)(jax.random.key(0), (9,)), INITIALIZERS.normal(0.5)(jax.random.key(0), (9,))
        )


def test_in_flax() -> None:
    dense = linen.Dense(8, kernel_init=INITIALIZERS.he_normal(), bias_init=INITIALIZERS.uniform(0.1))
    plain, jitted = (init(jax.random.key(0), jnp.ones((1, 4)))["params"] for init in (dense.init, jax.jit(dense.init)))
    np.testing.assert_array_equal(plain["kernel"], jitted["kernel"])
    np.testing.assert_array_equal(plain["bias"], jitted["bias"])

    stacked = linen.vmap(
        linen.Dense, in_axes=None, axis_size=3, variable_axes={"params": 0}, split_rngs={"params": True}
    )
    kernels = stacked(8, kernel_init=INITIALIZERS.he_normal()).init(jax.random.key(0), jnp.ones((1, 4)))["params"][
        "kernel"
    ]
    assert len({sha256(kernel) for kernel in kernels}) == 3

    layer = nnx.Linear(4, 8, kernel_init=INITIALIZERS.he_normal(), rngs=nnx.Rngs(7))
    in_jit = nnx.jit(lambda: nnx.Linear(4, 8, kernel_init=INITIALIZERS.he_normal(), rngs=nnx.Rngs(7)))()
    np.testing.assert_array_equal(layer.kernel[...], in_jit.kernel[...])


# ---- keys ---------------------------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "key": jax.random.key(1),
    "old": jax.random.PRNGKey(1),
    "numpy": np.array([0, 1], np.uint32),
    "rbg": jax.random.key(1, impl="rbg"),
    "keys": jax.random.split(jax.random.key(1), 3),
    "no keys": jax.random.split(jax.random.key(1), 3)[:0],
    "a list of one": jax.random.key(1)[None],
    "old keys": jax.random.split(jax.random.PRNGKey(1), 3),
    "four words": np.zeros(4, np.uint32),
    "a word": jnp.uint32(3),
    "int32": jnp.zeros(2, jnp.int32),
    "int64": np.zeros(2, np.int64),
    "float32": jnp.zeros(2),
    "integer": 1,
    "nothing": None,
    "list": [0, 1],
    "text": "ab",
    "shape": jax.ShapeDtypeStruct((2,), jnp.uint32),
}


def outcome(call: Any) -> Any:
    try:
        return call().shape
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_keys_are_taken_and_refused_as_jax_does(key: Any) -> None:
    for name in ("normal", "he_uniform", "orthogonal"):
        theirs = outcome(lambda name=name: getattr(jax.nn.initializers, name)()(key, (4, 4)))
        assert outcome(lambda name=name: getattr(INITIALIZERS, name)()(key, (4, 4))) == theirs
    assert INITIALIZERS.constant(0.5)(key, (2,)).tolist() == [0.5, 0.5]


def test_arrays_of_keys_need_vmap() -> None:
    keys = jax.random.split(jax.random.key(1), 3)
    with pytest.raises(ValueError, match=r"accepts a single key"):
        INITIALIZERS.he_normal()(keys, (4, 4))
    with pytest.raises(ValueError, match=r"accepts a single key"):
        jax.jit(lambda keys: INITIALIZERS.he_normal()(keys, (4, 4)))(keys)
    assert jax.vmap(lambda key: INITIALIZERS.he_normal()(key, (4, 4)))(keys).shape == (3, 4, 4)


# ---- parameters at their ends -------------------------------------------------------------------------------------

ENDS: dict[str, Any] = {
    "normal(0)": lambda of: of.normal(0.0),
    "normal(-2)": lambda of: of.normal(-2.0),
    "uniform(0)": lambda of: of.uniform(0.0),
    "uniform(-3)": lambda of: of.uniform(-3.0),
    "open below": lambda of: of.truncated_normal(1.0, lower=-np.inf, upper=0.5),
    "open above": lambda of: of.truncated_normal(1.0, lower=0.25, upper=jnp.inf),
    "open": lambda of: of.truncated_normal(1.0, lower=-np.inf, upper=np.inf),
    "turned": lambda of: of.truncated_normal(-1.0, lower=-0.5, upper=2.0),
    "truncated_normal(0)": lambda of: of.truncated_normal(0.0),
    "variance_scaling(0)": lambda of: of.variance_scaling(0.0, "fan_in", "uniform"),
    "orthogonal(0)": lambda of: of.orthogonal(0.0),
    "orthogonal(-2)": lambda of: of.orthogonal(-2.0),
    "delta_orthogonal(0)": lambda of: of.delta_orthogonal(0.0),
    "infinite": lambda of: of.constant(jnp.inf),
    "array": lambda of: of.constant(jnp.arange(200.0)),
    "array of NumPy": lambda of: of.constant(np.arange(200.0)),
    "axes of NumPy": lambda of: of.variance_scaling(1.0, "fan_in", "normal", np.array([0, 1]), 2),
    "flag": lambda of: of.constant(True),
}


@pytest.mark.parametrize("build", ENDS.values(), ids=ENDS.keys())
def test_distributions_at_the_ends_of_their_parameters(build: Any) -> None:
    """40,000 elements: quartiles and ends beside those of JAX's own."""
    ours, theirs = (
        np.asarray(build(of)(jax.random.key(5), (1, 200, 200)), np.float64)
        for of in (INITIALIZERS, jax.nn.initializers)
    )
    if len(np.unique(theirs)) <= 200:
        np.testing.assert_array_equal(ours, theirs)
        return
    spread = theirs.std()
    np.testing.assert_allclose(
        np.quantile(ours, [0.25, 0.5, 0.75]), np.quantile(theirs, [0.25, 0.5, 0.75]), atol=0.05 * spread
    )
    np.testing.assert_allclose([ours.min(), ours.max()], [theirs.min(), theirs.max()], atol=2 * spread)
    assert ours.std() == pytest.approx(spread, rel=0.02)


def test_what_no_distribution_is() -> None:
    for build, field in (
        (lambda: INITIALIZERS.variance_scaling(-1.0, "fan_in", "normal"), "/scale"),
        (lambda: INITIALIZERS.normal(math.nan), "/stddev"),
        (lambda: INITIALIZERS.truncated_normal(lower=math.inf), "/lower"),
        (lambda: INITIALIZERS.truncated_normal(lower=2.0, upper=1.0), "/lower"),
    ):
        with pytest.raises(fanin.RecipeError, match=field):
            build()(jax.random.key(0), (8, 8))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_, jnp.complex64, jnp.bfloat16])
def test_constants_of_every_type(dtype: Any) -> None:
    for name, arguments in (("zeros", None), ("ones", None), ("constant", (1,))):
        ours, theirs = (
            getattr(of, name) if arguments is None else getattr(of, name)(*arguments)
            for of in (INITIALIZERS, jax.nn.initializers)
        )
        ours, theirs = ours(None, (2, 3), dtype), theirs(None, (2, 3), dtype)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


# ---- meshes that are set, and records -----------------------------------------------------------------------------


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_annotated_models_under_a_mesh(axis_type: AxisType) -> None:
    """Abstract, eagerly and under jit; the shards are those of the annotation, and the distribution is recorded."""
    eight = jax.make_mesh((4, 2), ("a", "b"), axis_types=(axis_type,) * 2)
    kernel_init = nnx.with_partitioning(INITIALIZERS.he_normal(), ("a", "b"))

    def build() -> nnx.Linear:
        return nnx.Linear(16, 8, kernel_init=kernel_init, rngs=nnx.Rngs(0))

    with jax.set_mesh(eight):
        graph, abstract = nnx.split(nnx.eval_shape(build))
        recipe = recipe_of(abstract)
        model = nnx.merge(graph, fanin.jax.init(abstract, recipe))
        assert model.kernel.get_value().sharding == NamedSharding(eight, P("a", "b"))
        assert len({str(shard.index) for shard in model.kernel.get_value().addressable_shards}) == 8
        np.testing.assert_array_equal(model.kernel.get_value(), fanin.materialize(recipe)["kernel"])
        for made_so in (build(), nnx.jit(build)()):
            assert made_so.kernel.get_value().sharding.spec == P("a", "b")
        recorded = fanin.jax.record(lambda: nnx.state(build(), nnx.Param)).recipe
    assert recorded.tensors["kernel"] == as_said("he_normal", (16, 8))
    with pytest.raises(ValueError, match="needs a mesh"):
        fanin.jax.init(abstract, recipe)
    with jax.set_mesh(mesh(2, 4)), pytest.raises(ValueError, match=r"'a': 4, 'b': 2.*'a': 2, 'b': 4"):
        fanin.jax.init(abstract, recipe)


def test_a_mesh_that_is_set_has_what_is_not_placed() -> None:
    eight = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    with jax.set_mesh(eight):
        ours, theirs = (of.he_normal()(jax.random.key(0), (16, 8)) for of in (INITIALIZERS, jax.nn.initializers))
        gradient = jax.grad(lambda x: (x * INITIALIZERS.he_normal()(jax.random.key(0), (16, 8))).sum())(
            jnp.ones((16, 8))
        )
    assert ours.sharding == theirs.sharding
    np.testing.assert_array_equal(gradient, ours)


def as_said(scheme: str, shape: tuple[int, ...], **members: Any) -> Any:
    recipe = fanin.as_recipe({"dialect": "jax", "scheme": scheme, "shape": list(shape), **members})
    return recipe.tensors["weight"]


def test_initializers_here_are_recorded_as_what_they_are(made: list[int]) -> None:
    key, old = jax.random.key(3), jax.random.PRNGKey(3)
    he = INITIALIZERS.he_normal()
    recorded = fanin.jax.record(
        lambda: {
            "plain": he(jax.random.key(0), (64, 32)),
            "key from outside": he(key, (64, 32)),
            "old key from outside": he(old, (64, 32)),
            "wide": he(key, (1 << 20, 1 << 20)),
            "jit": jax.jit(lambda: he(key, (64, 32)))(),
            "narrow": he(key, (64, 32)).astype(jnp.bfloat16),
            "delta": INITIALIZERS.delta_orthogonal()(key, (3, 8, 16)),
            "complex": he(key, (64, 32), jnp.complex64),
            "ones": INITIALIZERS.constant(1.0)(key, (3,)),
            "half": INITIALIZERS.uniform(2.0)(key, (64, 32)) / 2,
            "members": jax.vmap(lambda key: INITIALIZERS.normal()(key, (3, 2)))(jax.random.split(key, 4)),
            "turned": INITIALIZERS.orthogonal()(key, (64, 32)).T,
        }
    ).recipe.tensors
    assert not made
    same = as_said("he_normal", (64, 32))
    assert recorded == {
        "plain": same,
        "key from outside": same,
        "old key from outside": same,
        "wide": as_said("he_normal", (1 << 20, 1 << 20)),
        "jit": same,
        "narrow": as_said("he_normal", (64, 32), dtype="BF16"),
        "delta": as_said("delta_orthogonal", (3, 8, 16)),
        "complex": as_said("he_normal", (64, 32), dtype="C64"),
        "ones": as_said("constant", (3,), value=1.0),
        "half": as_said("uniform", (64, 32), scale=1.0),
        "members": as_said("normal", (4, 3, 2)),
        "turned": as_said("orthogonal", (32, 64), column_axis=0),
    }


def test_record_finds_the_normal_distribution_in_its_parts() -> None:
    """JAX 0.12 inlines its normal initializers: a factor times erf_inv of a uniform draw from (-1, 1]."""
    key = jax.random.key(3)
    for dtype, name in ((jnp.float32, "F32"), (jnp.bfloat16, "BF16"), (jnp.float16, "F16")):
        low = -1 + jnp.finfo(dtype).epsneg

        def inlined(low: Any = low, dtype: Any = dtype) -> Any:
            uniform = jax.random.uniform(key, (64, 32), dtype, minval=low, maxval=1)
            return jnp.asarray(0.5, dtype) * jax.lax.erf_inv(uniform)

        (found,) = fanin.jax.record(lambda: {"w": inlined()}).recipe.tensors.values()
        assert (found.scheme, found.dtype, found.std) == ("normal", name, 0.5 * math.sqrt(0.5))


def test_what_is_done_to_numbers_of_initializers_here_is_not_forgotten() -> None:
    he, key = INITIALIZERS.he_normal(), jax.random.key(3)
    with pytest.raises(fanin.jax.RecordError) as caught:
        fanin.jax.record(
            lambda: {
                "whole": he(key, (64, 32)).astype(jnp.int32).astype(jnp.float32),
                "real": he(key, (64, 32), jnp.complex64).real,
                "square": he(key, (64, 32)) ** 2,
                "turns": jax.random.normal(key, (64, 32)) * 1j,
            }
        )
    assert [fault.pointer for fault in caught.value.faults] == ["/real", "/square", "/turns", "/whole"]
    with pytest.raises(fanin.jax.RecordError, match=r"^/i/std: (1e-30|9.99999995e-31) is out of range"):
        fanin.jax.record(lambda: {"i": jax.nn.initializers.normal(1e-30)(key, (8, 8))})
    tables = fanin.jax.record(
        lambda: {"complex": jnp.full((3,), 1j), "array": INITIALIZERS.constant(jnp.arange(3.0))(key, (3,))}
    )
    assert tables.literals["complex"].tolist() == [1j, 1j, 1j]
    assert tables.literals["array"].tolist() == [0, 1, 2]


def test_traced_trees_are_refused() -> None:
    """Under vmap all members would get the same numbers."""
    recipe = {"tensors": {"w": {"shape": [4], "scheme": "normal", "std": 1.0}}}
    for trace in (jax.jit, jax.vmap):
        with pytest.raises(TypeError, match="w is traced"):
            trace(lambda tree: fanin.jax.init(tree, recipe))({"w": jnp.zeros((4, 4))})
