"""Initializations as users write them, in the manner of papers, notebooks and repositories, in a few lines each."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import init
from torch.nn.utils import parametrizations, parametrize, weight_norm

Way = Callable[[], nn.Module]
WAYS: dict[str, Way] = {}


def way(build: Way) -> Way:
    """Register a function under its name."""
    WAYS[build.__name__.replace("_", " ").strip()] = build
    return build


def weights(**initialize: Callable[[torch.Tensor], Any]) -> None:
    """Register functions that initialize one weight of 48 x 64."""
    for name, function in initialize.items():

        def build(function: Callable[[torch.Tensor], Any] = function) -> nn.Module:
            layer = nn.Linear(64, 48)
            with torch.no_grad():
                function(layer.weight)
            return layer

        build.__name__ = name
        way(build)


weights(
    xavier_uniform=init.xavier_uniform_,
    xavier_normal_with_gain=lambda w: init.xavier_normal_(w, init.calculate_gain("relu")),
    kaiming_fan_out=lambda w: init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"),
    kaiming_uniform_leaky=lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)),
    orthogonal=lambda w: init.orthogonal_(w, gain=math.sqrt(2)),
    orthogonal_of_a_copy=lambda w: w.copy_(init.orthogonal_(torch.empty(48, 64))),
    normal_of_data=lambda w: w.data.normal_(mean=0.0, std=0.02),
    normal_divided=lambda w: w.normal_().div_(math.sqrt(w.shape[1])),
    he_by_hand=lambda w: w.copy_(torch.randn(48, 64) * math.sqrt(2 / 64)),
    uniform_by_hand=lambda w: w.copy_((torch.rand(48, 64) * 2 - 1) / 8),
    uniform_range=lambda w: nn.init.uniform_(w, -1 / 8, 1 / 8),
    truncated=lambda w: init.trunc_normal_(w, std=0.02),
    truncated_at_two_deviations=lambda w: init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04),
    truncated_by_erfinv=lambda w: w.uniform_(-1, 1).erfinv_().mul_(0.02 * math.sqrt(2)).clamp_(-2, 2),
    clamped_normal=lambda w: w.normal_(0, 0.02).clamp_(-0.04, 0.04),
    clamped_far_away=lambda w: w.normal_(0, 0.02).clamp_(-1, 1),
    lecun=lambda w: w.normal_(0, 1 / math.sqrt(init._calculate_fan_in_and_fan_out(w)[0])),
    siren_first=lambda w: w.uniform_(-1 / 64, 1 / 64),
    siren_hidden=lambda w: w.uniform_(-math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30),
    identity_and_noise=lambda w: w.copy_(torch.eye(48, 64) + 0.01 * torch.randn(48, 64)),
    identity=init.eye_,
    zeros=init.zeros_,
    a_constant=lambda w: init.constant_(w, 0.1),
    sparse=lambda w: init.sparse_(w, 0.9),
    first_row_zero=lambda w: w[0].zero_(),
    listed_rows_zero=lambda w: w.__setitem__([0, 3, 5], 0.0),
    first_columns_zero=lambda w: w[:, :8].zero_(),
    a_corner_zero=lambda w: w[:8, :8].zero_(),
    rows_by_gate=lambda w: [init.xavier_uniform_(part) for part in w.chunk(4)],
    gates_orthogonal=lambda w: [init.orthogonal_(part) for part in w.chunk(4)],
    packed_projections=lambda w: (init.normal_(w[:32], std=0.1), init.normal_(w[32:], std=0.2)),
    rows_of_unit_norm=lambda w: w.copy_(w / w.norm(dim=1, keepdim=True)),
    masked=lambda w: w.mul_((torch.rand_like(w) > 0.5).float()),
    lower_triangle=lambda w: w.copy_(torch.tril(w)),
    scaled_by_row=lambda w: w.mul_(torch.arange(1, 49.0)[:, None]),
    numpy_given=lambda w: w.copy_(torch.from_numpy(np.linspace(-1, 1, 48 * 64, dtype=np.float32).reshape(48, 64))),
    numpy_written=lambda w: w.numpy().fill(0.5),
    reversed_rows=lambda w: w.copy_(w.flip(0)),
    permuted=lambda w: w.copy_(w[torch.randperm(48)]),
    repeated_rows=lambda w: w.copy_(w[:24].repeat(2, 1)),
    kronecker=lambda w: w.copy_(torch.kron(torch.eye(4), torch.randn(12, 16))),
    sum_of_two=lambda w: w.copy_(torch.randn(48, 64) + torch.rand(48, 64)),
    product_of_two=lambda w: w.copy_(torch.randn(48, 4) @ torch.randn(4, 64)),
    exponential=lambda w: w.exponential_(),
    log_normal=lambda w: w.log_normal_(),
    bernoulli=lambda w: w.bernoulli_(0.5).mul_(2).sub_(1),
    cauchy=lambda w: w.cauchy_(),
    svd_of_a_draw=lambda w: w.copy_(torch.linalg.svd(w, full_matrices=False)[2][:48]),
    half_precision_draw=lambda w: w.copy_(torch.randn(48, 64, dtype=torch.float16) * 0.02),
    generator=lambda w: w.normal_(0, 0.02, generator=torch.Generator().manual_seed(3)),
)


class Net(nn.Module):
    """A small network of the usual kinds of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, 24, padding_idx=0)
        self.conv = nn.Conv1d(24, 32, 3)
        self.norm = nn.BatchNorm1d(32)
        self.rnn = nn.LSTM(32, 24, 2)
        self.head = nn.Linear(24, 40)


