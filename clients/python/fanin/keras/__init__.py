"""Keras 3, on any of its backends: initializers, models filled, and recipes of models."""

from fanin.errors import ModuleError, RecordError, needed

try:
    import keras  # noqa: F401
except ModuleNotFoundError as error:
    raise needed("keras", error) from None
from fanin.keras import initializers
from fanin.keras.models import init_
from fanin.keras.recording import record
from fanin.recording.literals import Recording

__all__ = ["ModuleError", "RecordError", "Recording", "init_", "initializers", "record"]
