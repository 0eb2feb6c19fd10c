"""Process groups of gloo on this machine, and models that they shard in every way."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import Placement, _StridedShard

import fanin
from fanin import backends
from fanin.backends import ForwardingBackend
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.streams import Stream
from fanin.torch import init_
from tests.support.processes import memory

Work = Callable[..., Any]
TIMEOUT = 240
"""Seconds after which ranks that wait for one another give up."""


def run(world: int, work: Work, *arguments: Any) -> list[Any]:
    """Return the result of `work(*arguments)` in each rank of a group of `world` processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory() as folder:
        answers = context.SimpleQueue()
        processes = [
            context.Process(target=_rank, args=(rank, world, folder, answers, work, arguments), daemon=True)
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(TIMEOUT)
            if process.exitcode is None:
                process.kill()
        found = {}
        while not answers.empty():
            rank, error, answer = answers.get()
            assert error is None, error
            found[rank] = answer
    assert sorted(found) == list(range(world)), "a rank gave no answer"
    return [found[rank] for rank in range(world)]


def _rank(rank: int, world: int, folder: str, answers: Any, work: Work, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=TIMEOUT),
        )
        answers.put((rank, None, work(*arguments)))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        answers.put((rank, traceback.format_exc(), None))


# ---- models ---------------------------------------------------------------------------------------------------------


class Layer(nn.Module):
    def __init__(self, wide: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(wide)
        self.up = nn.Linear(wide, hidden)
        self.down = nn.Linear(hidden, wide)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.down(self.up(self.norm(x)).relu())
        return x + hidden


class Model(nn.Module):
    """Sizes that 2, 4 and 8 divide, and others."""

    def __init__(self, wide: int = 24, hidden: int = 40, vocabulary: int = 51) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, wide)
        self.layers = nn.ModuleList([Layer(wide, hidden) for _ in range(2)])
        self.conv = nn.Conv2d(5, 3, 3)
        self.low = nn.Linear(wide, 17, dtype=torch.bfloat16)
        self.head = nn.Linear(wide, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        logits: torch.Tensor = self.head(x)
        return logits


def recipe(**sizes: int) -> dict[str, Any]:
    with torch.device("meta"):
        model = Model(**sizes)
    parts = [
        {"size": 1, "scheme": "zeros"},
        {"size": model.embedding.num_embeddings - 1, "scheme": "normal", "std": 0.5},
    ]
    tensors = {
        name: {
            "shape": list(tensor.shape),
            "dtype": "BF16" if tensor.dtype == torch.bfloat16 else "F32",
            "scheme": "normal",
            "std": 1.0,
        }
        for name, tensor in model.named_parameters()
    }
    tensors["embedding.weight"] = {"shape": list(model.embedding.weight.shape), "scheme": "blocks", "parts": parts}
    tensors["layers.1.down.weight"] |= {"scheme": "truncated_normal", "std": 0.02}
    return {"seed": 11, "tensors": tensors}


def digest(state: dict[str, Any]) -> str:
    """SHA-256 of all tensors, gathered, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        if isinstance(tensor, torch.Tensor):
            tensor = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        total.update(name.encode() + np.ascontiguousarray(tensor).tobytes())
    return total.hexdigest()


def expected(given: dict[str, Any]) -> str:
    """The digest of the recipe's own tensors, under all names of the model."""
    made = fanin.materialize(given)
    return digest({**made, "head.weight": made["embedding.weight"]})


# ---- ways to shard --------------------------------------------------------------------------------------------------


def fsdp(model: nn.Module, mesh: DeviceMesh) -> None:
    for layer in [*model.layers, model.low]:  # type: ignore[union-attr]
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def tensor_parallel(model: nn.Module, mesh: DeviceMesh) -> None:
    for layer in model.layers:  # type: ignore[union-attr]
        parallelize_module(layer, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})


def both(model: nn.Module, mesh: DeviceMesh) -> None:
    tensor_parallel(model, mesh["tp"])
    fsdp(model, mesh["dp"])


