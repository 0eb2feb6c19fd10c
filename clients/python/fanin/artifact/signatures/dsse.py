"""Signed statements: an in-toto Statement in a DSSE envelope, and that envelope in a Sigstore bundle.

The forms are those of in-toto Statement v1, DSSE v1.0 and the Sigstore bundle v0.3 (JSON).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, ValidationError

from fanin.artifact.signatures.keys import SigningKey, fingerprint, is_signed
from fanin.errors import SignatureError

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"

M = TypeVar("M", bound=BaseModel)


def _decoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("base64 is expected")
    try:
        # Protobuf's JSON allows both alphabets.
        return base64.b64decode(value.translate({ord("-"): "+", ord("_"): "/"}), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


Bytes = Annotated[
    bytes, BeforeValidator(_decoded), PlainSerializer(lambda value: base64.b64encode(value).decode(), return_type=str)
]


class Signature(BaseModel):
    """One signature of an envelope."""

    sig: Bytes
    keyid: str | None = ""


class Envelope(BaseModel):
    """A DSSE envelope with one signature."""

    payload: Bytes
    payload_type: Literal["application/vnd.in-toto+json"] = Field(alias="payloadType", default=PAYLOAD_TYPE)
    signatures: list[Signature] = Field(min_length=1, max_length=1)


class PublicKey(BaseModel):
    """The name of the key of the signature."""

    hint: str | None = None


class Material(BaseModel):
    """Further material for a verifier: the name of the key, which the verifier has."""

    public_key: PublicKey = Field(alias="publicKey")
    entries: list[Any] = Field(alias="tlogEntries", default=[])


class Bundle(BaseModel):
    """A Sigstore bundle v0.3 around an envelope, signed by a key that the verifier has."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = Field(alias="mediaType", default=BUNDLE_TYPE)
    material: Material = Field(alias="verificationMaterial")
    envelope: Envelope = Field(alias="dsseEnvelope")


class Subject(BaseModel):
    """A name and its digests, by algorithm."""

    name: str
    digest: dict[str, str]


class Statement(BaseModel):
    """An in-toto Statement v1. The predicate is what it says about the subjects."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type", default=STATEMENT_TYPE)
    subject: list[Subject]
    predicate_type: str = Field(alias="predicateType")
    predicate: dict[str, Any]


def seal(statement: Mapping[str, Any], key: SigningKey) -> Envelope:
    """Return the envelope of a statement, whose `_type` is added, signed by `key`."""
    payload = rfc8785.dumps({"_type": STATEMENT_TYPE, **statement})
    signature = Signature(sig=key.sign(_signed_text(payload)), keyid=fingerprint(key.public_key))
    return Envelope(payload=payload, signatures=[signature])


def bundle(envelope: Envelope, key: SigningKey) -> Bundle:
    """Return the bundle of an envelope that `key` signed."""
    material = Material(publicKey=PublicKey(hint=fingerprint(key.public_key)), tlogEntries=[])
    return Bundle(verificationMaterial=material, dsseEnvelope=envelope)


def text(document: BaseModel) -> bytes:
    """Return the canonical JSON of an envelope or a bundle."""
    return rfc8785.dumps(document.model_dump(by_alias=True))


def open_envelope(name: str, envelope: Envelope, public_key: ec.EllipticCurvePublicKey) -> Statement:
    """Return the statement in an envelope, once the signature is found to be of `public_key`. `name` is its file.

    Raises:
        SignatureError: the signature is not of this key, or is of another text.
    """
    if not is_signed(public_key, envelope.signatures[0].sig, _signed_text(envelope.payload)):
        raise SignatureError(
            f"{name}: the signature does not fit the statement: the statement or the signature was changed,"
            f" or it is not by the key {fingerprint(public_key)}",
            reason="signature",
        )
    return parse(name, Statement, envelope.payload)


def open_bundle(name: str, found: Bundle, public_key: ec.EllipticCurvePublicKey) -> Statement:
    """Return the statement in a bundle, as `open_envelope` does.

    Raises:
        SignatureError: it names another key, or `open_envelope` refuses its envelope.
    """
    hint = found.material.public_key.hint
    if hint and hint != fingerprint(public_key):
        raise SignatureError(
            f"{name}: signed by the key {hint}; the given public key is {fingerprint(public_key)}", reason="key"
        )
    return open_envelope(name, found.envelope, public_key)


def parse(name: str, kind: type[M], document: bytes | Mapping[str, Any]) -> M:
    """Return a document of this kind, given as JSON or as its values. `name` is its file.

    Raises:
        SignatureError: it is not JSON of this kind.
    """
    try:
        if isinstance(document, bytes):
            return kind.model_validate_json(document)
        return kind.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, details["loc"])) or "the document"
        raise SignatureError(f"{name}: {where}: {details['msg']}", reason="format") from None


def _signed_text(payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding of the type and the payload."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
