"""The CUDA source as one string: what NVRTC compiles."""

from __future__ import annotations

import re
from importlib import resources

_INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)


def cuda_source() -> str:
    """`cuda.cu` with the header and the tables it includes in place.

    One string, because CuPy's kernel cache does not see included files: it would run yesterday's kernels after a
    change of the header.
    """
    return _joined("cuda.cu")


def _joined(name: str) -> str:
    text = resources.files("fanin.backends").joinpath("csrc", name).read_text("ascii")
    return _INCLUDE.sub(lambda include: _joined(include[1]), text)
