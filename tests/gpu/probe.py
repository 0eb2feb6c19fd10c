"""Print the GPU of the `cuda` backend, as JSON. This compiles the kernels, and later processes find them cached."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fanin
from fanin.backends.cuda import CudaBackend
from fanin.backends.native import NativeBackend

PEERS = ("torch", "jax", "numpy", "nvidia-curand-cu12", "nvidia-curand")


def describe() -> dict[str, Any]:
    """Return name, multiprocessors, clock, memory and versions, also of what it is compared with.

    Raises:
        BackendError: the GPU cannot be used, CuPy cannot compile, or the native kernels were not built.
    """
    NativeBackend()
    CudaBackend()
    import cupy

    runtime = cupy.cuda.runtime
    device = runtime.getDevice()
    properties = runtime.getDeviceProperties(device)
    attributes = cupy.cuda.Device(device).attributes
    return {
        "name": properties["name"].decode(),
        "architecture": f"sm_{properties['major']}{properties['minor']}",
        "multiprocessors": properties["multiProcessorCount"],
        "clock_hz": attributes.get("ClockRate", 0) * 1000,
        "memory_bytes": properties["totalGlobalMem"],
        "cuda": str(cupy.cuda.nvrtc.getVersion()[0]),
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "cupy": cupy.__version__,
        "fanin": fanin.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: found for name in PEERS if (found := version_of(name))},
    }


def version_of(package: str) -> str | None:
    """Return the version of an installed package, and None for others."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Return the commit of the checkout, and None if git cannot say it."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


if __name__ == "__main__":
    print(json.dumps(describe()))
