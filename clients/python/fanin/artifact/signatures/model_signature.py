"""The statement of OpenSSF Model Signing v1.0: the SHA-256 of every file of a directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from fanin.artifact.signatures.dsse import Statement, parse
from fanin.errors import SignatureError

PREDICATE_TYPE = "https://model_signing/signature/v1.0"


class _Serialization(BaseModel):
    method: str
    hash_type: str
    ignore_paths: list[str] = []


class _Resource(BaseModel):
    name: str
    algorithm: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class _Predicate(BaseModel):
    serialization: _Serialization
    resources: list[_Resource]


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """The content of the statement."""

    digests: Mapping[str, str]
    """SHA-256 of every file, by path."""
    ignored: tuple[str, ...]
    """Files and directories that the signature leaves out."""

    def is_ignored(self, path: str) -> bool:
        """Return whether the signature leaves out a file."""
        return any(path == each or path.startswith(f"{each}/") for each in self.ignored)


def statement(name: str, files: SignedFiles) -> dict[str, Any]:
    """Return the statement about the files of an artifact. `name` is for people: a verifier ignores it."""
    # The order of model-signing, which compares the parts of paths.
    paths = sorted(files.digests, key=lambda path: path.split("/"))
    return {
        "predicateType": PREDICATE_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root(files.digests[path] for path in paths)}}],
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(files.ignored),
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": files.digests[path]} for path in paths],
        },
    }


def read(name: str, statement: Statement) -> SignedFiles:
    """Return what a statement says. `name` is the file that it is in.

    Raises:
        SignatureError: it is of another kind, or contradicts itself.
    """

    def expect(field: str, value: Any, allowed: Any) -> None:
        if value != allowed:
            raise SignatureError(f"{name}: {field} is {value!r}; allowed is {allowed!r}", reason="format")

    expect("predicateType", statement.predicate_type, PREDICATE_TYPE)
    expect("the number of subjects", len(statement.subject), 1)
    predicate = parse(name, _Predicate, statement.predicate)
    # Other methods sign digests of parts of files, or other hashes.
    expect("serialization.method", predicate.serialization.method, "files")
    expect("serialization.hash_type", predicate.serialization.hash_type, "sha256")
    for each in predicate.resources:
        expect(f"algorithm of {each.name}", each.algorithm, "sha256")
    digests = {each.name: each.digest for each in predicate.resources}
    expect("the number of different names", len(digests), len(predicate.resources))
    root = _root(each.digest for each in predicate.resources)
    expect("the digest of the subject", statement.subject[0].digest.get("sha256"), root)
    return SignedFiles(digests, tuple(each.rstrip("/") for each in predicate.serialization.ignore_paths))


def _root(digests: Iterable[str]) -> str:
    hasher = hashlib.sha256()
    for each in digests:
        hasher.update(bytes.fromhex(each))
    return hasher.hexdigest()
