"""Checkpoints of torch.distributed.checkpoint: their bytes without torch, and what torch makes of them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch.distributed.checkpoint import load
from torch.distributed.checkpoint import save as save_by_torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import Metadata

import fanin
from fanin import artifact, backends
from fanin.artifact.formats.dcp import files
from fanin.artifact.formats.dcp.archive import archive
from fanin.artifact.formats.dcp.archived import Archived, Kind
from fanin.artifact.formats.dcp.boxes import Boxes
from fanin.artifact.formats.dcp.pickles import Call, Global, Instance, Pairs, dumps
from fanin.artifact.plan import Plan
from fanin.cli.main import main
from fanin.dtypes import STORAGE
from fanin.errors import ConflictError

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
NORMAL = {"scheme": "normal", "std": 1.0}
KINDS = ("F64", "C64", "F32", "BF16", "F16", "F8_E4M3", "F8_E5M2")
RECIPE: dict[str, Any] = {
    "seed": 3,
    "layout": "torch",
    "tensors": {
        **{f"{dtype}": {"shape": [14, 10], "dtype": dtype, **NORMAL} for dtype in KINDS},
        "scalar": {"shape": [], "scheme": "ones"},
        "empty": {"shape": [2, 0, 3], "scheme": "ones"},
        "block": {"shape": [3, 4, 5], "dtype": "F64", **NORMAL},
        "orthogonal": {"shape": [20, 10], "scheme": "orthogonal"},
    },
}
LITERALS = {
    "given.steps": torch.tensor(17),
    "given.mask": torch.tensor([[True, False, True]]),
    "given.empty": torch.zeros(0, 3, dtype=torch.int32),
    "given.scale": torch.tensor([1.0, 2.0]).to(torch.float8_e8m0fnu),
    "given.rope": torch.complex(torch.arange(12.0).reshape(4, 3), torch.ones(4, 3)),
    "given.words": torch.arange(5).to(torch.uint16),
}
TIED = {"other": "BF16", "given.other": "given.rope", "block.other": "block"}
OPTIONS = {"tied": TIED}


def octets(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def expected() -> dict[str, torch.Tensor]:
    """Return the tensors of the checkpoint, as NumPy's generation has them."""
    found = dict(LITERALS)
    for name, array in fanin.materialize(RECIPE).items():
        found[name] = torch.empty(array.shape, dtype=getattr(torch, array.dtype.name))
        if array.size:
            found[name].reshape(-1).view(torch.uint8).numpy()[:] = np.frombuffer(array.tobytes(), np.uint8)
    return found | {name: found[other] for name, other in TIED.items()}


def made(directory: Path, **options: Any) -> artifact.Manifest:
    given: dict[str, Any] = {"format": "dcp", "literals": save(LITERALS), "options": OPTIONS, **options}
    return artifact.make(RECIPE, directory, **given)


def digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


