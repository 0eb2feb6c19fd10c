"""Evaluates calls of libraries: python run.py PROCESS REQUEST OUT.

A separate process, since JAX and Keras start threads, which the tests' process must not have. REQUEST is JSON, by
section `imports`, `modules` and `calls`, each with the expression, the shape, and how many times it is evaluated. OUT
becomes an .npz of all results, numbered, and `names`: JSON of the public names of the modules by section.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

FIRST = {
    "torch": "import torch; torch.manual_seed(1)",
    "jax": "import jax, jax.numpy; root = jax.random.key(1, impl='rbg')",
    "keras": "import keras; keras.utils.set_random_seed(1)",
}
# Most of the time goes into compiling for each shape: threefry, JAX' own generator, would take seconds for one.
os.environ |= {"XLA_FLAGS": "--xla_backend_optimization_level=0", "KERAS_BACKEND": "numpy"}
FRESH = {"torch": {"w": "torch.full(shape, torch.nan)"}, "jax": {"key": "jax.random.fold_in(root, count)"}, "keras": {}}
"""Names that each evaluation has anew."""


def array(value: Any) -> Any:
    if hasattr(value, "detach"):  # torch's
        value = value.detach()
    return np.asarray(value)


def public(module: str) -> list[str]:
    """Names of functions and classes that a module offers as its own."""
    members = vars(importlib.import_module(module))
    library = module.split(".")[0]
    return list(members.get("__all__", ())) or [
        name
        for name, value in members.items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "").startswith(library)
    ]


def main(process: str, request: str, out: str) -> None:
    sections = json.loads(Path(request).read_text())
    shared: dict[str, Any] = {"count": 0}
    exec(FIRST[process], shared)
    results, names = [], {}
    for title, section in sections.items():
        scope = dict(shared)
        exec(section["imports"], scope)
        for call, shape, times in section["calls"]:
            values = []
            for _ in range(times):
                shared["count"] += 1
                scope |= {"shape": tuple(shape), "count": shared["count"]}
                scope |= {name: eval(code, scope) for name, code in FRESH[process].items()}
                try:
                    values.append(array(eval(call, scope)))
                except Exception as error:
                    error.add_note(f"in {call} of {title}")
                    raise
            results.append(values[0] if times == 1 else np.stack(values))
        names[title] = [name for module in section["modules"] for name in public(module)]
    np.savez(out, *results, names=json.dumps(names))


if __name__ == "__main__":
    main(*sys.argv[1:])
