"""Errors of named models."""

from __future__ import annotations

from fanin_service.errors import LaterError, RequestError


class UnknownModelError(RequestError):
    """No model has this name."""


class UnknownRevisionError(RequestError):
    """The model has no such revision or commit."""


class UnknownFileError(RequestError):
    """The revision has no file at this path."""


class UnknownBucketError(RequestError):
    """The bucket is not the one that has the models."""


class ModelError(RequestError):
    """The model cannot be stored."""


class UploadsRefusedError(RequestError):
    """The settings allow no change of the models, or of this one."""


class ModelsUnavailableError(LaterError):
    """The model store is unreachable."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the model store is currently unreachable", seconds)


class ModelStoreFullError(RequestError):
    """The model store has no space left."""
