"""Private keys in PKCS#11 tokens (HSMs, smart cards), named by URIs of RFC 7512."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pkcs11
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from pkcs11.util.ec import encode_ec_public_key

from fanin.artifact.signatures.keys import PASSPHRASE, SigningKey, hash_of

_lock = threading.Lock()
_PATH = frozenset({"token", "serial", "object", "id", "type", "slot-id"})
_QUERY = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True)
class Uri:
    """The attributes of a `pkcs11:` URI that choose a library, a token and a key."""

    module: str
    """Path of the token's PKCS#11 library."""
    token: str | None = None
    """Label of the token."""
    serial: bytes | None = None
    """Serial number of the token."""
    slot: int | None = None
    """Number of the token's slot."""
    label: str | None = None
    """Label of the key."""
    id: bytes | None = None
    """Identifier of the key."""
    pin_file: str | None = None
    """File with the PIN."""

    @classmethod
    def of(cls, text: str) -> Uri:
        """Return the attributes of a URI.

        Raises:
            ValueError: it is not such a URI, or has an attribute that is not supported.
        """
        path, _, query = text.removeprefix("pkcs11:").partition("?")
        given = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
        if "module-path" not in given:
            raise ValueError(f"{text}: module-path is missing; it is the path of the token's PKCS#11 library")
        if not {"object", "id"} & given.keys():
            raise ValueError(f"{text}: object or id is missing; it names the private key in the token")
        if given.get("type", b"private") != b"private":
            raise ValueError(f"{text}: type is {given['type'].decode()}; allowed is private")
        slot = given.get("slot-id")
        if slot is not None and not slot.isdigit():
            raise ValueError(f"{text}: slot-id is {slot.decode()}; allowed is an integer")
        texts = {name: value.decode() for name, value in given.items() if name not in ("id", "serial")}
        pin = texts.get("pin-source")
        return cls(
            module=texts["module-path"],
            token=texts.get("token"),
            serial=given.get("serial"),
            slot=None if slot is None else int(slot),
            label=texts.get("object"),
            id=given.get("id"),
            pin_file=None if pin is None else pin.removeprefix("file://").removeprefix("file:"),
        )


def _attributes(text: str, separator: str, allowed: frozenset[str]) -> dict[str, bytes]:
    given: dict[str, bytes] = {}
    for each in filter(None, text.split(separator)):
        name, equals, value = each.partition("=")
        if name == "pin-value":
            # Other users of the machine see the arguments of a process.
            raise ValueError(
                f"pin-value in a pkcs11 URI is not supported: set {PASSPHRASE}, or use pin-source=file:PATH"
            )
        if not equals or name not in allowed or name in given:
            raise ValueError(f"{each!r} in a pkcs11 URI: allowed are, once each, {', '.join(sorted(allowed))}")
        if re.search(r"%(?![0-9a-fA-F]{2})", value):
            raise ValueError(f"{each!r} in a pkcs11 URI: % needs two hexadecimal digits")
        given[name] = unquote_to_bytes(value)
    return given


def load_key(text: str, pin: str | None) -> SigningKey:
    """Return the private key that the URI names. Its token makes the signatures.

    Raises:
        ValueError: the URI, the library, the token, the PIN or the key is wrong.
    """
    uri = Uri.of(text)
    if uri.pin_file is not None:
        pin = Path(uri.pin_file).read_text().strip()
    if not pin:
        raise ValueError(f"the PIN of the token is missing: set {PASSPHRASE}, or use pin-source=file:PATH in the URI")
    with _opened(uri, text, pin) as (_, public):
        key = _public(public)
    algorithm = hash_of(key, text)

    def sign(data: bytes) -> bytes:
        with _opened(uri, text, pin) as (private, _):
            return _sign(private, data, algorithm)

    return SigningKey(key, sign)


@contextmanager
def _opened(uri: Uri, text: str, pin: str) -> Iterator[tuple[Any, Any]]:
    """Yield the private and the public key in a session.

    A process is logged in to a token once, for all its sessions. So a session is short, and one at a time is open.
    """
    try:
        with _lock, _token(uri).open(user_pin=pin) as session:
            private, public = (
                session.get_key(object_class=kind, key_type=pkcs11.KeyType.EC, label=uri.label, id=uri.id)
                for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY)
            )
            yield private, public
    except pkcs11.NoSuchKey:
        raise ValueError(f"{text}: the token has no EC key with a public key under this object and id") from None
    except pkcs11.MultipleObjectsReturned:
        raise ValueError(f"{text}: the token has several such keys; give object and id") from None
    except pkcs11.PKCS11Error as error:
        raise ValueError(f"{text}: {type(error).__name__} {error}".rstrip()) from None


def _token(uri: Uri) -> Any:
    try:
        library = pkcs11.lib(uri.module)
    except RuntimeError as error:
        raise ValueError(f"module-path {uri.module} is not a PKCS#11 library: {error}") from None
    found = [
        token
        for slot in library.get_slots(token_present=True)
        if uri.slot is None or slot.slot_id == uri.slot
        if pkcs11.TokenFlag.TOKEN_INITIALIZED in (token := slot.get_token()).flags
        if uri.token is None or token.label == uri.token
        if uri.serial is None or token.serial == uri.serial
    ]
    if len(found) != 1:
        raise ValueError(
            f"the PKCS#11 library {uri.module} has {len(found)} tokens that fit the URI; exactly 1 is allowed"
        )
    return found[0]


def _public(key: pkcs11.PublicKey) -> ec.EllipticCurvePublicKey:
    loaded = serialization.load_der_public_key(encode_ec_public_key(key))
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    return loaded


def _sign(key: Any, text: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    """Return the signature in DER. A token signs the digest, and returns two numbers of equal size."""
    hasher = hashes.Hash(algorithm)
    hasher.update(text)
    pair = key.sign(hasher.finalize(), mechanism=pkcs11.Mechanism.ECDSA)
    half = len(pair) // 2
    return utils.encode_dss_signature(int.from_bytes(pair[:half]), int.from_bytes(pair[half:]))
