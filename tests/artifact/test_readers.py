"""Readers of checkpoints, with artifacts: transformers, torch from a file system of fsspec, the Run:ai streamer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint import load
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

import fanin
from fanin import artifact
from fanin.torch import init_, record

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
RECIPE: Mapping[str, Any] = {
    "seed": 42,
    "layout": "torch",
    "dtype": "BF16",
    "tensors": {
        **{f"layers.{n}.weight": {"shape": [64, 48], "scheme": "glorot_uniform"} for n in range(6)},
        "norm": {"shape": [48], "scheme": "ones", "dtype": "F32"},
        "head": {"shape": [100, 48], "scheme": "normal", "std": 0.02},
    },
}


def octets(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def empty() -> dict[str, torch.Tensor]:
    layout = fanin.FileLayout.of(RECIPE)
    types = {"BF16": torch.bfloat16, "F32": torch.float32}
    return {entry.name: torch.zeros(entry.shape, dtype=types[entry.dtype.name]) for entry in layout.entries}


def is_filled(state: Mapping[str, torch.Tensor]) -> bool:
    return all(octets(state[name]) == array.tobytes() for name, array in fanin.materialize(RECIPE).items())


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory of Hugging Face with four files."""
    path = tmp_path_factory.mktemp("artifact") / "hf"
    artifact.make(RECIPE, path, shard_bytes=13_000)
    return path


def test_every_file_verifies(directory: Path) -> None:
    files = sorted(directory.glob("*.safetensors"))
    assert len(files) == 4
    assert sum(fanin.verify(file).tensors for file in files) == len(RECIPE["tensors"])


def test_readers_of_torch(directory: Path, tmp_path: Path) -> None:
    state = empty()
    load(state, storage_reader=HuggingFaceStorageReader(str(directory)), no_dist=True)
    assert is_filled(state)
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    artifact.make(RECIPE, tmp_path, format="dcp", shard_bytes=5_000)
    files = fsspec.filesystem("memory")
    files.put(str(tmp_path), "/step-0", recursive=True)
    state = empty()
    load(state, storage_reader=FsspecReader("memory://step-0"), no_dist=True)
    files.rm("/step-0", recursive=True)
    assert is_filled(state)


def test_run_ai_model_streamer(directory: Path) -> None:
    pytest.importorskip("runai_model_streamer", reason="runai-model-streamer is not installed")
    program = """
import hashlib, json, sys, torch
from runai_model_streamer import SafetensorsStreamer
found = {}
with SafetensorsStreamer() as streamer:
    streamer.stream_files(sys.argv[1:])
    for name, tensor in streamer.get_tensors():
        found[name] = hashlib.sha256(tensor.contiguous().cpu().view(torch.uint8).numpy().tobytes()).hexdigest()
print(json.dumps(found))
"""
    arguments = [sys.executable, "-c", program, *map(str, sorted(directory.glob("*.safetensors")))]
    found = json.loads(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    wanted = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in fanin.materialize(RECIPE).items()}
    assert found == wanted


@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(vocab_size=300, n_embd=64, n_layer=2, n_head=4, n_positions=32)
    config.architectures = ["GPT2LMHeadModel"]
    config.torch_dtype = "bfloat16"

    def build() -> torch.nn.Module:
        return transformers.GPT2LMHeadModel(config).to(torch.bfloat16)

    recording = record(build, seed=3)
    artifact.make(
        recording.recipe,
        tmp_path / "model",
        shard_bytes=50_000,
        files={"config.json": config.to_json_string().encode()},
        literals=recording.literals_file(),
    )
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 2
    model = init_(build(), recording)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    for name, tensor in model.state_dict().items():
        assert octets(loaded.state_dict()[name]) == octets(tensor), name
    tokens = torch.arange(7)[None]
    assert torch.equal(loaded(tokens).logits, model.eval()(tokens).logits)
    # The same tensors in the format of torch, with the tied name of the head.
    artifact.make(
        recording.recipe,
        tmp_path / "dcp",
        format="dcp",
        shard_bytes=50_000,
        literals=recording.literals_file(),
        options={"tied": dict(recording.tied)},
    )
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    load(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert all(octets(state[name]) == octets(tensor) for name, tensor in model.state_dict().items())
