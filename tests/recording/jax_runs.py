"""Records what JAX programs make and runs them, in a process of its own.

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
from flax import nnx

from fanin.errors import RecordError
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


def _uniform(key: Any, low: float, high: float) -> Any:
    """Not the one of JAX."""
    return jax.random.uniform(key, (4,), minval=low, maxval=high) ** 2


def _row(carry: Any, number: Any) -> Any:
    """Random, though its operands are known: it makes its own key."""
    return carry, jax.random.normal(jax.random.fold_in(jax.random.PRNGKey(0), number), (4,))


def refused() -> Any:
    key = jax.random.key(0)
    normal = jax.random.normal(key, (30, 4))
    return {
        "gamma": jax.random.gamma(key, 3.0, (4,)),
        "key": key,
        "square": normal**2,
        "namesake": jax.jit(_uniform)(key, -1.0, 1.0),
        "stretched": normal * jnp.arange(4.0),
        "part": nnx.initializers.orthogonal()(key, (4, 8)).reshape(8, 4),
        "cut": jnp.clip(normal, -1, 1),
        "twice": jnp.concatenate([normal, normal]),
        "one_key": jnp.concatenate([normal, jax.random.normal(key, (30, 4))]),
        "exponential": jax.random.exponential(key, (4,)),
        "branch": jax.lax.cond(True, lambda: jax.random.normal(jax.random.key(1), (4,)), lambda: jnp.zeros(4)),
        "loop": jax.lax.scan(_row, 0, jnp.arange(3))[1],
    }


def main(directory: Path) -> None:
    programs: dict[str, Callable[[], Any]] = {"nnx": nnx_state, "linen": linen_parameters, "old_key": old_key}
    for name, build in programs.items():
        recipe = record(build, seed=5).recipe
        (directory / f"{name}.json").write_text(text(recipe))
        made = build()
        run = {path_of(keys): np.asarray(leaf) for keys, leaf in jax.tree_util.tree_flatten_with_path(made)[0]}
        np.savez(directory / f"{name}.npz", **{path: array.astype(np.float64) for path, array in run.items()})
        filled = init(made, recipe)
        assert jax.tree.map(jnp.shape, filled) == jax.tree.map(jnp.shape, made)
    told: dict[str, Any] = {"refused": []}
    try:
        record(refused)
    except RecordError as error:
        told["refused"] = [(fault.pointer, fault.detail) for fault in error.faults]
    wide = record(lambda: linen.Dense(1 << 20).init(jax.random.key(0), jnp.zeros((1, 1 << 20))))
    told["wide"] = sorted(wide.recipe.tensors)
    tables = record(lambda: {"steps": jnp.arange(5), "ramp": jnp.linspace(0, 1, 5), "count": jnp.zeros((), jnp.int32)})
    told["literals"] = {name: value.tolist() for name, value in tables.literals.items()}
    (directory / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
