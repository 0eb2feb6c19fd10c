"""An artifact to sign, and keys that sign it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact import making
from fanin.artifact.signatures.private_keys import load_key

RECIPE = {
    "seed": 2**64 - 1,
    "tensors": {
        "a": {"shape": [40, 10], "scheme": "glorot_uniform"},
        "b": {"shape": [300], "scheme": "normal", "std": 0.02},
    },
}
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
GOLDEN = Path(__file__).parents[1] / "artifact" / "golden"
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def make(path: Path, recipe: dict[str, Any] = RECIPE) -> Path:
    making.make(recipe, path, shard_bytes=1300, files={"config.json": b"{}"})
    return path


def write_key(path: Path, key: Any, passphrase: str | None = None) -> Path:
    """Write a private key to a PEM file, and return its path."""
    encryption = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    return path


def public(key: Path) -> bytes:
    return load_key(key).public_pem