@pytest.mark.parametrize(("size", "count"), [(100, 61), (560, 11), (10**9, 1)])
def test_torch_loads_every_type_cut_anywhere(tmp_path: Path, size: int, count: int) -> None:
    manifest = made(tmp_path / "made", shard_bytes=size)
    assert manifest.commit is not None
    assert manifest.commit.name == ".metadata"
    assert sum(file.name.endswith(".distcp") for file in manifest.files) == count + 1, "and one of literals"
    wanted = expected()
    state = {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
    load(state, checkpoint_id=tmp_path / "made", no_dist=True)
    for name, tensor in wanted.items():
        assert octets(state[name]) == octets(tensor), name
    dcp_to_torch_save(tmp_path / "made", tmp_path / "all.pt")
    converted = torch.load(tmp_path / "all.pt")
    assert {name: octets(tensor) for name, tensor in converted.items()} == {
        name: octets(tensor) for name, tensor in wanted.items()
    }
    assert {name: tensor.shape for name, tensor in converted.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }


def test_torch_loads_the_later_types(tmp_path: Path) -> None:
    tensors = {name: {"shape": [7, 2], "dtype": name, "scheme": "ones"} for name in STORAGE.keys() - {*KINDS, "F4"}}
    artifact.make({"tensors": tensors}, tmp_path / "made", format="dcp", shard_bytes=9)
    state = {name: torch.zeros(7, 2, dtype=getattr(torch, STORAGE[name].numpy.name)) for name in tensors}
    load(state, checkpoint_id=tmp_path / "made", no_dist=True)
    for name, tensor in state.items():
        assert octets(tensor) == np.ones(14, STORAGE[name].numpy).tobytes(), name


def test_torch_has_no_type_of_4_bits(tmp_path: Path) -> None:
    recipe = {"tensors": {"w": {"shape": [7, 2], "dtype": "F4", "scheme": "ones"}}}
    with pytest.raises(ValueError, match="'w' has dtype F4, of which torch has pairs only"):
        artifact.make(recipe, tmp_path / "made", format="dcp")
    assert not (tmp_path / "made").exists()


def test_metadata_is_as_torch_writes_it(tmp_path: Path) -> None:
    made(tmp_path / "made")
    save_by_torch(expected(), checkpoint_id=tmp_path / "torch", no_dist=True)
    ours, theirs = (pickle.loads((tmp_path / name / ".metadata").read_bytes()) for name in ("made", "torch"))
    assert isinstance(ours, Metadata)
    assert ours.state_dict_metadata == theirs.state_dict_metadata
    assert ours.planner_data == theirs.planner_data
    assert ours.storage_data.keys() == theirs.storage_data.keys()
    assert ours.version == theirs.version
    places = ours.storage_data.values()
    assert {type(place) for place in places} == {type(place) for place in theirs.storage_data.values()}
    # Every file is the archives that are named, without gaps.
    for file in (tmp_path / "made").glob("*.distcp"):
        found = {(place.offset, place.length) for place in places if place.relative_path == file.name}
        at = min(found)[0]
        assert at == 0 or file.name == "__1_0.distcp", "a table of literals stands before them"
        for offset, length in sorted(found):
            assert offset == at
            with zipfile.ZipFile(io.BytesIO(file.read_bytes()[offset : offset + length])) as archived:
                assert archived.testzip() is None
            at += length
        assert at == file.stat().st_size


def test_bytes_do_not_change(tmp_path: Path) -> None:
    """Other versions of Python, NumPy and torch write the same: manifests, and so signatures, depend on it."""
    made(tmp_path, shard_bytes=560)
    archives = digest(sorted(tmp_path.glob("*.distcp")))
    assert archives == "eeb45dd67dd8fd126f862930b590ddbfeaa61a53683997dd5e1096b36d8a0982"
    assert digest([tmp_path / ".metadata"]) == "dc34f5a1923fd2208457ff4b7263d1fefa1dec20837c0738710249f999b69e7a"


def test_torch_is_not_needed(tmp_path: Path) -> None:
    """Nor NumPy's own random numbers, nor safetensors."""
    made(tmp_path / "here", shard_bytes=560)
    (tmp_path / "literals").write_bytes(save(LITERALS))
    program = """
import json, sys
from pathlib import Path
sys.modules["torch"] = sys.modules["safetensors"] = None
from fanin import artifact
literals = Path("literals").read_bytes()
artifact.begin(json.loads(sys.argv[1]), "there", format="dcp", shard_bytes=560, literals=literals,
               options=json.loads(sys.argv[2]))
for part in "0/3", "2/3", "1/3":
    artifact.write_part("there", part)
artifact.finish("there")
"""
    arguments = json.dumps(RECIPE), json.dumps(OPTIONS)
    subprocess.run([sys.executable, "-c", program, *arguments], cwd=tmp_path, check=True)
    names = {path.name for path in (tmp_path / "here").iterdir() if path.is_file()}
    assert names == {path.name for path in (tmp_path / "there").iterdir() if path.is_file()}
    assert all((tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes() for name in names)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path / "python", options={"tied": {"other": "BF16", "given.other": "given.rope"}})
    Path("recipe.json").write_text(json.dumps(RECIPE))
    Path("literals").write_bytes(save(LITERALS))
    command = ["artifact", "make", "recipe.json", "made", "--format", "dcp", "--literals", "literals", "--quiet"]
    tied = ["--tied", "other=BF16", "--tied", "given.other=given.rope"]
    assert main([*command, *tied]) == 0
    for name in "__0_0.distcp", "__1_0.distcp", ".metadata":
        assert Path("made", name).read_bytes() == Path("python", name).read_bytes()
    assert main([*command, *tied, "--tied", "other=F32"]) == 2
    assert "two of the tied names are the same" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--tied", "other"])


def test_an_object_of_another_seed_is_refused(tmp_path: Path) -> None:
    """It has the same size, and differs in the notes of its archives and in its elements only."""
    other = Plan.of({**RECIPE, "seed": 4}, format="dcp").item(0)
    artifact.begin(RECIPE, tmp_path, format="dcp")
    content = b"".join(other.content.chunks(backends.get()))
    (tmp_path / other.name).write_bytes(content)
    with pytest.raises(ConflictError, match="exists with other tensors or values: its header differs"):
        artifact.write_part(tmp_path)
    assert (tmp_path / other.name).read_bytes() == content


def test_what_a_dead_writer_left_is_taken(tmp_path: Path) -> None:
    """An object without a record, before the checkpoint is complete."""
    made(tmp_path, shard_bytes=560)
    objects = {path: path.stat().st_ino for path in tmp_path.glob("*.distcp")}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name in (".metadata", ".fanin/manifest.json", ".fanin/done/__3_0.distcp.json"):
        (tmp_path / name).unlink()
    made(tmp_path, shard_bytes=560)
    assert {path: path.stat().st_ino for path in tmp_path.glob("*.distcp")} == objects
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_chunks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """They end between elements, whose sizes do not divide those of chunks and archives."""
    content = Plan.of(RECIPE, format="dcp").item(0).content
    wanted = b"".join(content.chunks(backends.get()))
    assert len(wanted) == content.size
    for size in (1001, 1024, 4099, content.size):
        monkeypatch.setattr(files, "CHUNK", size)
        chunks = list(content.chunks(backends.get()))
        assert max(map(len, chunks)) <= size
        assert min(map(len, chunks)) > 0
        assert b"".join(chunks) == wanted, "each has memory of its own"


def test_items_of_one_tensor_begin_differently() -> None:
    plan = Plan.of({"shape": [64, 16], "scheme": "zeros"}, format="dcp", shard_bytes=256)
    heads = {plan.item(number).content.head for number in range(len(plan))}
    assert len(heads) == len(plan) == 16


@pytest.mark.parametrize("count", [1, 1000])
def test_a_size_that_gives_too_many_archives_is_refused(count: int) -> None:
    elements = 2_000_000_000 // count
    tensors = {f"w.{place}": {"shape": [elements], "scheme": "ones"} for place in range(count)}
    with pytest.raises(ValueError, match=r"shard_bytes is 64, which gives \d+ archives; .* at most 1000000"):
        artifact.Plan.of({"layout": "torch", "tensors": tensors}, format="dcp", shard_bytes=64)


def test_a_type_that_torch_does_not_have_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'w' has dtype F4, of which torch has pairs only: .* format safetensors does"
    ):
        artifact.Plan.of({"tensors": {"w": {"shape": [4, 2], "scheme": "zeros", "dtype": "F4"}}}, format="dcp")


