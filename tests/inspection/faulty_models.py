"""PyTorch models, each with one planted fault that `fanin inspect` must name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn


class Planted(NamedTuple):
    """A model with a fault."""

    build: Callable[[], nn.Module]
    kind: str
    """Kind of the finding."""
    where: str
    """Name of the tensor or layer, or its beginning."""
    expected: str = ""
    """Text of the evidence."""


def he(module: nn.Module, scale: float = 1.0) -> None:
    """Initialize the weights of dense and convolutional layers for ReLU, and biases with zeros."""
    for each in module.modules():
        if isinstance(each, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(each.weight)
            each.weight.data.mul_(scale)
            if each.bias is not None:
                nn.init.zeros_(each.bias)


def mlp(depth: int = 6, width: int = 64, scale: float = 1.0) -> nn.Sequential:
    model = nn.Sequential()
    for _ in range(depth):
        model.append(nn.Linear(width, width))
        model.append(nn.ReLU())
    model.append(nn.Linear(width, 10))
    he(model, scale)
    return model


def changed(build: Callable[[], nn.Module], change: Callable[[Any], object]) -> Callable[[], nn.Module]:
    def built() -> nn.Module:
        torch.manual_seed(1)
        model = build()
        with torch.no_grad():
            change(model)
        return model

    return built


class Table(nn.Module):
    """A layer whose author allocated the weight and forgot to fill it."""

    def __init__(self, fill: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(64, 64))
        self.out = nn.Linear(64, 10)
        if fill:
            nn.init.normal_(self.weight[:fill], std=0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.out(x @ self.weight))


class Attention(nn.Module):
    """Self-attention with one matrix for queries, keys and values."""

    def __init__(self, width: int = 128, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.qkv.weight[:width])
        nn.init.xavier_uniform_(self.qkv.weight[width : 2 * width])
        nn.init.xavier_uniform_(self.qkv.weight[2 * width :])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape if x.ndim == 3 else (1, *x.shape)
        parts = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*parts)
        return torch.as_tensor(self.proj(mixed.transpose(1, 2).reshape(x.shape)))


class Residual(nn.Module):
    """x + W2 relu(W1 x), without a normalization."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(x + self.down(torch.relu(self.up(x))))


