"""Private keys, wherever they are: in PEM files and in PKCS#11 tokens."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.signatures.keys import ALLOWED, PASSPHRASE, SigningKey, hash_of
from fanin.errors import MissingPackageError


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
            from fanin.artifact.signatures import pkcs11
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
        raise ValueError(f"{name}: the private key is not one of an elliptic curve; {ALLOWED}")
    algorithm = ec.ECDSA(hash_of(key.public_key(), name))
    return SigningKey(key.public_key(), lambda text: key.sign(text, algorithm))