def test_wrong_options_and_literals(tmp_path: Path) -> None:
    for tied, message in (
        ({"new": "absent"}, "'new' is another name of 'absent', which is not a tensor"),
        ({"BF16": "F32"}, "'BF16' is another name of 'F32', and a tensor itself"),
        (["BF16"], "options/tied is an object"),
        ({"new": 3}, "options/tied is an object"),
    ):
        with pytest.raises(ValueError, match=message):
            made(tmp_path, options={"tied": tied})
        with pytest.raises(ValueError, match=message):
            made(tmp_path, options={"tied": tied}, literals=None)
    with pytest.raises(ValueError, match="option 'ranks': format 'dcp' has other options: 'tied'"):
        made(tmp_path, options={"ranks": 3})
    with pytest.raises(ValueError, match="option 'tied': format 'hf' has other options: 'stem'"):
        made(tmp_path, format="hf")
    with pytest.raises(fanin.RecipeError, match='add "layout": "torch"'):
        artifact.make({"shape": [3, 4], "scheme": "he_normal"}, tmp_path, format="dcp")
    header = json.dumps({"x": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}).encode()
    with pytest.raises(fanin.FileError, match="literal 'x' has type 'F4'"):
        made(tmp_path, options={}, literals=len(header).to_bytes(8, "little") + header + b"ab")
    header = json.dumps({"x": {"dtype": "I8", "shape": [4], "data_offsets": [0, 2]}}).encode()
    with pytest.raises(fanin.FileError, match=r'literals: .* the offsets of "x" do not fit its shape'):
        made(tmp_path, options={}, literals=len(header).to_bytes(8, "little") + header + b"ab")
    assert list(tmp_path.iterdir()) == []


