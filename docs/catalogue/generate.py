"""Writes the models of the catalogue: their recipes, configurations and sizes, and the table in docs/catalogue.md.

    python -m docs.catalogue.generate

Each recipe is recorded from the model class of transformers or diffusers, which takes a minute or two for all of them.
A model whose number of parameters is not the published one is an error. Names on the command line select models.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from docs.catalogue import page
from docs.catalogue.model import Model
from docs.catalogue.page import ALL
from fanin.file import shards
from fanin.models import CONFIG, INDEX, LITERALS, MODELS, RECIPE
from fanin.recipe import as_recipe, formatting
from fanin.torch import record

_UNITS = {"M": 10**6, "B": 10**9}


def agrees(parameters: int, published: str) -> bool:
    """Return whether a number of parameters, rounded to the digits of the published number, is that number."""
    number = Decimal(published[:-1])
    return (Decimal(parameters) / _UNITS[published[-1]]).quantize(number, ROUND_HALF_UP) == number


def document_of(model: Model) -> dict[str, Any]:
    """Return the config.json of a model."""
    if model.library == "diffusers":
        fields = {name: value for name, value in model.config.items() if name != "dtype"}
        return {"_class_name": model.architecture, **fields}
    import transformers

    model_type = getattr(transformers, model.architecture).config_class.model_type
    return {"architectures": [model.architecture], "model_type": model_type, **model.config}


def builder_of(model: Model) -> Callable[[], Any]:
    """Return a function that builds a model in its own storage type."""
    import torch

    document = document_of(model)
    if model.library == "diffusers":
        import diffusers

        built, dtype = getattr(diffusers, model.architecture), getattr(torch, model.config["dtype"])
        return lambda: torch.nn.Module.to(built.from_config(document), dtype)  # that of diffusers logs a warning
    import transformers

    config = transformers.AutoConfig.for_model(**{key: document[key] for key in document if key != "architectures"})
    return lambda: getattr(transformers, model.architecture)._from_config(config)


def write(name: str, model: Model, directory: Path) -> dict[str, Any]:
    """Write the files of a model and return its entry in the index.

    Raises:
        ValueError: the number of parameters is not the published one, or literals of the model depend on the seed.
    """
    import torch

    build = builder_of(model)
    recording = record(build)
    if recording.norms:
        raise ValueError(f"{name}: {next(iter(recording.norms))} depends on the seed and is not in the recipe")
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in build().parameters())
    if model.published and not agrees(parameters, model.published):
        raise ValueError(f"{name}: {parameters} parameters; published are {model.published}")
    directory.mkdir(parents=True)
    (directory / CONFIG).write_text(json.dumps(document_of(model), indent=1) + "\n")
    # The seed is the user's.
    (directory / RECIPE).write_text(formatting.text(recording.recipe).replace('  "seed": "0",\n', "", 1))
    literals = recording.literals_file()
    if literals is not None:
        (directory / LITERALS).write_bytes(literals)
    recipe = json.loads((directory / RECIPE).read_text())
    return {
        "library": model.library,
        "architecture": model.architecture,
        "reads": model.kind,
        "parameters": parameters,
        "bf16_bytes": sum(map(shards.bytes_of, as_recipe(recipe | {"dtype": "BF16"}).tensors.values()))
        + sum(literal.nbytes for literal in recording.literals.values()),
        "dtype": recipe["dtype"],
    }


def main(names: list[str]) -> None:
    """Write these models, or all of them and the page."""
    warnings.filterwarnings("ignore")
    path = MODELS / INDEX
    index: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for old in MODELS.iterdir():
        if old.is_dir() and (old.name in names or not names):
            shutil.rmtree(old)
    faults = []
    for name in names or ALL:
        try:
            index[name] = write(name, ALL[name], MODELS / name)
            print(name, index[name]["parameters"], ALL[name].published)
        except Exception as error:
            faults.append(f"{name}: {type(error).__name__}: {error}")
            print(faults[-1])
    index = {name: index[name] for name in ALL if name in index}
    path.write_text("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(index[n])}" for n in index) + "\n}\n")
    page.PAGE.write_text(page.page(), "utf-8")
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main(sys.argv[1:])
