"""Print the GPU of the `cuda` backend, as JSON. This compiles the kernels, and later processes find them cached."""

from __future__ import annotations

import json
from typing import Any

import fanin
from fanin.backends.cuda import CudaBackend


def describe() -> dict[str, Any]:
    """Return name, multiprocessors, clock, memory and versions.

    Raises:
        BackendError: the GPU cannot be used, or CuPy cannot compile.
    """
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
    }


if __name__ == "__main__":
    print(json.dumps(describe()))
