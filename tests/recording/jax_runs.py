"""Records the arrays of JAX programs and runs the programs, in a separate process.

python -m tests.recording.jax_runs DIRECTORY
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from fanin.errors import RecordError
from fanin.jax import initializers
from fanin.jax.recording import record
from fanin.jax.trees import init, path_of
from fanin.recipe.formatting import text


class Model(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(300, 32, rngs=rngs)
        self.conv = nnx.Conv(8, 16, (3, 3), kernel_init=nnx.initializers.he_uniform(), rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, 32, rngs=rngs)
        self.lstm = nnx.OptimizedLSTMCell(32, 48, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(32, 32, param_dtype=jnp.bfloat16, rngs=rngs) for _ in range(3)])
        self.norm = nnx.BatchNorm(32, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.a_log = nnx.Param(jnp.log(jax.random.uniform(rngs.params(), (400,), minval=1.0, maxval=16.0)))
        dt = jnp.exp(jax.random.uniform(rngs.params(), (400,)) * 4 - 6)
        self.dt_bias = nnx.Param(dt + jnp.log(-jnp.expm1(-dt)))
        self.shifted = nnx.Param(1 - jax.random.normal(rngs.params(), (20, 30)).T / 4)
        positions = jax.random.uniform(rngs.params(), (400,))
        self.centred = nnx.Param(positions - (1 - positions))
        self.filled = nnx.Param(jnp.full((3, 4), 0.25))
        self.remat = nnx.Param(jax.checkpoint(lambda: jax.random.normal(jax.random.key(1), (400,)) * 2)())


class Cells(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        stacked = linen.vmap(
            linen.Dense, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None, axis_size=3
        )
        return linen.RNN(linen.GRUCell(16))(linen.Dense(24)(x)), stacked(8)(x)


def nnx_state() -> Any:
    return nnx.state(Model(nnx.Rngs(0)), nnx.Not(nnx.RngState))


def linen_parameters() -> Any:
    return Cells().init(jax.random.key(0), jnp.zeros((2, 5, 12)))


def old_key() -> Any:
    return {"dense": linen.Dense(40).init(jax.random.PRNGKey(0), jnp.zeros((1, 30)))}


def joined() -> Any:
    """Return arrays of several draws, each with a separate key."""
    keys = jax.random.split(jax.random.key(0), 3)
    drawn = [jax.random.normal(key, (300,)) for key in keys]
    folded = [jax.random.normal(jax.random.fold_in(keys[0], number), (300,)) for number in range(2)]
    return {
        "tiled": jnp.tile(jax.random.normal(keys[0], (300,)), 1),
        "joined": jnp.concatenate([*drawn, jax.random.normal(jax.random.key(9), (300,))]),
        "folded": jnp.concatenate([jnp.concatenate(folded), drawn[1]]),
        "stacked": jnp.stack(drawn),
        "mapped": jax.vmap(lambda key: jax.random.normal(key, (300,)))(keys),
    }


def scanned() -> Any:
    """Return arrays that loops make: of keys, of the number of the step, of a key that the loop carries."""

    def of_keys(carry: Any, key: Any) -> Any:
        one, other = jax.random.split(key)
        return carry, {"kernel": jax.random.normal(one, (300,)) * 3, "bias": jax.random.uniform(other, (300,))}

    def of_number(carry: Any, number: Any) -> Any:
        key = jax.random.fold_in(jax.random.key(1), number)
        return carry, (initializers.normal(2.0)(key, (300,), jnp.float32), jnp.full(3, 0.5))

    def of_carry(key: Any, _: Any) -> Any:
        key, own = jax.random.split(key)
        return key, jax.random.truncated_normal(own, -1.0, 1.0, (300,))

    keys = jax.random.split(jax.random.key(0), 6).reshape(2, 3)
    _, nested = jax.lax.scan(lambda carry, each: jax.lax.scan(of_keys, carry, each), 0, keys)
    _, (numbered, half) = jax.lax.scan(of_number, 0, jnp.arange(3), reverse=True)
    _, carried = jax.lax.scan(of_carry, jax.random.key(2), None, length=3)
    layers = Stack().init(jax.random.key(0), jnp.zeros((1, 20)))
    return {
        "nested": nested,
        "numbered": jnp.moveaxis(numbered, 0, 1),
        "half": half,
        "carried": carried,
        "layers": layers,
    }


def _uniform(key: Any, low: float, high: float) -> Any:
    """Has the name of a function of JAX, and another distribution."""
    return jax.random.uniform(key, (4,), minval=low, maxval=high) ** 2


@jax.jit
def _first_half(key: Any) -> Any:
    return jax.random.normal(jax.random.split(key)[0], (4,))


def _normal(key: Any, dtype: Any) -> Any:
    return jax.random.normal(key, (4,), dtype).astype(jnp.float32)


def _pair(*seeds: int) -> Any:
    return jnp.concatenate([jax.random.normal(jax.random.key(seed), (4,)) for seed in seeds])


class Stack(linen.Module):
    """Layers of one scan."""

    @linen.compact
    def __call__(self, x: Any) -> Any:
        layers = linen.scan(_Layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return layers()(x, None)


class _Layer(linen.Module):
    @linen.compact
    def __call__(self, x: Any, _: Any) -> Any:
        return linen.Dense(20)(x), None


def refused() -> Any:
    key = jax.random.key(0)
    normal, pair = jax.random.normal(key, (30, 4)), jax.random.split(key)
    return {
        "gamma": jax.random.gamma(key, 3.0, (4,)),
        "key": key,
        "square": normal**2,
        "namesake": jax.jit(_uniform)(key, -1.0, 1.0),
        "stretched": normal * jnp.arange(4.0),
        "part": nnx.initializers.orthogonal()(key, (4, 8)).reshape(8, 4),
        "shuffled": nnx.initializers.orthogonal()(key, (8, 2)).reshape(4, 4).T.reshape(2, 8),
        "cut": jnp.clip(normal, -1, 1),
        "twice": jnp.concatenate([normal, normal]),
        "one_key": jnp.concatenate([normal, jax.random.normal(key, (30, 4))]),
        "folded_twice": jnp.concatenate([jax.random.normal(jax.random.fold_in(key, 1), (3,)) for _ in range(2)]),
        "split_twice": jnp.stack([_first_half(key), _first_half(key)]),
        "two_types": jnp.concatenate([_normal(key, jnp.float32), _normal(key, jnp.bfloat16)]),
        "nested": jnp.concatenate([_pair(1, 2), _pair(2, 1)]),
        "mapped": jax.vmap(lambda each: jax.random.normal(each, (4,)))(jnp.broadcast_to(key, (3,))),
        "mapped_seeds": jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), (4,)))(jnp.array([7, 7])),
        "own": jnp.concatenate([initializers.normal(1.0)(key, (4,)) for _ in range(2)]),
        "overflow": (normal * 1e6).astype(jnp.float16).astype(jnp.float32),
        "coarse": (normal * 1e-3 + 1).astype(jnp.bfloat16).astype(jnp.float32),
        "underflow": (normal * 1e-9).astype(jnp.float16).astype(jnp.float32) * 1e9,
        "exponential": jax.random.exponential(key, (4,)),
        "branch": jax.lax.cond(True, lambda: jax.random.normal(jax.random.key(1), (4,)), lambda: jnp.zeros(4)),
        "loop": jax.lax.scan(lambda carry, _: (carry, jax.random.normal(key, (4,))), 0, None, length=3)[1],
        "loop_of_draws": jax.lax.scan(lambda carry, row: (carry, row * 2), 0, normal)[1],
        "loop_of_kinds": jax.lax.scan(lambda last, each: (jax.random.normal(each, (4,)), last), jnp.zeros(4), pair)[1],
        "sum_of_loop": jax.lax.scan(lambda last, each: (last + jax.random.normal(each, (4,)), 0), jnp.zeros(4), pair)[
            0
        ],
        "while": jax.lax.while_loop(lambda x: x.max() < 1, lambda x: x + 1, normal),
    }


def cast() -> Any:
    """Return constants after casts to several types. Small arrays are computed, large arrays are not."""
    key, large = jax.random.key(0), (1 << 21,)
    return {
        f"{name}/{size}": jnp.full(shape, 2.7).astype(dtype).astype(jnp.float32)
        for name, dtype in {"bfloat16": jnp.bfloat16, "int32": jnp.int32, "bool": bool}.items()
        for size, shape in {"small": (3,), "large": large}.items()
    } | {
        "own": initializers.constant(2.7)(key, (3,), jnp.bfloat16).astype(jnp.float32),
        "own/narrow": initializers.constant(2.7)(key, (3,), jnp.float32).astype(jnp.bfloat16),
    }


def refusals(build: Callable[[], Any]) -> list[tuple[str, str]]:
    try:
        record(build)
    except RecordError as error:
        return [(fault.pointer, fault.detail) for fault in error.faults]
    return []


def main(directory: Path) -> None:
    programs: dict[str, Callable[[], Any]] = {"nnx": nnx_state, "linen": linen_parameters}
    programs |= {"old_key": old_key, "joined": joined, "scanned": scanned}
    for name, build in programs.items():
        recipe = record(build, seed=5).recipe
        (directory / f"{name}.json").write_text(text(recipe))
        made = build()
        run = {path_of(keys): np.asarray(leaf) for keys, leaf in jax.tree_util.tree_flatten_with_path(made)[0]}
        np.savez(directory / f"{name}.npz", **{path: array.astype(np.float64) for path, array in run.items()})
        filled = init(made, recipe)
        assert jax.tree.map(jnp.shape, filled) == jax.tree.map(jnp.shape, made)
    told: dict[str, Any] = {
        "refused": refusals(refused),
        "one path": refusals(lambda: {"a": {"b": jnp.ones(3)}, "a/b": jnp.zeros(4)}),
        "reserved": refusals(lambda: {"__metadata__": jnp.arange(3)}),
    }
    wide = record(lambda: linen.Dense(1 << 20).init(jax.random.key(0), jnp.zeros((1, 1 << 20))))
    told["wide"] = sorted(wide.recipe.tensors)
    tables = record(lambda: {"steps": jnp.arange(5), "ramp": jnp.linspace(0, 1, 5), "count": jnp.zeros((), jnp.int32)})
    fortran = np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    mixed = record(lambda: {"number": 3, "complex": 1j, "fortran": jnp.asarray(fortran)})
    told["types"] = {name: value.dtype.name for name, value in mixed.literals.items()}
    told["fortran"] = safetensors.numpy.load(mixed.literals_file() or b"")["fortran"].tolist()
    told["cast"] = {
        name: tensor.model_dump(exclude_defaults=True).get("value", tensor.scheme)
        for name, tensor in record(cast).recipe.tensors.items()
    }
    told["integers"] = {name: tensor.canonical() for name, tensor in tables.recipe.tensors.items()}
    told["literals"] = {name: value.tolist() for name, value in tables.literals.items()}
    (directory / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
