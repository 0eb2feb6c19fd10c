"""The main job from end to end: two models by recipe, over HTTP and generated here, compared byte for byte.

    python docs/examples/demo.py [FOLDER]

Starts a service on a free port of 127.0.0.1, registers GPT-2 small and ResNet-50, downloads their files and generates
both here. Compares SHA-256 and bytes, verifies each file from its header, and loads it with the safetensors library.
"""

from __future__ import annotations

import filecmp
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors.numpy

import fanin

HERE = Path(__file__).parent


@contextmanager
def service() -> Iterator[str]:
    """A running service; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fanin", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Fanin on (http://\S+)", line):
                yield found.group(1)
                break
        else:
            raise SystemExit("the service did not start")
    finally:
        process.terminate()
        process.communicate()


def timed(label: str, size: int, started: float) -> str:
    seconds = time.perf_counter() - started
    return f"{label} {seconds:.2f} s ({size / seconds / 1e9:.2f} GB/s)"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def show(name: str, client: fanin.Client, folder: Path) -> None:
    recipe = fanin.as_recipe((HERE / f"{name}.json").read_bytes())
    layout = fanin.FileLayout.of(recipe)
    remote, local = folder / f"{name}.http.safetensors", folder / f"{name}.safetensors"
    print(f"{name}: {len(layout.entries)} tensors, {sum(entry.count for entry in layout.entries):,} parameters")
    print(f"  registered  {client.register(recipe)}")

    started = time.perf_counter()
    client.save(recipe, remote, where="remote")
    print(f"  {timed('over HTTP  ', layout.size, started)}")
    started = time.perf_counter()
    fanin.save(recipe, local)
    print(f"  {timed('made here  ', layout.size, started)}, backend {fanin.backends.get().name}")

    digests = sha256(remote), sha256(local)
    if digests[0] != digests[1] or not filecmp.cmp(remote, local, shallow=False):
        raise SystemExit(f"  THE FILES DIFFER: {digests}")
    print(f"  SHA-256     {digests[0]} of both, {layout.size:,} bytes each")
    started = time.perf_counter()
    verified = fanin.verify(remote)
    print(f"  {timed('verified   ', verified.size, started)} from its own header")
    loaded = safetensors.numpy.load_file(remote)
    name, tensor = max(loaded.items(), key=lambda item: item[1].size)
    distribution = f"mean {tensor.mean():+.2e}, std {tensor.std():.5f}"
    print(f"  safetensors loads {len(loaded)} tensors; {name} {tensor.shape} has {distribution}")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, service() as url, fanin.Client(url) as client:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"service at {url}")
        for name in ("gpt2-small", "resnet-50"):
            show(name, client, folder)


if __name__ == "__main__":
    main()
