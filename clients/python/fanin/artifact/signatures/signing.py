"""Signatures of artifacts, in the form of OpenSSF Model Signing, and the provenance that they cover.

`sign` takes the digests from the manifest: no file of weights is read again. `verify_signature` needs the public key
alone. The provenance is written first and is among the signed files, so that each is valid beside the other.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec

from fanin.artifact.destinations.base import Destination, races
from fanin.artifact.destinations.opening import destination
from fanin.artifact.documents import DONE, MANIFEST, MOST_BYTES, OWN, PLAN, PROVENANCE, RECIPE, SIGNATURE
from fanin.artifact.finishing import Manifest, read_manifest
from fanin.artifact.plan import Plan, read_plan
from fanin.artifact.signatures import dsse, model_signature, provenance
from fanin.artifact.signatures.keys import SigningKey, fingerprint, load_public_key
from fanin.artifact.signatures.model_signature import SignedFiles
from fanin.artifact.signatures.private_keys import load_key
from fanin.artifact.signatures.provenance import Provenance
from fanin.errors import IncompleteError, SignatureError, SignatureReason
from fanin.recipe import RecipeLike, as_recipe

Url = str | os.PathLike[str]
Contents = Literal["full", "none"]
"""Level of the check of contents. `full` reads every file. `none` reads those of `.fanin`, and compares sizes."""
UNSIGNED = (".fanin/done", ".fanin/partial", ".git", ".gitattributes", ".github", ".gitignore", SIGNATURE)
"""Paths that the signature leaves out: what the manifest repeats, unfinished files, and files of a Hub."""
_CHUNK = 8 << 20
"""Bytes of a file that are read at once."""
_SHOWN = 3
"""Maximum number of files that an error names."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The result of `sign` and `verify_signature`."""

    key: str
    """SHA-256 of the public key in PEM, in hexadecimal digits."""
    digests: Mapping[str, str]
    """SHA-256 of each signed file, by path."""
    provenance: Provenance | None
    """Content of the provenance; None if another tool signed a directory without one."""
    is_new: bool = False
    """True if this call wrote the signature."""


def sign(
    url: Url | Destination,
    key: SigningKey | str | os.PathLike[str],
    *,
    passphrase: str | None = None,
    builder: str | None = None,
) -> Signed:
    """Write the provenance and the signature of a complete artifact; return what was signed.

        >>> fanin.artifact.sign("s3://bucket/step-0", "private.pem", builder="https://example.com/builds/weights")

    The digests are those of the manifest, and the weights are not read. An artifact that this key has signed already
    stays as it is, although a new ECDSA signature would differ.

    Args:
        url: A directory, or a URL s3://, gs:// or az://.
        key: A PEM file with the private key, a `pkcs11:` URI, or what `load_key` returned.
        passphrase: Decrypts the PEM file, or is the PIN of the token; by default FANIN_SIGNING_PASSPHRASE of the
            environment.
        builder: URI of the person or system that creates the artifact; by default `urn:fanin:key:` and the SHA-256 of
            the key.

    Raises:
        IncompleteError: the artifact is not complete.
        SignatureError: its files differ from its manifest. Or it has a signature or a provenance already, by another
            key, of other files or with another builder.
        ValueError: the key, the passphrase, the builder or the URL is wrong.
        ArtifactError: the artifact does not exist, or is damaged.
        OSError: the destination or the key cannot be read, or the destination cannot be written.
    """
    place = _place(url)
    key = key if isinstance(key, SigningKey) else load_key(key, passphrase)
    own = fingerprint(key.public_key)
    plan = read_plan(place)
    digests = _signable(plan, place)
    named = f"urn:fanin:key:{own}" if builder is None else builder
    wanted = Provenance.of(plan.recipe.digest, digests[PLAN], plan.recipe.seed, plan.recipe.stream, named)
    for _ in races(f"{place.url}: {SIGNATURE}"):
        if place.size(SIGNATURE) is not None:
            break
        envelope = place.read(PROVENANCE, MOST_BYTES)
        if envelope is None:
            envelope = dsse.text(dsse.seal(wanted.statement(digests), key))
            if not _create(place, PROVENANCE, envelope):
                continue
        # It may be of another call, which is running or has ended before it wrote the signature.
        files = SignedFiles({**digests, PROVENANCE: hashlib.sha256(envelope).hexdigest()}, UNSIGNED)
        found = _provenance(place, files, key.public_key)
        _expect_builder(found, builder)
        name = place.url.rstrip("/").rpartition("/")[2]
        bundle = dsse.bundle(dsse.seal(model_signature.statement(name, files), key), key)
        if _create(place, SIGNATURE, dsse.text(bundle)):
            return Signed(own, files.digests, found, is_new=True)
    try:
        signed = verify_signature(place, key.public_key, contents="none")
    except SignatureError as error:
        raise SignatureError(f"{SIGNATURE} exists. Nothing was replaced. {error}", reason=error.reason) from None
    _expect_builder(signed.provenance, builder)
    return signed


