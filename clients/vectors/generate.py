"""Write the public vectors of stream fanin/1 with the reference backend.

    python clients/vectors/generate.py [FOLDER]

The folder is that of this script by default. The vectors are frozen: inputs are added behind those in `generator/`,
and none of them changes. A test compares the output with the files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from generator.dialects import dialects
from generator.distributions import draws_at_words, elements_far_out, long_streams, storage, table
from generator.dtypes import dtypes
from generator.encoding import lines
from generator.f4 import f4
from generator.f8 import f8
from generator.integers import integers
from generator.newer import newer
from generator.quantized import quantized
from generator.recipes import files, recipes
from generator.refusals import errors
from generator.repeated import repeated
from generator.schemes import fans, orthogonal, schemes, schemes_far_out
from generator.streams import keys, words

FILES = {
    "keys": keys,
    "words": words,
    "recipes": recipes,
    "errors": errors,
    "repeated": repeated,
    "dialects": dialects,
    "dtypes": dtypes,
    "integers": integers,
    "f8": f8,
    "f4": f4,
    "newer": newer,
    "quantized": quantized,
    "fans": fans,
    "draws": draws_at_words,
    "far": elements_far_out,
    "storage": storage,
    "files": files,
    "streams": long_streams,
    "schemes": schemes,
    "far_schemes": schemes_far_out,
    "orthogonal": orthogonal,
}


def generate(folder: Path) -> None:
    """Write every vector file except philox.txt, which is from Random123."""
    for name, vectors in FILES.items():
        (folder / f"{name}.json").write_text(lines(vectors()), "utf-8")
    for width in (32, 64):
        (folder / f"normal_f{width}_table.txt").write_text(table(f"normal_f{width}.inc"), "ascii")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
