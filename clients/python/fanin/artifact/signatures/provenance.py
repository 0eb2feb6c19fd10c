"""Provenance of an artifact: the SLSA v1 statement that names the recipe of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, Field

from fanin.artifact.signatures.dsse import Statement, parse
from fanin.errors import SignatureError

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:fanin:build:recipe:v1"
"""Means: each subject is what the stream defines for the recipe, or was given beside it (configuration files)."""
_PACKAGE = "pkg:pypi/fanin@"
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


class _Digest(BaseModel):
    sha256: str


class _Content(BaseModel):
    digest: _Digest


class _Parameters(BaseModel):
    recipe: _Content
    plan: _Content
    seed: str = Field(pattern=r"^(0|[1-9][0-9]{0,19})$")
    stream: str


class _Dependency(BaseModel):
    uri: str


class _Definition(BaseModel):
    build_type: str = Field(alias="buildType")
    parameters: _Parameters = Field(alias="externalParameters")
    dependencies: list[_Dependency] = Field(alias="resolvedDependencies", default=[])


class _Builder(BaseModel):
    id: str


class _Details(BaseModel):
    builder: _Builder


class _Predicate(BaseModel):
    definition: _Definition = Field(alias="buildDefinition")
    details: _Details = Field(alias="runDetails")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The content of a provenance statement."""

    recipe: str
    """Digest of the recipe: SHA-256, 64 hexadecimal digits."""
    plan: str
    """SHA-256 of `.fanin/plan.json`: all parameters that the bytes depend on, such as the format."""
    seed: int
    """Seed of the recipe."""
    stream: str
    """Stream, such as `fanin/1`."""
    builder: str
    """URI of the person or system that created the files."""
    version: str
    """Version of Fanin that wrote the statement."""

    @classmethod
    def of(cls, recipe: str, plan: str, seed: int, stream: str, builder: str) -> Provenance:
        """Return what this version of Fanin says.

        Raises:
            ValueError: the builder is not a URI.
        """
        if not _URI.fullmatch(builder):
            raise ValueError(f"builder is {builder!r}; allowed is a URI, such as https://example.com/builds/weights")
        return cls(recipe, plan, seed, stream, builder, version("fanin"))

    def statement(self, digests: Mapping[str, str]) -> dict[str, Any]:
        """Return the statement about files, given as SHA-256 by path."""
        return {
            "predicateType": PREDICATE_TYPE,
            "subject": [{"name": path, "digest": {"sha256": digests[path]}} for path in sorted(digests)],
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    "externalParameters": {
                        "recipe": {"digest": {"sha256": self.recipe}},
                        "plan": {"digest": {"sha256": self.plan}},
                        "seed": str(self.seed),  # above 2^53, JSON's numbers are not exact
                        "stream": self.stream,
                    },
                    "resolvedDependencies": [{"uri": f"{_PACKAGE}{self.version}"}],
                },
                "runDetails": {"builder": {"id": self.builder}},
            },
        }


def read(name: str, statement: Statement) -> tuple[Provenance, dict[str, str]]:
    """Return what a statement says, and its subjects as SHA-256 by path. `name` is the file that it is in.

    Raises:
        SignatureError: it is not a provenance statement of Fanin.
    """
    if statement.predicate_type != PREDICATE_TYPE:
        raise SignatureError(
            f"{name}: predicateType is {statement.predicate_type}; allowed is {PREDICATE_TYPE}", reason="format"
        )
    predicate = parse(name, _Predicate, statement.predicate)
    definition = predicate.definition
    if definition.build_type != BUILD_TYPE:
        raise SignatureError(f"{name}: buildType is {definition.build_type}; allowed is {BUILD_TYPE}", reason="format")
    parameters = definition.parameters
    versions = [each.uri.removeprefix(_PACKAGE) for each in definition.dependencies if each.uri.startswith(_PACKAGE)]
    provenance = Provenance(
        recipe=parameters.recipe.digest.sha256,
        plan=parameters.plan.digest.sha256,
        seed=int(parameters.seed),
        stream=parameters.stream,
        builder=predicate.details.builder.id,
        version=versions[0] if versions else "",
    )
    return provenance, {each.name: each.digest.get("sha256", "") for each in statement.subject}