def verify_signature(
    url: Url | Destination,
    public_key: str | os.PathLike[str] | bytes | ec.EllipticCurvePublicKey,
    *,
    recipe: RecipeLike | None = None,
    contents: Contents = "full",
    threads: int = 4,
) -> Signed:
    """Verify the signature of an artifact, its provenance and its files; return what was signed.

        >>> fanin.artifact.verify_signature("s3://bucket/step-0", "public.pem").provenance.builder

    Args:
        url: A directory, or a URL s3://, gs:// or az://. Another tool of OpenSSF may have signed it.
        public_key: The public key of the signer: a PEM file, the PEM itself as bytes, or the key.
        recipe: The recipe that the provenance has to name. None accepts each.
        contents: `full` reads every file and compares its SHA-256. `none` does not read the weights.
        threads: Number of files that are read at the same time.

    Raises:
        SignatureError: this key did not sign these files; `reason` says why.
        ValueError: the public key or the URL is wrong.
        OSError: the destination or the key cannot be read.
    """
    public_key, place = load_public_key(public_key), _place(url)
    bundle = dsse.parse(SIGNATURE, dsse.Bundle, _read(place, SIGNATURE))
    files = model_signature.read(SIGNATURE, dsse.open_bundle(SIGNATURE, bundle, public_key))
    _expect_metadata(place, files)
    sizes = {path: size for path, size in place.objects() if not files.is_ignored(path)}
    _expect_names(sizes.keys(), files.digests.keys(), "signed")
    if MANIFEST in sizes and (manifest := read_manifest(place)) is not None:
        _expect_sizes(manifest, sizes)
    found = _provenance(place, files, public_key) if PROVENANCE in files.digests else None
    if recipe is not None and (expected := as_recipe(recipe).digest) != (signed := found and found.recipe):
        raise SignatureError(f"the signed recipe is {signed}; the expected one is {expected}", reason="recipe")
    checked = {path: size for path, size in sizes.items() if contents == "full" or path.startswith(OWN)}
    _expect_content(place, files, checked, threads)
    return Signed(fingerprint(public_key), files.digests, found)


def _signable(plan: Plan, place: Destination) -> dict[str, str]:
    """Return the SHA-256 of every file of a complete artifact, from its manifest.

    Raises:
        IncompleteError: it is not complete.
        SignatureError: its files differ from its manifest.
    """
    manifest = read_manifest(place)
    unsigned = SignedFiles({}, UNSIGNED)
    sizes = {path: size for path, size in place.objects() if not unsigned.is_ignored(path)}
    if manifest is None or plan.commit_path not in sizes:
        raise IncompleteError(f"{place.url}: {plan.commit_path} is missing; only a complete artifact can be signed")
    files = {file.name: file for file in (*manifest.files, *filter(None, [manifest.commit]))}
    planned = {plan.arrangement.name(number) for number in range(len(plan))}
    if files.keys() != planned | plan.digests.keys() | {PLAN, RECIPE, plan.commit_path} - {MANIFEST}:
        raise SignatureError(f"{MANIFEST} lists other files than {PLAN} plans", reason="another")
    digests = {path: file.sha256 for path, file in files.items()}
    own = {PLAN: plan.document(), RECIPE: plan.recipe.canonical}
    for path, content in own.items():
        _expect_digest(path, hashlib.sha256(content).hexdigest(), digests[path], "the manifest says")
    digests[MANIFEST] = hashlib.sha256(_read(place, MANIFEST)).hexdigest()
    _expect_names(sizes.keys() - {PROVENANCE}, digests.keys(), "in the manifest")
    _expect_sizes(manifest, sizes)
    return digests


def _expect_metadata(place: Destination, files: SignedFiles) -> None:
    """Compare the manifest and the recipe with the signed ones: then names of files explain little."""
    checks: tuple[tuple[str, str, SignatureReason], ...] = (
        (MANIFEST, "the signature is of another artifact, or the manifest was changed", "another"),
        (RECIPE, "the signature is of another recipe", "recipe"),
    )
    for path, what, reason in checks:
        if path in files.digests and (content := place.read(path, MOST_BYTES)) is not None:
            found, signed = hashlib.sha256(content).hexdigest(), files.digests[path]
            if found != signed:
                raise SignatureError(f"{what}: {path} has SHA-256 {found}; signed is {signed}", reason=reason)