def placed(model: nn.Module, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> None:
    """Every matrix of the model with these placements; of strided shards even ones, since torch gathers no others."""
    is_strided = any(isinstance(placement, _StridedShard) for placement in placements)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            parts = mesh.size() * mesh.size(-1) if is_strided else 1
            if parameter.ndim > 1 and parameter.shape[0] % parts == 0:
                shards = distribute_tensor(parameter.detach(), mesh, placements)
                module.register_parameter(name, nn.Parameter(shards))
    model.head.weight = model.embedding.weight  # type: ignore[union-attr]


def ways(shape: tuple[int, ...], is_thorough: bool) -> Iterator[tuple[str, Callable[[nn.Module], None]]]:
    """Ways to shard over a mesh of this shape, by name."""
    ranks = torch.arange(int(np.prod(shape))).reshape(shape)
    mesh = DeviceMesh("cpu", ranks, mesh_dim_names=("dp", "tp")[-len(shape) :])
    if len(shape) == 1:
        yield "FSDP", lambda model: fsdp(model, mesh)
        yield "TP", lambda model: tensor_parallel(model, mesh)
        for placement in (Replicate(), Shard(0), Shard(1)):
            yield str(placement), lambda model, placement=placement: placed(model, mesh, (placement,))
        return
    yield "HSDP", lambda model: fsdp(model, mesh)
    yield "FSDP and TP", lambda model: both(model, mesh)
    kinds = [Replicate(), Shard(0), Shard(1), _StridedShard(0, split_factor=shape[1])]
    for pair in itertools.product(kinds, kinds[:3]):
        if is_thorough or pair in [
            (Shard(1), Shard(0)),
            (Shard(0), Shard(0)),
            (kinds[3], Shard(0)),
            (kinds[3], Shard(1)),
        ]:
            yield str(pair), lambda model, pair=pair: placed(model, mesh, pair)


def initialized(given: dict[str, Any], shapes: list[tuple[int, ...]], is_thorough: bool, sizes: dict[str, int]) -> Any:
    """Return digests of the gathered model by mesh, way and device, and the elements that this rank generated."""
    found = {}
    for shape in shapes:
        for way, shard in ways(shape, is_thorough):
            for device in ("meta", "cpu"):
                with torch.device(device):
                    model = Model(**sizes)
                shard(model)
                counted = Counting(backends.load("native" if "native" in backends.available() else "reference"))
                # A tensor with memory is filled there, for any default device of torch.
                with counted, torch.device("meta" if device == "cpu" else "cpu"):
                    init_(model, given)
                has = sum(
                    tensor.to_local().numel() if isinstance(tensor, DTensor) else tensor.numel()
                    for tensor in model.parameters()
                )
                assert counted.elements == has, (shape, way, device)
                found[shape, way, device] = digest(model.state_dict())
    return found


def fetched(given: dict[str, Any], source: str) -> str:
    """The digest of a model whose shards come from a service. It computes what it does in one piece."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    with torch.device("meta"):
        model = Model()
    fsdp(model, mesh)
    init_(model, given, service=source)
    tokens = torch.arange(10)[None]
    assert torch.equal(model(tokens), init_(Model(), given)(tokens))
    return digest(model.state_dict())


def loaded(folder: str) -> list[str]:
    """Digests of sharded models that a checkpoint of each format was loaded into."""
    found = []
    for way, reader in (
        (fsdp, dcp.FileSystemReader(f"{folder}/dcp")),
        (tensor_parallel, HuggingFaceStorageReader(f"{folder}/safetensors")),
    ):
        model = Model()
        way(model, init_device_mesh("cpu", (dist.get_world_size(),)))
        state = model.state_dict()
        if isinstance(reader, HuggingFaceStorageReader):
            del state["head.weight"]  # tied, and so not in the file
        dcp.load(state, storage_reader=reader)
        found.append(digest(model.state_dict()))
    return found


def most_memory(shape: list[int], dim: int) -> tuple[int, int]:
    """Bytes of this rank's shard of one matrix, and the peak memory of this process while it is created and filled."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for rows in (64, shape[0]):  # the first one brings code and threads into memory
        with torch.device("meta"):
            module = nn.Linear(shape[1], rows, bias=False)
        module.weight = nn.Parameter(distribute_tensor(module.weight.detach(), mesh, [Shard(dim)]))
        given = {"tensors": {"weight": {"shape": [rows, shape[1]], "scheme": "normal", "std": 0.02}}}
        dist.barrier()
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmRSS")
        init_(module, given)
        most = memory("VmHWM") - before
    return module.weight.to_local().nbytes, most


class Counting(ForwardingBackend):
    """Counts the elements that another backend generates, in place of the one in use."""

    elements = 0

    def __enter__(self) -> None:
        self._get, backends.get = backends.get, lambda name=None: self

    def __exit__(self, *error: object) -> None:
        backends.get = self._get

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.elements += len(out) // dtype.itemsize
        super()._generate(draw, stream, dtype, first, out)
