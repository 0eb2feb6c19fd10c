"""Writes docs/python.md: the public names of the library, with their signatures and docstrings.

Griffe reads the source, so neither torch nor JAX nor Keras is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import griffe

HERE = Path(__file__).parent
PAGE = HERE / "python.md"
GUIDES = {
    "fanin": "[README.md](../README.md) and [recipes.md](recipes.md) show how to use it. Each scheme of\n"
    "[schemes.md](schemes.md#schemes) is a function too, such as `fanin.he_normal(shape, seed=1, name=...)`. It\n"
    "returns one tensor as an array. Its parameters are those of the scheme, and the docstring of\n"
    "`fanin.initializers` describes the others.",
    "fanin.models": "[catalogue.md](catalogue.md) lists the models.",
    "fanin.quantization": "[quantized.md](quantized.md) shows how to use it.",
    "fanin.artifact": "[artifacts.md](artifacts.md) shows how to use it.",
    "fanin.torch": "[torch.md](torch.md) shows how to use it, and [record.md](record.md) how to record.",
    "fanin.jax": "[jax.md](jax.md) shows how to use it, and [record.md](record.md#jax-and-flax) how to record.",
    "fanin.keras": "[keras.md](keras.md) shows how to use it, and [record.md](record.md#keras) how to record.",
    "fanin.mlx": "[mlx.md](mlx.md) shows how to use it.",
    "fanin.backends": "[README.md](../README.md#backends) lists the backends.",
}
"""Public modules, and the pages that show how to use them."""
PREAMBLE = """\
# The Python library

Public names, with their signatures and what they return. `make docs` writes this page from the docstrings. Names that
are not on it can change in any release.
"""
PYDANTIC = {"copy", "model_config", "model_copy"}
SECTION = re.compile(r"^(Raises|Returns|Yields|Args):\n((?: {4}.*\n)+)", re.MULTILINE)
ITEM = re.compile(r"^ {4}(\S+): ((?:.*\n)(?: {5,}.*\n)*)", re.MULTILINE)


def page() -> str:
    """Return the text of the page."""
    loader = griffe.GriffeLoader(search_paths=[HERE.parent / "clients" / "python"])
    sections = [PREAMBLE]
    functions: list[griffe.Function] = []
    for name, guide in GUIDES.items():
        module = loader.load(name)
        sections.append(f"## {name}\n\n{guide}\n")
        exported = [target(module[str(each)]) for each in module.exports or ()]
        exported = [each for each in exported if not each.path.startswith("fanin.initializers.")]
        for kind in (griffe.Kind.FUNCTION, griffe.Kind.CLASS):
            for each in exported:
                if each.kind is kind:
                    sections.extend(entry(each, name))
                    functions.extend(callables(each))
    sections.append("## Types in signatures\n")
    sections.extend(aliases(loader, functions))
    return "\n".join(sections)


def target(found: griffe.Object | griffe.Alias) -> griffe.Object:
    return found.final_target if isinstance(found, griffe.Alias) else found


def entry(found: griffe.Object, module: str) -> Iterator[str]:
    """Yield the heading, the signature and the docstring of a function, or of a class with its methods."""
    yield f"### {module}.{found.name}\n"
    if isinstance(found, griffe.Function):
        yield code(signature(found))
    constructor = found.all_members.get("__init__") if isinstance(found, griffe.Class) else None
    if constructor is not None:
        constructor = target(constructor)
        yield code(signature(constructor).replace("__init__", found.name, 1).removesuffix(" -> None"))
    yield docstring(found)
    if constructor is not None and constructor.docstring:
        yield docstring(constructor).lstrip("\n")
    if isinstance(found, griffe.Class):
        for name, member in found.members.items():
            if name.startswith("_") or name in PYDANTIC:
                continue
            if isinstance(member, griffe.Function):
                is_computed = any(each.callable_path.endswith("computed_once") for each in member.decorators)
                text = f"{name}: {member.returns}" if is_computed else signature(member)
                yield code(text) + "\n" + docstring(member)
            elif isinstance(member, griffe.Attribute) and member.docstring:
                yield code(f"{name}: {member.annotation}") + "\n" + docstring(member)


def signature(function: griffe.Object | griffe.Alias) -> str:
    """Return a signature without `self`, with a parameter on each line if it is longer than a line."""
    assert isinstance(function, griffe.Function)
    text = re.sub(r"\((self|cls)(, |(?=\)))", "(", function.signature(return_type=True), count=1)
    if len(text) <= 100:
        return text
    depth, start, lines = 0, 0, []
    opening, closing = text.index("("), text.rindex(")")
    inside = text[opening + 1 : closing]
    for index, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            lines.append(inside[start:index].strip())
            start = index + 1
    lines.append(inside[start:].strip())
    return text[: opening + 1] + "".join(f"\n    {line}," for line in lines) + "\n" + text[closing:]


def code(text: str) -> str:
    return f"```py\n{text}\n```\n"


def docstring(found: griffe.Object | griffe.Alias) -> str:
    """Return the docstring as Markdown, with a list for the errors that it names."""
    text = (found.docstring.value if found.docstring else "") + "\n"
    return SECTION.sub(lambda section: f"{section[1]}:\n\n" + ITEM.sub(r"- `\1`: \2", section[2]), text)


def callables(found: griffe.Object) -> Iterator[griffe.Function]:
    """Yield a function, or the public methods of a class and its constructor."""
    if isinstance(found, griffe.Function):
        yield found
    else:
        for name, inherited in found.all_members.items():
            member = target(inherited)
            if isinstance(member, griffe.Function) and (name == "__init__" or not name.startswith("_")):
                yield member


def aliases(loader: griffe.GriffeLoader, functions: list[griffe.Function]) -> Iterator[str]:
    """Yield the definitions of the types that Fanin itself names in signatures, and in such types."""
    found: dict[str, griffe.Attribute] = {}
    new = [each for f in functions for each in (f.returns, *(parameter.annotation for parameter in f.parameters))]
    while new:
        expression = new.pop()
        for part in expression.iterate(flat=True) if isinstance(expression, griffe.Expr) else ():
            path = part.canonical_path if isinstance(part, griffe.ExprName) else ""
            if not path.startswith("fanin.") or path in found:
                continue
            named = target(loader.modules_collection[path])
            if isinstance(named, griffe.Attribute) and "TypeVar" not in str(named.value):
                found[path] = named
                new.append(named.value)
    yield from sorted({code(f"{each.name} = {each.value}") + "\n" + docstring(each) for each in found.values()})


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
