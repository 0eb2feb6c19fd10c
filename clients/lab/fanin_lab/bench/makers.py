"""The libraries that are measured, and the calls that measure them.

A call is text, as in `timeit`, so that a report can quote the executed code. It can use `out`, `count`, `dtype` and
the names that earlier statements define.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from fanin import backends
from fanin.dtypes import DTYPES

DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "uniform": {"scheme": "uniform", "low": -0.02, "high": 0.02},
    "normal": {"scheme": "normal", "std": 0.02},
    "truncated": {"scheme": "truncated_normal", "std": 0.02, "low": -2, "high": 2},
    "constant": {"scheme": "constant", "value": 0.02},
}
"""Recipe members of each distribution by name. The truncation is at two standard deviations."""
SMALL = 256
"""Number of elements of each tensor of the work `small`."""

Work = Literal["fill", "fresh", "small"]


@dataclass(frozen=True, slots=True)
class Case:
    """One case to measure: `tensors` tensors of `count` elements each."""

    work: Work
    """Kind of work: fill warm memory, allocate and fill memory, or fill many small tensors."""
    distribution: str
    dtype: str
    count: int
    tensors: int = 1

    @property
    def recipe(self) -> dict[str, Any]:
        """Return the case as a Fanin recipe."""
        tensor = {"shape": [self.count], "dtype": self.dtype, **DISTRIBUTIONS[self.distribution]}
        return {"tensors": {f"layers.{number}.bias": tensor for number in range(self.tensors)}}


@dataclass(frozen=True, slots=True)
class Maker:
    """A library, or one method of a library, that generates elements."""

    name: str
    kind: Literal["fanin", "peer", "ceiling"]
    package: str
    """Module that must be importable, and whose version is reported."""
    dtypes: Mapping[str, str]
    """Expression for each storage type that it has."""
    calls: Mapping[str, str]
    """Statements for each distribution. They write to `out` if the library fills in place."""
    constants: tuple[str, ...] = ()
    """Storage types for which it generates only constants."""
    empty: str = "None"
    """Expression that allocates untouched memory for `count` elements."""
    run: str = "{call}"
    """Statement that runs `call`."""
    fresh: str = "{run}"
    """Statement that runs it for the work `fresh`, with a new `out` each time."""
    setup: str = ""
    """Statements that run first, with the name `threads`."""
    prepare: str = ""
    """Statements before each case, with the names `recipe`, `dtype`, `count` and `call`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    """True if one call generates many tensors. Other makers need one call per tensor."""
    slow: tuple[Work, ...] = ()
    """Kinds of work in which it is slow; these are measured on fewer elements."""
    serial: bool = False
    """True if more than one CPU makes it no faster."""

    def offers(self, case: Case) -> bool:
        """Return whether the library has a call for this case."""
        only_constants = case.dtype in self.constants and case.distribution != "constant"
        return case.distribution in self.calls and case.dtype in self.dtypes and not only_constants


def makers() -> dict[str, Maker]:
    """Return the makers that this machine can measure: Fanin's backends, the fastest first, then installed peers.

    Raises:
        BackendError: the environment requests a backend or a level that is not available.
    """
    found = [*_fanin(), *(maker for maker in PEERS if find_spec(maker.package))]
    return {maker.name: maker for maker in found}


def chosen(names: Sequence[str] | None) -> list[Maker]:
    """Return the makers of these names, or all, and always the ceiling. `native` means each of its levels.

    Raises:
        ValueError: a maker is unknown or not installed.
    """
    there = makers()
    families = list(dict.fromkeys(name.split()[0] for name in there))
    if names is not None and not names:
        raise ValueError(f"--only: no name is given; allowed: {', '.join(families)}")
    for name in names or ():
        if name not in there and name not in families:
            peer = name in {maker.name for maker in PEERS}
            reason = "not installed here" if peer else "unknown or not usable here"
            raise ValueError(f"--only: {name!r} is {reason}; allowed: {', '.join(families)}")
    wanted = set(names or families)
    return [*(maker for name, maker in there.items() if {name, name.split()[0]} & wanted), MEMORY]


def _fanin() -> list[Maker]:
    return [
        _backend(backend, level)
        for backend in backends.available()
        for level in reversed(getattr(backends.load(backend), "levels", [""]))
    ]


def _backend(backend: str, level: str) -> Maker:
    return Maker(
        name=f"{backend} {level}".strip(),
        kind="fanin",
        package="fanin",
        dtypes={name: repr(name) for name in DTYPES},
        calls=dict.fromkeys(DISTRIBUTIONS, "read_into(layout, start, out, backend)"),
        empty="memoryview(numpy.empty(layout.size - start, numpy.uint8))",
        # Makers on a GPU return arrays that stay on the GPU.
        fresh="{run}" if backend == "cuda" else "fanin.materialize(layout)",
        setup="import fanin, numpy; from fanin.file.plan import read_into; backend = fanin.backends.get()",
        prepare="layout = fanin.FileLayout.of(recipe); start = len(layout.header)",
        environment={backends.ENVIRONMENT: backend, "FANIN_SIMD": level},
        whole=True,
        slow=("fill", "fresh", "small") if backend == "reference" else (),
        serial=backend == "reference",
    )


