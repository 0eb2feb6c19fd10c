"""`fanin slice`: a part of one tensor, as a NumPy file."""

from __future__ import annotations

import argparse
import re
import sys
from types import EllipsisType

from fanin.cli import options as shared
from fanin.cli.overwriting import check_output, inputs

HELP = (
    "Write a part of one tensor as a NumPy file (.npy). Only its elements are generated or fetched. INDEX is as in"
    " NumPy: 5, 0:10, ::2, ... and several of them with commas, such as '0:10,:,3'. A NumPy file has no BF16 and no F8:"
    " their values are written as float32, exactly. Put -- before an INDEX that begins with a minus sign."
)


_NUMBER = re.compile(r"(?:[+-]?[0-9]{1,30})?")
"""An integer, without what else `int` takes: underscores, and the digits of other scripts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_recipe(parser)
    parser.add_argument("name", metavar="NAME", help="name of the tensor")
    parser.add_argument("index", metavar="INDEX", nargs="?", default="...", help="integers and slices (all of it)")
    shared.add_output(parser)
    shared.add_backend(parser)
    shared.add_quiet(parser)
    shared.add_fetching(parser, where="local")


def run(options: argparse.Namespace) -> int:
    """Write the array; return the exit code."""
    import numpy as np

    from fanin.file.atomic import replacing

    check_output("--output", options.output, inputs(options))
    layout = shared.layout_of(options)
    index = index_of(options.index)
    if options.name not in layout.recipe.tensors:
        names = list(layout.recipe.tensors)
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise ValueError(f"the recipe has no tensor {options.name}; it has {shown}")
    with shared.client(options) as client:
        array = client.slice(layout, options.name, index)
    dtype = layout.entry(options.name).dtype
    if hasattr(array, "get"):
        array = array.get()  # CuPy's copy to memory of the host
    if array.dtype.isbuiltin != 1:  # not by its kind: that of float8_e5m2 is "f", too
        array = array.astype(np.float32)
    with shared.target(options.output) as path, replacing(path) as file:
        # `np.save` hides the error of a full disk: "320 requested and 0 written".
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)
    if not options.quiet:
        is_piped = shared.is_standard(options.output)
        print(
            f"{'standard output' if is_piped else options.output}: {options.name}[{options.index}], {dtype.name} as"
            f" {array.dtype}, shape {array.shape}, {array.nbytes} bytes, recipe {layout.recipe.digest}",
            file=sys.stderr if is_piped else sys.stdout,
        )
    return 0


def index_of(text: str) -> tuple[int | slice | EllipsisType, ...]:
    """Return the index that a text such as `0:10,:,3` spells.

    Raises:
        ValueError: it is not one.
    """
    return tuple(_part(part.strip()) for part in text.split(","))


def _part(text: str) -> int | slice | EllipsisType:
    if text == "...":
        return ...
    numbers = [number.strip() for number in text.split(":")]
    if all(_NUMBER.fullmatch(number) for number in numbers):
        if len(numbers) == 1 and text:
            return int(text)
        if 1 < len(numbers) <= 3:
            return slice(*(int(number) if number else None for number in numbers))
    raise ValueError(f"index: {text!r} is not an integer, a slice such as 0:10 or ::2, or ...")