class Block(nn.Module):
    """A pre-norm block."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(x + self.down(nn.functional.gelu(self.up(self.norm(x)))))


def residuals(depth: int = 24) -> nn.Module:
    model = nn.Sequential(*(Residual(64) for _ in range(depth)))
    he(model)
    return model


def grouped() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3, groups=64), nn.ReLU())
    for each in (model[0], model[2]):
        nn.init.kaiming_normal_(each.weight, mode="fan_out", nonlinearity="relu")
    return model


def transposed() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 128, 3), nn.ReLU(), nn.ConvTranspose2d(128, 16, 3), nn.ReLU())
    for each in (model[0], model[2]):
        nn.init.kaiming_normal_(each.weight)
    return model


def cloned() -> nn.Module:
    block = Block()
    return nn.Sequential(*(copy.deepcopy(block) for _ in range(4)))


def unwritten() -> nn.Module:
    with torch.device("meta"):
        model = mlp()
    return model.to_empty(device="cpu")


def half_written() -> nn.Module:
    with torch.device("meta"):
        model = mlp()
    model.to_empty(device="cpu")
    he(model[:6])
    return model


def coarse_normal(tensor: torch.Tensor) -> torch.Tensor:
    """Truncated normal numbers computed in BF16, as torch did before 2.12: uniform numbers of 8 bits reach ±1."""
    uniform = (torch.randint(0, 256, tensor.shape) / 128 - 1).to(torch.bfloat16)
    uniform[torch.rand(tensor.shape) < 1 / 512] = 1.0
    return tensor.copy_((torch.erfinv(uniform) * (0.02 * math.sqrt(2))).clamp(-2, 2))


def in_bf16(draw: Callable[[torch.Tensor], object]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(1)
        model = mlp(width=256).to(torch.bfloat16)
        with torch.no_grad():
            draw(model[2].weight)
        return model

    return build


def in_fp8(scale: float) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(1)
        model = mlp(width=128)
        weight = (torch.randn(128, 128) * scale).clamp(-448, 448).to(torch.float8_e4m3fn)
        model[2].weight = nn.Parameter(weight, requires_grad=False)
        return model

    return build


def norms_drawn() -> nn.Module:
    torch.manual_seed(1)
    model = nn.Sequential(*(Block() for _ in range(4)))
    for each in model.parameters():
        nn.init.normal_(each, std=0.02)
    return model


def decaying() -> nn.Module:
    torch.manual_seed(1)
    return mlp(depth=10, scale=0.1)


def broadcast(model: Any) -> None:
    model[4].weight.copy_(model[4].weight[:1].expand(64, 64))


def with_equal_heads(model: Any) -> None:
    model.qkv.weight[:128].copy_(model.qkv.weight[:32].repeat(4, 1))


def fused_xavier(model: Any) -> None:
    nn.init.xavier_uniform_(model.qkv.weight)


FAULTS: dict[str, Planted] = {
    "zeros in a hidden layer": Planted(changed(mlp, lambda m: m[4].weight.zero_()), "zero-signal", "4", "4.weight"),
    "zeros beside biases": Planted(
        changed(
            lambda: nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)),
            lambda m: m[2].weight.zero_(),
        ),
        "constant-signal",
        "2",
        "2.weight",
    ),
    "torch.empty": Planted(Table, "uninitialized", "weight", "4096 of 4096"),
    "torch.empty, half filled": Planted(lambda: Table(32), "uninitialized", "weight", "2048 of 4096"),
    "to_empty": Planted(unwritten, "uninitialized", "0.weight"),
    "to_empty, half initialized": Planted(half_written, "uninitialized", "6.weight"),
    "meta": Planted(lambda: mlp().to("meta"), "meta", "0.weight"),
    "lazy": Planted(lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU()), "meta", "0.weight"),
    "deepcopy": Planted(changed(cloned, lambda m: None), "equal-tensors", "1.up.weight", "0.up.weight"),
    "a copied weight": Planted(changed(mlp, lambda m: m[6].weight.copy_(m[2].weight)), "equal-tensors", "6.weight"),
    "grouped fans": Planted(changed(grouped, lambda m: None), "wrong-fans", "2.weight", "fan_out 576"),
    "transposed fans": Planted(changed(transposed, lambda m: None), "wrong-fans", "2.weight", "fan_in 144"),
    "fans of a fused projection": Planted(changed(Attention, fused_xavier), "wrong-fans", "qkv.weight", "fan_out 384"),
    "a tenth of the deviation": Planted(decaying, "vanishing-signal", "0 to 20", "0.09"),
    "a tenth in one layer": Planted(
        changed(mlp, lambda m: m[4].weight.mul_(0.1)), "unlike-its-equals", "4.weight", "std 0.01"
    ),
    "residuals without a scale": Planted(changed(residuals, lambda m: None), "exploding-signal", "0 to 23"),
    "a normalization of zeros": Planted(
        changed(lambda: nn.Sequential(*(Block() for _ in range(4))), lambda m: m[2].norm.weight.zero_()),
        "zero-signal",
        "2.norm",
        "2.norm.weight",
    ),
    "normalizations drawn": Planted(norms_drawn, "norm-weight", "0.norm.weight"),
    "biases of -10": Planted(changed(mlp, lambda m: m[4].bias.fill_(-10)), "dead-units", "5", "64 of 64"),
    "NaN": Planted(changed(mlp, lambda m: m[4].weight[3].fill_(math.nan)), "nonfinite", "4.weight", "64 of 4096"),
    "rows broadcast": Planted(changed(mlp, broadcast), "equal-rows", "4.weight", "63 of the first 64 rows"),
    "equal heads": Planted(changed(Attention, with_equal_heads), "equal-rows", "qkv.weight", "96 of the first 384"),
    "a constant weight": Planted(changed(mlp, lambda m: m[4].weight.fill_(0.01)), "constant-weight", "4.weight"),
    "randn": Planted(changed(lambda: mlp(width=256), lambda m: m[4].weight.normal_()), "gain", "4", "16.4"),
    "BF16 collapsed": Planted(in_bf16(coarse_normal), "collapsed", "2.weight", "magnitude 2,"),
    "FP8 clamped": Planted(in_fp8(400.0), "clamped", "2.weight", "448"),
    "FP8 underflow": Planted(in_fp8(0.001), "underflow", "2.weight", "F8_E4M3"),
}
"""By name."""
