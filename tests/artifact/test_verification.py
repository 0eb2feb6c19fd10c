"""Verification of artifacts by their recipe, and comparison of any checkpoint with a recipe."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import fanin
from fanin import artifact
from fanin.errors import FileError, IncompleteError, MismatchError

RECIPE = fanin.as_recipe(
    {
        "seed": 7,
        "layout": "torch",
        "dtype": "F32",
        "tensors": {
            "a": {"shape": [100, 50], "scheme": "glorot_uniform"},
            "b": {"shape": [100, 50], "scheme": "he_normal"},
            "c": {"shape": [100], "scheme": "zeros"},
            "d": {"shape": [0, 3], "scheme": "zeros"},
        },
    }
)
SHARD = 20_000
"""Bytes that give `a` and `b` separate files."""
ELEMENT = 4_321
"""Element [86, 21] of `b`."""


def made(folder: Path, format: str = "hf") -> Path:
    """Return the folder of a complete artifact with one further file."""
    artifact.make(RECIPE, folder, format=format, shard_bytes=SHARD, files={"config.json": b"{}"})
    return folder


def altered(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def of_tensor(folder: Path, name: str, element: int) -> tuple[Path, int]:
    """Return the file that has the bytes of a tensor, and the offset of an element. The bytes are in one file once."""
    array = fanin.materialize(RECIPE)[name]
    for path in folder.iterdir():
        if path.is_file() and (at := path.read_bytes().find(array.tobytes())) >= 0:
            return path, at + element * array.itemsize
    raise AssertionError(name)


@pytest.mark.parametrize("format", ["hf", "safetensors", "dcp"])
@pytest.mark.parametrize("read", [1, 0.5, 0])
def test_an_artifact_is_as_its_recipe_says(tmp_path: Path, format: str, read: float) -> None:
    seen: list[artifact.Progress] = []

    found = artifact.verify(made(tmp_path, format), read=read, progress=seen.append)

    assert (found.recipe, found.format, found.bytes) == (RECIPE.digest, format, 40_400)
    assert found.items == artifact.status(tmp_path).items
    assert (seen[-1].items_done, seen[-1].bytes_done) == (found.items, found.bytes)


@pytest.mark.parametrize("format", ["hf", "safetensors", "dcp"])
def test_the_first_element_that_differs_is_named(tmp_path: Path, format: str) -> None:
    altered(*of_tensor(made(tmp_path, format), "b", ELEMENT))

    with pytest.raises(MismatchError, match=r'tensor "b", element 4321 \[86, 21\] differs') as refused:
        artifact.verify(tmp_path)

    assert (refused.value.tensor, refused.value.element) == ("b", ELEMENT)


def test_parts_verify_the_items_of_the_artifact(tmp_path: Path) -> None:
    path, offset = of_tensor(made(tmp_path), "b", ELEMENT)
    altered(path, offset)
    refused = 0
    for part in ("0/3", "1/3", "2/3"):
        try:
            artifact.verify(tmp_path, part=part)
        except MismatchError:
            refused += 1

    assert refused == 1


def test_part_0_verifies_what_is_not_an_item(tmp_path: Path) -> None:
    (made(tmp_path) / "more").write_bytes(b"x")

    artifact.verify(tmp_path, part="1/3")
    with pytest.raises(MismatchError, match="more is not a file"):
        artifact.verify(tmp_path, part="0/3")


@pytest.mark.parametrize("format", ["hf", "safetensors", "dcp"])
def test_the_start_of_each_file_is_read_in_any_sample(tmp_path: Path, format: str) -> None:
    path, _ = of_tensor(made(tmp_path, format), "a", 0)
    altered(path, 20)

    with pytest.raises(MismatchError, match=r"differs at byte 20"):
        artifact.verify(tmp_path, read=1e-9)
    artifact.verify(tmp_path, read=0)


def _record(folder: Path) -> None:
    path = folder / ".fanin/done/model-00001-of-00003.safetensors.json"
    said = json.loads(path.read_text())
    said["sha256"] = "0" * 64
    path.write_text(json.dumps(said, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: (folder / "more.txt").write_text("more"), MismatchError, "more.txt is not a file of"),
        (lambda folder: (folder / "config.json").write_text("[]"), MismatchError, "config.json has the SHA-256"),
        (lambda folder: altered(folder / ".fanin/manifest.json", -5), MismatchError, "manifest.json has the SHA-256"),
        (
            lambda folder: altered(folder / "model.safetensors.index.json", 40),
            MismatchError,
            "model.safetensors.index.json has the SHA-256",
        ),
        (lambda folder: (folder / "model.safetensors.index.json").unlink(), IncompleteError, "is not complete"),
        (lambda folder: (folder / "model-00002-of-00003.safetensors").unlink(), IncompleteError, "00002-of-00003"),
        (_record, MismatchError, "has the SHA-256"),
    ],
)
@pytest.mark.parametrize("read", [0, 1])
def test_damage_is_named(
    tmp_path: Path, damage: Callable[[Path], object], error: type[Exception], message: str, read: float
) -> None:
    damage(made(tmp_path))

    with pytest.raises(error, match=message):
        artifact.verify(tmp_path, read=read)


def test_a_record_that_fits_the_manifest_alone_is_refused(tmp_path: Path) -> None:
    # A forger can change a file, its record and the manifest, but not the values that the recipe gives.
    path, offset = of_tensor(made(tmp_path), "b", ELEMENT)
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    forged = tmp_path / "forged"
    artifact.make(RECIPE, forged, shard_bytes=SHARD, files={"config.json": b"{}"})
    old, new = hashlib.sha256(path.read_bytes()).hexdigest(), hashlib.sha256(content).hexdigest()
    (forged / path.name).write_bytes(content)
    for name in ("manifest.json", f"done/{path.name}.json"):
        text = (forged / ".fanin" / name).read_text()
        assert old in text
        (forged / ".fanin" / name).write_text(text.replace(old, new))

    for read in (0, 1):
        with pytest.raises(MismatchError):
            artifact.verify(forged, read=read)


@pytest.mark.parametrize("read", [-0.1, 1.1, float("nan")])
def test_a_fraction_is_from_0_to_1(tmp_path: Path, read: float) -> None:
    with pytest.raises(ValueError, match="read is a fraction from 0 to 1"):
        artifact.verify(made(tmp_path), read=read)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return a checkpoint by another writer: other files, another order, no recipe."""
    arrays = dict(fanin.materialize(RECIPE))
    safetensors.numpy.save_file({"d": arrays["d"], "b": arrays["b"]}, tmp_path / "one.safetensors", {"by": "another"})
    safetensors.numpy.save_file({"c": arrays["c"], "a": arrays["a"]}, tmp_path / "two.safetensors")
    return tmp_path


