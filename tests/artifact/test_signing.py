"""Signatures and provenance of artifacts."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from fanin.artifact import making
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.documents import PROVENANCE, SIGNATURE
from fanin.artifact.signatures import dsse, keys, model_signature, signing
from fanin.artifact.signatures.keys import SigningKey
from fanin.artifact.signatures.model_signature import SignedFiles
from fanin.artifact.signatures.private_keys import load_key
from fanin.artifact.signatures.signing import sign, verify_signature
from fanin.errors import DestinationError, IncompleteError, SignatureError
from tests.support.signatures import CURVES, GOLDEN, RECIPE, SHARDS, make, public, write_key


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every socket: no signature needs a service."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file with a private key."""
    return write_key(tmp_path_factory.mktemp("keys") / "key.pem", ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: Path) -> dict[bool, Path]:
    """Return an artifact of two shards, an index and a configuration, without a signature and with one."""
    folder = tmp_path_factory.mktemp("made")
    unsigned = make(folder / "step-0")
    signed = shutil.copytree(unsigned, folder / "signed")
    sign(signed, key)
    return {False: unsigned, True: signed}


@pytest.fixture
def artifact(made: dict[bool, Path], tmp_path: Path) -> Path:
    """Return a complete artifact without a signature."""
    return shutil.copytree(made[False], tmp_path / "step-0")


@pytest.fixture
def signed(made: dict[bool, Path], tmp_path: Path) -> Path:
    """Return the artifact, signed by `key`."""
    return shutil.copytree(made[True], tmp_path / "step-0")


def statement_in(document: bytes) -> dict[str, Any]:
    """Return the statement in an envelope or a bundle, without a look at its signature."""
    envelope = json.loads(document)
    found: dict[str, Any] = json.loads(base64.b64decode(envelope.get("dsseEnvelope", envelope)["payload"]))
    return found


def with_statement(document: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return a bundle whose statement was changed, under the old signature."""
    statement, found = statement_in(document), json.loads(document)
    change(statement)
    found.get("dsseEnvelope", found)["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(found).encode()


def resign(artifact: Path, key: SigningKey, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Sign what is in a directory again, after a change of the statement."""
    digests = {
        str(path.relative_to(artifact)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in artifact.rglob("*")
        if path.is_file() and path.name != SIGNATURE and path.parent.name != "done"
    }
    statement = model_signature.statement("x", SignedFiles(digests, signing.UNSIGNED))
    change(statement)
    (artifact / SIGNATURE).write_bytes(dsse.text(dsse.bundle(dsse.seal(statement, key), key)))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_sign_and_verify(
    artifact: Path, tmp_path: Path, curve: str, passphrase: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(CURVES[curve]), passphrase)
    # The file that is not encrypted ignores it.
    monkeypatch.setenv(keys.PASSPHRASE, passphrase or "of another key")
    result = sign(artifact, key, builder="https://example.com/builds/weights")
    (tmp_path / "public.pem").write_bytes(public(key))
    verified = verify_signature(artifact, tmp_path / "public.pem", recipe=RECIPE)
    files = {str(path.relative_to(artifact)) for path in artifact.rglob("*") if path.is_file()}
    assert verified.digests.keys() == {path for path in files if "/done/" not in path} - {SIGNATURE}
    assert verified.digests == result.digests
    for path, digest in verified.digests.items():
        assert hashlib.sha256((artifact / path).read_bytes()).hexdigest() == digest
    assert (result.is_new, verified.is_new) == (True, False)
    envelope = json.loads((artifact / SIGNATURE).read_bytes())["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    load_key(key).public_key.verify(
        base64.b64decode(envelope["signatures"][0]["sig"]),
        b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload),
        ec.ECDSA({"P-256": hashes.SHA256(), "P-384": hashes.SHA384(), "P-521": hashes.SHA512()}[curve]),
    )
    assert verified.key == result.key == hashlib.sha256(public(key)).hexdigest()
    assert verified.provenance == result.provenance
    assert verified.provenance is not None
    assert verified.provenance.builder == "https://example.com/builds/weights"
    assert (verified.provenance.seed, verified.provenance.stream) == (2**64 - 1, "fanin/1")
    assert verified.provenance.recipe == hashlib.sha256((artifact / ".fanin/recipe.json").read_bytes()).hexdigest()


def test_statement_of_the_provenance(signed: Path) -> None:
    """The form that SLSA v1 and in-toto v1 have, with every other file as a subject."""
    statement = statement_in((signed / PROVENANCE).read_bytes())
    digests = {each["name"]: each["digest"] for each in statement.pop("subject")}
    assert digests.keys() == {*SHARDS, "config.json", "model.safetensors.index.json"} | {
        f".fanin/{name}.json" for name in ("manifest", "plan", "recipe")
    }
    assert digests[SHARDS[0]] == {"sha256": hashlib.sha256((signed / SHARDS[0]).read_bytes()).hexdigest()}
    key = statement["predicate"]["runDetails"]["builder"].pop("id")
    assert key.startswith("urn:fanin:key:")
    version = statement["predicate"]["buildDefinition"].pop("resolvedDependencies")
    assert [each["uri"].partition("@")[0] for each in version] == ["pkg:pypi/fanin"]
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:fanin:build:recipe:v1",
                "externalParameters": {
                    "recipe": {"digest": digests[".fanin/recipe.json"]},
                    "plan": {"digest": digests[".fanin/plan.json"]},
                    "seed": str(2**64 - 1),
                    "stream": "fanin/1",
                },
            },
            "runDetails": {"builder": {}},
        },
    }


