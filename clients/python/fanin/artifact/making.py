"""Making an artifact: all of it, a part, or its end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

from fanin.artifact import finishing
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines import Engine, engine_of
from fanin.artifact.finishing import Manifest
from fanin.artifact.formats import TIED, arrangement_of
from fanin.artifact.parts import Part
from fanin.artifact.plan import SHARD_BYTES, Plan, read_plan
from fanin.artifact.plan import begin as begin_plan
from fanin.artifact.progress import Callback, Tally
from fanin.artifact.survey import survey
from fanin.artifact.writing import write
from fanin.recipe import Recipe, RecipeLike, as_recipe

Url = str | os.PathLike[str]


@runtime_checkable
class _Recording(Protocol):
    """A model that `fanin.torch.record`, or that of JAX or Keras, has recorded."""

    @property
    def recipe(self) -> Recipe: ...

    def with_seed(self, seed: int | str) -> Self: ...

    def literals_file(self) -> bytes | None: ...


def make(
    recipe: RecipeLike,
    url: Url,
    *,
    format: str = "hf",
    seed: int | str | None = None,
    shard_bytes: int = SHARD_BYTES,
    files: Mapping[str, bytes] | None = None,
    literals: bytes | None = None,
    options: Mapping[str, Any] | None = None,
    engine: str | Engine = "threads",
    backend: str | None = None,
    progress: Callback | None = None,
) -> Manifest:
    """Write the checkpoint of a recipe to a directory or a bucket, and return its manifest.

    The same call again writes what is missing. It sends nothing again, and replaces and deletes nothing. Several calls
    at once, on one machine or many, end with the same artifact.

        >>> fanin.artifact.make(recipe, "s3://bucket/step-0", seed=42, shard_bytes=5_000_000_000)

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes. A recording brings its literals along, and for `dcp`
            its tied names.
        url: A directory, or a URL s3://, gs:// or az://. It is empty, or has this artifact. The environment gives the
            credentials of a bucket.
        format: `hf` is a directory of Hugging Face: files with an index. `safetensors` is one file,
            `model.safetensors`. `dcp` is a checkpoint of torch.distributed.checkpoint, which any sharding loads.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        shard_bytes: Maximum bytes of tensors in an object. A larger tensor is cut in `dcp`, and has an object to itself
            in `hf`.
        files: Further files such as config.json or those of a tokenizer, by their paths in the destination.
        literals: A safetensors file with tensors that the recipe does not describe, as `literals_file` of a recording
            returns it.
        options: Further parameters of the format, as JSON values. `dcp` has `tied`: the name of a tensor by each other
            name of it. `hf` and `safetensors` have `stem`: what the names of the files begin with, by default `model`,
            and `diffusion_pytorch_model` if config.json is that of a model of diffusers.
        engine: What writes the items: `threads` of this process, or another engine.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.
        progress: Is called with a `Progress` while the items are written. An exception that it raises ends the work,
            and the same call resumes it.

    Raises:
        ValueError: an argument is wrong.
        RecipeError, FileError: the recipe or the literals are wrong.
        ConflictError: the destination has other content.
        BackendError: the backend cannot be used here.
        OSError: the destination cannot be read or written. Items that are written stay for the next call.
    """
    writer = _engine(engine)
    plan = begin(
        recipe, url, format=format, seed=seed, shard_bytes=shard_bytes, files=files, literals=literals, options=options
    )
    _write(plan, url, None, writer, backend, progress)
    return finishing.finish(plan, destination(url))


def begin(
    recipe: RecipeLike,
    url: Url,
    *,
    format: str = "hf",
    seed: int | str | None = None,
    shard_bytes: int = SHARD_BYTES,
    files: Mapping[str, bytes] | None = None,
    literals: bytes | None = None,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """Claim a destination for an artifact, and return its plan. Afterwards `write_part` needs the URL alone.

    The arguments and errors are those of `make`.
    """
    if not isinstance(recipe, Recipe | Mapping) and isinstance(recipe, _Recording):
        if literals is not None:
            raise ValueError("literals: a recording has its own, and takes no others")
        recorded = recipe if seed is None else recipe.with_seed(seed)
        recipe, seed, literals = recorded.recipe, None, recorded.literals_file()
        tied = getattr(recorded, TIED, {})
        if tied and TIED in arrangement_of(format).OPTIONS:
            options = {TIED: dict(tied), **(options or {})}
    found = as_recipe(recipe)
    plan = Plan.of(
        found if seed is None else found.seeded(seed),
        format=format,
        shard_bytes=shard_bytes,
        files=files,
        literals=literals,
        options=options,
    )
    begin_plan(plan, destination(url))
    return plan


def write_part(
    url: Url,
    part: Part | str = "0/1",
    *,
    engine: str | Engine = "threads",
    backend: str | None = None,
    progress: Callback | None = None,
) -> None:
    """Write the missing items of one part of an artifact that was begun.

        >>> fanin.artifact.write_part("s3://bucket/step-0", "3/10")

    Args:
        url: Where the artifact is.
        part: I/N for every N-th item from item I on. `auto` and `auto/N` take I from the environment of a Kubernetes
            Indexed Job, a Slurm array or torchrun.
        engine: What writes the items.
        backend: Name of the backend.
        progress: Is called with a `Progress` of this part.

    Raises:
        ValueError: an argument is wrong.
        ArtifactError: the destination has no artifact.
        ConflictError: the destination has other content.
        BackendError: the backend cannot be used here.
        OSError: the destination cannot be read or written.
    """
    part = Part.parse(part) if isinstance(part, str) else part
    _write(read_plan(destination(url)), url, part, _engine(engine), backend, progress)


def finish(url: Url) -> Manifest:
    """Complete an artifact whose items are written, and return its manifest. Do nothing if it is complete.

    Raises:
        ValueError: the URL is wrong.
        ArtifactError: the destination has no artifact.
        IncompleteError: items are missing.
        ConflictError: the destination has other content.
        OSError: the destination cannot be read or written.
    """
    place = destination(url)
    return finishing.finish(read_plan(place), place)


def _write(
    plan: Plan, url: Url, part: Part | None, engine: Engine, backend: str | None, progress: Callback | None
) -> None:
    place = destination(url)
    numbers: Iterable[int]
    if part is None or part.count == 1:
        found = survey(plan, place)
        numbers, tally = found.missing(), Tally(plan, range(len(plan)), progress, found.is_done)
    else:
        # `write` looks for each item anyway: fewer requests than a listing of all, by every part.
        numbers = part.items(len(plan))
        tally = Tally(plan, numbers, progress)
    engine.run(write, plan, place.url, numbers, backend=backend, tally=tally)


def _engine(engine: str | Engine) -> Engine:
    return engine_of(engine) if isinstance(engine, str) else engine
