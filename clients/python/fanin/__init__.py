"""Fanin: initial weights for neural networks from a recipe and a seed, the same bits on every machine.

>>> import fanin
>>> weights = fanin.materialize({"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42})
>>> weights["weight"].shape
(784, 10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanin import artifact as artifact
    from fanin import backends
    from fanin import jax as jax
    from fanin import keras as keras
    from fanin import models as models
    from fanin import torch as torch
    from fanin.arrays import materialize, slice
    from fanin.client.artifacts import ArtifactStatus, AsyncRemoteArtifact, RemoteArtifact
    from fanin.client.async_client import AsyncClient
    from fanin.client.client import Client
    from fanin.description import describe
    from fanin.errors import (
        ArtifactError,
        BackendError,
        BusyError,
        ConflictError,
        ConnectionLostError,
        DestinationError,
        EngineError,
        FaninError,
        Fault,
        FileError,
        IncompleteError,
        MismatchError,
        MissingPackageError,
        NotBegunError,
        RecipeError,
        RefusedError,
        ServiceError,
        SignatureError,
        UnavailableError,
        UnreachableError,
    )
    from fanin.file.disk import Verified, save, verify
    from fanin.file.layout import FileLayout
    from fanin.file.loading import Loaded, load
    from fanin.initializers import (
        alibi_slopes,
        arange,
        batch_norm_beta,
        batch_norm_gamma,
        batch_norm_moving_mean,
        batch_norm_moving_variance,
        bilinear,
        blocks,
        constant,
        deepnorm,
        delta_orthogonal,
        dirac,
        dt_bias,
        eye,
        fan_uniform,
        fixup,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        hippo_legs,
        identity,
        kaiming_normal,
        kaiming_uniform,
        lecun_normal,
        lecun_uniform,
        log_of_uniform,
        log_range,
        logit_of_uniform,
        lru_nu,
        mamba2_a_log,
        mamba_a_log,
        mamba_dt_bias,
        normal,
        ones,
        orthogonal,
        power_range,
        quantized,
        retention_decay,
        rg_lru,
        rope_frequencies,
        rwkv_decay,
        s4d_inv,
        scaled_normal,
        sinusoidal,
        siren,
        small_init,
        sparse,
        spectral_mup,
        stft,
        subln,
        t_fixup,
        truncated_normal,
        uniform,
        variance_scaling,
        wang_init,
        xavier_normal,
        xavier_uniform,
        zeros,
    )
    from fanin.inspection.inspecting import inspect
    from fanin.inspection.results import Finding, Inspection, LayerReport, TensorReport
    from fanin.recipe import Recipe, as_recipe
    from fanin.schemes import catalogue

    __version__: str

__all__ = [
    "ArtifactError",
    "ArtifactStatus",
    "AsyncClient",
    "AsyncRemoteArtifact",
    "BackendError",
    "BusyError",
    "Client",
    "ConflictError",
    "ConnectionLostError",
    "DestinationError",
    "EngineError",
    "FaninError",
    "Fault",
    "FileError",
    "FileLayout",
    "Finding",
    "IncompleteError",
    "Inspection",
    "LayerReport",
    "Loaded",
    "MismatchError",
    "MissingPackageError",
    "NotBegunError",
    "Recipe",
    "RecipeError",
    "RefusedError",
    "RemoteArtifact",
    "ServiceError",
    "SignatureError",
    "TensorReport",
    "UnavailableError",
    "UnreachableError",
    "Verified",
    "alibi_slopes",
    "arange",
    "as_recipe",
    "backends",
    "batch_norm_beta",
    "batch_norm_gamma",
    "batch_norm_moving_mean",
    "batch_norm_moving_variance",
    "bilinear",
    "blocks",
    "catalogue",
    "constant",
    "deepnorm",
    "delta_orthogonal",
    "describe",
    "dirac",
    "dt_bias",
    "eye",
    "fan_uniform",
    "fixup",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "hippo_legs",
    "identity",
    "inspect",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "load",
    "log_of_uniform",
    "log_range",
    "logit_of_uniform",
    "lru_nu",
    "mamba2_a_log",
    "mamba_a_log",
    "mamba_dt_bias",
    "materialize",
    "normal",
    "ones",
    "orthogonal",
    "power_range",
    "quantized",
    "retention_decay",
    "rg_lru",
    "rope_frequencies",
    "rwkv_decay",
    "s4d_inv",
    "save",
    "scaled_normal",
    "sinusoidal",
    "siren",
    "slice",
    "small_init",
    "sparse",
    "spectral_mup",
    "stft",
    "subln",
    "t_fixup",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "verify",
    "wang_init",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


_HOMES = {
    "arrays": ("materialize", "slice"),
    "client.artifacts": ("ArtifactStatus", "AsyncRemoteArtifact", "RemoteArtifact"),
    "client.async_client": ("AsyncClient",),
    "client.client": ("Client",),
    "errors": (
        "ArtifactError",
        "BackendError",
        "BusyError",
        "ConflictError",
        "ConnectionLostError",
        "DestinationError",
        "EngineError",
        "FaninError",
        "Fault",
        "FileError",
        "IncompleteError",
        "MismatchError",
        "MissingPackageError",
        "NotBegunError",
        "RecipeError",
        "RefusedError",
        "ServiceError",
        "SignatureError",
        "UnavailableError",
        "UnreachableError",
    ),
    "description": ("describe",),
    "file.disk": ("Verified", "save", "verify"),
    "file.layout": ("FileLayout",),
    "file.loading": ("Loaded", "load"),
    "inspection.inspecting": ("inspect",),
    "inspection.results": ("Finding", "Inspection", "LayerReport", "TensorReport"),
    "recipe": ("Recipe", "as_recipe"),
    "schemes": ("catalogue",),
}
"""Module of each public name that is not in `fanin.initializers`."""
_PACKAGES = ("artifact", "backends", "initializers", "jax", "keras", "models", "torch")
"""Packages that are imported when they are named: `import fanin` and then `fanin.torch`."""


# Not for type checkers: they would accept every misspelt name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is used first: NumPy and pydantic take time, and not every program needs all."""
        if name == "__version__":
            from importlib.metadata import version

            return version("fanin")
        if name in _PACKAGES:
            try:
                return import_module(f"fanin.{name}")
            except ModuleNotFoundError as error:
                if error.name != name:
                    raise
                raise AttributeError(f"{error}") from error
        if name in __all__:
            home = next((home for home, names in _HOMES.items() if name in names), "initializers")
            value = globals()[name] = getattr(import_module(f"fanin.{home}"), name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
