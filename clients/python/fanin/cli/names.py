"""Names of the catalogue's models, in place of the file of a recipe."""

from __future__ import annotations

from pathlib import Path

from fanin.models import CatalogueModel


def model_of(source: str, *, takes_directory: bool = False) -> CatalogueModel | None:
    """Return the model of the catalogue that a command's argument names; None if it names none.

    Raises:
        ValueError: the argument is a file, too, or a directory if the command takes one.
    """
    from fanin import models

    name = source.removeprefix(models.NAMESPACE)
    if name not in models.names():
        return None
    path = Path(source)
    if path.is_file() or (takes_directory and path.is_dir()):
        other = name if name != source else f"{models.NAMESPACE}{name}"
        kind = "file" if path.is_file() else "directory"
        raise ValueError(f"{source} is both a {kind} and a model of the catalogue: use ./{source} or {other}")
    return models.get(name)


def path_of(source: str) -> str:
    """Return the path of the file that a command's argument names, which may be a model of the catalogue.

    Raises:
        ValueError: the argument is both a file and a model.
    """
    model = model_of(source)
    return source if model is None else str(model.path)


def check_known(source: str) -> None:
    """Check an argument that does not name a file: it may be a wrong name of a model.

    Raises:
        ValueError: it looks like the name of a model. The message lists near names.
    """
    from fanin import models

    is_path = Path(source).suffix in (".json", ".safetensors") or "/" in source.removeprefix(models.NAMESPACE)
    similar = [] if is_path else models.near(source)
    if similar:
        raise ValueError(
            f"{source} is neither a file nor a model of the catalogue; did you mean {' or '.join(similar)}?"
        )
