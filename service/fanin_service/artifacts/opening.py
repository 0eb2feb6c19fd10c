"""Opens the destinations and the cluster that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines import engine_of
from fanin.errors import FaninError
from fanin_service.artifacts.below import Below
from fanin_service.artifacts.cluster import Cluster
from fanin_service.settings import Settings, SettingsError, variable


def open_destinations(settings: Settings) -> Mapping[str, Destination]:
    """Return the destinations of the settings, each with all its artifacts, by alias.

    A bucket is not contacted: the service starts also while it cannot be reached.

    Raises:
        SettingsError: one cannot be used.
    """
    found = {}
    for alias, place in settings.artifact_destinations.items():
        try:
            found[alias] = destination(place)
            if "://" not in place:
                # Create the directory at the start: an error is then one of the settings, and not of the first request.
                Path(place).mkdir(parents=True, exist_ok=True)
        except (FaninError, ValueError, OSError) as error:
            raise SettingsError([f"{variable('artifact_destinations')}: {alias}: {error}"]) from None
    return found


def open_cluster(settings: Settings) -> Cluster | None:
    """Return the cluster of the settings, which is not contacted; None for threads of this process.

    Raises:
        SettingsError: its package cannot be imported.
    """
    if settings.artifact_engine != "ray":
        return None
    address = settings.artifact_ray_address
    try:
        engine = engine_of("ray", address=address)
    except FaninError as error:
        raise SettingsError([f"{variable('artifact_engine')}: {error}"]) from None
    from fanin.artifact.engines.ray import connected  # needs an optional package

    return Cluster(engine, partial(connected, address))


def place_of(root: Destination, id: str) -> Destination:
    """Return the destination of one artifact, inside that of all."""
    if isinstance(root, Directory):
        # Unfinished files are then in the folder of their artifact, where also writers of other programs remove them.
        return destination(f"{root.url}/{id}")
    return Below(root, id)
