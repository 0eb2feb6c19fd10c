"""Opens the model store that the settings name, and stores the models that the service is shipped with."""

from __future__ import annotations

from pathlib import Path

from fanin.file import archive
from fanin_service.models import names
from fanin_service.models.away import GuardedObjects
from fanin_service.models.catalogue import StoreWithCatalogue
from fanin_service.models.content import Content
from fanin_service.models.errors import ModelError, UploadsRefusedError
from fanin_service.models.names import RECIPE
from fanin_service.models.objects import DirectoryObjects, Objects, ObjectsError
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, SettingsError, variable


def open_store(settings: Settings) -> ModelStore:
    """Open the model store that the settings name, and store the models there that the service is shipped with.

    Raises:
        SettingsError: the store cannot be used, or a shipped model cannot be stored.
    """
    try:
        kind = StoreWithCatalogue if settings.catalogue else ModelStore
        store = kind(_objects(settings.model_store), settings.model_store_bytes)
        _ = store.names()  # report an unreadable store at the start
        if settings.models is not None:
            _ship(settings.models, store, settings)
    except ObjectsError as error:
        raise SettingsError([f"{variable('model_store')}: {error}"]) from None
    return store


def _objects(place: str | None) -> Objects:
    if place is None:
        return DirectoryObjects()
    if "://" in place:
        from fanin_service.models.bucket import BucketObjects  # needs an optional package

        return GuardedObjects(BucketObjects(place))
    try:
        # Create the directory at the start: an error is then one of the settings, and not of the first upload.
        Path(place).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ObjectsError(str(error)) from error
    return DirectoryObjects(Path(place))


def _ship(directory: Path, store: ModelStore, settings: Settings) -> None:
    """Store the models of this directory. A model's name is the path of its directory: `name` or `namespace/name`."""
    recipes = sorted([*directory.glob(f"[!.]*/{RECIPE}"), *directory.glob(f"[!.]*/[!.]*/{RECIPE}")])
    if not recipes:
        raise SettingsError([f"{variable('models')}: {directory} has no namespace/name/{RECIPE}"])
    for recipe in recipes:
        name = recipe.parent.relative_to(directory).as_posix()
        try:
            if fault := names.new_fault(name):
                raise ModelError(fault)
            store.put(name, Content.put(archive.files_of_model(recipe.parent), settings))
        except (ModelError, UploadsRefusedError, ValueError, OSError) as error:
            raise SettingsError([f"{variable('models')}: {recipe.parent}: {error}"]) from None
