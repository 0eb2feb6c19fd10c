"""Schemes: the named initializers. Each is a formula that lowers a tensor's parameters to a draw.

A scheme is one model. Its fields are the parameters that a recipe may set; `lower` is the formula. No code below this
package knows a scheme's name.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Discriminator

from fanin.schemes.base import Tensor
from fanin.schemes.blocks import Blocks
from fanin.schemes.constants import Constant, Ones, Zeros
from fanin.schemes.depth import DeepNorm, Fixup, ScaledNormal, SmallInit, SubLN, TFixup, WangInit
from fanin.schemes.distributions import Normal, Sparse, TruncatedNormal, Uniform
from fanin.schemes.integers import Arange
from fanin.schemes.matrices import DeltaOrthogonal, Dirac, Eye, Orthogonal
from fanin.schemes.positions import AlibiSlopes, RetentionDecay, RopeFrequencies
from fanin.schemes.quantized import Quantized
from fanin.schemes.recurrences import DtBias, LogitOfUniform, LogUniform, LruNu, RgLru
from fanin.schemes.scaling import (
    FanUniform,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Siren,
    SpectralMup,
    VarianceScaling,
)
from fanin.schemes.state_spaces import HippoLegs, S4dInv
from fanin.schemes.tables import Bilinear, LogRange, PowerRange
from fanin.schemes.waves import Sinusoidal, Stft

AnyTensor = Annotated[
    Zeros
    | Ones
    | Constant
    | Uniform
    | Normal
    | TruncatedNormal
    | VarianceScaling
    | GlorotUniform
    | GlorotNormal
    | HeUniform
    | HeNormal
    | LecunUniform
    | LecunNormal
    | FanUniform
    | Siren
    | ScaledNormal
    | SmallInit
    | WangInit
    | DeepNorm
    | SubLN
    | Fixup
    | Eye
    | Dirac
    | LogRange
    | RopeFrequencies
    | AlibiSlopes
    | Bilinear
    | Blocks
    | Orthogonal
    | DeltaOrthogonal
    | Sparse
    | LogUniform
    | DtBias
    | RgLru
    | PowerRange
    | Sinusoidal
    | Stft
    | Arange
    | SpectralMup
    | TFixup
    | RetentionDecay
    | HippoLegs
    | S4dInv
    | LruNu
    | LogitOfUniform
    | Quantized,
    Discriminator("scheme"),
]

SCHEMES: dict[str, type[Tensor]] = {cls.names()[0]: cls for cls in get_args(get_args(AnyTensor)[0])}
"""Every scheme by its name."""
ALIASES: dict[str, str] = {alias: cls.names()[0] for cls in SCHEMES.values() for alias in cls.names()[1:]}
"""Other names of schemes."""


def catalogue() -> list[dict[str, Any]]:
    """Return every scheme as a JSON value.

    Each has `scheme` (its name), `aliases`, `description`, `formula` (the distribution of an element), `source` (where
    the formula comes from) and `parameters` (the JSON schema of each parameter, by name).

        >>> [entry["scheme"] for entry in catalogue()][:3]
        ['zeros', 'ones', 'constant']
    """
    common = set(Tensor.model_fields)
    entries = []
    for name, cls in SCHEMES.items():
        properties = cls.model_json_schema()["properties"]
        entries.append(
            {
                "scheme": name,
                "aliases": list(cls.names()[1:]),
                "description": cls.__doc__,
                "formula": cls.formula,
                "source": cls.source,
                "parameters": {field: schema for field, schema in properties.items() if field not in common},
            }
        )
    return entries
