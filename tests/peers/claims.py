"""Checks of what README.md and docs/initializers.md say of other libraries: python -m tests.peers.claims PROCESS.

Each check is a function without arguments that returns whether the claim holds of the installed version. The command
runs the checks of one process and prints a JSON object: name of the check -> result.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Check = Callable[[], bool]
CHECKS: dict[str, dict[str, Check]] = {"torch": {}, "jax": {}}
"""Checks by process and name. JAX and Keras start threads, which the tests' process must not have."""


def torch(check: Check) -> Check:
    """Register a check that imports torch."""
    return CHECKS["torch"].setdefault(check.__name__, check)


def jax(check: Check) -> Check:
    """Register a check that imports JAX, or Keras on JAX."""
    return CHECKS["jax"].setdefault(check.__name__, check)


class Claim(NamedTuple):
    """A row of README's table."""

    words: str
    """How the row begins."""
    libraries: tuple[str, ...]
    """Libraries, each with the version that the row names and the checks ran on."""
    checks: tuple[str, ...]


README = (
    Claim(
        "One seed gives other numbers",
        ("torch 2.13", "JAX 0.10"),
        ("orthogonal_depends_on_threads", "torch_numbers_depend_on_dtype", "jax_numbers_depend_on_dtype"),
    ),
    Claim("A sharded tensor", ("torch 2.13",), ("dtensor_shards_are_not_of_the_whole",)),
    Claim("BF16 normals", ("JAX 0.10", "timm 1.0"), ("jax_bf16_has_128_values", "timm_bf16_is_too_wide")),
    Claim("An upgrade", (), ("trunc_normal_was_rewritten", "jax_switch_changes_numbers")),
    Claim(
        "A new layer",
        ("torch 2.13", "Keras 3.15", "Flax NNX 0.12"),
        (
            "torch_layers_depend_on_others",
            "keras_layers_depend_on_others",
            "nnx_layers_depend_on_others",
            "linen_layers_go_by_name",
        ),
    ),
    Claim("A file of weights", ("safetensors 0.8",), ("files_have_no_recipe",)),
    Claim(
        "Fans of grouped",
        ("torch 2.13", "Keras 3.15"),
        ("torch_fans_are_no_connections", "keras_fans_are_no_connections"),
    ),
)


# torch


def _seeded(make: Callable[[], Any], seed: int = 1) -> Any:
    import torch

    torch.manual_seed(seed)
    return make()


def _timm() -> Any:
    """timm's initializers, from their one file: the package needs torchvision."""
    found = importlib.util.find_spec("timm")
    assert found
    assert found.submodule_search_locations
    file = Path(found.submodule_search_locations[0]) / "layers" / "weight_init.py"
    spec = importlib.util.spec_from_file_location("timm.layers.weight_init", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@torch
def orthogonal_depends_on_threads() -> bool:
    import torch

    def made(threads: int, size: int) -> Any:
        torch.set_num_threads(threads)
        return _seeded(lambda: torch.nn.init.orthogonal_(torch.empty(size, size)))

    before = torch.get_num_threads()
    try:
        return any(not torch.equal(made(1, size), made(2, size)) for size in (256, 512))
    finally:
        torch.set_num_threads(before)


@torch
def only_orthogonal_depends_on_threads() -> bool:
    import torch
    from torch.nn import init

    def made(threads: int) -> list[Any]:
        torch.set_num_threads(threads)
        fills = (init.uniform_, init.normal_, init.trunc_normal_, init.xavier_uniform_, init.kaiming_normal_)
        return [_seeded(lambda fill=fill: fill(torch.empty(1000, 999))) for fill in fills]

    before = torch.get_num_threads()
    try:
        return all(map(torch.equal, made(1), made(2)))
    finally:
        torch.set_num_threads(before)


@torch
def torch_numbers_depend_on_dtype() -> bool:
    import torch

    single, double = (_seeded(lambda d=d: torch.empty(1000, dtype=d).normal_()) for d in (torch.float32, torch.float64))
    return float((single - double).abs().max()) > 1


@torch
def torch_half_types_mostly_are_rounded_f32() -> bool:
    import torch

    def made(dtype: Any) -> Any:
        return _seeded(lambda: torch.empty(10**4, dtype=dtype).normal_())

    single = made(torch.float32)
    return all(float((single.to(d) == made(d)).float().mean()) > 0.9 for d in (torch.bfloat16, torch.float16))


@torch
def dtensor_shards_are_not_of_the_whole() -> bool:
    """The second of two ranks, along either axis: on CPUs it has what the first has."""
    import torch
    import torch.distributed as dist
    from torch.distributed.tensor import Shard, empty, init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (2,))
        whole = _seeded(lambda: torch.empty(64, 32).normal_())
        shards = [
            _seeded(lambda axis=axis: empty(64, 32, device_mesh=mesh, placements=[Shard(axis)]).normal_().to_local())
            for axis in (0, 1)
        ]
        return not any(torch.equal(*each) for each in zip(shards, (whole[32:], whole[:, 16:])))
    finally:
        dist.destroy_process_group()


def _bf16(fill: Any, std: float = 0.02) -> Any:
    import torch

    return _seeded(lambda: fill(torch.empty(10**5, dtype=torch.bfloat16), std=std).double())


