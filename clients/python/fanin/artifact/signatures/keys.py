"""Keys of elliptic curves that sign artifacts, and their public keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
"""The hash of a signature by the curve of its key, as the specification of Sigstore's bundles pairs them."""
PASSPHRASE = "FANIN_SIGNING_PASSPHRASE"  # nosec (the name of a variable)
"""Environment variable with the passphrase of an encrypted PEM file, or the PIN of a PKCS#11 token."""
ALLOWED = "allowed are keys of the curves P-256, P-384 and P-521"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, in memory or in a token."""

    public_key: ec.EllipticCurvePublicKey
    """Its public key."""
    sign: Callable[[bytes], bytes]
    """Return the ECDSA signature of a text in DER. The text is hashed by the hash of the curve."""

    @property
    def public_pem(self) -> bytes:
        """The public key in PEM, which verifiers need."""
        return public_pem(self.public_key)


def load_public_key(source: str | os.PathLike[str] | bytes | ec.EllipticCurvePublicKey) -> ec.EllipticCurvePublicKey:
    """Return the public key in a PEM file, or in the PEM itself as bytes.

    Raises:
        ValueError: it is not a public key of a supported curve.
        OSError: the file cannot be read.
    """
    if isinstance(source, ec.EllipticCurvePublicKey):
        hash_of(source, "the public key")
        return source
    name, pem = ("the public key", source) if isinstance(source, bytes) else (os.fspath(source), None)
    pem = Path(name).read_bytes() if pem is None else pem
    if b"PRIVATE KEY" in pem:
        raise ValueError(f"{name}: this is a private key; a verifier needs the public key in PEM")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{name}: not a public key in PEM ({error})") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(f"{name}: the public key is not one of an elliptic curve; {ALLOWED}")
    hash_of(key, name)
    return key


def hash_of(key: ec.EllipticCurvePublicKey, name: str = "the key") -> hashes.HashAlgorithm:
    """Return the hash of signatures by this key.

    Raises:
        ValueError: the curve is not supported.
    """
    if key.curve.name not in HASHES:
        raise ValueError(f"{name}: the curve is {key.curve.name}; {ALLOWED}")
    return HASHES[key.curve.name]()


def is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, text: bytes) -> bool:
    """Return whether `signature`, in DER, is this key's signature of `text`."""
    try:
        key.verify(signature, text, ec.ECDSA(hash_of(key)))
    except InvalidSignature:
        return False
    return True


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return the key in PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 of the key's PEM in hexadecimal digits, by which model signatures name their key."""
    return hashlib.sha256(public_pem(key)).hexdigest()