def test_a_checkpoint_of_another_writer_is_step_0_of_a_recipe(foreign: Path) -> None:
    seen: list[artifact.Progress] = []

    found = artifact.compare(foreign, RECIPE, progress=seen.append)

    assert (found.recipe, found.files, found.tensors, found.bytes) == (RECIPE.digest, 2, 4, 40_400)
    assert (seen[-1].bytes, seen[-1].bytes_done) == (40_400, 40_400)


def test_files_that_the_index_does_not_have_are_not_compared(foreign: Path) -> None:
    (foreign / "old.safetensors").write_bytes(b"not a file of weights")
    places = {"a": "two.safetensors", "b": "one.safetensors", "c": "two.safetensors", "d": "one.safetensors"}
    (foreign / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    assert artifact.compare(foreign, RECIPE).files == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": "one.safetensors"}, 'names tensor "a" in one.safetensors, which does not have it'),
        ({"a": None}, 'does not name tensor "a" in two.safetensors, which has it'),
        ({"e": "two.safetensors"}, 'names tensor "e" in two.safetensors, which does not have it'),
    ],
)
def test_an_index_that_does_not_describe_its_files_is_refused(
    foreign: Path, change: dict[str, str | None], message: str
) -> None:
    places = {"a": "two.safetensors", "b": "one.safetensors", "c": "two.safetensors", "d": "one.safetensors", **change}
    kept = {name: file for name, file in places.items() if file}
    (foreign / "model.safetensors.index.json").write_text(json.dumps({"weight_map": kept}))

    with pytest.raises(FileError, match=f"model.safetensors.index.json: weight_map {message}"):
        artifact.compare(foreign, RECIPE)


def test_an_element_of_a_checkpoint_differs(foreign: Path) -> None:
    altered(*of_tensor(foreign, "b", ELEMENT))

    with pytest.raises(MismatchError, match=r'one.safetensors: tensor "b", element 4321 \[86, 21\] differs') as refused:
        artifact.compare(foreign, RECIPE)

    assert (refused.value.tensor, refused.value.element) == ("b", ELEMENT)


@pytest.mark.parametrize("seed", [0, 8])
def test_a_checkpoint_of_another_seed_differs(foreign: Path, seed: int) -> None:
    with pytest.raises(MismatchError, match=r'tensor "[ab]", element 0 \[0, 0\] differs'):
        artifact.compare(foreign, RECIPE.seeded(seed))


def test_tensors_of_a_checkpoint_differ(foreign: Path) -> None:
    document = json.loads(RECIPE.canonical)
    tensors = document["tensors"]
    for change, message in [
        ({"e": tensors["c"]}, 'does not have tensor "e"'),
        (
            {"a": {**tensors["a"], "dtype": "BF16"}},
            r'tensor "a" with type F32 and shape \[100, 50\]; the recipe has BF16',
        ),
        ({"a": {**tensors["a"], "shape": [50, 100]}}, r"the recipe has F32 and \[50, 100\]"),
    ]:
        with pytest.raises(MismatchError, match=message):
            artifact.compare(foreign, {**document, "tensors": tensors | change})
    with pytest.raises(MismatchError, match='has tensor "a", which the recipe does not have'):
        artifact.compare(foreign, RECIPE.part(["b", "c", "d"]))


