"""Keys of elliptic curves that sign artifacts: from PEM files, and through PKCS#11."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.errors import MissingPackageError

HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
"""The hash of a signature by the curve of its key, as the specification of Sigstore's bundles pairs them."""
PASSPHRASE = "FANIN_SIGNING_PASSPHRASE"  # nosec (the name of a variable)
"""Environment variable with the passphrase of an encrypted PEM file, or the PIN of a PKCS#11 token."""
_ALLOWED = "allowed are keys of the curves P-256, P-384 and P-521"


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


def load_key(source: str | os.PathLike[str], passphrase: str | None = None) -> SigningKey:
    """Return the private key in a PEM file, or the one that a `pkcs11:` URI (RFC 7512) names.

    `passphrase` decrypts the file, or is the PIN of the token. Without it, the environment variable
    FANIN_SIGNING_PASSPHRASE is read.

    Raises:
        ValueError: it is not a private key of a supported curve, or the passphrase is missing or wrong.
        OSError: the file cannot be read.
        MissingPackageError: PKCS#11 needs the package of the extra `pkcs11`.
    """
    passphrase = os.environ.get(PASSPHRASE) if passphrase is None else passphrase
    if isinstance(source, str) and source.startswith("pkcs11:"):
        try:
            from fanin.artifact import pkcs11
        except ModuleNotFoundError as error:
            how = "in a checkout of Fanin, run: pip install '.[pkcs11]'"
            raise MissingPackageError(f"a pkcs11 URI needs the package python-pkcs11; {how}", name=error.name) from None
        return pkcs11.load_key(source, passphrase)
    return _of_pem(os.fspath(source), Path(source).read_bytes(), passphrase)


def _of_pem(name: str, pem: bytes, passphrase: str | None) -> SigningKey:
    # A passphrase in the environment may be meant for another key: only an encrypted file gets it.
    is_encrypted = b"ENCRYPTED" in pem
    if is_encrypted and not passphrase:
        raise ValueError(f"{name}: the private key is encrypted; its passphrase is expected in {PASSPHRASE}")
    try:
        key = serialization.load_pem_private_key(pem, passphrase.encode() if is_encrypted and passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = "the passphrase is wrong, or the file is damaged" if is_encrypted else "not a private key in PEM"
        raise ValueError(f"{name}: {what} ({error})") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{name}: the private key is not one of an elliptic curve; {_ALLOWED}")
    algorithm = ec.ECDSA(hash_of(key.public_key(), name))
    return SigningKey(key.public_key(), lambda text: key.sign(text, algorithm))


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
        raise ValueError(f"{name}: the public key is not one of an elliptic curve; {_ALLOWED}")
    hash_of(key, name)
    return key


def hash_of(key: ec.EllipticCurvePublicKey, name: str = "the key") -> hashes.HashAlgorithm:
    """Return the hash of signatures by this key.

    Raises:
        ValueError: the curve is not supported.
    """
    if key.curve.name not in HASHES:
        raise ValueError(f"{name}: the curve is {key.curve.name}; {_ALLOWED}")
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
