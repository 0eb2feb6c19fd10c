"""Checkpoints of step 0: what PyTorch's and Hugging Face's own readers make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.distributed.checkpoint import load
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

import fanin
from fanin import FileLayout, backends
from fanin.cli.main import main
from fanin.torch import Recording, init_, record, save_checkpoint
from tests.support.processes import memory
from tests.torch import ranks

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
FORMATS = pytest.mark.parametrize("format", ["dcp", "safetensors"])


def build() -> nn.Module:
    module = nn.Sequential(
        nn.Embedding(30, 8, padding_idx=0), nn.Linear(8, 8, dtype=torch.bfloat16), nn.BatchNorm1d(8), nn.Linear(8, 30)
    )
    module[3].weight = module[0].weight
    module.register_buffer("scalar", torch.tensor(2.5))
    module.register_buffer("empty", torch.zeros(0, 3))
    module.register_buffer("order", torch.tensor([2, 0, 1]))
    return module


def read(folder: Path, format: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, by the readers of PyTorch."""
    state = {name: torch.full_like(tensor, 7) for name, tensor in build().state_dict().items()}
    if format == "dcp":
        load(state, checkpoint_id=folder, no_dist=True)
    else:
        del state["3.weight"]
        load(state, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    return state


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record(build, seed=5)


@FORMATS
@pytest.mark.parametrize("size", [100, 10**9])
def test_readers_get_what_a_module_is_filled_with(recording: Recording, tmp_path: Path, format: Any, size: int) -> None:
    """In files of any size."""
    save_checkpoint(recording, tmp_path / "new" / "step-0", format=format, shard_bytes=size)
    wanted = init_(build(), recording).state_dict()
    for name, tensor in read(tmp_path / "new" / "step-0", format).items():
        assert tensor.dtype == wanted[name].dtype
        assert torch.equal(tensor, wanted[name]), name
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["step-0"]


def test_literals_that_safetensors_lacks(tmp_path: Path) -> None:
    given = torch.complex(torch.arange(6, dtype=torch.float64).reshape(2, 3), torch.ones(2, 3, dtype=torch.float64)).T
    recording = Recording(fanin.as_recipe({"shape": 3, "scheme": "ones"}), {}, {"z": given}, {}, {}, {})
    save_checkpoint(recording, tmp_path / "dcp")
    state = {"z": torch.zeros_like(given)}
    load(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert torch.equal(state["z"], given)


def test_conversion_to_a_file_of_torch(recording: Recording, tmp_path: Path) -> None:
    save_checkpoint(recording, tmp_path / "dcp", seed=6)
    dcp_to_torch_save(tmp_path / "dcp", tmp_path / "model.pt")
    module = build()
    module.load_state_dict(torch.load(tmp_path / "model.pt"))
    wanted = init_(build(), recording, seed=6).state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in module.state_dict().items())


def test_files_for_hugging_face(recording: Recording, tmp_path: Path) -> None:
    save_checkpoint(recording, tmp_path / "shards", format="safetensors", shard_bytes=500)
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(build().state_dict()) - {"3.weight"}
    files = set(index["weight_map"].values())
    assert {path.name for path in (tmp_path / "shards").iterdir()} == {*files, "model.safetensors.index.json"}
    *drawn, given = sorted(files)
    for file in drawn:
        fanin.verify(tmp_path / "shards" / file)
    assert safe_open(tmp_path / "shards" / given, "pt").keys() == sorted(recording.literals)
    assert len(drawn) > 1
    save_checkpoint(recording, tmp_path / "two", format="safetensors")
    names = {f"model-{place:05}-of-00002.safetensors" for place in (1, 2)}
    assert {path.name for path in (tmp_path / "two").iterdir()} == {*names, "model.safetensors.index.json"}
    assert all((tmp_path / "shards" / file).stat().st_mode & 0o044 for file in files)
    recipe = {"tensors": {"a": {"shape": [3], "scheme": "ones"}}}
    save_checkpoint(recipe, tmp_path / "whole", format="safetensors")
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["model.safetensors"]


def test_sharded_models_load_it(tmp_path: Path) -> None:
    recipe = ranks.recipe()
    given = Recording(fanin.as_recipe(recipe), {"head.weight": "embedding.weight"}, {}, {}, {}, {})
    for format in ("dcp", "safetensors"):
        save_checkpoint(given, tmp_path / format, format=format, shard_bytes=10_000)
    assert ranks.run(2, ranks.loaded, str(tmp_path)) == [[ranks.expected(recipe)] * 2] * 2


@FORMATS
def test_nothing_is_left_of_a_failure(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any
) -> None:
    backend = ranks.Counting(backends.get())

    def fill(*arguments: Any) -> None:
        if backend.elements > 100:
            raise OSError("the disk is full")
        ranks.Counting.fill(backend, *arguments)

    monkeypatch.setattr(backend, "fill", fill)
    with backend, pytest.raises(OSError, match="the disk is full"):
        save_checkpoint(recording, tmp_path / "step-0", format=format)
    assert backend.elements > 0
    assert list(tmp_path.iterdir()) == []


@FORMATS
def test_what_is_there_is_not_written_over(recording: Recording, tmp_path: Path, format: Any) -> None:
    (tmp_path / "empty").mkdir()
    save_checkpoint(recording, tmp_path / "empty", format=format)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError):
        save_checkpoint(recording, tmp_path / "empty", format=format)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ValueError, match="format is one of dcp, safetensors"):
        save_checkpoint(recording, tmp_path / "other", format="pt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shard_bytes"):
        save_checkpoint(recording, tmp_path / "other", format=format, shard_bytes=0)
    with pytest.raises(fanin.RecipeError, match="/seed"):
        save_checkpoint(recording, tmp_path / "other", format=format, seed=-1)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the most memory since a moment"
)
@FORMATS
def test_memory_is_bounded(tmp_path: Path, format: Any) -> None:
    layout = FileLayout.of({"shape": [16384, 2048], "scheme": "normal", "std": 1.0})
    save_checkpoint(layout, tmp_path / "warm", format=format)
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    save_checkpoint(layout, tmp_path / "step-0", format=format)
    assert memory("VmHWM") - before < 32 << 20, "of 128 MiB"