PEERS = (
    Maker(
        name="torch",
        kind="peer",
        package="torch",
        dtypes={
            "F64": "torch.float64",
            "F32": "torch.float32",
            "BF16": "torch.bfloat16",
            "F16": "torch.float16",
            "F8_E4M3": "torch.float8_e4m3fn",
            "F8_E5M2": "torch.float8_e5m2",
        },
        constants=("F8_E4M3", "F8_E5M2"),
        calls={
            "uniform": "out.uniform_(-0.02, 0.02)",
            "normal": "out.normal_(0, 0.02)",
            "truncated": "torch.nn.init.trunc_normal_(out, std=0.02, a=-0.04, b=0.04)",
            "constant": "out.fill_(0.02)",
        },
        empty="torch.empty(count, dtype=dtype)",
        setup="import torch; torch.set_num_threads(threads)",
    ),
    Maker(
        name="numpy",
        kind="peer",
        package="numpy",
        dtypes={name: f"DTYPES[{name!r}].numpy" for name in DTYPES},
        constants=("BF16", "F16", "F8_E4M3", "F8_E5M2"),
        calls={
            "uniform": "generator.random(dtype=dtype, out=out); out -= 0.5; out *= 0.04",
            "normal": "generator.standard_normal(dtype=dtype, out=out); out *= 0.02",
            "truncated": "truncated_normal(generator, 2, out); out *= 0.02",
            "constant": "out.fill(0.02)",
        },
        empty="numpy.empty(count, dtype)",
        setup="import numpy; from fanin.dtypes import DTYPES; from fanin_lab.bench.loops import truncated_normal; "
        "generator = numpy.random.default_rng(0)",
    ),
    Maker(
        name="jax",
        kind="peer",
        package="jax",
        dtypes={
            "F64": "jax.numpy.float64",
            "F32": "jax.numpy.float32",
            "BF16": "jax.numpy.bfloat16",
            "F16": "jax.numpy.float16",
            "F8_E4M3": "jax.numpy.float8_e4m3fn",
            "F8_E5M2": "jax.numpy.float8_e5m2",
        },
        calls={
            "uniform": "jax.random.uniform(key, (count,), dtype, -0.02, 0.02)",
            "normal": "jax.random.normal(key, (count,), dtype) * dtype(0.02)",
            "truncated": "jax.random.truncated_normal(key, -2, 2, (count,), dtype) * dtype(0.02)",
            "constant": "jax.numpy.full((count,), 0.02, dtype)",
        },
        run="jitted(key).block_until_ready()",
        setup="import jax",
        prepare="jax.config.update('jax_enable_x64', dtype is jax.numpy.float64); key = jax.random.key(0); "
        "jitted = jax.jit(lambda key: {call})",
        environment={"JAX_PLATFORMS": "cpu"},
    ),
    Maker(
        name="tensorflow",
        kind="peer",
        package="tensorflow",
        dtypes={"F64": "tf.float64", "F32": "tf.float32", "BF16": "tf.bfloat16", "F16": "tf.float16"},
        calls={
            "uniform": "tf.random.stateless_uniform((count,), seed, -0.02, 0.02, dtype, alg='philox')",
            "normal": "tf.random.stateless_normal((count,), seed, 0.0, 0.02, dtype, alg='philox')",
            "truncated": "tf.random.stateless_truncated_normal((count,), seed, 0.0, 0.02, dtype, alg='philox')",
            "constant": "tf.fill((count,), tf.constant(0.02, dtype))",
        },
        setup="import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(threads); "
        "seed = tf.constant((1, 2))",
        slow=("small",),
        environment={"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    ),
    Maker(
        name="keras",
        kind="peer",
        package="keras",
        dtypes={"F64": "'float64'", "F32": "'float32'", "BF16": "'bfloat16'", "F16": "'float16'"},
        calls={
            "uniform": "keras.initializers.RandomUniform(-0.02, 0.02, seed=1)((count,), dtype)",
            "normal": "keras.initializers.RandomNormal(0.0, 0.02, seed=1)((count,), dtype)",
            "truncated": "keras.initializers.TruncatedNormal(0.0, 0.02, seed=1)((count,), dtype)",
            "constant": "keras.initializers.Constant(0.02)((count,), dtype)",
        },
        run="finished({call})",
        setup="import keras; from fanin_lab.bench.loops import finished",
        slow=("small",),
        environment={
            "KERAS_BACKEND": os.environ.get("KERAS_BACKEND")
            or next((name for name in ("tensorflow", "torch", "jax") if find_spec(name)), ""),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
        },
    ),
)
"""Return the peers, each with its usual call, on the CPU."""

MEMORY = Maker(
    name="memory write",
    kind="ceiling",
    package="fanin",
    dtypes={name: str(dtype.itemsize) for name, dtype in DTYPES.items()},
    calls=dict.fromkeys(DISTRIBUTIONS, "memset(out)"),
    empty="mapped(count * dtype)",
    setup="from fanin_lab.bench.loops import Memset, mapped; memset = Memset()",
)
"""Return the ceiling: libc's memset. No maker can write these bytes to memory faster."""