def test_a_tensor_in_two_files_is_refused(foreign: Path) -> None:
    safetensors.numpy.save_file({"c": np.zeros(100, np.float32)}, foreign / "three.safetensors")

    with pytest.raises(FileError, match=r'three\.safetensors and two\.safetensors both have tensor "c"'):
        artifact.compare(foreign, RECIPE)


def _with_header(folder: Path, header: str) -> None:
    (folder / "two.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(800))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "two.safetensors").write_bytes(b""),
        lambda folder: (folder / "two.safetensors").write_bytes(b"\xff" * 8),
        lambda folder: (folder / "two.safetensors").write_bytes((folder / "two.safetensors").read_bytes()[:-1]),
        lambda folder: _with_header(folder, "[]"),
        lambda folder: _with_header(folder, '{"c":{"dtype":"F32","shape":[100],"data_offsets":[0,401,1]}}'),
        lambda folder: _with_header(folder, '{"c":{"dtype":"F32","shape":[100],"data_offsets":[-8,392]}}'),
        lambda folder: _with_header(folder, '{"c":{"dtype":"F32","shape":[100],"data_offsets":[0,1e999]}}'),
        lambda folder: _with_header(
            folder,
            '{"c":{"dtype":"F32","shape":[100],"data_offsets":[0,400]},"a":{"dtype":"F32","shape":[1],"data_offsets":[396,400]}}',
        ),
        lambda folder: (folder / "model.safetensors.index.json").write_text("[]"),
        lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map":{"a":1}}'),
        lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map":{"a":"no.safetensors"}}'),
        lambda folder: [path.unlink() for path in folder.iterdir()],
    ],
)
def test_damaged_files_are_refused(foreign: Path, damage: Callable[[Path], object]) -> None:
    damage(foreign)

    with pytest.raises(FileError):
        artifact.compare(foreign, RECIPE)


@pytest.mark.parametrize("name", ["", ".", "..", "no.safetensors"])
def test_an_index_that_names_no_file_is_refused(foreign: Path, name: str) -> None:
    (foreign / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(
        FileError, match=re.escape(f'weight_map names tensor "a" in {name!r}, which is not a file beside')
    ):
        artifact.compare(foreign, RECIPE)


def test_elements_that_share_a_byte(tmp_path: Path) -> None:
    """A difference names the element, which is the first or the second of its byte."""
    recipe = fanin.as_recipe({"shape": [6, 4], "scheme": "constant", "value": 1, "dtype": "F4"})
    safetensors.torch.save_file(
        {"weight": torch.full((6, 2), 0x22, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}, tmp_path / "a.safetensors"
    )
    assert artifact.compare(tmp_path, recipe).bytes == 12
    content = (tmp_path / "a.safetensors").read_bytes()
    for bits, element in ((0x01, 20), (0x10, 21)):
        (tmp_path / "a.safetensors").write_bytes(content[:-2] + bytes([content[-2] ^ bits]) + content[-1:])
        with pytest.raises(MismatchError) as caught:
            artifact.compare(tmp_path, recipe)
        assert caught.value.element == element


def _shifted(header: str) -> str:
    return re.sub(
        r'"data_offsets":\[(\d+),(\d+)\]', lambda m: f'"data_offsets":[{int(m[1]) + 8},{int(m[2]) + 8}]', header
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda header, data: (re.sub(r'"data_offsets":\[(\d+),(\d+)\]', r'"data_offsets":["\1","\2"]', header), data),
        lambda header, data: (header.replace('"shape":[100]', '"shape":[100.0]'), data),
        lambda header, data: (header, data + b"\0"),
        lambda header, data: (_shifted(header), bytes(8) + data),
        lambda header, data: ("[" * 100_000, data),
    ],
    ids=["offsets in strings", "a fraction", "bytes at the end", "a gap", "nested too deeply"],
)
def test_a_file_that_safetensors_cannot_read_is_refused(foreign: Path, damage: Callable[..., Any]) -> None:
    """Its tensors have the bytes of the recipe, but no loader gets them."""
    path = foreign / "two.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = damage(content[8:end].decode(), content[end:])
    assert (header, data) != (content[8:end].decode(), content[end:])
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.numpy.load_file(path)

    with pytest.raises(FileError, match=r"two\.safetensors: not a safetensors file"):
        artifact.compare(foreign, RECIPE)


def test_a_name_twice_in_a_header_is_refused(foreign: Path) -> None:
    """One reader would take the first of its tensors, another the last."""
    path = foreign / "two.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = content[8:end].decode().replace("{", '{"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},', 1)
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + content[end:])

    with pytest.raises(FileError, match=r"two\.safetensors: .* its header: /c: this name is twice"):
        artifact.compare(foreign, RECIPE)
