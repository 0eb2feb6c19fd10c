"""The public vectors, checked with nothing but an installed Fanin: python check_vectors.py FOLDER STEP.

Checks every STEP-th of the long streams. Prints the available backends, the one in use, and how many vectors agreed.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import fanin


def main(folder: Path, step: int) -> None:
    agreed = 0
    for vector in _read(folder, "recipes"):
        recipe = fanin.as_recipe(vector["recipe"])
        assert (recipe.canonical.decode(), recipe.digest) == (vector["canonical"], vector["digest"]), vector
        agreed += 1
    for vector in _read(folder, "errors"):
        try:
            fanin.FileLayout.of(vector["recipe"])
        except fanin.RecipeError:
            assert vector["refused"], vector
        else:
            assert not vector["refused"], vector
        agreed += 1
    for vector in _read(folder, "files"):
        with tempfile.TemporaryDirectory() as there:
            fanin.save(vector["recipe"], Path(there) / "file")
            assert (Path(there) / "file").read_bytes().hex() == vector["file"], vector["recipe"]
        agreed += 1
    for vector in _read(folder, "schemes"):
        weight = fanin.materialize(vector["recipe"])["weight"]
        assert weight.tobytes().hex() == vector["data"], vector["recipe"]
        agreed += 1
    for vector in _read(folder, "streams")[::step]:
        weight = fanin.materialize({**vector["tensor"], "seed": vector["seed"]})["weight"]
        assert hashlib.sha256(weight.tobytes()).hexdigest() == vector["sha256"], vector["tensor"]
        agreed += 1
    print(",".join(fanin.backends.available()), fanin.backends.get().name, agreed, fanin.__file__)


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text("utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