@pytest.mark.parametrize("format", ["safetensors", "dcp"])
def test_other_formats(tmp_path: Path, key: Path, format: str) -> None:
    """The file that completes the artifact is signed in each format."""
    path = tmp_path / "step-0"
    making.make(RECIPE, path, format=format)
    sign(path, key)
    signed = verify_signature(path, public(key)).digests
    assert {"safetensors": "model.safetensors", "dcp": ".metadata"}[format] in signed
    assert ".fanin/manifest.json" in signed


def test_no_given_file_has_the_name_of_the_signature(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"file 'model.sig': the artifact itself has a file of this name"):
        making.make(RECIPE, tmp_path / "step-0", files={"model.sig": b"x"})


class Recording(Directory):
    """A directory that lists what is read from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.seen: set[str] = set()

    def read(self, key: str, most: int | None = None) -> bytes | None:
        self.seen.add(key)
        return super().read(key, most)

    def range(self, key: str, start: int, stop: int) -> bytes:
        self.seen.add(key)
        return super().range(key, start, stop)


def test_what_is_read(artifact: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signer reads no weights, `none` neither, and `full` reads them in bounded pieces."""
    place = Recording(artifact)
    sign(place, key)
    verify_signature(place, public(key), contents="none")
    assert not place.seen & {*SHARDS, "config.json", "model.safetensors.index.json"}
    monkeypatch.setattr(signing, "_CHUNK", 100)
    verify_signature(place, public(key))
    assert {*SHARDS, "config.json", "model.safetensors.index.json"} <= place.seen


# Changes of a signed artifact, each with the reason and a part of the message of its refusal.
def _flip(artifact: Path, _: Path) -> None:
    content = bytearray((artifact / SHARDS[1]).read_bytes())
    content[-1] ^= 1
    (artifact / SHARDS[1]).write_bytes(content)


def _add(artifact: Path, _: Path) -> None:
    (artifact / "pytorch_model.bin").write_bytes(b"x")


def _add_in_own_folder(artifact: Path, _: Path) -> None:
    (artifact / ".fanin/other.json").write_bytes(b"x")


def _remove(artifact: Path, _: Path) -> None:
    (artifact / SHARDS[0]).unlink()


def _shorten(artifact: Path, _: Path) -> None:
    (artifact / SHARDS[0]).write_bytes((artifact / SHARDS[0]).read_bytes()[:-1])


def _other_recipe(artifact: Path, _: Path) -> None:
    path = artifact / ".fanin/recipe.json"
    path.write_bytes(path.read_bytes().replace(b"18446744073709551615", b"18446744073709551614"))


def _other_directory(artifact: Path, key: Path) -> None:
    other = make(artifact.parent / "other", RECIPE | {"seed": 1})
    sign(other, key)
    for path in (SIGNATURE, PROVENANCE):
        shutil.copyfile(other / path, artifact / path)