# ---- boxes, archives, pickles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (1,), (7,), (0,), (3, 0, 2), (5, 7), (1, 1, 9), (4, 3, 5), (2, 3, 4, 5)])
def test_boxes_cover_a_tensor_in_order(shape: tuple[int, ...]) -> None:
    for most in (*range(1, 30), 1000):
        boxes = Boxes.of(shape, most)
        found: list[int] = []
        positions = np.arange(math.prod(shape)).reshape(shape)
        for number in range(len(boxes)):
            box = boxes[number]
            index = tuple(slice(start, start + length) for start, length in zip(box.offsets, box.lengths, strict=True))
            elements = positions[index].reshape(-1).tolist()
            assert elements == list(range(box.first, box.first + box.count)), "consecutive in memory"
            assert box.count <= most
            found += elements
        assert found == list(range(math.prod(shape)))
        with pytest.raises(IndexError):
            boxes[len(boxes)]
        assert len(boxes) <= max(1, 2 * math.prod(shape) / most, math.prod(shape[:-1])), "few"


def test_a_large_tensor_is_many_archives() -> None:
    """An archive stays small, because a reader of any part reads all of it."""
    plan = Plan.of({"shape": [200_000, 500_000], "dtype": "BF16", **NORMAL}, format="dcp", shard_bytes=10**9)
    assert len(plan) == 249
    assert plan.nbytes == 2 * 10**11
    archived = Archived(Kind("bfloat16", 2, (200_000, 500_000)), 10**9, 0)
    assert max(archived.nbytes) <= 1 << 28
    assert sum(plan.item(number).nbytes for number in range(len(plan))) == 2 * 10**11


def test_an_archive_is_a_file_of_torch(tmp_path: Path) -> None:
    types = ("float64", "complex128", "bool", "int64", "uint16", "float8_e5m2fnuz", "float8_e8m0fnu")
    for name, shape in itertools.product(types, [(3, 5), (), (2, 0, 4), (1, 1)]):
        tensor = torch.randint(0, 2, shape).to(getattr(torch, name))
        elements = octets(tensor)
        archived = archive(name, shape, len(elements), b"note")
        content = archived.opening + elements + archived.closing(zlib.crc32(elements))
        assert len(content) == archived.size
        assert len(archived.opening) % 64 == 0
        (tmp_path / "file.pt").write_bytes(content)
        for options in ({}, {"mmap": True}):
            loaded = torch.load(tmp_path / "file.pt", **options)
            assert (loaded.dtype, loaded.shape, loaded.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
            assert octets(loaded) == elements
        with zipfile.ZipFile(tmp_path / "file.pt") as file:
            assert file.testzip() is None
            assert file.read("archive/fanin") == b"note"


def test_pickles() -> None:
    value = [None, True, False, 0, -1, 255, 256, -(2**70), "é", "é", (), (1, (2,)), {"a": [], "b": {}}]
    assert pickle.loads(dumps(value)) == value
    fraction = Global("fractions", "Fraction")
    assert pickle.loads(dumps([Call(fraction, (1, 2)), fraction])) == [Fraction(1, 2), Fraction]
    space = pickle.loads(dumps(Instance(Global("argparse", "Namespace"), {"x": 1})))
    assert space.x == 1
    assert pickle.loads(dumps(Pairs([("x", 1), ("y", 2)]))) == {"x": 1, "y": 2}
    with pytest.raises(KeyError):
        dumps(1.5)
