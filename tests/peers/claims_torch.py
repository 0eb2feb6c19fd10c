"""Checks of claims about torch, timm and safetensors: whether each holds of the installed version."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def torch_numbers_depend_on_dtype() -> bool:
    import torch

    single, double = (_seeded(lambda d=d: torch.empty(1000, dtype=d).normal_()) for d in (torch.float32, torch.float64))
    return float((single - double).abs().max()) > 1


def torch_half_types_mostly_are_rounded_f32() -> bool:
    import torch

    def made(dtype: Any) -> Any:
        return _seeded(lambda: torch.empty(10**4, dtype=dtype).normal_())

    single = made(torch.float32)
    return all(float((single.to(d) == made(d)).float().mean()) > 0.9 for d in (torch.bfloat16, torch.float16))


def normals_have_no_prefix() -> bool:
    import torch

    short, long = (_seeded(lambda n=n: torch.empty(n).normal_()) for n in (1000, 1001))
    return not torch.equal(short, long[:1000])


def orthogonal_refuses_half_types() -> bool:
    import torch

    refused = 0
    for dtype in (torch.bfloat16, torch.float16):
        try:
            torch.nn.init.orthogonal_(torch.empty(4, 4, dtype=dtype))
        except (NotImplementedError, RuntimeError):
            refused += 1
    return refused == 2


def sparse_ignores_its_generator() -> bool:
    import torch

    def zeros(seed: int) -> Any:
        generator = torch.Generator().manual_seed(1)
        return _seeded(lambda: torch.nn.init.sparse_(torch.empty(32, 8), 0.5, generator=generator) == 0, seed)

    return not torch.equal(zeros(1), zeros(2))


def layers_of_an_encoder_are_copies() -> bool:
    import torch
    from torch import nn

    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    first, second = nn.TransformerEncoder(layer, 2).layers
    return torch.equal(first.linear1.weight, second.linear1.weight)


def numbers_depend_on_memory_layout() -> bool:
    import torch

    plain = _seeded(lambda: torch.empty(40, 24).normal_())
    turned = _seeded(lambda: torch.empty(24, 40).t().normal_())
    return not torch.equal(plain, turned)


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


def timm_bf16_is_too_wide() -> bool:
    """torch before 2.12 had the same code; torch since then does it right."""
    import torch

    return float(_bf16(_timm().trunc_normal_).std()) > 0.05 > 0.021 > float(_bf16(torch.nn.init.trunc_normal_).std())


def trunc_normal_was_rewritten() -> bool:
    """timm keeps the code of torch before 2.12."""
    import torch

    old, new = (_seeded(lambda f=f: f(torch.empty(1000))) for f in (_timm().trunc_normal_, torch.nn.init.trunc_normal_))
    return not torch.equal(old, new)


def torch_layers_depend_on_others() -> bool:
    import torch
    from torch.nn import Linear

    return not torch.equal(*(_seeded(lambda n=n: [Linear(4, 4) for _ in range(n)][-1].weight) for n in (2, 3)))


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


def torch_fans_are_no_connections() -> bool:
    from torch.nn import Conv2d, ConvTranspose2d, init

    grouped, turned = Conv2d(16, 32, 3, groups=4).weight, ConvTranspose2d(16, 32, 3).weight
    counted = [init._calculate_fan_in_and_fan_out(each) for each in (grouped, turned)]
    return counted == [(36, 288), (288, 144)] != [(36, 72), (144, 288)]
