"""Random recipes, valid and not, of all schemes and storage types."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from fanin.draws import FORMATS
from fanin.dtypes import FLOATING, STORAGE

Members = dict[str, Any]
_DISTRIBUTIONS = ["uniform", "normal", "untruncated_normal", "truncated_normal"]
_MODES = ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
_LAYOUTS = ["keras", "torch"]


class Maker:
    """Makes the members of tensors from a source of random numbers."""

    def __init__(self, source: random.Random) -> None:
        self.random = source

    def real(self, low: float = -9, high: float = 3) -> float:
        """Return a positive number between these powers of 10, short or of full length."""
        value = 10 ** self.random.uniform(low, high)
        return float(f"{value:.2g}") if self.random.random() < 0.5 else value

    def signed(self) -> float:
        return self.random.choice([-1, 1]) * self.real(-3, 2) if self.random.random() < 0.8 else 0

    def pick(self, *options: Any) -> Any:
        return self.random.choice(options)

    def size(self, most: int = 9) -> int:
        return self.random.randint(1, most)

    def some(self, **optional: Any) -> Members:
        """Return some of these members."""
        return {name: value for name, value in optional.items() if self.random.random() < 0.4}

    def shape(self, low: int = 1, high: int = 4) -> list[int]:
        return [self.size() for _ in range(self.random.randint(low, high))]

    def kernel(self) -> Members:
        """Return the shape and the parameters of fans of a kernel."""
        rank = self.random.randint(2, 5)
        members: Members = {"shape": [self.size(6) for _ in range(rank)]}
        kind = self.random.random()
        if kind < 0.6:
            return members | self.some(
                layout=self.pick(*_LAYOUTS), groups=self.pick(1, 2, 3), transposed=self.pick(True, False)
            )
        if kind < 0.8:
            axes = self.random.sample(range(-rank, 0), 2)
            return (
                members | {"in_axes": axes[:1], "out_axes": axes[1:]} | self.some(batch_axes=[self.pick(*range(rank))])
            )
        return members | self.some(depthwise=True, batch_axes=[0])

    def tensor(self, scheme: str) -> Members:
        """Return the members of a tensor of this scheme, without its storage type."""
        return {"scheme": scheme, **SCHEMES[scheme](self)}


def _scaled(*names: str) -> Callable[[Maker], Members]:
    """Return a function for a scheme with fans and some of these parameters."""

    def make(m: Maker) -> Members:
        every: Members = {
            "gain": m.real(-3, 2),
            "scale": m.real(-3, 2),
            "mode": m.pick(*_MODES),
            "distribution": m.pick(*_DISTRIBUTIONS),
            "negative_slope": m.real(-3, 1),
            "truncated": m.pick(True, False),
            "omega": m.real(0, 2),
            "first": m.pick(True, False),
        }
        return m.kernel() | m.some(**{name: every[name] for name in names})

    return make


def _truncated(m: Maker) -> Members:
    ends = sorted([m.random.uniform(-6, 6), m.random.uniform(-6, 6)])
    bounds = m.some(low=m.pick(ends[0], None, -2), high=m.pick(ends[1], None, 3))
    return {"shape": m.shape(), "std": m.real()} | m.some(mean=m.signed(), bounds="absolute", corrected=True) | bounds


def _table(m: Maker) -> list[int]:
    return [*m.shape(0, 1), m.pick(1, 2, 5, 12, 33)]


def _blocks(m: Maker) -> Members:
    shape = m.shape(1, 3)
    axis = m.random.randrange(len(shape))
    sizes = [m.random.randint(0, 4) for _ in range(m.random.randint(1, 4))]
    shape[axis] = sum(sizes)
    parts = []
    for size in sizes:
        part = m.tensor(
            m.pick(
                "zeros",
                "normal",
                "uniform",
                "truncated_normal",
                "constant",
                "log_range",
                "log_of_uniform",
                "fan_uniform",
            )
        )
        parts.append({"size": size, **{name: value for name, value in part.items() if name != "shape"}})
    return {"shape": shape, "axis": axis, "parts": parts}


def _orthogonal(m: Maker) -> Members:
    members: Members = {"shape": [m.size(40), m.size(40), *m.shape(0, 1)]}
    if m.random.random() < 0.4:
        members = {"shape": [*m.shape(1, 1), m.size(8), m.size(8)], "batch_axes": [0]}
    return members | m.some(
        gain=m.real(-2, 1), layout="torch", spectral=m.pick("ratio", "max", "fan_out"), number=m.size()
    )


def _numbered(m: Maker) -> Members:
    """Return blocks of orthogonal matrices, most of them with different numbers."""
    sizes = [m.size(5), m.size(5), m.size(5)]
    parts = [{"scheme": "orthogonal", "size": size, "number": n * m.pick(1, 1, 7)} for n, size in enumerate(sizes, 1)]
    return {
        "scheme": "blocks",
        "shape": [sum(sizes), m.size(8)],
        "axis": 0,
        "parts": [*parts[:2], m.pick(parts[2], {"scheme": "zeros", "size": sizes[2]})],
    }


def _sinusoidal(m: Maker) -> Members:
    if m.random.random() < 0.4:
        grid = [m.size(), m.size()]
        return {"shape": [grid[0] * grid[1], 4 * m.size(4)], "variant": m.pick("mae", "aimv2", "timm"), "grid": grid}
    members = {"shape": m.shape(2, 3)}
    return members | m.some(base=m.real(1, 6), variant=m.pick("marian", "fairseq"), padding=m.random.randrange(3))


def _quantized(m: Maker) -> Members:
    """Return one part of a tensor, in the storage type of its format."""
    name = m.pick(*FORMATS)
    form = FORMATS[name]
    rows, columns = m.pick(8, 16, 136), m.pick(128, 256)
    is_transposed = m.random.random() < 0.3
    shape = [columns, rows] if is_transposed else [rows, columns]
    twin: Members = {
        "shape": shape,
        **m.pick(
            {"scheme": "normal", "std": m.real()},
            {"scheme": "uniform", "low": -m.real(), "high": m.real()},
            {"scheme": "glorot_uniform"},
            {"scheme": "truncated_normal", "std": m.real()},
            {"scheme": "zeros"},
            {"scheme": "log_of_uniform"},
        ),
    }
    data = {
        "none": [rows, columns],
        "bytes": [rows, columns // 2],
        "words": [rows, columns // 8],
        "awq": [columns, rows // 8],
        "gptq": [columns // 8, rows],
    }[form.packing]
    members: Members = {"shape": data, "format": name, "tensor": twin, "dtype": form.data_type}
    if m.random.random() < 0.4 and form.rule != "given":
        width = form.group[1] or (128 if form.has_group_size else columns)
        across, down = columns // width, -(-rows // form.group[0])
        members["shape"] = [across, down] if form.packing in ("awq", "gptq") else [down, across]
        members |= {"part": "scale", "dtype": form.scale_types[0]}
    return members | ({"transposed": True} if is_transposed else {}) | m.some(twin="w")


SCHEMES: dict[str, Callable[[Maker], Members]] = {
    "zeros": lambda m: {"shape": m.shape()},
    "constant": lambda m: {"shape": m.shape(), "value": m.pick(m.signed(), m.random.randint(-130, 130))},
    "uniform": lambda m: {"shape": m.shape(), "low": -m.real(), "high": m.real()},
    "normal": lambda m: {"shape": m.shape(), "std": m.real()} | m.some(mean=m.signed()),
    "truncated_normal": _truncated,
    "variance_scaling": _scaled("scale", "mode", "distribution"),
    "glorot_uniform": _scaled("gain"),
    "glorot_normal": _scaled("gain", "truncated"),
    "he_uniform": _scaled("mode", "negative_slope"),
    "he_normal": _scaled("mode", "negative_slope", "truncated"),
    "lecun_uniform": _scaled(),
    "lecun_normal": _scaled("truncated"),
    "siren": _scaled("omega", "first"),
    "spectral_mup": _scaled("gain", "distribution"),
    "fan_uniform": lambda m: {"shape": m.shape(), "fan": m.size(5000)} | m.some(gain=m.real(-2, 1)),
    "scaled_normal": lambda m: (
        {"shape": m.shape(), "std": m.real()} | m.some(width=m.real(0, 3), depth=m.size(200), cut=m.real(-2, 1))
    ),
    "small_init": lambda m: {"shape": m.shape(), "width": m.size(9000)},
    "wang_init": lambda m: {"shape": m.shape(), "width": m.size(9000), "layers": m.size(90)} | m.some(cut=2),
    "deepnorm": lambda m: (
        m.kernel() | m.some(encoder_layers=m.size(90), decoder_layers=m.size(90), side=m.pick("encoder", "decoder"))
    ),
    "subln": lambda m: (
        m.kernel() | m.some(encoder_layers=m.size(90), decoder_layers=m.size(90), side=m.pick("encoder", "decoder"))
    ),
    "t_fixup": lambda m: m.kernel() | {"layers": m.size(90), "side": m.pick("encoder", "decoder")},
    "fixup": lambda m: m.kernel() | {"layers": m.size(90)} | m.some(branch_layers=m.pick(2, 3, 4, 5)),
    "sparse": lambda m: (
        {"shape": m.shape(1, 3), "sparsity": m.pick(0, 0.1, 0.5, 0.93, 1), "std": m.real()}
        | m.some(axis=m.pick(-1, 0, 1))
    ),
    "orthogonal": _orthogonal,
    "delta_orthogonal": lambda m: {"shape": m.shape(3, 5)} | m.some(layout="torch"),
    "eye": lambda m: {"shape": m.shape(2, 3)} | m.some(gain=m.signed()),
    "dirac": lambda m: {"shape": m.shape(3, 5)} | m.some(layout="torch", groups=m.pick(1, 2, 3), gain=m.signed()),
    "bilinear": lambda m: {"shape": m.shape(4, 4)} | m.some(layout="torch", channels="same"),
    "log_range": lambda m: {"shape": _table(m)} | m.some(start=m.size(9000)),
    "power_range": lambda m: {"shape": _table(m)} | m.some(low=m.signed(), high=m.signed(), power=m.real(-1, 1)),
    "alibi_slopes": lambda m: {"shape": [m.pick(1, 3, 8, 12, 40)]} | m.some(max_bias=m.real(-1, 2), gain=m.signed()),
    "rope_frequencies": lambda m: (
        {"shape": _table(m)}
        | m.some(base=m.real(1, 6), scaling=m.pick("linear", "llama3", "yarn"), factor=m.real(0, 2))
    ),
    "retention_decay": lambda m: {"shape": _table(m)} | m.some(start=m.real(-1, 1), stop=m.real(-1, 2)),
    "hippo_legs": lambda m: {"shape": [5, 5]} | m.some(part="b"),
    "s4d_inv": lambda m: {"shape": _table(m)} | m.some(states=m.size(100)),
    "arange": lambda m: {"shape": _table(m)} | m.some(start=m.random.randint(-9, 9), step=m.random.randint(-3, 3)),
    "log_of_uniform": lambda m: {"shape": m.shape(), "low": m.real(-3, 0), "high": m.real(0, 3)},
    "dt_bias": lambda m: (
        {"shape": m.shape()} | m.some(dt_min=m.real(-6, -2), dt_max=m.real(-1, 1.5), dt_floor=m.real(-8, -2))
    ),
    "rg_lru": lambda m: {"shape": m.shape()} | m.some(min_radius=m.random.random(), variant="griffin"),
    "lru_nu": lambda m: {"shape": m.shape()} | m.some(min_radius=m.random.random()),
    "logit_of_uniform": lambda m: {
        "shape": m.shape(),
        "low": m.random.uniform(0, 0.5),
        "high": m.random.uniform(0.5, 1),
    },
    "sinusoidal": _sinusoidal,
    "stft": lambda m: (
        {"shape": [m.size(20), 1, m.random.randint(2, 9)]}
        | m.some(
            side="imag",
            window=m.pick(None, "hamming", "blackman", "flattop", "bartlett", "cosine"),
            scaling=m.pick(None, "spectrum"),
            periodic=True,
        )
    ),
    "blocks": lambda m: _blocks(m) if m.random.random() < 0.7 else _numbered(m),
    "quantized": _quantized,
}


def recipes(seed: int, count: int) -> list[str]:
    """Return the texts of random recipes. Most of them are valid."""
    source = random.Random(seed)
    maker = Maker(source)
    found = []
    for n in range(count):
        scheme = list(SCHEMES)[n % len(SCHEMES)]
        tensor = maker.tensor(scheme)
        dtype = source.choice(list(STORAGE) if source.random() < 0.2 else list(FLOATING))
        name = source.choice(["w", "layers.0.weight", "ключ", "a/b~c", "😀.x"])
        recipe: Members = {"seed": str(source.getrandbits(64)), "dtype": dtype, "tensors": {name: tensor}}
        if source.random() < 0.2:
            recipe["layout"] = source.choice(_LAYOUTS)
        if source.random() < 0.3:
            recipe["tensors"]["far"] = {"shape": [2**35, 2], "scheme": "normal", "std": 1}
        found.append(json.dumps(recipe, ensure_ascii=source.random() < 0.5))
    return found