# ---- fanin checkpoint -----------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    recipe = {
        "layout": "torch",
        "tensors": {"weight": {"shape": [4, 3], "scheme": "he_normal"}, "bias": {"shape": [4], "scheme": "zeros"}},
    }
    Path("recipe.json").write_text(json.dumps(recipe))
    Path("checkpoint_net.py").write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 4)\n")
    assert main(["checkpoint", "recipe", "recipe.json", "-o", "one", "--seed", "9"]) == 0
    state = nn.Linear(3, 4).state_dict()
    load(state, checkpoint_id="one", no_dist=True)
    assert state["weight"].numpy().tobytes() == fanin.materialize({**recipe, "seed": 9})["weight"].tobytes()
    assert main(["checkpoint", "torch", "checkpoint_net:build", "-o", "two", "--format", "safetensors"]) == 0
    fanin.verify("two/model.safetensors")
    assert main(["checkpoint", "recipe", "recipe.json", "-o", "two"]) == 4


@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_transformers_loads_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        tie_word_embeddings=True,
    )
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path)
    arguments = ["hf", str(tmp_path), "-o", str(tmp_path / "model"), "--format", "safetensors", "--shard-size", "50kB"]
    assert main(["checkpoint", *arguments, "--seed", "3"]) == 0
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    init_(model, record(lambda: transformers.LlamaForCausalLM(config), seed=3), device="cpu")
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    tokens = torch.arange(7)[None]
    assert torch.equal(loaded(tokens).logits, model.eval()(tokens).logits)
