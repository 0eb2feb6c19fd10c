"""Checks of claims about JAX, Flax and Keras on JAX: whether each holds of the installed version."""

from __future__ import annotations

from typing import Any

import numpy as np


def jax_numbers_depend_on_dtype() -> bool:
    import jax

    with jax.enable_x64(True):
        single, double = (np.asarray(jax.random.normal(jax.random.key(1), (1000,), d)) for d in ("float32", "float64"))
    return float(np.abs(single - double).max()) > 1


def jax_bf16_has_128_values() -> bool:
    import jax

    made = np.asarray(jax.nn.initializers.normal(1.0)(jax.random.key(1), (10**5,), "bfloat16")).astype(float)
    return len(np.unique(made)) == 128


def jax_switch_changes_numbers() -> bool:
    """JAX 0.5 set `jax_threefry_partitionable`, and the old way is still there."""
    import jax

    def made(partitionable: bool) -> Any:
        with jax.threefry_partitionable(partitionable):
            return np.asarray(jax.random.normal(jax.random.key(1), (1000,)))

    return bool(jax.config.jax_threefry_partitionable) and not np.array_equal(made(True), made(False))


def keras_layers_depend_on_others() -> bool:
    import keras

    def last(count: int) -> Any:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(4) for _ in range(count)])
        model.build((None, 4))
        return np.asarray(model.layers[-1].kernel)

    return not np.array_equal(last(2), last(3))


def nnx_layers_depend_on_others() -> bool:
    from flax import nnx

    def last(count: int) -> Any:
        rngs = nnx.Rngs(0)
        return np.asarray([nnx.Linear(4, 4, rngs=rngs) for _ in range(count)][-1].kernel[...])

    return not np.array_equal(last(2), last(3))


def linen_layers_go_by_name() -> bool:
    import flax.linen as nn
    import jax

    class Network(nn.Module):
        names: tuple[str, ...]

        @nn.compact
        def __call__(self, x: Any) -> Any:
            for name in self.names:
                x = nn.Dense(4, name=name)(x)
            return x

    def last(*names: str) -> Any:
        made = Network(names).init(jax.random.key(0), np.ones((1, 4)))
        return np.asarray(made["params"][names[-1]]["kernel"])

    return np.array_equal(last("a", "c"), last("a", "b", "c"))


def jax_complex_variance_is_too_large() -> bool:
    """By 1.9 %. It comes from a constant for another distribution, so it is known without a sample."""
    import jax

    made = np.asarray(jax.nn.initializers.lecun_normal()(jax.random.key(1), (1000, 1000), "complex64"))
    return 1.015 < (np.abs(made) ** 2).mean() * 1000 < 1.022


def jax_bf16_means_are_off() -> bool:
    """By 1 % of the standard deviation; in F16 by less."""
    import jax

    draw = jax.nn.initializers.normal(1.0)
    bf16, f16 = (np.asarray(draw(jax.random.key(1), (10**6,), d)).astype(float).mean() for d in ("bfloat16", "float16"))
    return bool(-0.015 < bf16 < -0.008 < f16)


def jax_numbers_do_not_depend_on_devices() -> bool:
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.make_mesh((8,), ("x",))

    def made(spec: Any) -> Any:
        draw = jax.jit(lambda key: jax.random.normal(key, (496, 8)), out_shardings=NamedSharding(mesh, spec))
        return np.asarray(draw(jax.random.key(1)))

    whole = made(PartitionSpec())
    return all(np.array_equal(whole, made(spec)) for spec in (PartitionSpec("x"), PartitionSpec(None, "x")))


def keras_initializers_repeat_themselves() -> bool:
    import keras

    initializer = keras.initializers.HeNormal(seed=1)
    return np.array_equal(np.asarray(initializer((4, 4))), np.asarray(initializer((4, 4))))


def keras_fans_are_no_connections() -> bool:
    from keras.src.initializers.random_initializers import compute_fans

    counted = [tuple(compute_fans(shape)) for shape in ((3, 3, 4, 32), (3, 3, 32, 16))]
    return counted == [(36, 288), (288, 144)] != [(36, 72), (144, 288)]
