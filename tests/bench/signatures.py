"""Cost of signing an artifact of many files: `python -m tests.bench.signatures [FILES]`."""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.signatures import dsse, model_signature, provenance
from fanin.artifact.signatures.keys import SigningKey, hash_of
from fanin.artifact.signatures.model_signature import SignedFiles
from fanin.artifact.signatures.provenance import Provenance

T = TypeVar("T")


def main(count: int) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    key = SigningKey(public, lambda text: private.sign(text, ec.ECDSA(hash_of(public))))
    digests = {
        f"model-{number:06}-of-{count:06}.safetensors": hashlib.sha256(b"%d" % number).hexdigest()
        for number in range(count)
    }
    said = Provenance.of("0" * 64, "1" * 64, 7, "fanin/1", "https://example.com/builds/weights")

    def signature() -> bytes:
        return dsse.text(dsse.bundle(dsse.seal(model_signature.statement("x", SignedFiles(digests, ())), key), key))

    stated = _timed("write the provenance", lambda: dsse.text(dsse.seal(said.statement(digests), key)))
    signed = _timed("write the signature", signature)

    def read_provenance() -> object:
        statement = dsse.open_envelope("x", dsse.parse("x", dsse.Envelope, stated), public)
        return provenance.read("x", statement)[1]

    def read_signature() -> object:
        return model_signature.read("x", dsse.open_bundle("x", dsse.parse("x", dsse.Bundle, signed), public)).digests

    assert _timed("read the provenance", read_provenance) == digests
    assert _timed("read the signature", read_signature) == digests
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} files: {len(stated)} and {len(signed)} bytes, {peak:.0f} MiB of memory at most")


def _timed(what: str, call: Callable[[], T]) -> T:
    started = time.process_time()
    result = call()
    print(f"{what}: {time.process_time() - started:.2f} s of CPU")
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