def _tampered_statement(artifact: Path, _: Path) -> None:
    def change(statement: dict[str, Any]) -> None:
        statement["predicate"]["resources"][0]["digest"] = "00" * 32

    path = artifact / SIGNATURE
    path.write_bytes(with_statement(path.read_bytes(), change))


def _tampered_provenance(artifact: Path, _: Path) -> None:
    def change(statement: dict[str, Any]) -> None:
        statement["predicate"]["runDetails"]["builder"]["id"] = "https://example.com/other"

    path = artifact / PROVENANCE
    path.write_bytes(with_statement(path.read_bytes(), change))


def _signed_tampered_provenance(artifact: Path, key: Path) -> None:
    _tampered_provenance(artifact, key)
    resign(artifact, load_key(key))


def _provenance_of_other_files(artifact: Path, key: Path) -> None:
    _other_directory(artifact, key)
    resign(artifact, load_key(key))


def _other_key(artifact: Path, key: Path) -> None:
    resign(artifact, load_key(write_key(key.parent / "other.pem", ec.generate_private_key(ec.SECP256R1()))))


def _other_key_under_this_name(artifact: Path, key: Path) -> None:
    hint = json.loads((artifact / SIGNATURE).read_bytes())["verificationMaterial"]
    _other_key(artifact, key)
    (artifact / SIGNATURE).write_text(
        json.dumps(json.loads((artifact / SIGNATURE).read_bytes()) | {"verificationMaterial": hint})
    )


def _unsign(artifact: Path, _: Path) -> None:
    (artifact / SIGNATURE).unlink()