def _each(model: nn.Module, kind: type[nn.Module], function: Callable[[Any], Any]) -> nn.Module:
    for module in model.modules():
        if isinstance(module, kind):
            function(module)
    return model


@way
def a_function_applied() -> nn.Module:
    def initialize(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.xavier_uniform_(module.weight)
            init.zeros_(module.bias)

    return Net().apply(initialize)


@way
def by_names_of_parameters() -> nn.Module:
    net = Net()
    for name, parameter in net.named_parameters():
        if "weight_hh" in name:
            init.orthogonal_(parameter)
        elif "weight" in name and parameter.dim() > 1:
            init.kaiming_normal_(parameter)
        elif "bias" in name:
            init.zeros_(parameter)
    return net


@way
def a_forget_gate_of_one() -> nn.Module:
    net = Net()
    for name, parameter in net.rnn.named_parameters():
        if "bias_ih" in name:
            with torch.no_grad():
                parameter[24:48].fill_(1.0)
    return net


@way
def a_padding_row() -> nn.Module:
    def initialize(module: nn.Embedding) -> None:
        init.normal_(module.weight, std=0.02)
        with torch.no_grad():
            module.weight[module.padding_idx].fill_(0)

    return _each(Net(), nn.Embedding, initialize)


@way
def tied_weights() -> nn.Module:
    net = Net()
    net.head.weight = net.embedding.weight
    return net


@way
def a_bias_of_a_prior() -> nn.Module:
    net = Net()
    init.constant_(net.head.bias, -math.log((1 - 0.01) / 0.01))
    return net


@way
def a_residual_scale() -> nn.Module:
    layers = nn.ModuleList([nn.Linear(24, 24) for _ in range(6)])
    for layer in layers:
        layer.weight.data.mul_((2 * len(layers)) ** -0.5)
    return layers


@way
def layers_of_one_copied() -> nn.Module:
    layer = nn.TransformerEncoderLayer(24, 4, 32)
    return nn.ModuleList([copy.deepcopy(layer) for _ in range(3)])


@way
def parameters_given_anew() -> nn.Module:
    net = Net()
    net.head.weight = nn.Parameter(torch.randn(40, 24) * 0.01)
    return net


@way
def state_loaded() -> nn.Module:
    net, other = Net(), Net()
    init.zeros_(other.head.weight)
    net.load_state_dict(other.state_dict())
    return net


@way
def an_average_of_weights() -> nn.Module:
    net = nn.Linear(24, 24)
    return nn.ModuleDict({"online": net, "target": copy.deepcopy(net).requires_grad_(False)})


@way
def vector_to_parameters() -> nn.Module:
    net = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    torch.nn.utils.vector_to_parameters(torch.randn(144) * 0.1, net.parameters())
    return net


@way
def weight_norm_of_old() -> nn.Module:
    return weight_norm(nn.Linear(24, 32))


@way
def weight_norm_parametrized() -> nn.Module:
    return parametrizations.weight_norm(nn.Conv1d(16, 24, 5))


@way
def spectral_norm() -> nn.Module:
    return parametrizations.spectral_norm(nn.Linear(24, 32))


@way
def an_orthogonal_parametrization() -> nn.Module:
    return parametrizations.orthogonal(nn.Linear(24, 24))


@way
def a_symmetric_parametrization() -> nn.Module:
    class Symmetric(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.triu() + x.triu(1).transpose(-1, -2)

    layer = nn.Linear(24, 24)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


@way
def low_rank_adapters() -> nn.Module:
    layer = nn.ParameterDict({"a": nn.Parameter(torch.empty(4, 24)), "b": nn.Parameter(torch.zeros(24, 4))})
    init.kaiming_uniform_(layer["a"], a=math.sqrt(5))
    return layer


@way
def sinusoidal_positions() -> nn.Module:
    module = nn.Module()
    table = torch.zeros(100, 32)
    position = torch.arange(100).unsqueeze(1)
    rate = torch.exp(torch.arange(0, 32, 2) * (-math.log(10000.0) / 32))
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    module.register_buffer("pe", table.unsqueeze(0))
    return module


@way
def a_causal_mask() -> nn.Module:
    module = nn.Module()
    module.register_buffer("mask", torch.tril(torch.ones(64, 64)).view(1, 1, 64, 64))
    module.register_buffer("filled", torch.full((64, 64), -math.inf).triu(1))
    return module


@way
def rotary_frequencies() -> nn.Module:
    module = nn.Module()
    module.register_buffer("inv_freq", 1.0 / (10000 ** (torch.arange(0, 32, 2).float() / 32)))
    module.register_buffer("freqs_cis", torch.polar(torch.ones(8, 16), torch.outer(torch.arange(8.0), module.inv_freq)))
    return module


@way
def relative_positions() -> nn.Module:
    module = nn.Module()
    coordinates = torch.stack(torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")).flatten(1)
    relative = (coordinates[:, :, None] - coordinates[:, None, :]).permute(1, 2, 0).contiguous()
    relative[:, :, 0] += 3
    relative[:, :, 1] += 3
    relative[:, :, 0] *= 7
    module.register_buffer("index", relative.sum(-1))
    module.table = init.trunc_normal_(nn.Parameter(torch.zeros(49, 4)), std=0.02)
    return module


@way
def fourier_features() -> nn.Module:
    module = nn.Module()
    module.register_buffer("B", torch.randn(16, 3) * 10)
    return module


@way
def an_ssm() -> nn.Module:
    module = nn.Module()
    module.A_log = nn.Parameter(torch.log(torch.arange(1, 17, dtype=torch.float32).repeat(32, 1)))
    dt = torch.exp(torch.rand(32) * (math.log(0.1) - math.log(0.001)) + math.log(0.001)).clamp(min=1e-4)
    module.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
    module.D = nn.Parameter(torch.ones(32))
    return module


@way
def a_codebook() -> nn.Module:
    book = nn.Embedding(64, 16)
    book.weight.data.uniform_(-1.0 / 64, 1.0 / 64)
    return book


@way
def a_probe_of_shapes() -> nn.Module:
    features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten())
    with torch.no_grad():
        count = features(torch.zeros(1, 3, 16, 16)).shape[1]
    return nn.Sequential(features, nn.Linear(count, 10))


@way
def a_probe_through_a_norm() -> nn.Module:
    features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    features(torch.randn(2, 3, 16, 16))
    return features


@way
def scaled_to_unit_variance_by_data() -> nn.Module:
    layer = nn.Linear(24, 24)
    with torch.no_grad():
        layer.weight.div_(layer(torch.randn(100, 24)).std())
    return layer


@way
def half_precision() -> nn.Module:
    return Net().half()


@way
def bfloat16_by_default() -> nn.Module:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        return Net()
    finally:
        torch.set_default_dtype(before)


@way
def complex_weights() -> nn.Module:
    return nn.ParameterList([nn.Parameter(0.02 * torch.randn(24, 24, dtype=torch.cfloat))])


@way
def quantized_scales() -> nn.Module:
    module = nn.Linear(24, 24)
    module.register_buffer("scale", module.weight.detach().abs().amax(dim=1) / 127)
    return module


@way
def counters_of_integers() -> nn.Module:
    module = nn.Module()
    module.register_buffer("steps", torch.tensor(0))
    module.register_buffer("seen", torch.zeros(8, dtype=torch.bool))
    module.register_buffer("ids", torch.arange(20).expand(1, -1))
    return module
