"""Verification: an artifact, compared with what its recipe gives. It needs no trust in the writer."""

from __future__ import annotations

import functools
import hashlib
import random
from dataclasses import dataclass

from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.opening import destination
from fanin.artifact.documents import MANIFEST, OWN, RECIPE, SIGNATURE
from fanin.artifact.engines import Engine, engine_of
from fanin.artifact.finishing import manifest_of, require_items
from fanin.artifact.making import Url
from fanin.artifact.parts import Part
from fanin.artifact.plan import Plan, read_plan
from fanin.artifact.progress import Callback, Tally
from fanin.artifact.survey import Survey, survey
from fanin.artifact.writing import Report, read_record
from fanin.backends import Backend
from fanin.errors import ConflictError, IncompleteError, MismatchError


@dataclass(frozen=True, slots=True)
class VerifiedArtifact:
    """The artifact that `verify` has compared with its recipe."""

    url: str
    recipe: str
    """Digest of the recipe of all tensors."""
    format: str
    items: int
    """Items that were generated again."""
    bytes: int
    """Bytes of their tensors."""
    read: float
    """Fraction of the stored bytes of these items that were read."""


def verify(
    url: Url,
    *,
    read: float = 1.0,
    part: Part | str = "0/1",
    engine: str | Engine = "threads",
    backend: str | None = None,
    progress: Callback | None = None,
) -> VerifiedArtifact:
    """Generate every item of an artifact again, and compare it with its record and with the stored bytes.

        >>> fanin.artifact.verify("s3://bucket/step-0", read=0.01).recipe

    It also compares the given files, the manifest and the file that completes the artifact. Any other object is an
    error, unless it is a signature.

    Args:
        url: Where the artifact is.
        read: Fraction of the stored bytes to read, in random chunks of 8 MiB: 1 reads all of them. 0 reads none, and
            compares digests with those in the records.
        part: Items to verify, as in `write_part`. Part 0 also verifies everything else.
        engine: What verifies the items: `threads` of this process, or another engine.
        backend: Name of the backend that generates.
        progress: Is called with a `Progress` of this part.

    Raises:
        ValueError: an argument is wrong.
        ArtifactError: the destination has no artifact, or it is damaged.
        IncompleteError: the artifact is not complete.
        MismatchError: something differs; the error names the file, and of weights the first tensor and element.
        BackendError: the backend cannot be used here.
        OSError: the destination cannot be read.
    """
    if not 0 <= read <= 1:
        raise ValueError(f"read is a fraction from 0 to 1, not {read}")
    part = Part.parse(part) if isinstance(part, str) else part
    engine = engine_of(engine) if isinstance(engine, str) else engine
    place = destination(url)
    plan = read_plan(place)
    if part.index == 0:  # one part alone lists the destination and reads all records
        _check_objects(survey(plan, place), place)
    numbers = part.items(len(plan))
    total = sum(map(plan.arrangement.nbytes, numbers))
    tally = Tally(plan, numbers, progress)
    task = functools.partial(_verify, read=read)
    engine.run(task, plan, place.url, numbers, backend=backend, tally=tally)
    return VerifiedArtifact(place.url, plan.recipe.digest, plan.format, len(numbers), total, read)


def _check_objects(found: Survey[Plan], place: Destination) -> None:
    """Check everything but the content of the items.

    Raises:
        IncompleteError: something is missing.
        MismatchError: something differs, or does not belong to the artifact.
    """
    plan = found.plan
    require_items(found, place)
    if not found.is_complete:
        raise IncompleteError(f"{place.url} is not complete: {plan.commit_path} does not exist")
    expected = {*plan.digests, plan.commit_path, SIGNATURE}
    for key in found.others:
        if key not in expected and not key.startswith(OWN):
            raise MismatchError(f"{place.url}: {key} is not a file of the artifact")
    for path, (_, digest) in plan.digests.items():
        _check_file(place, path, digest)
    try:
        manifest = manifest_of(found, place, plan.arrangement.commit(plan.read))
    except ConflictError as error:  # a record and its object have different sizes
        raise MismatchError(str(error)) from None
    for path, content in {MANIFEST: manifest.document(), RECIPE: plan.recipe.canonical}.items():
        _check_file(place, path, hashlib.sha256(content).hexdigest())
    if manifest.commit is not None:
        _check_file(place, manifest.commit.name, manifest.commit.sha256)


def _check_file(place: Destination, path: str, digest: str) -> None:
    content = place.read(path)
    if content is None:
        raise IncompleteError(f"{place.url}: {path} is missing")
    if (said := hashlib.sha256(content).hexdigest()) != digest:
        raise MismatchError(f"{place.url}: {path} has the SHA-256 {said}; the artifact has {digest}")


def _verify(
    plan: Plan, number: int, place: Destination, backend: Backend, report: Report = lambda _: None, *, read: float
) -> None:
    """Verify one item.

    Raises:
        IncompleteError: it is missing.
        MismatchError: it differs.
        OSError: the destination cannot be read.
    """
    item = plan.item(number)
    size = place.size(item.name)
    record = read_record(place, item.name)
    if size is None or record is None:
        raise IncompleteError(f"{place.url}: {item.name} or its record is missing")
    if size != item.content.size:
        raise MismatchError(f"{place.url}: {item.name} has {size} bytes, the artifact has {item.content.size}")
    hasher, start = hashlib.sha256(), 0
    reported, header = 0, size - item.nbytes
    # Each first chunk has the header or the opening, which names the recipe.
    for chunk in item.content.chunks(backend):
        hasher.update(chunk)
        if read and (start == 0 or random.random() < read):  # nosec B311 (no secret)
            stored = place.range(item.name, start, start + len(chunk))
            if stored != chunk:
                raise _mismatch(place, item.name, item.content.mismatch(start, stored, chunk))
        start += len(chunk)
        done = max(0, start - header)
        report(done - reported)
        reported = done
    if (digest := hasher.hexdigest()) != record.sha256:
        raise MismatchError(
            f"{place.url}: the record of {item.name} has the SHA-256 {record.sha256}; the artifact has {digest}"
        )


def _mismatch(place: Destination, name: str, found: MismatchError) -> MismatchError:
    return MismatchError(f"{place.url}: {name}: {found}", tensor=found.tensor, element=found.element)
