"""Opening: the model store that the settings name, and the models that a service is shipped with."""

from __future__ import annotations

from pathlib import Path

from fanin import RecipeError
from fanin_service.models import names
from fanin_service.models.away import GuardedObjects
from fanin_service.models.content import Content
from fanin_service.models.errors import ModelError
from fanin_service.models.names import RECIPE
from fanin_service.models.objects import DirectoryObjects, Objects, ObjectsError
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, SettingsError, variable


def open_store(settings: Settings) -> ModelStore:
    """Open the model store that the settings name, and put the models there that the service is shipped with.

    Raises:
        SettingsError: the store cannot be used, or a model that is shipped cannot be kept.
    """
    try:
        store = ModelStore(_objects(settings.model_store), settings.model_store_bytes)
        _ = store.names()  # a store that cannot be read is told of now
        if settings.models is not None:
            _ship(settings.models, store, settings)
    except ObjectsError as error:
        raise SettingsError([f"{variable('model_store')}: {error}"]) from None
    return store


def _objects(place: str | None) -> Objects:
    if place is None:
        return DirectoryObjects()
    if "://" in place:
        from fanin_service.models.bucket import BucketObjects  # of a package that not every service has

        return GuardedObjects(BucketObjects(place))
    try:
        # A directory that cannot be made is an error of the settings, told at the start and not at the first put.
        Path(place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ObjectsError(str(error)) from error
    return DirectoryObjects(Path(place))


def _ship(directory: Path, store: ModelStore, settings: Settings) -> None:
    """Put what is in this directory, as a name's first part, if it has two, and its last."""
    recipes = sorted([*directory.glob(f"*/{RECIPE}"), *directory.glob(f"*/*/{RECIPE}")])
    if not recipes:
        raise SettingsError([f"{variable('models')}: {directory} has no namespace/name/{RECIPE}"])
    for recipe in recipes:
        name = recipe.parent.relative_to(directory).as_posix()
        try:
            if not names.is_model(name):
                raise ModelError(names.RULE)
            store.put(name, Content.put(_read(recipe.parent), settings))
        except (ModelError, RecipeError, OSError) as error:
            raise SettingsError([f"{variable('models')}: {recipe.parent}: {error}"]) from None


def _read(directory: Path) -> dict[str, bytes]:
    """The files of a directory, by their paths in it."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