@torch
def timm_bf16_is_too_wide() -> bool:
    """torch before 2.12 had the same code; torch since then does it right."""
    import torch

    return float(_bf16(_timm().trunc_normal_).std()) > 0.05 > 0.021 > float(_bf16(torch.nn.init.trunc_normal_).std())


@torch
def trunc_normal_was_rewritten() -> bool:
    """timm keeps the code of torch before 2.12."""
    import torch

    old, new = (_seeded(lambda f=f: f(torch.empty(1000))) for f in (_timm().trunc_normal_, torch.nn.init.trunc_normal_))
    return not torch.equal(old, new)


@torch
def torch_layers_depend_on_others() -> bool:
    import torch
    from torch.nn import Linear

    return not torch.equal(*(_seeded(lambda n=n: [Linear(4, 4) for _ in range(n)][-1].weight) for n in (2, 3)))


@torch
def files_have_no_recipe() -> bool:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"claims-{os.getpid()}.safetensors"
    try:
        save_file({"weight": torch.zeros(2)}, file)
        with safe_open(file, "pt") as opened:
            return not opened.metadata()
    finally:
        file.unlink(missing_ok=True)


@torch
def torch_fans_are_no_connections() -> bool:
    from torch.nn import Conv2d, ConvTranspose2d, init

    grouped, turned = Conv2d(16, 32, 3, groups=4).weight, ConvTranspose2d(16, 32, 3).weight
    counted = [init._calculate_fan_in_and_fan_out(each) for each in (grouped, turned)]
    return counted == [(36, 288), (288, 144)] != [(36, 72), (144, 288)]


# JAX, Flax, Keras on JAX


@jax
def jax_numbers_depend_on_dtype() -> bool:
    import jax

    with jax.enable_x64(True):
        single, double = (np.asarray(jax.random.normal(jax.random.key(1), (1000,), d)) for d in ("float32", "float64"))
    return float(np.abs(single - double).max()) > 1


@jax
def jax_bf16_has_128_values() -> bool:
    import jax

    made = np.asarray(jax.nn.initializers.normal(1.0)(jax.random.key(1), (10**5,), "bfloat16")).astype(float)
    return len(np.unique(made)) == 128


@jax
def jax_switch_changes_numbers() -> bool:
    """JAX 0.5 set `jax_threefry_partitionable`, and the old way is still there."""
    import jax

    def made(partitionable: bool) -> Any:
        with jax.threefry_partitionable(partitionable):
            return np.asarray(jax.random.normal(jax.random.key(1), (1000,)))

    return bool(jax.config.jax_threefry_partitionable) and not np.array_equal(made(True), made(False))


@jax
def keras_layers_depend_on_others() -> bool:
    import keras

    def last(count: int) -> Any:
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(4) for _ in range(count)])
        model.build((None, 4))
        return np.asarray(model.layers[-1].kernel)

    return not np.array_equal(last(2), last(3))


@jax
def nnx_layers_depend_on_others() -> bool:
    from flax import nnx

    def last(count: int) -> Any:
        rngs = nnx.Rngs(0)
        return np.asarray([nnx.Linear(4, 4, rngs=rngs) for _ in range(count)][-1].kernel[...])

    return not np.array_equal(last(2), last(3))


@jax
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


@jax
def jax_complex_variance_is_too_large() -> bool:
    """By 1.9 %: of a constant for another law, so that it is known without a sample."""
    import jax

    made = np.asarray(jax.nn.initializers.lecun_normal()(jax.random.key(1), (1000, 1000), "complex64"))
    return 1.015 < (np.abs(made) ** 2).mean() * 1000 < 1.022


@jax
def jax_bf16_means_are_off() -> bool:
    """By 1 % of the standard deviation; in F16 by less."""
    import jax

    draw = jax.nn.initializers.normal(1.0)
    bf16, f16 = (np.asarray(draw(jax.random.key(1), (10**6,), d)).astype(float).mean() for d in ("bfloat16", "float16"))
    return bool(-0.015 < bf16 < -0.008 < f16)


@jax
def jax_numbers_do_not_depend_on_devices() -> bool:
    import jax
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.make_mesh((8,), ("x",))

    def made(spec: Any) -> Any:
        draw = jax.jit(lambda key: jax.random.normal(key, (496, 8)), out_shardings=NamedSharding(mesh, spec))
        return np.asarray(draw(jax.random.key(1)))

    whole = made(PartitionSpec())
    return all(np.array_equal(whole, made(spec)) for spec in (PartitionSpec("x"), PartitionSpec(None, "x")))


@jax
def keras_fans_are_no_connections() -> bool:
    from keras.src.initializers.random_initializers import compute_fans

    counted = [tuple(compute_fans(shape)) for shape in ((3, 3, 4, 32), (3, 3, 32, 16))]
    return counted == [(36, 288), (288, 144)] != [(36, 72), (144, 288)]


def main(process: str) -> None:
    os.environ |= {"KERAS_BACKEND": "jax", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    print(json.dumps({name: bool(check()) for name, check in CHECKS[process].items()}))


if __name__ == "__main__":
    main(sys.argv[1])
