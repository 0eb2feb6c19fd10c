"""Write the tables of docs/initializers.md: python -m tests.peers.page.

The script writes the text between `<!-- name -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fanin.description import describe
from fanin.dialects import DIALECTS, parameters_of
from fanin.file.layout import FileLayout
from tests.peers.formulas import FORMULAS
from tests.peers.initializers import OTHERS
from tests.peers.layers import LAYERS
from tests.peers.rows import Section

PAGE = Path(__file__).parents[2] / "docs" / "initializers.md"
MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
KERNELS = {"torch": [32, 16, 3, 3], "keras": [3, 3, 16, 32], "jax": [3, 3, 16, 32]}
"""Shapes of the examples: a 3 x 3 convolution from 16 to 32 channels."""
SHAPES: dict[str, list[int]] = {"eye_": [5, 5], "Identity": [5, 5], "sparse_": [32, 16], "STFT": [256, 1, 129]}
"""Shapes of the examples whose initializers do not accept such kernels."""
REQUIRED: dict[str, Any] = {
    "val": 0.5,
    "value": 0.5,
    "scale": 2,
    "mode": "fan_in",
    "distribution": "normal",
    "sparsity": 0.25,
}
"""Examples of parameters without a default."""


def page(text: str) -> str:
    """Return the page with its tables written again."""
    return MARKED.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def _dialect(library: str) -> str:
    """Return a table of the initializers of a library, with their parameters and defaults."""
    rows = []
    for name, initializer in DIALECTS[library].initializers.items():
        parameters = parameters_of(initializer)
        given = {each: REQUIRED[each] for each, parameter in parameters.items() if parameter.default is parameter.empty}
        shown = [f"{each}={_python(given.get(each, parameter.default))}" for each, parameter in parameters.items()]
        others = [alias for alias, own in DIALECTS[library].aliases.items() if own == name]
        layout = FileLayout.of(
            {"dialect": library, "shape": SHAPES.get(name, KERNELS[library]), "scheme": name, **given}
        )
        also = f", also {', '.join(f'`{each}`' for each in others)}" if others else ""
        said = layout.recipe.tensors["weight"].canonical()
        rows.append([f"`{name}({', '.join(shown)})`{also}", _tensor(said), _draw(layout), "library"])
    return _table(["initializer", "example here, without dialect", "draw", "compared with"], rows)


def _sections(sections: Iterable[Section]) -> str:
    rows = []
    for section in sections:
        for call, tensor in section.rows:
            rows.append([section.title, f"`{call}`", _tensor(tensor), _draw(FileLayout.of(tensor)), "library"])
    return _table(["library", "there", "here", "draw", "compared with"], rows)


def _formulas() -> str:
    rows = [
        [each.library, each.what, f"`{each.formula}`", _tensor(each.tensor), _draw(each.layout), "formula", each.source]
        for each in FORMULAS
    ]
    return _table(["where", "initializer", "formula", "here", "draw", "compared with", "source"], rows)


def _python(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value).replace("null", "None")


def _tensor(tensor: dict[str, Any]) -> str:
    """Return the members of a tensor, except its shape and dtype."""
    first = [f"{tensor['dialect']}: {tensor['scheme']}" if "dialect" in tensor else tensor["scheme"]]
    hidden = ("shape", "dtype", "scheme", "dialect")
    others = [f"{name} {json.dumps(value)}" for name, value in tensor.items() if name not in hidden]
    return f"`{', '.join(first + others)}`"


def _draw(layout: FileLayout) -> str:
    return str(describe(layout)["tensors"]["weight"]["draw"]).replace("|", "or")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    **{library: lambda library=library: _dialect(library) for library in DIALECTS},
    "others": lambda: _sections(OTHERS),
    "layers": lambda: _sections(LAYERS),
    "formulas": _formulas,
}


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
