"""Keras 3, on any of its backends: initializers, and models filled."""

from fanin.errors import ModuleError
from fanin.keras import initializers
from fanin.keras.models import init_

__all__ = ["ModuleError", "init_", "initializers"]
