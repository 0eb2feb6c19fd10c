"""Time and memory of `fanin inspect` for a file of a gigabyte: python -m tests.bench.inspection [--megabytes N]."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import fanin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1024)
    megabytes = parser.parse_args().megabytes
    for dtype, columns in (("F32", 4096), ("BF16", 8192)):
        names = {
            f"layers.{n}.weight": {"shape": [4096, columns], "scheme": "normal", "std": 0.02}
            for n in range(-(-megabytes // 64))
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            fanin.save({"seed": 1, "dtype": dtype, "layout": "torch", "tensors": names}, path)
            before = resource.getrusage(resource.RUSAGE_SELF)
            wall, cpu = time.perf_counter(), time.process_time()
            found = fanin.inspect(path)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(
                f"{dtype}: {path.stat().st_size / 1e9:.2f} GB, {wall:.1f} s, {cpu:.1f} s of CPU,"
                f" peak {peak / 1024:.0f} MiB ({before.ru_maxrss / 1024:.0f} before), quiet {found.is_quiet}"
            )


if __name__ == "__main__":
    main()