CHANGES: dict[str, tuple[Callable[[Path, Path], None], str, str]] = {
    "one flipped bit": (_flip, "changed", f"{SHARDS[1]} has SHA-256 "),
    "one more file": (_add, "extra", "not signed, but in the artifact: pytorch_model.bin"),
    "one more file of ours": (_add_in_own_folder, "extra", "not signed, but in the artifact: .fanin/other.json"),
    "one shard less": (_remove, "missing", f"signed, but not in the artifact: {SHARDS[0]}"),
    "a shorter shard": (_shorten, "changed", " bytes; .fanin/manifest.json says "),
    "another recipe": (_other_recipe, "recipe", "the signature is of another recipe: .fanin/recipe.json"),
    "a signature of another directory": (_other_directory, "another", "the signature is of another artifact"),
    "a tampered statement": (_tampered_statement, "signature", "model.sig: the signature does not fit the statement"),
    "a tampered provenance": (_tampered_provenance, "changed", ".fanin/provenance.json has SHA-256 "),
    "a tampered provenance, signed again": (
        _signed_tampered_provenance,
        "signature",
        ".fanin/provenance.json: the signature does not fit the statement",
    ),
    "a provenance of other files, signed": (_provenance_of_other_files, "provenance", "is about other files: "),
    "another key": (_other_key, "key", "model.sig: signed by the key "),
    "another key under the same name": (_other_key_under_this_name, "signature", "model.sig: the signature does not"),
    "no signature": (_unsign, "unsigned", "has no model.sig: it is not signed"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refusals(signed: Path, key: Path, tmp_path: Path, name: str) -> None:
    change, reason, message = CHANGES[name]
    verify_signature(signed, public(key))
    change(signed, shutil.copy(key, tmp_path / "key.pem"))
    with pytest.raises(SignatureError) as refused:
        verify_signature(signed, public(key))
    assert refused.value.reason == reason
    assert message in str(refused.value)


def test_refusals_without_reading(signed: Path, key: Path) -> None:
    """Everything but a changed content is found without reading the weights."""
    _flip(signed, key)
    verify_signature(signed, public(key), contents="none")
    _shorten(signed, key)
    with pytest.raises(SignatureError, match="says"):
        verify_signature(signed, public(key), contents="none")


def test_expected_recipe(signed: Path, key: Path) -> None:
    verify_signature(signed, public(key), recipe=RECIPE)
    with pytest.raises(SignatureError, match=r"the signed recipe is .*; the expected one is ") as refused:
        verify_signature(signed, public(key), recipe=RECIPE | {"seed": 3})
    assert refused.value.reason == "recipe"


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for each in path[:-1]:
            document = document[each]
        document[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("predicateType", to="https://model_signing/Digests/v0.1"), "predicateType is 'https://model_signing/Di"),
        (_set("predicate", "serialization", "method", to="shards"), "serialization.method is 'shards'; allowed is 'fi"),
        (_set("predicate", "serialization", "hash_type", to="blake2"), "serialization.hash_type is 'blake2'"),
        (_set("predicate", "resources", 0, "algorithm", to="blake3"), "algorithm of .fanin/manifest.json is 'blake3'"),
        (_set("predicate", "resources", 0, "name", to="config.json"), "the number of different names is "),
        (_set("predicate", "resources", 0, "digest", to="00" * 32), "the digest of the subject is "),
        (_set("predicate", "resources", 0, "digest", to="0"), "resources.0.digest: "),
        (_set("subject", to=[]), "the number of subjects is 0"),
        (_set("predicate", to={}), "model.sig: serialization: Field required"),
    ],
)
def test_statements_that_contradict_themselves(
    artifact: Path, key: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    resign(artifact, load_key(key), change)
    with pytest.raises(SignatureError) as refused:
        verify_signature(artifact, public(key))
    assert refused.value.reason == "format"
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("mediaType", to="application/vnd.dev.sigstore.bundle+json;version=0.2"), "mediaType: "),
        (
            _set("verificationMaterial", to={"certificate": {"rawBytes": ""}}),
            "verificationMaterial.publicKey: Field re",
        ),
        (_set("dsseEnvelope", "payloadType", to="text/plain"), "dsseEnvelope.payloadType: "),
        (_set("dsseEnvelope", "signatures", to=[]), "dsseEnvelope.signatures: "),
        (_set("dsseEnvelope", "payload", to="%"), "dsseEnvelope.payload: Value error, not base64"),
    ],
)
def test_bundles_of_other_kinds(
    signed: Path, key: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    bundle = json.loads((signed / SIGNATURE).read_bytes())
    change(bundle)
    (signed / SIGNATURE).write_text(json.dumps(bundle))
    with pytest.raises(SignatureError) as refused:
        verify_signature(signed, public(key))
    assert refused.value.reason == "format"
    assert message in str(refused.value)
    (signed / SIGNATURE).write_bytes(b"\xff{")
    with pytest.raises(SignatureError, match=r"model.sig: the document: Invalid JSON"):
        verify_signature(signed, public(key))


def test_signing_twice(signed: Path, key: Path, tmp_path: Path) -> None:
    """The same key changes nothing. Another key or builder is an error, and nothing is replaced."""
    before = {path: (signed / path).read_bytes() for path in (SIGNATURE, PROVENANCE)}
    again = sign(signed, key)
    assert not again.is_new
    assert again.digests == verify_signature(signed, public(key)).digests
    assert sign(signed, key, builder=again.provenance and again.provenance.builder).provenance == again.provenance
    with pytest.raises(
        SignatureError, match=r"model.sig exists. Nothing was replaced. model.sig: signed by"
    ) as refused:
        sign(signed, write_key(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1())))
    assert refused.value.reason == "key"
    with pytest.raises(SignatureError, match=r"has builder urn:fanin:key:.*; this call has https://example.com/x"):
        sign(signed, key, builder="https://example.com/x")
    _add(signed, key)
    with pytest.raises(SignatureError, match=r"not in the manifest, but in the artifact: pytorch_model.bin"):
        sign(signed, key)
    assert before == {path: (signed / path).read_bytes() for path in before}


def test_interrupted_signing(signed: Path, key: Path, tmp_path: Path) -> None:
    """A call that ended before it wrote the signature has left a provenance, which the next call of this key keeps."""
    _unsign(signed, key)
    provenance = (signed / PROVENANCE).read_bytes()
    with pytest.raises(SignatureError, match=r".fanin/provenance.json: the signature does not fit") as refused:
        sign(signed, write_key(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1())))
    assert refused.value.reason == "signature"
    assert not (signed / SIGNATURE).exists()
    assert sign(signed, key).is_new
    assert (signed / PROVENANCE).read_bytes() == provenance
    verify_signature(signed, public(key))