def _expect_names(found: Set[str], expected: Set[str], where: str) -> None:
    if extra := found - expected:
        raise SignatureError(f"not {where}, but in the artifact: {_named(extra)}", reason="extra")
    if missing := expected - found:
        raise SignatureError(f"{where}, but not in the artifact: {_named(missing)}", reason="missing")


def _expect_sizes(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    for file in filter(None, (*manifest.files, manifest.commit)):
        # Another tool may have left out files.
        if sizes.get(file.name, file.size) != file.size:
            raise SignatureError(
                f"{file.name} has {sizes[file.name]} bytes; {MANIFEST} says {file.size}", reason="changed"
            )


def _expect_digest(path: str, found: str, expected: str, where: str) -> None:
    if found != expected:
        raise SignatureError(f"{path} has SHA-256 {found}; {where} {expected}", reason="changed")


def _provenance(place: Destination, files: SignedFiles, public_key: ec.EllipticCurvePublicKey) -> Provenance:
    """Return what the provenance says, after its signature and its agreement with the signed files are verified."""
    raw = _read(place, PROVENANCE)
    _expect_digest(PROVENANCE, hashlib.sha256(raw).hexdigest(), files.digests[PROVENANCE], "signed is")
    statement = dsse.open_envelope(PROVENANCE, dsse.parse(PROVENANCE, dsse.Envelope, raw), public_key)
    found, subjects = provenance.read(PROVENANCE, statement)
    # Another tool may have signed the records, too.
    signed = {
        path: digest for path, digest in files.digests.items() if path != PROVENANCE and not path.startswith(DONE)
    }
    if different := {path for path, _ in subjects.items() ^ signed.items()}:
        raise SignatureError(f"{PROVENANCE} is about other files: {_named(different)}", reason="provenance")
    if (found.recipe, found.plan) != (signed.get(RECIPE), signed.get(PLAN)):
        raise SignatureError(
            f"{PROVENANCE} names recipe {found.recipe} and plan {found.plan};"
            f" signed are {signed.get(RECIPE)} and {signed.get(PLAN)}",
            reason="recipe",
        )
    return found


def _expect_builder(found: Provenance | None, builder: str | None) -> None:
    if builder is not None and (found is None or found.builder != builder):
        raise SignatureError(
            f"{PROVENANCE} has builder {found and found.builder}; this call has {builder}. Nothing was replaced",
            reason="provenance",
        )


def _expect_content(place: Destination, files: SignedFiles, sizes: Mapping[str, int], threads: int) -> None:
    """Compare the SHA-256 of files with the signed ones. The first difference ends the reading."""
    stopped = Event()
    with ThreadPoolExecutor(threads, thread_name_prefix="fanin-signature") as pool:
        try:
            found = pool.map(lambda path: _sha256(place, path, sizes[path], stopped), sizes)
            for path, digest in zip(sizes, found, strict=True):
                _expect_digest(path, digest, files.digests[path], "signed is")
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def _sha256(place: Destination, path: str, size: int, stopped: Event) -> str:
    """Return the SHA-256 of a file, or of a part of it once `stopped` is set."""
    hasher = hashlib.sha256()
    for start in range(0, size, _CHUNK):
        if stopped.is_set():
            break
        hasher.update(place.range(path, start, min(start + _CHUNK, size)))
    return hasher.hexdigest()


def _place(url: Url | Destination) -> Destination:
    return url if isinstance(url, Destination) else destination(url)


def _create(place: Destination, path: str, content: bytes) -> bool:
    return place.create(path, [memoryview(content)], len(content))


def _read(place: Destination, path: str) -> bytes:
    if (size := place.size(path) or 0) > MOST_BYTES:
        raise SignatureError(f"{path} has {size} bytes; at most {MOST_BYTES} are allowed", reason="format")
    if (content := place.read(path)) is None:
        if path == SIGNATURE:
            raise SignatureError(f"{place.url} has no {SIGNATURE}: it is not signed", reason="unsigned")
        raise SignatureError(f"{place.url} has no {path}", reason="missing")
    return content


def _named(paths: Collection[str]) -> str:
    """Return the first of several paths, for an error."""
    first = ", ".join(sorted(paths)[:_SHOWN])
    return first if len(paths) <= _SHOWN else f"{first} and {len(paths) - _SHOWN} more"
