"""One of several processes of JAX, each with separate devices: python one_process.py NUMBER PROCESSES PORT RECIPE.

Prints as JSON, for each of several shardings, how many elements of the one tensor it has generated, and bounds and
SHA-256 of its shards.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import fanin.jax
from fanin import backends

SPECS = [P("a"), P(None, "a"), P("b", "a"), P("b")]


class Counting(backends.ForwardingBackend):
    made = 0

    def _generate(self, draw: Any, stream: Any, dtype: Any, first: int, out: memoryview) -> None:
        self.made += len(out) // dtype.itemsize
        super()._generate(draw, stream, dtype, first, out)


def main(number: str, processes: str, port: str, recipe: str) -> None:
    jax.distributed.initialize(f"127.0.0.1:{port}", int(processes), int(number))
    backend = Counting(backends.get())
    backends.get = lambda _name=None: backend  # type: ignore[assignment]
    mesh = jax.make_mesh((4, 2), ("a", "b"))
    found = []
    for spec in SPECS:
        backend.made = 0
        array = fanin.jax.array(recipe, "weight", NamedSharding(mesh, spec))
        shards = [
            {
                "bounds": [part.indices(size)[:2] for part, size in zip(shard.index, array.shape, strict=True)],
                "sha256": hashlib.sha256(np.asarray(shard.data).tobytes()).hexdigest(),
            }
            for shard in array.addressable_shards
        ]
        found.append({"made": backend.made, "shards": shards})
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
