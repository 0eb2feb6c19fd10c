"""Orthogonal matrices on a GPU: the order of the kernels of `csrc/cuda_orthogonal.h`, and the memory that they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fanin.backends.orthogonal import PANEL, first_word
from fanin.draws import Normal, Orthogonal
from fanin.dtypes import DTYPES, DType

Launch = Callable[[str, int, Any], None]
"""Function (name, threads, task) that starts a kernel in the current stream, with at most this number of threads."""
Normals = Callable[[Normal, DType, int, int, int], None]
"""Function (draw, dtype, first, count, address) that starts to write elements of a draw in the current stream."""

_TASK = np.dtype(
    [
        *((name, np.uint64) for name in ("rows", "columns", "v", "t", "s", "wide_t", "x", "q", "w", "y")),
        ("gain", np.float64),
        *((name, np.uint64) for name in ("panel", "out", "is_wide")),
    ]
)
"""`fanin_task`."""
_DOUBLE = DTYPES["F64"].itemsize
_ALIGNMENT = 256


def workspace(draw: Orthogonal, dtype: DType) -> int:
    """Bytes of GPU memory that `make` needs beside the matrix."""
    return sum(_aligned(size) for size in _sizes(draw, dtype).values())


def make(draw: Orthogonal, dtype: DType, out: int, memory: int, normals: Normals, launch: Launch) -> None:
    """Start to write the complete matrix to address `out`, in the current stream. `memory` has `workspace` bytes."""
    rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
    compute, panels = dtype.compute, -(-columns // PANEL)
    task = np.zeros(1, _TASK)
    task["rows"], task["columns"], task["gain"] = rows, columns, draw.gain
    task["out"], task["is_wide"] = out, draw.rows < draw.columns
    for name, size in _sizes(draw, dtype).items():
        task[name] = memory
        memory += _aligned(size)

    at = int(task["v"][0])
    for panel in range(panels):
        count = (rows - panel * PANEL) * PANEL
        normals(Normal(0.0, 1.0), compute, first_word(rows, panel), count, at)
        at += count * compute.itemsize

    def step(name: str, threads: int) -> None:
        launch(f"fanin_orthogonal_{name}", threads, task)

    step(f"vectors_{compute.name}", panels * PANEL)
    step(f"gram_{compute.name}", panels * PANEL**2)
    step("triangle", panels * PANEL)
    step(f"squares_{compute.name}", panels * PANEL**2)
    for panel in reversed(range(panels)):
        task["panel"] = panel
        behind = columns - (panel + 1) * PANEL
        if behind > 0:
            step(f"project_{compute.name}", behind * PANEL)
            step(f"turn_{compute.name}", behind * PANEL)
        step(f"reflect_{compute.name}", (rows - panel * PANEL) * (columns - panel * PANEL))
    step(f"finish_{dtype.name}", rows * columns)


def _sizes(draw: Orthogonal, dtype: DType) -> dict[str, int]:
    """Bytes of each array, by its name in `_TASK`."""
    rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
    real, panels = dtype.compute.itemsize, -(-columns // PANEL)
    vectors = panels * PANEL * rows - panels * (panels - 1) // 2 * PANEL**2
    squares = panels * PANEL**2
    return {
        "v": vectors * real,
        "t": squares * real,
        **dict.fromkeys(("s", "wide_t", "x"), squares * _DOUBLE),
        "q": rows * columns * real,
        **dict.fromkeys(("w", "y"), PANEL * columns * real),
    }


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
