"""Signatures of artifacts beside the tools of others: model-signing, in-toto's and securesystemslib's.

It needs `pip install --group model-signing`. No socket is opened.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.documents import PROVENANCE, SIGNATURE
from fanin.artifact.signatures.private_keys import load_key
from fanin.artifact.signatures.signing import sign, verify_signature
from fanin.errors import SignatureError
from tests.artifact import test_signing as ours

pytestmark = pytest.mark.soak("signatures")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture(params=ours.CURVES)
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a PEM file with a private key of each curve; beside it is public.pem."""
    key = ours.write_key(tmp_path / "key.pem", ec.generate_private_key(ours.CURVES[request.param]))
    (tmp_path / "public.pem").write_bytes(ours.public(key))
    return key


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return ours.make(tmp_path / "step-0")


def test_model_signing_verifies(artifact: Path, key: Path) -> None:
    """model-signing verifies a signature by Fanin. Both refuse the same changes of the files and of the statement."""
    from tests.artifact.golden import verify

    signature, public = artifact / SIGNATURE, key.with_name("public.pem")
    sign(artifact, key)
    verify(artifact, signature, public)
    for change in (ours._flip, ours._add, ours._remove, ours._other_recipe, ours._tampered_provenance):
        changed = shutil.copytree(artifact, artifact.with_name(change.__name__))
        change(changed, key)
        with pytest.raises(ValueError, match="Signature mismatch"):
            verify(changed, changed / SIGNATURE, public)
        with pytest.raises(SignatureError):
            verify_signature(changed, public)
    changed = shutil.copytree(artifact, artifact.with_name("statement"))
    ours._tampered_statement(changed, key)
    with pytest.raises(InvalidSignature):
        verify(changed, changed / SIGNATURE, public)


def test_signatures_of_model_signing(artifact: Path, key: Path) -> None:
    """A signature by model-signing is verified here, with a provenance and without one."""
    from tests.artifact.golden import sign_by_model_signing

    public = key.with_name("public.pem")
    sign_by_model_signing(artifact, artifact / SIGNATURE, key)
    assert verify_signature(artifact, public).provenance is None
    ours._flip(artifact, key)
    with pytest.raises(SignatureError, match=f"{ours.SHARDS[1]} has SHA-256"):
        verify_signature(artifact, public)


def test_provenance(artifact: Path, key: Path) -> None:
    """The envelope is one of DSSE for securesystemslib, and the predicate is SLSA v1 for in-toto."""
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

    sign(artifact, key, builder="https://example.com/builds/weights")
    public = serialization.load_pem_public_key(load_key(key).public_pem)
    envelope = Envelope.from_dict(json.loads((artifact / PROVENANCE).read_bytes()))
    name = hashlib.sha256(load_key(key).public_pem).hexdigest()
    assert envelope.verify([SSlibKey.from_crypto(public, keyid=name)], 1).keys() == {name}
    message = json_format.Parse(envelope.payload, StatementMessage())  # refuses unknown members
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(json_format.MessageToDict(message.predicate), Provenance())
    assert predicate.build_definition.build_type == "urn:fanin:build:recipe:v1"
    assert predicate.build_definition.external_parameters["seed"] == str(2**64 - 1)
    assert predicate.run_details.builder.id == "https://example.com/builds/weights"
