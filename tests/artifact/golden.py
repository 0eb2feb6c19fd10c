"""Write the golden signatures: `python -m tests.artifact.golden`, after `pip install --group model-signing`.

`golden/step-0` is an artifact without its signature and its weights, whose bits never change. `ours.sig` is a
signature by Fanin that model-signing accepts, `theirs.sig` one by model-signing. The key is for tests alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import model_signing
from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.documents import SIGNATURE
from fanin.artifact.signatures.signing import sign
from tests.support.signatures import GOLDEN, SHARDS, make, public, write_key


def verify(artifact: Path, signature: Path, public_key: Path) -> None:
    """Verify a signature by model-signing.

    Raises:
        ValueError: model-signing refuses it.
    """
    model_signing.verifying.Config().use_elliptic_key_verifier(public_key=public_key).verify(artifact, signature)


def sign_by_model_signing(artifact: Path, signature: Path, key: Path) -> None:
    """Sign a directory by model-signing, with its defaults."""
    hashing = model_signing.hashing.Config().set_ignored_paths(paths=[SIGNATURE])
    model_signing.signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(hashing).sign(
        artifact, signature
    )


def main() -> None:
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    key = write_key(GOLDEN / "private.pem", ec.generate_private_key(ec.SECP256R1()))
    (GOLDEN / "public.pem").write_bytes(public(key))
    artifact = make(GOLDEN / "step-0")
    sign(artifact, key, builder="https://example.com/builds/weights")
    verify(artifact, artifact / SIGNATURE, GOLDEN / "public.pem")
    (artifact / SIGNATURE).rename(GOLDEN / "ours.sig")
    sign_by_model_signing(artifact, GOLDEN / "theirs.sig", key)
    verify(artifact, GOLDEN / "theirs.sig", GOLDEN / "public.pem")
    for shard in SHARDS:
        (artifact / shard).unlink()


if __name__ == "__main__":
    main()
