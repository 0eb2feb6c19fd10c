"""Writes clients/python/fanin/initializers.py: a function for each scheme, with its parameters."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.base import Scaled, Tensor

PAGE = Path(__file__).parents[1] / "clients" / "python" / "fanin" / "initializers.py"
PREAMBLE = '''\
"""A function for each scheme, which returns one tensor as an array.

    >>> import fanin
    >>> fanin.he_normal((512, 256), seed=1, name="fc.weight").shape
    (512, 256)

Each returns what `fanin.materialize` returns for the recipe of that tensor alone. All of them take these arguments:

- `shape`: an integer or a sequence of integers. `()` is a scalar.
- `seed`: 0 to 2^64 - 1, or a string of its digits.
- `name`: the tensor's name. Tensors of one seed and one name have the same random numbers, so give each its name.
- `dtype`: the storage type, as in a recipe, or a type of NumPy, ml_dtypes, torch or JAX.
- `backend`: the name of the backend; by default the fastest one. `cuda` returns a CuPy array.

They raise `fanin.RecipeError` if an argument is wrong, and `fanin.BackendError` if the backend cannot be used here.
Written by docs/functions.py from fanin/schemes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fanin.arrays import Array, one
from fanin.dtypes import DTypeLike

Shape = int | Sequence[int]
Seed = int | str
Axes = Sequence[int]
'''


def page() -> str:
    """Return the text of the module."""
    functions = [function(name, scheme) for name, scheme in SCHEMES.items()]
    aliases = "\n".join(f"{alias} = {name}" for alias, name in ALIASES.items())
    names = "".join(f'    "{name}",\n' for name in sorted([*SCHEMES, *ALIASES]))
    text = "\n\n".join([PREAMBLE, *functions, aliases, f"__all__ = [\n{names}]\n"])
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PAGE), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def function(name: str, scheme: type[Tensor]) -> str:
    """Return the function of a scheme."""
    own = [field for field in scheme.model_fields if field not in Tensor.model_fields]
    own.sort(key=lambda field: (field in Scaled.model_fields, not scheme.model_fields[field].is_required()))
    parameters = "".join(f"{field}: {parameter(scheme.model_fields[field])}, " for field in own)
    paragraphs = [
        *inspect.cleandoc(scheme.__doc__ or "").split("\n\n"),
        f"Distribution of an element: {scheme.formula}.",
        f"Source: {scheme.source}.",
    ]
    text = "\n\n    ".join(
        textwrap.fill(each, 116, subsequent_indent="    ", break_long_words=False) for each in paragraphs
    )
    return f'''
def {name}(
    shape: Shape, *, {parameters}seed: Seed = 0, name: str = "weight", dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """{text}
    """
    return one("{name}", locals())
'''


def parameter(field: FieldInfo) -> str:
    """Return the annotation and the default of a parameter."""
    text = annotation(field.annotation)
    return text if field.is_required() else f"{text} = {field.default!r}"


def annotation(of: Any) -> str:
    """Return a type as it is written in source."""
    origin, parts = get_origin(of), get_args(of)
    if origin is typing.Annotated:
        return annotation(parts[0])
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, parts))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(map(annotation, parts))
    if origin is tuple:
        return "Axes" if annotation(parts[0]) == "int" else f"Sequence[{annotation(parts[0])}]"
    if origin is dict:
        return f"Mapping[{', '.join(map(annotation, parts))}]"
    return {type(None): "None", Any: "Any"}.get(of) or of.__name__


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