class Racing(Directory):
    """A directory in which another call of the same key signs just before this one creates a file."""

    def __init__(self, path: Path, name: str, first: Callable[[], object]) -> None:
        super().__init__(path)
        self._name, self._first = name, first

    def create(self, key: str, *arguments: Any, **options: Any) -> bool:
        if key == self._name:
            self._first()
        return super().create(key, *arguments, **options)


@pytest.mark.parametrize("name", [PROVENANCE, SIGNATURE])
def test_two_signers_at_once(artifact: Path, key: Path, name: str) -> None:
    first: list[signing.Signed] = []
    second = sign(Racing(artifact, name, lambda: first.append(sign(artifact, key))), key)
    assert (first[0].is_new, second.is_new) == (True, False)
    assert first[0].digests == second.digests == verify_signature(artifact, public(key)).digests


def _uncommit(artifact: Path) -> None:
    (artifact / "model.safetensors.index.json").unlink()


def _unlist(artifact: Path) -> None:
    (artifact / ".fanin/manifest.json").unlink()


def _other_size(artifact: Path) -> None:
    with (artifact / SHARDS[0]).open("ab") as file:
        file.write(b"x")


def _manifest_without_a_shard(artifact: Path) -> None:
    path = artifact / ".fanin/manifest.json"
    document = json.loads(path.read_bytes())
    document["files"] = [each for each in document["files"] if each["path"] != SHARDS[0]]
    path.write_text(json.dumps(document))
    (artifact / SHARDS[0]).unlink()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (_uncommit, IncompleteError, "model.safetensors.index.json is missing; only a complete artifact can be signed"),
        (_unlist, IncompleteError, "is missing; only a complete artifact can be signed"),
        (_other_size, SignatureError, f"{SHARDS[0]} has "),
        (_manifest_without_a_shard, SignatureError, ".fanin/manifest.json lists other files than .fanin/plan.json pl"),
        (lambda path: _add(path, path), SignatureError, "not in the manifest, but in the artifact: pytorch_model.bin"),
        (lambda path: _remove(path, path), SignatureError, "in the manifest, but not in the artifact: model-00001"),
    ],
)
def test_what_cannot_be_signed(
    artifact: Path, key: Path, change: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    change(artifact)
    with pytest.raises(error) as refused:
        sign(artifact, key)
    assert message in str(refused.value)
    assert not (artifact / SIGNATURE).exists()
    assert not (artifact / PROVENANCE).exists()


@pytest.mark.parametrize("builder", ["", "me", "https://example.com/a b", "1x:y"])
def test_builders_that_are_not_uris(artifact: Path, key: Path, builder: str) -> None:
    with pytest.raises(ValueError, match=r"builder is .*; allowed is a URI"):
        sign(artifact, key, builder=builder)


def test_files_of_a_hub_and_records_are_not_signed(signed: Path, key: Path) -> None:
    """A copy in a repository of a Hub, without the records of the items, is still the signed artifact."""
    shutil.rmtree(signed / ".fanin/done")
    (signed / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (signed / ".git").mkdir()
    (signed / ".git/HEAD").write_text("ref: refs/heads/main\n")
    verify_signature(signed, public(key))


def test_a_signature_that_leaves_out_a_file(artifact: Path, key: Path) -> None:
    """Another tool may leave out files that the manifest lists."""

    def change(statement: dict[str, Any]) -> None:
        predicate = statement["predicate"]
        predicate["serialization"]["ignore_paths"].append("config.json")
        predicate["resources"] = [each for each in predicate["resources"] if each["name"] != "config.json"]
        digests = b"".join(bytes.fromhex(each["digest"]) for each in predicate["resources"])
        statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()

    resign(artifact, load_key(key), change)
    (artifact / "config.json").unlink()
    assert "config.json" not in verify_signature(artifact, public(key)).digests


def test_errors_keep_their_reason_in_other_processes() -> None:
    error = pickle.loads(pickle.dumps(SignatureError("text", reason="extra")))
    assert (str(error), error.reason) == ("text", "extra")


def test_keys_that_cannot_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    good = write_key(tmp_path / "good.pem", ec.generate_private_key(ec.SECP256R1()), "secret")
    with pytest.raises(ValueError, match="is encrypted; its passphrase is expected in FANIN_SIGNING_PASSPHRASE"):
        load_key(good)
    with pytest.raises(ValueError, match="the passphrase is wrong, or the file is damaged"):
        load_key(good, "other")
    with pytest.raises(ValueError, match="this is a private key; a verifier needs the public key"):
        keys.load_public_key(good)
    other = write_key(tmp_path / "other.pem", ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(ValueError, match="not one of an elliptic curve; allowed are keys of the curves P-256"):
        load_key(other)
    curve = ec.generate_private_key(ec.SECP256K1())
    with pytest.raises(ValueError, match="the curve is secp256k1; allowed are keys of the curves P-256"):
        load_key(write_key(tmp_path / "curve.pem", curve))
    with pytest.raises(ValueError, match="the curve is secp256k1; allowed are keys of the curves P-256"):
        keys.load_public_key(keys.public_pem(curve.public_key()))
    (tmp_path / "text.pem").write_text("no key")
    with pytest.raises(ValueError, match=r"text.pem: not a private key in PEM"):
        load_key(tmp_path / "text.pem")
    with pytest.raises(ValueError, match=r"text.pem: not a public key in PEM"):
        keys.load_public_key(tmp_path / "text.pem")


@pytest.mark.parametrize("name", ["ours", "theirs"])
def test_golden(made: dict[bool, Path], tmp_path: Path, name: str) -> None:
    """Signatures of one directory: `ours`, which model-signing 1.1.1 has verified, and `theirs`, its own.

    The soak part `signatures` runs model-signing itself. `python -m tests.artifact.golden` wrote the files.
    """
    artifact = shutil.copytree(GOLDEN / "step-0", tmp_path / "step-0")
    for shard in SHARDS:
        shutil.copyfile(made[False] / shard, artifact / shard)
    shutil.copyfile(GOLDEN / f"{name}.sig", artifact / SIGNATURE)
    verified = verify_signature(artifact, GOLDEN / "public.pem", recipe=RECIPE)
    assert {*SHARDS, PROVENANCE, ".fanin/plan.json"} <= verified.digests.keys()
    _flip(artifact, artifact)
    with pytest.raises(SignatureError, match=f"{SHARDS[1]} has SHA-256"):
        verify_signature(artifact, GOLDEN / "public.pem")


def test_golden_statements() -> None:
    """The statement that is signed now is, byte for byte, the one that model-signing 1.1.1 has verified."""
    golden = json.loads((GOLDEN / "ours.sig").read_bytes())["dsseEnvelope"]["payload"]
    verified = model_signature.read("x", dsse.parse("x", dsse.Statement, base64.b64decode(golden)))
    key = load_key(GOLDEN / "private.pem")
    envelope = dsse.seal(model_signature.statement("step-0", verified), key)
    assert envelope.payload == base64.b64decode(golden)
    bundle, pinned = (
        json.loads(each) for each in (dsse.text(dsse.bundle(envelope, key)), (GOLDEN / "ours.sig").read_bytes())
    )
    for each in (bundle, pinned):
        del each["dsseEnvelope"]["signatures"][0]["sig"]
    assert bundle == pinned


@pytest.mark.parametrize("name", [SIGNATURE, PROVENANCE])
def test_a_signature_that_can_never_be_created(
    name: str, artifact: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a store that refuses an object which does not exist."""
    monkeypatch.setattr("fanin.artifact.destinations.base._SECONDS", 0.0)
    create, refused = Directory.create, list[str]()

    def refuse(place: Directory, path: str, *given: Any) -> bool:
        if path != name:
            return create(place, path, *given)
        refused.append(path)
        assert len(refused) < 100, "there is no end"
        return False

    monkeypatch.setattr(Directory, "create", refuse)
    with pytest.raises(DestinationError, match=r"model\.sig cannot be created, and does not exist, in 8 attempts"):
        sign(artifact, key)
    assert len(refused) == 8


def test_a_signature_is_not_read_without_a_bound(signed: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (signed / SIGNATURE).stat().st_size
    monkeypatch.setattr(signing, "MOST_BYTES", size - 1)
    with pytest.raises(SignatureError, match=f"{SIGNATURE} has {size} bytes; at most {size - 1} are allowed"):
        verify_signature(signed, public(key))
    monkeypatch.setattr(signing, "MOST_BYTES", size)
    verify_signature(signed, public(key))
